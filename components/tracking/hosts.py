"""Which Host headers and browser origins the server accepts: exactly those under which it is exposed.

MLflow's own list, once given, replaces its defaults and compares port and all (mlflow.md §1). Never ``*``:
that would switch its protection against DNS rebinding off.
"""

from __future__ import annotations

from collections.abc import Sequence

LOOPBACK = ("localhost", "127.0.0.1")
"""For ``kubectl port-forward`` and for probes, which send ``Host: localhost``."""


def service_names(service: str, namespace: str) -> list[str]:
    """The names under which pods reach a Service. Source: Kubernetes, "DNS for Services and Pods"."""
    return [
        service,
        f"{service}.{namespace}",
        f"{service}.{namespace}.svc",
        f"{service}.{namespace}.svc.cluster.local",
    ]


def allowed_hosts(names: Sequence[str]) -> str:
    """MLFLOW_SERVER_ALLOWED_HOSTS for these names, each with and without a port.

    :raises ValueError: for a wildcard.
    """
    hosts = [*LOOPBACK, *names]
    if any("*" in host for host in hosts):
        raise ValueError("a wildcard host would switch the check off")
    return ",".join(dict.fromkeys(entry for host in hosts for entry in (host, f"{host}:*")))


def cors_origins(names: Sequence[str], port: int | None = None) -> str:
    """MLFLOW_SERVER_CORS_ALLOWED_ORIGINS: the user interface's own origins, which MLflow else refuses
    for POST. Loopback origins are always accepted by MLflow itself."""
    origins = []
    for host in names:
        for scheme in ("http", "https"):
            origins.append(f"{scheme}://{host}")
            if port is not None:
                origins.append(f"{scheme}://{host}:{port}")
    return ",".join(dict.fromkeys(origins))
