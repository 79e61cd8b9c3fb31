"""The cluster that the workloads run in."""

from __future__ import annotations

import pulumi_kubernetes as kubernetes

from ...contracts import Cluster
from ...settings.existing import ExistingStack
from ..dev.local import read

KEY = "mlflow:cluster.context"
REMEDY = "is missing, and there is no cluster of `make cluster`; name a context of your kubeconfig"


def connect(settings: ExistingStack) -> Cluster:
    """The context that the settings name, else the cluster that `make cluster` found or made.

    :raises SettingsError: when there is neither.
    """
    chosen = settings.cluster
    if chosen.context:
        provider = kubernetes.Provider("cluster", kubeconfig=chosen.kubeconfig, context=chosen.context)
        return Cluster(provider=provider, storage_class=chosen.storage_class)
    found = read("cluster.json", KEY, REMEDY) or {}
    provider = kubernetes.Provider(
        "cluster",
        kubeconfig=found.get("kubeconfig", "[kubeconfig]"),
        context=found.get("context"),
        cluster_identifier=found.get("identity"),
    )
    return Cluster(provider=provider, identity=found.get("identity"), storage_class=chosen.storage_class)
