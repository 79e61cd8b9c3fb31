"""The Cloud SQL Auth Proxy as a container: it encrypts, it proves who it is, and it signs in to the database.

Sources: its README and cmd/root.go, version 2.27.0.
"""

from __future__ import annotations

import pulumi
import pulumi_kubernetes as kubernetes

from ...third_party import CLOUD_SQL_PROXY

core = kubernetes.core.v1

NAME = "mlflow-cloudsql-proxy"
"""Deployment, Service and ServiceAccount of the shared proxy."""
HEALTH_PORT = 9801
"""Not its usual 9090, where a server's own metrics might be."""
START_SECONDS = 60
DRAIN_SECONDS = 30
"""How long the shared proxy takes new connections after it was told to end, until all Services know."""
CLOSE_SECONDS = 60
REQUESTS, LIMITS = {"cpu": "50m", "memory": "64Mi"}, {"cpu": "1", "memory": "256Mi"}


def proxy_container(
    connection_name: pulumi.Input[str],
    port: int,
    *,
    private: pulumi.Input[bool],
    identity: bool,
    shared: bool,
) -> core.ContainerArgs:
    """The proxy in front of one instance.

    :param private: reach the instance at its private address.
    :param identity: sign in as the pod's own identity; otherwise the client's password is handed on.
    :param shared: for a Deployment: it listens for other pods as well. Otherwise a native sidecar, which
        starts before and ends after the pod's containers, so that Jobs end by themselves.
    """
    flag = pulumi.Output.from_input(private).apply(lambda yes: f"--private-ip={str(yes).lower()}")
    arguments: list[pulumi.Input[str]] = [
        f"--address={'0.0.0.0' if shared else '127.0.0.1'}",  # noqa: S104 - guarded by a network policy
        f"--port={port}",
        flag,
        *(["--auto-iam-authn"] if identity else []),
        "--structured-logs",
        "--quiet",
        # Its measurements would need a right of their own in the project.
        "--enable-builtin-metrics=false",
        "--health-check",
        # The kubelet asks at the pod's address.
        "--http-address=0.0.0.0",
        f"--http-port={HEALTH_PORT}",
        # Told to end is a good end; the default is 143.
        "--exit-zero-on-sigterm",
        f"--max-sigterm-delay={CLOSE_SECONDS}s",
        *([f"--min-sigterm-delay={DRAIN_SECONDS}s"] if shared else []),
        connection_name,
    ]
    return core.ContainerArgs(
        name="cloud-sql-proxy",
        image=CLOUD_SQL_PROXY.reference,
        image_pull_policy="IfNotPresent",
        restart_policy=None if shared else "Always",
        args=arguments,
        ports=[core.ContainerPortArgs(name="sql", container_port=port)] if shared else None,
        security_context=core.SecurityContextArgs(
            allow_privilege_escalation=False,
            read_only_root_filesystem=True,
            capabilities=core.CapabilitiesArgs(drop=["ALL"]),
        ),
        resources=core.ResourceRequirementsArgs(requests=REQUESTS, limits=LIMITS),
        startup_probe=_probe("/startup", failure_threshold=START_SECONDS, period_seconds=1),
        liveness_probe=_probe("/liveness", failure_threshold=3, period_seconds=10),
        readiness_probe=_probe("/readiness", failure_threshold=3, period_seconds=5) if shared else None,
        termination_message_policy="FallbackToLogsOnError",
    )


def _probe(path: str, *, failure_threshold: int, period_seconds: int) -> core.ProbeArgs:
    return core.ProbeArgs(
        http_get=core.HTTPGetActionArgs(path=path, port=HEALTH_PORT),
        failure_threshold=failure_threshold,
        period_seconds=period_seconds,
        timeout_seconds=5,
    )
