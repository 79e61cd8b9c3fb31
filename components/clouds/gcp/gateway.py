"""What GKE's Gateway controller takes beside a Gateway: policies for backend, health check and TLS.

Source: GKE, "Configure Gateway resources using Policies" and "Secure a Gateway".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ...contracts import CustomObject, Text

PUBLIC_GATEWAY, PRIVATE_GATEWAY = "gke-l7-global-external-managed", "gke-l7-rilb"
"""Classes of the external and the internal Application Load Balancer (GKE, "GatewayClass capabilities")."""
CERTIFICATE = "networking.gke.io/pre-shared-certs"
"""TLS option of a listener: an SSL certificate of Compute Engine, by name."""

OBJECT = "mlflow-server"
"""Name of the Gateway, of the Service behind it, and of the policies."""
POLICIES = "networking.gke.io/v1"
HEALTH_PATH = "/health"
"""Answers without sign-in and whatever the Host header, which here is a pod's address (MLflow 3.17)."""
SERVER_PORT = 5000
"""Of the pods, which Google's load balancer asks directly (container-native load balancing)."""
SERVICE = {"group": "", "kind": "Service", "name": OBJECT}
GATEWAY = {"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": OBJECT}


def gateway_policies(guards: Mapping[str, Any], tls: Text | None) -> Sequence[CustomObject]:
    """The policies of the server's Gateway.

    :param guards: of the backend: timeout, draining, ranges.
    :param tls: name of an SSL policy.
    """
    health = {"type": "HTTP", "httpHealthCheck": {"requestPath": HEALTH_PATH, "port": SERVER_PORT}}
    found = [
        _policy("GCPBackendPolicy", SERVICE, guards),
        _policy("HealthCheckPolicy", SERVICE, {"config": health}),
    ]
    return [*found, _policy("GCPGatewayPolicy", GATEWAY, {"sslPolicy": tls})] if tls else found


def _policy(kind: str, target: Mapping[str, str], default: Mapping[str, Any]) -> CustomObject:
    return CustomObject(
        api_version=POLICIES,
        kind=kind,
        name=OBJECT,
        spec={"default": dict(default), "targetRef": dict(target)},
    )
