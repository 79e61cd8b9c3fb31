"""The AKS cluster: an existing one by its name, or one that the stack makes with everything around it."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_kubernetes as kubernetes
from pulumi_azure_native import containerservice

from ...contracts import Cluster
from ...settings import artifacts_place, database_place
from ...settings.azure import AzureStack, DatabaseAccess, NewAzureCluster, StorageAccess
from ...settings.database import Place as StorePlace
from ...settings.errors import Problem, SettingsError
from .cluster_checks import EXISTING, KUBELET, checked
from .control_plane import ControlPlane, ControlPlaneArgs, version_of
from .database_service import SERVICES
from .kubelogin import NoEntraError, entra_kubeconfig
from .load_balancers import ingress, load_balancer
from .metrics import Metrics, MetricsArgs
from .monitoring import Monitoring, MonitoringArgs, Workspace, WorkspaceArgs
from .network import Network, NetworkArgs
from .nodes import user_pool, zones_of
from .resource_group import Place
from .storage import storage_class

NAME = "mlflow"
"""What the names of the resources start with; Pulumi adds what makes them unique."""


@dataclass(frozen=True, kw_only=True)
class AzureCluster:
    """A cluster, in the words of the rest of the program and in those of Azure.

    :param contract: what the in-cluster half uses.
    :param group: its resource group.
    :param issuer: of its ServiceAccounts' tokens.
    :param kubelet: object id of the nodes' identity, which pulls images.
    :param network: made with it; None for an existing cluster.
    """

    contract: Cluster
    name: pulumi.Output[str]
    group: pulumi.Output[str]
    issuer: pulumi.Output[str]
    kubelet: pulumi.Output[str]
    network: Network | None
    kubeconfig: pulumi.Output[str]


@dataclass(frozen=True, kw_only=True)
class _Facts:
    """What a cluster is known by, whoever made it."""

    id: pulumi.Output[str]
    name: pulumi.Output[str]
    group: pulumi.Output[str]
    issuer: pulumi.Output[str]
    kubelet: pulumi.Output[str]
    network: Network | None = None
    made: Sequence[pulumi.Resource] = ()


def connect(settings: AzureStack, place: Place) -> AzureCluster:
    """The cluster of the stack."""
    new = settings.new_cluster
    facts = _existing(settings, place) if new is None else _made(settings, new, place)
    credentials = containerservice.list_managed_cluster_user_credentials_output(
        resource_group_name=facts.group,
        resource_name=facts.name,
        # Of a cluster with Entra: a command that signs in, instead of client-go's plugin of long ago.
        format="exec",
        opts=place.subscription.invoke,
    )
    # A cluster without Entra hands out a key in it.
    found = pulumi.Output.secret(credentials.kubeconfigs.apply(lambda all_: all_[0].value))
    kubeconfig = pulumi.Output.all(name=facts.name, group=facts.group, found=found).apply(_kubeconfig)
    provider = kubernetes.Provider(
        "cluster",
        kubeconfig=kubeconfig,
        # The same cluster, whatever a kubeconfig says of how it is reached.
        cluster_identifier=facts.id,
    )
    tags = place.tags
    named = settings.cluster.storage_class
    opts = pulumi.ResourceOptions(provider=provider, depends_on=list(facts.made))
    made = None if named else storage_class(tags, opts)
    exposure = settings.exposure
    return AzureCluster(
        contract=Cluster(
            provider=provider,
            storage_class=made[0] if made else named,
            internal_load_balancer=load_balancer(exposure.internal, tags, internal=True),
            external_load_balancer=load_balancer(exposure.external, tags, internal=False),
            ingress=ingress(exposure.ingress, tags),
            ready=[*facts.made, *([made[1]] if made else [])],
        ),
        name=facts.name,
        group=facts.group,
        issuer=facts.issuer,
        kubelet=facts.kubelet,
        network=facts.network,
        kubeconfig=kubeconfig,
    )


def _made(settings: AzureStack, new: NewAzureCluster, place: Place) -> _Facts:
    opts = pulumi.ResourceOptions(providers=[place.subscription.provider])
    network = Network(f"{NAME}-network", _network(settings, new, place), opts=opts)
    workspace = None
    if new.container_logs or new.monitoring:
        workspace = Workspace(f"{NAME}-logs", WorkspaceArgs(place=place), opts=opts)
    common = {
        "place": place,
        "subnet": network.nodes,
        "zones": zones_of(new),
        "version": version_of(new),
    }
    plane = ControlPlane(
        f"{NAME}-cluster",
        ControlPlaneArgs(
            place=place,
            settings=new,
            network=network,
            common=common,
            workspace=workspace if new.container_logs else None,
            protect=settings.protected(pulumi.get_stack()),
        ),
        opts=opts,
    )
    pool = user_pool(
        f"{NAME}-pool",
        plane.cluster,
        new,
        place.subscription.provider,
        **common,
    )
    if workspace:
        Monitoring(
            f"{NAME}-monitoring",
            MonitoringArgs(
                place=place,
                cluster=plane.cluster.id,
                workspace=workspace.id,
                control_plane=new.monitoring,
                containers=new.container_logs,
            ),
            opts=opts,
        )
    if new.metrics:
        Metrics(f"{NAME}-metrics", MetricsArgs(place=place, cluster=plane.cluster.id), opts=opts)
    return _Facts(
        id=plane.cluster.id,
        name=plane.cluster.name,
        group=place.group,
        issuer=plane.cluster.oidc_issuer_profile.apply(_issuer),
        kubelet=plane.kubelet,
        network=network,
        made=[plane, pool],
    )


def _network(settings: AzureStack, new: NewAzureCluster, place: Place) -> NetworkArgs:
    managed = StorePlace.MANAGED
    database = database_place(settings) is managed and settings.database.existing is None
    storage = artifacts_place(settings) is managed and settings.artifacts.existing is None
    delegated = database and settings.database.access is DatabaseAccess.VNET
    by_endpoint = storage and settings.storage_access is StorageAccess.PRIVATE_ENDPOINT
    return NetworkArgs(
        place=place,
        address_range=new.address_range,
        database=SERVICES[settings.database.engine].delegation if delegated else None,
        endpoints=(database and not delegated) or by_endpoint,
        storage=storage and settings.storage_access is StorageAccess.CLUSTER,
    )


def _issuer(profile: Any) -> str:
    return (profile.issuer_url if profile else None) or ""


def _existing(settings: AzureStack, place: Place) -> _Facts:
    named, group = str(settings.cluster.existing), str(settings.cluster.resource_group)
    # Nothing goes on before the check.
    found = containerservice.get_managed_cluster_output(
        resource_group_name=group, resource_name=named, opts=place.subscription.invoke
    ).apply(lambda cluster: checked(cluster, settings))
    return _Facts(
        id=found.id,
        name=found.name,
        group=pulumi.Output.from_input(group),
        issuer=found.oidc_issuer_profile.apply(_issuer),
        kubelet=found.identity_profile.apply(lambda all_: all_[KUBELET].object_id),
    )


def _kubeconfig(known: Mapping[str, Any]) -> str:
    """:raises SettingsError: when the cluster does not know Entra, and hands out keys instead."""
    try:
        return entra_kubeconfig(known["name"], base64.b64decode(known["found"]))
    except NoEntraError:
        remedy = (
            "names a cluster without Entra sign-in; switch it on: az aks update … --enable-aad "
            "--enable-azure-rbac --disable-local-accounts"
        )
        raise SettingsError([Problem(EXISTING, remedy)], stack=pulumi.get_stack()) from None
