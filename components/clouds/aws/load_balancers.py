"""How EKS makes load balancers: an NLB from a Service, an ALB from an Ingress."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pulumi
import pulumi_kubernetes as kubernetes

from ...contracts import IngressFlavor, LoadBalancerFlavor
from ...settings.aws import Feature
from ...settings.exposure import Exposure, Ingress, LoadBalancer
from ..names import stack_name

meta = kubernetes.meta.v1

CLASSES = {
    Feature.AUTO_MODE: "eks.amazonaws.com/nlb",
    Feature.LOAD_BALANCER_CONTROLLER: "service.k8s.aws/nlb",
}
"""``loadBalancerClass`` of who makes load balancers: EKS Auto Mode, or the AWS Load Balancer Controller."""

CONTROLLER_INGRESS_CLASS = "alb"
"""The IngressClass that the controller's chart makes."""

READINESS_GATES = {
    Feature.AUTO_MODE: "eks.amazonaws.com/pod-readiness-gate-inject",
    Feature.LOAD_BALANCER_CONTROLLER: "elbv2.k8s.aws/pod-readiness-gate-inject",
}
"""Label of a namespace whose pods are ready only once the load balancer sends to them. Without, a roll takes
the old pods away while the new ones are still being registered. Sources: AWS Load Balancer Controller, "Pod
readiness gate"; Auto Mode's own key: `kubectl get mutatingwebhookconfiguration eks-load-balancing-webhook`,
as read in public repositories that use it."""

DRAIN_SECONDS = 180
"""A target that is deregistered still gets new connections for minutes, and one that is registered gets none
for as long (aws-load-balancer-controller, issues 1834, 2131, 2366: 3 to 5 minutes)."""

AUTO_INGRESS_CONTROLLER = "eks.amazonaws.com/alb"

INTERNAL, EXTERNAL = "internal", "internet-facing"

TLS_POLICY = "ELBSecurityPolicy-TLS13-1-2-2021-06"
"""TLS 1.2 and 1.3. Source: Elastic Load Balancing, "Security policies"."""

HEALTH_PATH = "/health"
"""Answers without sign-in and whatever the Host header, which here is a pod's address (MLflow 3.17)."""

IDLE_SECONDS = 600
"""After so long without a byte an ALB hangs up: time for a slow request of MLflow. AWS' default is 60."""


def nlb(
    entrance: LoadBalancer | None, internal: bool, features: frozenset[Feature], tags: Mapping[str, str]
) -> LoadBalancerFlavor | None:
    """How to ask for an NLB; None where the stack wants none or the cluster makes none.

    With a certificate it terminates TLS, and then there is only port 443: an NLB cannot redirect. Ranges come
    from ``spec.loadBalancerSourceRanges``, which both makers turn into the NLB's security group.
    Sources: AWS Load Balancer Controller, "Annotations (Service)"; EKS user guide, "Use Service Annotations
    to configure Network Load Balancers".
    """
    maker = next((CLASSES[one] for one in CLASSES if one in features), None)
    if entrance is None or maker is None:
        return None
    annotations: dict[str, pulumi.Input[str]] = {
        "scheme": INTERNAL if internal else EXTERNAL,
        # Straight to the pods: nodes need no open ports, and the health check asks the server itself.
        "nlb-target-type": "ip",
        "healthcheck-protocol": "http",
        "healthcheck-path": HEALTH_PATH,
        "healthcheck-port": "traffic-port",
        # One replica must serve people whom DNS sends to another zone's address.
        "attributes": "load_balancing.cross_zone.enabled=true",
    }
    if tags:
        listed = ",".join(f"{key}={value}" for key, value in sorted(tags.items()))
        annotations["additional-resource-tags"] = listed
    if entrance.certificate:
        annotations |= {
            "ssl-cert": entrance.certificate,
            "ssl-ports": "443",
            "ssl-negotiation-policy": TLS_POLICY,
        }
    return LoadBalancerFlavor(
        load_balancer_class=maker,
        annotations={
            f"service.beta.kubernetes.io/aws-load-balancer-{key}": value for key, value in annotations.items()
        },
        tls=entrance.certificate is not None,
        drain_seconds=DRAIN_SECONDS,
    )


def namespace_labels(exposure: Exposure, features: frozenset[Feature]) -> dict[str, str]:
    """What the stack's namespace is marked with; nothing where no load balancer sends straight to pods."""
    own_ingress = exposure.ingress is not None and not exposure.ingress.class_name
    gate = next((READINESS_GATES[one] for one in READINESS_GATES if one in features), None)
    if gate is None or not (exposure.internal or exposure.external or own_ingress):
        return {}
    return {gate: "enabled"}


