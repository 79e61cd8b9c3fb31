"""How AKS makes load balancers from Services, and what an Ingress of a controller needs."""

from __future__ import annotations

from collections.abc import Mapping

from ...contracts import IngressFlavor, LoadBalancerFlavor
from ...settings.exposure import EntranceApi, Ingress, LoadBalancer

PREFIX = "service.beta.kubernetes.io/azure-"

HEALTH_PATH = "/health"
"""Answers without sign-in and whatever the Host header, which here is a node's address (MLflow 3.17)."""

IDLE_MINUTES = "30"
"""After so long without a byte Azure's load balancer forgets a connection: time for a slow request of
MLflow. Its default is 4."""


def load_balancer(
    entrance: LoadBalancer | None, tags: Mapping[str, str], *, internal: bool
) -> LoadBalancerFlavor | None:
    """How to ask for one; None where the stack wants none.

    It passes bytes on: http, on 80. Ranges come from ``spec.loadBalancerSourceRanges``, which AKS turns into
    rules of the nodes' network security group. Sources: AKS, "Use a public standard load balancer" and "Use
    an internal load balancer".
    """
    if entrance is None:
        return None
    annotations = {
        "load-balancer-health-probe-protocol": "http",
        "load-balancer-health-probe-request-path": HEALTH_PATH,
        "load-balancer-tcp-idle-timeout": IDLE_MINUTES,
    }
    if internal:
        annotations["load-balancer-internal"] = "true"
    else:
        annotations["pip-tags"] = _tags(tags)
    return LoadBalancerFlavor(annotations={PREFIX + key: value for key, value in annotations.items()})


def ingress(settings: Ingress | None, tags: Mapping[str, str]) -> IngressFlavor | None:
    """How to ask the controller that the settings name; None where the stack wants no Ingress."""
    if settings is None:
        return None
    if settings.api is EntranceApi.GATEWAY:
        return IngressFlavor(
            class_name=settings.class_name, annotations=settings.annotations, gateway=_gateway(settings, tags)
        )
    return IngressFlavor(
        class_name=settings.class_name,
        annotations={
            # NGINX refuses more than 1 MB otherwise, and reads all of it first; others do not know these.
            "nginx.ingress.kubernetes.io/proxy-body-size": "0",
            "nginx.ingress.kubernetes.io/proxy-request-buffering": "off",
            **settings.annotations,
        },
        controller_namespaces=settings.controller_namespaces,
    )


def _gateway(settings: Ingress, tags: Mapping[str, str]) -> dict[str, str]:
    """Annotations of the load balancer behind a Gateway: private or not, and for whom.

    Sources: AKS, "Configure ingress with the Kubernetes Gateway API via the application routing add-on"
    (annotations for an internal load balancer); cloud-provider-azure, "LoadBalancer annotations".
    """
    found = {"load-balancer-tcp-idle-timeout": IDLE_MINUTES}
    if settings.allow:
        found["allowed-ip-ranges"] = ",".join(settings.allow)
    if settings.internal:
        found["load-balancer-internal"] = "true"
    else:
        found["pip-tags"] = _tags(tags)
    return {PREFIX + key: value for key, value in found.items()}


def _tags(tags: Mapping[str, str]) -> str:
    return ",".join(f"{key}={value}" for key, value in sorted(tags.items()))
