"""What a default stack's pods and its server refuse, in fact."""

from __future__ import annotations

import re

import pytest

from tests.cluster.stack import Stack


@pytest.mark.core
def test_only_hosts_under_which_it_is_exposed_are_answered(postgresql: Stack) -> None:
    search = "/api/2.0/mlflow/experiments/get?experiment_id=0"
    service = f"mlflow-server.{postgresql.namespace}"
    for host in ["mlflow-server", f"{service}.svc", f"{service}.svc.cluster.local:80", "localhost:9"]:
        assert postgresql.ask(search, headers={"Host": host}).status == 200, host
    for host in [
        "evil.example.com",
        "mlflow",
        "10.0.0.1",
        "mlflow-server.other.svc",
        f"{service}.example.com",
    ]:
        assert postgresql.ask(search, headers={"Host": host}).status == 403, host


def test_a_post_from_the_user_interface_passes_and_one_from_elsewhere_does_not(postgresql: Stack) -> None:
    search = "/ajax-api/2.0/mlflow/experiments/search"
    assert postgresql.ask(search, {"max_results": 1}, headers={"Origin": postgresql.url}).status == 200
    foreign = {"Origin": "https://evil.example.com"}
    assert postgresql.ask(search, {"max_results": 1}, headers=foreign).status == 403


@pytest.mark.core
@pytest.mark.parametrize(("component", "uid"), [("server", "10001"), ("database", "999")])
def test_a_pod_is_unprivileged_in_fact(postgresql: Stack, component: str, uid: str) -> None:
    assert postgresql.execute(component, "id", "-u").strip() == uid
    for path in ("/x", "/etc/x", "/usr/bin/x"):
        assert "Read-only file system" in postgresql.execute(component, "touch", path, check=False)
    status = postgresql.execute(component, "cat", "/proc/1/status")
    fields = dict(re.findall(r"^(\w+):\s+(\S+)", status, re.MULTILINE))
    assert int(fields["CapEff"], 16) == int(fields["CapBnd"], 16) == 0
    assert fields["NoNewPrivs"] == "1"
    assert fields["Seccomp"] == "2"  # a filter
    token = postgresql.execute(component, "ls", "/var/run/secrets/kubernetes.io", check=False)
    assert "No such file" in token, "a token of the ServiceAccount is mounted"


@pytest.mark.parametrize("component", ["server", "database"])
def test_no_service_address_is_injected_into_a_pod(postgresql: Stack, component: str) -> None:
    environment = postgresql.execute(component, "env")
    assert "HOME=" in environment
    assert not re.findall(r"^MLFLOW\w*_(?:PORT|SERVICE_HOST)\b.*", environment, re.MULTILINE)


def test_the_namespace_refuses_a_privileged_pod(postgresql: Stack) -> None:
    words = ["run", "bad", "--image=x", "--restart=Never", "--privileged"]
    assert "violates PodSecurity" in postgresql.kubectl(*words, check=False)