def alb(
    ingress: Ingress | None,
    features: frozenset[Feature],
    tags: Mapping[str, str],
    opts: pulumi.ResourceOptions,
) -> tuple[IngressFlavor | None, list[pulumi.Resource]]:
    """How to ask for an ALB, and what that needs in the cluster first; None where the stack wants none.

    With a certificate port 80 redirects to 443. Sources: AWS Load Balancer Controller, "Annotations
    (Ingress)"; EKS user guide, "Create an IngressClass to configure an Application Load Balancer".
    """
    if ingress is None:
        return None, []
    if ingress.class_name:
        flavor = IngressFlavor(
            class_name=ingress.class_name,
            annotations=ingress.annotations,
            tls=ingress.certificate is not None,
            controller_namespaces=ingress.controller_namespaces,
        )
        return flavor, []
    annotations = {f"alb.ingress.kubernetes.io/{key}": value for key, value in _of_both(ingress).items()}
    if Feature.AUTO_MODE in features:
        # There the rest is said once, by the class.
        name, made = _auto_mode_class(ingress, tags, opts)
    elif Feature.LOAD_BALANCER_CONTROLLER in features:
        name, made = CONTROLLER_INGRESS_CLASS, []
        annotations |= {
            f"alb.ingress.kubernetes.io/{key}": value for key, value in _of_controller(ingress, tags).items()
        }
    else:
        return None, []
    flavor = IngressFlavor(
        class_name=name,
        annotations={**annotations, **ingress.annotations},
        tls=ingress.certificate is not None,
        drain_seconds=DRAIN_SECONDS,
        health_annotation="alb.ingress.kubernetes.io/healthcheck-path",
    )
    return flavor, made


def _of_both(ingress: Ingress) -> dict[str, str]:
    annotations = {
        "target-type": "ip",
        "healthcheck-path": HEALTH_PATH,
        "listen-ports": json.dumps([{"HTTP": 80}, *([{"HTTPS": 443}] if ingress.certificate else [])]),
    }
    if ingress.certificate:
        annotations |= {"ssl-redirect": "443", "ssl-policy": TLS_POLICY}
    if ingress.allow:
        annotations["inbound-cidrs"] = ",".join(ingress.allow)
    return annotations


def _of_controller(ingress: Ingress, tags: Mapping[str, str]) -> dict[str, str]:
    annotations = {
        "scheme": _scheme(ingress),
        "load-balancer-attributes": f"idle_timeout.timeout_seconds={IDLE_SECONDS}",
        "tags": ",".join(f"{key}={value}" for key, value in sorted(tags.items())),
    }
    return annotations | ({"certificate-arn": ingress.certificate} if ingress.certificate else {})


def _auto_mode_class(
    ingress: Ingress, tags: Mapping[str, str], opts: pulumi.ResourceOptions
) -> tuple[str, list[pulumi.Resource]]:
    name, group, kind = stack_name("alb"), "eks.amazonaws.com", "IngressClassParams"
    spec: dict[str, Any] = {
        "scheme": _scheme(ingress),
        "loadBalancerAttributes": [{"key": "idle_timeout.timeout_seconds", "value": str(IDLE_SECONDS)}],
    }
    if tags:
        spec["tags"] = [{"key": key, "value": value} for key, value in sorted(tags.items())]
    if ingress.certificate:
        spec["certificateARNs"] = [ingress.certificate]
    if ingress.allow:
        spec["inboundCIDRs"] = list(ingress.allow)
    parameters = kubernetes.apiextensions.CustomResource(
        "mlflow-alb",
        api_version=f"{group}/v1",
        kind=kind,
        metadata=meta.ObjectMetaArgs(name=name),
        spec=spec,
        opts=opts,
    )
    ingress_class = kubernetes.networking.v1.IngressClass(
        "mlflow-alb",
        metadata=meta.ObjectMetaArgs(name=name),
        spec=kubernetes.networking.v1.IngressClassSpecArgs(
            controller=AUTO_INGRESS_CONTROLLER,
            parameters=kubernetes.networking.v1.IngressClassParametersReferenceArgs(
                api_group=group, kind=kind, name=name
            ),
        ),
        opts=opts,
    )
    return name, [parameters, ingress_class]


def _scheme(ingress: Ingress) -> str:
    return INTERNAL if ingress.internal else EXTERNAL
