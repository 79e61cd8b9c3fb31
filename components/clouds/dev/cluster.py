"""The cluster of a stack without a cloud."""

from __future__ import annotations

import pulumi
import pulumi_kubernetes as kubernetes

from ...contracts import Cluster, LoadBalancerFlavor
from ...settings import Stack
from ...settings.errors import Problem, SettingsError
from .local import read

KEY = "mlflow:cluster.context"


def connect(settings: Stack) -> Cluster:
    """The cluster that ``make cluster`` found or made, through a kubeconfig of the project's own.

    :raises SettingsError: when there is none, or it is not the one the stack names.
    """
    found = read("cluster.json", KEY, "there is no cluster yet; run `make cluster`") or {}
    wanted = settings.cluster.context
    if found and wanted and found["context"] != wanted:
        raise SettingsError(
            [Problem(KEY, f"is {wanted}, but `make cluster` last chose {found['context']}; run it again")],
            stack=pulumi.get_stack(),
        )
    provider = kubernetes.Provider(
        "cluster",
        # The file's path, not its content: no credentials enter the state.
        kubeconfig=found.get("kubeconfig", "[kubeconfig]"),
        context=found.get("context", wanted),
    )
    flavor = LoadBalancerFlavor() if settings.cluster.load_balancer else None
    return Cluster(
        provider=provider,
        storage_class=settings.cluster.storage_class,
        node_address=found.get("nodeAddress"),
        internal_load_balancer=flavor,
        external_load_balancer=flavor,
    )
