"""Artifacts on Cloud Storage, with fake-gcs-server for Google: a real MLflow server and a real client.

Their environment is what the plan gives to the server's pod and to jobs; only the store's address is added.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.program.conftest import plan
from tests.program.gcp_cases import PLAIN
from tests.program.reading import server_environment
from tools.cluster.binaries import binaries
from tools.jobs.here import client_environment
from tools.offline.wire import plain

pytestmark = pytest.mark.engine

BUCKET, PREFIX = "team-data", "ml/flow"
CLIENT = """
import json, os, sys, tempfile
import mlflow
from mlflow import MlflowClient
experiment = mlflow.set_experiment("one")
with mlflow.start_run() as run:
    folder = tempfile.mkdtemp()
    for name, size in (("small.txt", 10), ("large.bin", 12_000_000)):
        with open(os.path.join(folder, name), "wb") as file:
            file.write(b"x" * size)
    mlflow.log_artifacts(folder, "model")
found = sorted(one.path for one in MlflowClient().list_artifacts(run.info.run_id, "model"))
back = mlflow.artifacts.download_artifacts(run_id=run.info.run_id, artifact_path="model/large.bin")
print(json.dumps({"root": experiment.artifact_location, "found": found, "size": os.path.getsize(back)}))
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def answers(url: str, process: subprocess.Popen, seconds: float = 90) -> None:
    deadline = time.monotonic() + seconds
    while True:
        assert process.poll() is None, "it ended by itself"
        assert time.monotonic() < deadline, f"{url} does not answer"
        try:
            urllib.request.urlopen(url, timeout=5).close()
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.2)
        else:
            return


@contextmanager
def running(words: list[Any], environment: dict[str, str], url: str) -> Iterator[None]:
    process = subprocess.Popen(
        [str(word) for word in words], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        answers(url, process)
        yield
    finally:
        process.terminate()
        process.wait(20)


@pytest.fixture
def store() -> Iterator[str]:
    """The address of an empty store with one bucket."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    words = [binaries("fake-gcs-server") / "fake-gcs-server", "-scheme", "http", "-backend", "memory"]
    words += ["-host", "127.0.0.1", "-port", str(port), "-public-host", f"127.0.0.1:{port}"]
    with running(words, {"PATH": os.defpath}, f"{url}/storage/v1/b?project=acme-ml"):
        request = urllib.request.Request(
            f"{url}/storage/v1/b?project=acme-ml",
            json.dumps({"name": BUCKET}).encode(),
            {"Content-Type": "application/json"},
        )
        urllib.request.urlopen(request, timeout=10).close()
        yield url


def objects(store: str) -> list[str]:
    with urllib.request.urlopen(f"{store}/storage/v1/b/{BUCKET}/o", timeout=10) as answer:
        return [one["name"] for one in json.load(answer).get("items", [])]


@pytest.mark.parametrize("transfer", ["proxied", "direct"])
def test_runs_keep_their_files_below_the_prefix(transfer: str, store: str, tmp_path: Path) -> None:
    artifacts = {"existing": {"name": BUCKET, "prefix": PREFIX}, "transfer": transfer}
    planned = plan(PLAIN | {"artifacts": artifacts}, stack="gcp")
    given = server_environment(planned)
    wanted = ("MLFLOW_ARTIFACTS_DESTINATION", "MLFLOW_DEFAULT_ARTIFACT_ROOT", "MLFLOW_SERVE_ARTIFACTS")
    google = {name: given[name] for name in ("GCE_METADATA_TIMEOUT", "GOOGLE_CLOUD_PROJECT")}
    client = client_environment()
    here = {"PATH": f"{client / 'bin'}:{os.defpath}", "HOME": str(tmp_path), "NO_GCE_CHECK": "true"}
    here |= {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}
    server = here | google | {name: given[name] for name in wanted} | {"STORAGE_EMULATOR_HOST": store}
    server |= {"MLFLOW_BACKEND_STORE_URI": f"sqlite:///{tmp_path}/mlflow.db"}
    server |= {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    told = plain(planned.one("ConfigMap", "client").inputs)["data"]
    job = here | {name: value for name, value in told.items() if name.startswith(("MLFLOW_ENABLE", "GCE"))}
    job |= {"MLFLOW_TRACKING_URI": url}
    if transfer == "direct":
        job["STORAGE_EMULATOR_HOST"] = store
    words = [client / "bin" / "mlflow", "server", "--host", "127.0.0.1", "--port", port, "--workers", "1"]
    with running(words, server, f"{url}/health"):
        done = subprocess.run(
            [client / "bin" / "python", "-c", CLIENT],
            env=job, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    answer = json.loads(done.stdout.strip().splitlines()[-1])
    assert answer["found"] == ["model/large.bin", "model/small.txt"]
    assert answer["size"] == 12_000_000
    assert answer["root"].startswith(
        "gs://team-data/ml/flow/" if transfer == "direct" else "mlflow-artifacts:/"
    )
    kept = objects(store)
    assert len(kept) == 2
    assert all(name.startswith(f"{PREFIX}/") for name in kept), kept
