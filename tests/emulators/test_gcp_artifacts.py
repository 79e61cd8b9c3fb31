"""Artifacts on Cloud Storage, with fake-gcs-server for Google: a real MLflow server and a real client.

Their environment is what the plan gives to the server's pod and to jobs; only the store's address is added.
"""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.program.conftest import plan
from tests.program.gcp_cases import PLAIN
from tests.program.reading import server_environment
from tools.offline.wire import plain

from .serving import FILES, cloud_storage, run_through

pytestmark = pytest.mark.engine

BUCKET, PREFIX = "team-data", "ml/flow"


@pytest.fixture
def store() -> Iterator[str]:
    """The address of an empty store with one bucket."""
    with cloud_storage(BUCKET) as url:
        yield url


def objects(store: str) -> list[str]:
    with urllib.request.urlopen(f"{store}/storage/v1/b/{BUCKET}/o", timeout=10) as answer:
        return [one["name"] for one in json.load(answer).get("items", [])]


@pytest.mark.parametrize("transfer", ["proxied", "direct"])
def test_runs_keep_their_files_below_the_prefix(transfer: str, store: str, tmp_path: Path) -> None:
    artifacts = {"existing": {"name": BUCKET, "prefix": PREFIX}, "transfer": transfer}
    planned = plan(PLAIN | {"artifacts": artifacts}, stack="gcp")
    given = server_environment(planned)
    nobody = {"NO_GCE_CHECK": "true"}
    server = nobody | {name: given[name] for name in ("GCE_METADATA_TIMEOUT", "GOOGLE_CLOUD_PROJECT")}
    told = plain(planned.one("ConfigMap", "client").inputs)["data"]
    job = nobody | {name: value for name, value in told.items() if name.startswith("GCE")}
    if transfer == "direct":
        job["STORAGE_EMULATOR_HOST"] = store
    answer = run_through(planned, tmp_path, server | {"STORAGE_EMULATOR_HOST": store}, job)
    assert answer["found"] == sorted(f"model/{name}" for name in FILES)
    assert answer["size"] == FILES["large.bin"]
    assert answer["root"].startswith(
        "gs://team-data/ml/flow/" if transfer == "direct" else "mlflow-artifacts:/"
    )
    kept = objects(store)
    assert len(kept) == len(FILES)
    assert all(name.startswith(f"{PREFIX}/") for name in kept), kept
