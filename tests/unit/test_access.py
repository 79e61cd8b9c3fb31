"""How the verbs reach a stack's cluster: by the stack's own word, without credentials in any file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from components.kubeconfig import exec_kubeconfig
from components.settings import Cloud
from tools.access import aws, kubectl_of_stack
from tools.common import Failure, console
from tools.engine.data_guard import identity_of_cluster

DESCRIBED = {"cluster": {"endpoint": "https://eks.example", "certificateAuthority": {"data": "Q0E="}}}


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout with a dev stack, a stack on AWS, and the cluster that `make cluster` made."""
    (tmp_path / "Pulumi.yaml").write_text("name: mlflow\nruntime: python\n")
    for stack, cloud in (("dev", "dev"), ("live", "aws")):
        (tmp_path / f"Pulumi.{stack}.yaml").write_text(f"config:\n  mlflow:cloud: {cloud}\n")
    local = {"context": "mlflow-dev", "kubeconfig": "/k", "kubectl": "/bin/kubectl", "identity": "one"}
    (tmp_path / ".local").mkdir()
    (tmp_path / ".local/cluster.json").write_text(json.dumps(local))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.delenv("MLFLOW_KUBECTL", raising=False)
    executable(tmp_path, "kubectl")
    return tmp_path


def executable(root: Path, name: str, prints: str = "") -> Path:
    path = root / "bin" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\nprintf '%s' '{prints}'\n")
    path.chmod(0o755)
    return path


def kubeconfig(command: str = "aws") -> str:
    return exec_kubeconfig(
        "data-platform", server="https://eks.example", certificate_authority="Q0E=", command=command,
        arguments=["eks", "get-token"], install_hint="install it",
    )  # fmt: skip


def test_a_cloud_stack_is_reached_by_its_own_kubeconfig_and_never_by_the_local_cluster(root: Path) -> None:
    executable(root, "aws")
    words = kubectl_of_stack("live", {"kubeconfig": kubeconfig()}, root)
    file = root / ".local/work/live/kubeconfig"
    assert words == (str(root / "bin/kubectl"), "--kubeconfig", str(file), "--context", "data-platform")
    assert file.stat().st_mode & 0o777 == 0o600
    config = json.loads(file.read_text())
    assert config["clusters"][0]["cluster"] == {
        "server": "https://eks.example",
        "certificate-authority-data": "Q0E=",
    }
    assert set(config["users"][0]["user"]) == {"exec"}


def test_a_dev_stack_is_reached_as_make_cluster_noted(root: Path) -> None:
    words = kubectl_of_stack("dev", {}, root)
    assert words == ("/bin/kubectl", "--kubeconfig", "/k", "--context", "mlflow-dev")


def test_a_cloud_stack_without_that_export_is_refused(root: Path) -> None:
    with pytest.raises(Failure, match="does not say how its cluster is reached") as refused:
        kubectl_of_stack("live", {"namespace": "mlflow"}, root)
    assert refused.value.hint == "make up STACK=live"


@pytest.mark.parametrize("user", [{"token": "x"}, {"client-key-data": "x"}, {"exec": {}, "password": "x"}])
def test_a_kubeconfig_with_credentials_is_refused_and_not_written(root: Path, user: dict) -> None:
    config = json.loads(kubeconfig())
    config["users"][0]["user"] = user
    with pytest.raises(Failure, match="holds credentials"):
        kubectl_of_stack("live", {"kubeconfig": json.dumps(config)}, root)
    assert not (root / ".local/work").exists()


def test_a_missing_sign_in_command_is_named_with_where_to_get_it(root: Path) -> None:
    with pytest.raises(Failure, match="gke-gcloud-auth-plugin is not installed") as refused:
        kubectl_of_stack("live", {"kubeconfig": kubeconfig("gke-gcloud-auth-plugin")}, root)
    assert refused.value.hint == "install it"


def test_an_existing_eks_cluster_is_asked_for_its_address_and_signs_in_by_the_cli(root: Path) -> None:
    executable(root, "aws", json.dumps(DESCRIBED))
    config = json.loads(aws.kubeconfig("data-platform", "eu-west-1"))
    assert config["clusters"][0]["cluster"]["server"] == "https://eks.example"
    plugin = config["users"][0]["user"]["exec"]
    assert plugin["command"] == "aws"
    words = ["eks", "get-token", "--cluster-name", "data-platform", "--region", "eu-west-1"]
    assert plugin["args"][:6] == words


def test_a_profile_is_used_to_look_and_to_sign_in(root: Path) -> None:
    executable(root, "aws", json.dumps(DESCRIBED))
    config = json.loads(aws.kubeconfig("data-platform", "eu-west-1", "team"))
    arguments = config["users"][0]["user"]["exec"]["args"]
    assert arguments[arguments.index("--profile") + 1] == "team"


def test_without_the_aws_cli_the_way_to_get_it_is_named(root: Path) -> None:
    with pytest.raises(Failure, match="aws is not installed") as refused:
        aws.kubeconfig("data-platform", "eu-west-1")
    assert "docs.aws.amazon.com" in refused.value.hint


def test_the_local_cluster_says_nothing_about_where_a_cloud_stack_has_its_data(root: Path) -> None:
    assert identity_of_cluster(root, Cloud.DEV) == "one"
    assert identity_of_cluster(root, Cloud.AWS) is None


def test_keys_between_colons_are_shown_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    console.print("mlflow:cloud: aws")
    assert "mlflow:cloud: aws" in capsys.readouterr().err
