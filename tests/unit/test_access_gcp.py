"""How an existing GKE cluster is reached before its stack is up."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from components.settings import parse
from tools import up
from tools.access import gcp
from tools.common import Failure
from tools.engine.place import Place
from tools.validate import __main__ as validate

pytestmark = pytest.mark.unit

PEERED = "private-services-access"


def gcloud(folder: Path, script: str, name: str = "gcloud") -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def test_the_cluster_is_asked_for_by_name_place_and_project(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = json.dumps({"endpoint": "203.0.113.8", "masterAuth": {"clusterCaCertificate": "Q0E="}})
    gcloud(tmp_path, f"echo \"$@\" > {tmp_path}/asked; echo '{answer}'")
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    config = json.loads(gcp.kubeconfig("data", "europe-west1-b", "acme-ml"))
    asked = (tmp_path / "asked").read_text().split()
    assert asked[:4] == ["container", "clusters", "describe", "data"]
    assert asked[4:8] == ["--location", "europe-west1-b", "--project", "acme-ml"]
    (cluster,) = config["clusters"]
    assert cluster["cluster"] == {"server": "https://203.0.113.8", "certificate-authority-data": "Q0E="}
    (user,) = config["users"]
    assert set(user["user"]) == {"exec"}, "no credentials"
    assert user["user"]["exec"]["command"] == "gke-gcloud-auth-plugin"


def test_a_cluster_without_an_address_is_refused_in_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gcloud(tmp_path, 'echo \'{"masterAuth": {"clusterCaCertificate": "Q0E="}}\'')
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    with pytest.raises(Failure, match="by its DNS name only"):
        gcp.kubeconfig("data", "europe-west1", "acme-ml")


def test_a_refusal_of_googles_says_what_is_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gcloud(tmp_path, "echo 'PERMISSION_DENIED' >&2; exit 1")
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    with pytest.raises(Failure) as refused:
        gcp.kubeconfig("data", "europe-west1", "acme-ml")
    assert "container.clusters.get" in refused.value.hint


SAID = {"configuration": {"properties": {"core": {"account": "ada@example.com"}}}, "credential": {}}


@pytest.fixture
def signing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine whose gcloud has an account."""
    gcloud(tmp_path, f"echo \"$@\" > {tmp_path}/asked; echo '{json.dumps(SAID)}'")
    gcloud(tmp_path, "", gcp.PLUGIN)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    for name in (gcp.IMPERSONATED, gcp.IMPERSONATED_BY_GCLOUD, gcp.FILE):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def test_gcloud_is_asked_as_the_plugin_asks_it_and_its_account_is_told(signing: Path) -> None:
    assert gcp.signed_in() == "ada@example.com"
    assert (signing / "asked").read_text() == "config config-helper --format json\n"


def test_a_machine_that_could_not_sign_in_to_the_cluster_hears_so_before_anything_is_made(
    signing: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nothing(_stack: str) -> None:
        raise AssertionError("nothing may be made")

    monkeypatch.setattr(up.verbs, "up", nothing)
    gcloud(signing, "echo 'You do not currently have an active account selected.' >&2; exit 1")
    with pytest.raises(Failure, match="active account") as refused:
        up.main(["--stack", "gcp"])
    assert "gcloud auth login" in refused.value.hint
    assert gcp.FILE in refused.value.hint
    (signing / gcp.PLUGIN).unlink()
    monkeypatch.setenv("PATH", str(signing))
    with pytest.raises(Failure, match="gke-gcloud-auth-plugin is not installed"):
        up.main(["--stack", "gcp"])


def test_an_impersonation_that_gcloud_does_not_know_of_is_refused(
    signing: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(gcp.IMPERSONATED, "ci@acme-ml.iam.gserviceaccount.com")
    with pytest.raises(Failure) as refused:
        gcp.signed_in()
    assert refused.value.hint == f"export {gcp.IMPERSONATED_BY_GCLOUD}=ci@acme-ml.iam.gserviceaccount.com"
    monkeypatch.setenv(gcp.IMPERSONATED_BY_GCLOUD, "ci@acme-ml.iam.gserviceaccount.com")
    assert gcp.signed_in() == "ci@acme-ml.iam.gserviceaccount.com"
    monkeypatch.delenv(gcp.IMPERSONATED_BY_GCLOUD)
    auth = {"auth": {"impersonate_service_account": "ci@acme-ml.iam.gserviceaccount.com"}}
    configured = {"configuration": {"properties": {**SAID["configuration"]["properties"], **auth}}}
    gcloud(signing, f"echo '{json.dumps(configured)}'")
    assert gcp.signed_in() == "ci@acme-ml.iam.gserviceaccount.com"


@pytest.fixture
def existing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout with a stack on an existing cluster, and every command that is needed to reach it."""
    (tmp_path / "Pulumi.yaml").write_text("name: mlflow\n")
    place = "mlflow:cloud: gcp, gcp:project: acme-ml, gcp:region: europe-west1"
    (tmp_path / "Pulumi.live.yaml").write_text(f"config: {{{place}}}\n")
    answer = json.dumps({"endpoint": "203.0.113.8", "masterAuth": {"clusterCaCertificate": "Q0E="}})
    gcloud(tmp_path, f"echo \"$@\" > {tmp_path}/asked; echo '{answer}'")
    gcloud(tmp_path, "", "gke-gcloud-auth-plugin")
    gcloud(tmp_path, f'echo "$@" > {tmp_path}/called', "kubectl")
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.delenv("MLFLOW_KUBECTL", raising=False)
    monkeypatch.setattr("tools.access.place_of", lambda stack, _root: Place(tmp_path, stack))
    monkeypatch.setattr(validate, "place_of", lambda stack: Place(tmp_path, stack))
    return tmp_path


@pytest.mark.parametrize(
    ("location", "asked"), [(None, "europe-west1"), ("europe-west1-b", "europe-west1-b")]
)
def test_validate_reaches_the_existing_cluster_before_the_stack_is_up(
    existing: Path, location: str | None, asked: str
) -> None:
    settings = parse({"cloud": "gcp", "cluster": {"existing": "data", "location": location, "has": [PEERED]}})
    cluster, image, reason = validate.reach("live", settings)
    assert (image, reason) == (None, "")
    assert cluster is not None
    config = existing / ".local/work/live/kubeconfig"
    assert cluster.command == (str(existing / "kubectl"), "--kubeconfig", str(config), "--context", "data")
    assert f"--location {asked} --project acme-ml" in (existing / "asked").read_text()
    assert (existing / "called").read_text().endswith("--context data version --request-timeout=10s\n")


@pytest.mark.parametrize("missing", ["gcp:project", "gcp:region"])
def test_validate_says_which_part_of_its_place_a_stack_does_not_name(existing: Path, missing: str) -> None:
    file = existing / "Pulumi.live.yaml"
    file.write_text(file.read_text().replace(missing, "gcp:other"))
    settings = parse({"cloud": "gcp", "cluster": {"existing": "data", "has": [PEERED]}})
    assert validate.reach("live", settings)[2].endswith(f"set {missing}")


def test_validate_says_what_is_missing_on_this_machine(
    existing: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (existing / "gke-gcloud-auth-plugin").unlink()
    monkeypatch.setenv("PATH", str(existing))
    settings = parse({"cloud": "gcp", "cluster": {"existing": "data", "has": [PEERED]}})
    assert "gke-gcloud-auth-plugin is not installed" in validate.reach("live", settings)[2]
