"""What an existing AKS cluster must have, known once Azure has been asked and before anything is made."""

from __future__ import annotations

from collections.abc import Iterator

import pulumi
from pulumi_azure_native import containerservice

from ...settings.azure import AzureStack
from ...settings.errors import Problem, SettingsError

EXISTING = "mlflow:cluster.existing"
KUBELET = "kubeletidentity"
"""Key of the nodes' identity (AKS API, ``identityProfile``)."""


def checked(
    found: containerservice.GetManagedClusterResult, settings: AzureStack
) -> containerservice.GetManagedClusterResult:
    """The cluster, which fits the settings.

    :raises SettingsError: when it does not.
    """
    if problems := [*_of_identities(found), *_of_names(found, settings)]:
        raise SettingsError(problems, stack=pulumi.get_stack())
    return found


def _of_identities(found: containerservice.GetManagedClusterResult) -> Iterator[Problem]:
    issuer, security = found.oidc_issuer_profile, found.security_profile
    workload = security.workload_identity if security else None
    if not (issuer and issuer.issuer_url and workload and workload.enabled):
        yield Problem(
            EXISTING,
            "names a cluster without workload identity; switch it on: az aks update … --enable-oidc-issuer "
            "--enable-workload-identity",
        )
    if KUBELET not in (found.identity_profile or {}):
        yield Problem(
            EXISTING,
            "names a cluster with a service principal, whose nodes have no identity to pull images with; "
            "switch it: az aks update … --enable-managed-identity",
        )


def _of_names(found: containerservice.GetManagedClusterResult, settings: AzureStack) -> Iterator[Problem]:
    """A private DNS zone is seen from the networks that it is linked to, however others are connected
    (Azure DNS, "What is a virtual network link")."""
    networks = {_network(pool.vnet_subnet_id or "") for pool in found.agent_pool_profiles or []}
    # A pool that names no subnet is in a network that AKS made, in a group of AKS's own.
    made = f"/resourcegroups/{found.node_resource_group}/".lower() if "" in networks else None
    for key, section in (("mlflow:database", settings.database), ("mlflow:artifacts", settings.artifacts)):
        if not section.subnet or section.dns_zone or not networks:
            continue
        if _network(section.subnet) not in networks and not (made and made in section.subnet.lower()):
            yield Problem(
                f"{key}.dnsZone",
                f"is missing: the nodes of {found.name} are in another network than {key}.subnet, and would "
                "not find a name in a zone of the stack's; name a private DNS zone that is linked to both",
            )


def _network(subnet: str) -> str:
    return subnet.partition("/subnets/")[0].lower()
