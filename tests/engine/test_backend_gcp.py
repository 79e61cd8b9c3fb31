"""A stack of the real engine whose state lies in a bucket on Cloud Storage, as `make backend` names it.

The bucket is fake-gcs-server's, built from its Go module. The engine has no way to another Cloud KMS than
Google's, so secrets go by a passphrase here; what `make backend` asks of KMS is in `tests/emulators`.
"""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.emulators.serving import cloud_storage
from tests.engine.conftest import Project
from tests.engine.test_stacks import password
from tools.backend.gcp import bucket_name
from tools.engine import verbs

pytestmark = pytest.mark.engine

BUCKET = bucket_name("mlflow", "acme-ml", "europe-west1")


@pytest.fixture
def storage(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[str]:
    """An empty bucket, and an engine that looks there."""
    with cloud_storage(BUCKET) as url:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", url.removeprefix("http://"))
        monkeypatch.setenv("GOOGLE_OAUTH_ACCESS_TOKEN", "stood-in")
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        yield url


def objects(url: str) -> dict[str, str]:
    """Name → content."""
    with urllib.request.urlopen(f"{url}/storage/v1/b/{BUCKET}/o", timeout=10) as answer:
        found = json.load(answer).get("items", [])
    return {
        each["name"]: urllib.request.urlopen(each["mediaLink"], timeout=10).read().decode(errors="replace")
        for each in found
    }


def test_the_state_lies_in_the_bucket_and_outlives_a_stack_that_goes(
    project: Project, storage: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("PULUMI_BACKEND_URL", f"gs://{BUCKET}")
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE", "one")
    result = verbs.up("dev", project.root, password())
    plain = result.outputs["password"].value
    kept = objects(storage)
    assert ".pulumi/stacks/mlflow/dev.json" in kept
    assert not any(plain in text for text in kept.values())
    assert not (project.root / ".local/state").exists()
    assert verbs.up("dev", project.root, password()).outputs["password"].value == plain
    monkeypatch.setenv("FORCE", "dev")
    verbs.down("dev", project.root)
    assert ".pulumi/stacks/mlflow/dev.json" not in objects(storage)
