"""The cluster of a stack without a cloud."""

from __future__ import annotations

import pulumi
import pulumi_kubernetes as kubernetes

from ...contracts import Cluster, IngressFlavor, LoadBalancerFlavor
from ...settings.dev import DevStack
from ...settings.errors import Problem, SettingsError
from .local import read

KEY = "mlflow:cluster.context"


def connect(settings: DevStack) -> Cluster:
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
        # Which cluster this is, wherever its kubeconfig lies: a moved checkout changes nothing, and a cluster
        # made anew under the same name is another one.
        cluster_identifier=found.get("identity"),
    )
    annotations = settings.cluster.internal_load_balancer
    ingress = settings.exposure.ingress
    return Cluster(
        provider=provider,
        identity=found.get("identity"),
        storage_class=settings.cluster.storage_class,
        node_address=found.get("nodeAddress"),
        internal_load_balancer=LoadBalancerFlavor(annotations=annotations) if annotations else None,
        ingress=IngressFlavor(
            class_name=ingress.class_name,
            annotations=ingress.annotations,
            controller_namespaces=ingress.controller_namespaces,
        )
        if ingress and ingress.class_name
        else None,
        external_load_balancer=LoadBalancerFlavor() if settings.cluster.load_balancer else None,
    )
