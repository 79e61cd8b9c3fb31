"""The host allow-list and the origins, judged by MLflow's own matching rules."""

from __future__ import annotations

import fnmatch

import pytest

from components.tracking.hosts import allowed_hosts, cors_origins, service_names

NAMES = [*service_names("mlflow-server", "mlflow"), "mlflow.example.com"]


def admits(allowed: str, host: str) -> bool:
    """As MLflow 3.17 decides (mlflow/server/security_utils.py, is_allowed_host_header)."""
    return any(
        fnmatch.fnmatch(host, entry) if "*" in entry else host == entry for entry in allowed.split(",")
    )


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "localhost:43210",
        "127.0.0.1:8080",
        "mlflow-server",
        "mlflow-server.mlflow:80",
        "mlflow-server.mlflow.svc.cluster.local",
        "mlflow-server.mlflow.svc.cluster.local:5000",
        "mlflow.example.com",
        "mlflow.example.com:30500",
    ],
)
def test_each_name_is_admitted_with_and_without_a_port(host: str) -> None:
    assert admits(allowed_hosts(NAMES), host)


@pytest.mark.parametrize(
    "host", ["evil.example.com", "mlflow-server.other", "xmlflow.example.com", "10.0.0.1", ""]
)
def test_other_names_are_refused(host: str) -> None:
    assert not admits(allowed_hosts(NAMES), host)


def test_a_wildcard_is_never_written() -> None:
    with pytest.raises(ValueError, match="wildcard"):
        allowed_hosts(["*"])
    assert "*" not in allowed_hosts(NAMES).split(",")


def test_origins_carry_scheme_and_port_and_no_wildcard() -> None:
    origins = cors_origins(["10.0.0.2"], 30500).split(",")
    assert "http://10.0.0.2:30500" in origins
    assert not any("*" in origin for origin in origins)
