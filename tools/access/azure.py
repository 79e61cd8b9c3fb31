"""An AKS cluster that the stack's settings name, before the stack is up."""

from __future__ import annotations

from components.clouds.azure.kubelogin import NoEntraError, entra_kubeconfig
from tools.common import Failure, run

LIMIT = 60
"""Seconds for one answer of Azure's."""


def kubeconfig(cluster: str, group: str, subscription: str | None) -> str:
    """A kubeconfig for the cluster, which signs in as whoever uses it.

    :param group: its resource group.
    :raises Failure: when `az` is missing or may not describe the cluster, or the cluster does not know Entra.
    """
    place = ["--resource-group", group, *(["--subscription", subscription] if subscription else [])]
    answer = run(
        ["az", "aks", "get-credentials", "--name", cluster, *place, "--format", "exec", "--file", "-"],
        timeout=LIMIT,
        hint="install the Azure CLI and sign in; you need the role Azure Kubernetes Service Cluster User",
    )
    try:
        return entra_kubeconfig(cluster, answer)
    except NoEntraError:
        raise Failure(
            f"cluster {cluster} does not know Entra",
            "switch it on: az aks update … --enable-aad --enable-azure-rbac --disable-local-accounts",
        ) from None
