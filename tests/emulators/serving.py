"""Programs that answer on a port of this machine, and MLflow's server and client among them."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.program.reading import server_environment
from tools.cluster.binaries import binaries
from tools.jobs.here import client_environment
from tools.offline.wire import plain

FILES = {"small.txt": 10, "large.bin": 12_000_000}
"""What a run keeps: name → bytes."""
CLIENT = f"""
import json, os, sys, tempfile
import mlflow
from mlflow import MlflowClient
experiment = mlflow.set_experiment("one")
with mlflow.start_run() as run:
    folder = tempfile.mkdtemp()
    for name, size in {FILES}.items():
        with open(os.path.join(folder, name), "wb") as file:
            file.write(b"x" * size)
    mlflow.log_artifacts(folder, "model")
found = sorted(one.path for one in MlflowClient().list_artifacts(run.info.run_id, "model"))
back = mlflow.artifacts.download_artifacts(run_id=run.info.run_id, artifact_path="model/large.bin")
print(json.dumps({{"root": experiment.artifact_location, "found": found, "size": os.path.getsize(back)}}))
"""


DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""Whatever proxies there are: this machine is asked."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _answers(url: str, process: subprocess.Popen[bytes], seconds: float = 90) -> None:
    deadline = time.monotonic() + seconds
    while True:
        assert process.poll() is None, "it ended by itself"
        assert time.monotonic() < deadline, f"{url} does not answer"
        try:
            DIRECT.open(url, timeout=5).close()
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.2)
        else:
            return


@contextmanager
def running(
    words: Sequence[Any], environment: Mapping[str, str], url: str, log: Path | None = None
) -> Iterator[None]:
    """A program, from when its address answers.

    :param log: what it says; None for nowhere.
    """
    with (log or Path(os.devnull)).open("wb") as said:
        process = subprocess.Popen(
            [str(word) for word in words], env=dict(environment), stdout=said, stderr=subprocess.STDOUT
        )
        try:
            _answers(url, process)
            yield
        finally:
            process.terminate()
            process.wait(20)


@contextmanager
def cloud_storage(bucket: str) -> Iterator[str]:
    """fake-gcs-server with one empty bucket; its address."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    buckets = f"{url}/storage/v1/b?project=acme-ml"
    words = [binaries("fake-gcs-server") / "fake-gcs-server", "-scheme", "http", "-backend", "memory"]
    words += ["-host", "127.0.0.1", "-port", str(port), "-public-host", f"127.0.0.1:{port}"]
    with running(words, {"PATH": os.defpath}, buckets):
        body, kind = json.dumps({"name": bucket}).encode(), {"Content-Type": "application/json"}
        DIRECT.open(urllib.request.Request(buckets, body, kind), timeout=10).close()
        yield url


def run_through(
    planned: Any, folder: Path, server: Mapping[str, str], job: Mapping[str, str]
) -> dict[str, Any]:
    """Keep ``FILES`` with a run and read them back, by MLflow's server and a client with the plan's settings.

    :param server: environment of the server, beside what the plan says about artifacts.
    :param job: environment of the client, beside what the plan tells clients about artifacts.
    :returns: ``root`` of the experiment, ``found`` names, ``size`` of the large one that came back.
    """
    client = client_environment()
    here = {"PATH": f"{client / 'bin'}:{os.defpath}", "HOME": str(folder)}
    here |= {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}
    here |= {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1"}  # where the server fails, it is said soon
    given = server_environment(planned)
    wanted = ("MLFLOW_ARTIFACTS_DESTINATION", "MLFLOW_DEFAULT_ARTIFACT_ROOT", "MLFLOW_SERVE_ARTIFACTS")
    own = {"MLFLOW_BACKEND_STORE_URI": f"sqlite:///{folder}/mlflow.db"}
    own |= {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    told = plain(planned.one("ConfigMap", "client").inputs)["data"]
    told = {name: value for name, value in told.items() if name.startswith("MLFLOW_ENABLE")}
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    words = [client / "bin" / "mlflow", "server", "--host", "127.0.0.1", "--port", port, "--workers", "1"]
    environment, log = here | own | {name: given[name] for name in wanted} | {**server}, folder / "server.log"
    with running(words, environment, f"{url}/health", log):
        done = subprocess.run(
            [client / "bin" / "python", "-c", CLIENT],
            env=here | told | {"MLFLOW_TRACKING_URI": url} | {**job},
            cwd=folder, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:] + log.read_text()[-3000:]
    return json.loads(done.stdout.strip().splitlines()[-1])
