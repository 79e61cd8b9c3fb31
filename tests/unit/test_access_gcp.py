"""How an existing GKE cluster is reached before its stack is up."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tools.access import gcp
from tools.common import Failure

pytestmark = pytest.mark.unit


def gcloud(folder: Path, script: str) -> None:
    path = folder / "gcloud"
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


def test_a_refusal_of_googles_says_what_is_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gcloud(tmp_path, "echo 'PERMISSION_DENIED' >&2; exit 1")
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    with pytest.raises(Failure) as refused:
        gcp.kubeconfig("data", "europe-west1", "acme-ml")
    assert "container.clusters.get" in refused.value.hint
