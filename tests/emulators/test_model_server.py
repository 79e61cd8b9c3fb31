"""What a model server's pod runs, against MLflow's own tracking server: which version, and a graceful end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from components.jobs.names import SCRIPTS, SERVING_SCRIPTS
from components.jobs.scripts.models import NotYet, Registry
from tests.emulators.serving import free_port
from tools.jobs.here import client_environment

pytestmark = pytest.mark.engine

MAKE = """
import json, tempfile, time, mlflow, pandas
from mlflow.models import infer_signature

class Slow(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input):
        time.sleep(float(model_input["x"][0]))
        return [21]

x = pandas.DataFrame({"x": [0.0]})
with mlflow.start_run() as run:
    signature = infer_signature(x, [21])
    made = mlflow.pyfunc.log_model(
        name="model", python_model=Slow(), signature=signature, registered_model_name="slow",
        pip_requirements=["mlflow"],
    )
with mlflow.start_run() as old:
    folder = mlflow.artifacts.download_artifacts("models:/slow/1", dst_path=tempfile.mkdtemp())
    mlflow.log_artifacts(folder, "by/hand")
print(json.dumps({"run": run.info.run_id, "old": old.info.run_id}))
"""
START_SECONDS = 120
"""For a server of either kind to answer, on a busy machine."""


def here(folder: Path, **more: str) -> dict[str, str]:
    """An environment with MLflow and nothing of the caller's."""
    path = f"{client_environment() / 'bin'}:{os.defpath}"
    quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}
    return {"PATH": path, "HOME": str(folder), "TMPDIR": str(folder), **quiet, **more}


@contextmanager
def running(words: list[str], folder: Path, url: str, **more: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process that answers at ``url``."""
    process = subprocess.Popen(words, cwd=folder, env=here(folder, **more), stdout=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + START_SECONDS
        while True:
            assert process.poll() is None, "it ended by itself"
            assert time.monotonic() < deadline, f"{url} does not answer"
            try:
                urllib.request.urlopen(url, timeout=5).close()
                break
            except OSError:
                time.sleep(0.2)
        yield process
    finally:
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def tracking(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """MLflow's tracking server with a registered model; its address and the ids of two runs."""
    folder = tmp_path_factory.mktemp("tracking")
    port = str(free_port())
    url = f"http://127.0.0.1:{port}"
    store = {"MLFLOW_BACKEND_STORE_URI": f"sqlite:///{folder}/mlflow.db"}
    store |= {"MLFLOW_ARTIFACTS_DESTINATION": f"{folder}/artifacts"}
    store |= {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    mlflow = str(client_environment() / "bin" / "mlflow")
    words = [mlflow, "server", "--host", "127.0.0.1", "--port", port, "--workers", "1"]
    with running(words, folder, f"{url}/health", **store):
        done = subprocess.run(
            [str(client_environment() / "bin" / "python"), "-c", MAKE],
            env=here(tmp_path_factory.mktemp("client"), MLFLOW_TRACKING_URI=url),
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        yield {"url": url, **json.loads(done.stdout.strip().splitlines()[-1])}


def registry(tracking: dict[str, str]) -> Registry:
    return Registry({"MLFLOW_TRACKING_URI": tracking["url"]})


def test_a_version_and_the_models_of_runs_are_found_as_mlflow_keeps_them(tracking: dict[str, str]) -> None:
    asked = registry(tracking)
    for model in ("models:/slow/1", f"runs:/{tracking['run']}/model", f"runs:/{tracking['old']}/by/hand"):
        assert asked.resolved(model) == model


@pytest.mark.parametrize(
    "model",
    [
        "models:/slow/2",
        "models:/none/1",
        "models:/none@live",
        "models:/slow@nobody",
        "runs:/{run}/other",
        f"runs:/{'0' * 32}/model",
    ],
)
def test_what_is_not_there_yet_is_told_from_a_server_in_trouble(tracking: dict[str, str], model: str) -> None:
    with pytest.raises(NotYet):
        registry(tracking).resolved(model.format(run=tracking["run"]))


def test_an_alias_leads_to_its_version_and_follows(tracking: dict[str, str]) -> None:
    body = json.dumps({"name": "slow", "alias": "live", "version": "1"}).encode()
    headers = {"Content-Type": "application/json"}
    address = f"{tracking['url']}/api/2.0/mlflow/registered-models/alias"
    urllib.request.urlopen(urllib.request.Request(address, body, headers), timeout=30).close()
    assert registry(tracking).resolved("models:/slow@live") == "models:/slow/1"


def package(folder: Path) -> None:
    """The scripts as a pod finds them."""
    (folder / "launcher").mkdir()
    for name in SERVING_SCRIPTS:
        (folder / "launcher" / name).write_text((SCRIPTS / name).read_text())


def ask(url: str, seconds: float) -> Any:
    body = json.dumps({"dataframe_split": {"columns": ["x"], "data": [[seconds]]}}).encode()
    request = urllib.request.Request(f"{url}/invocations", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)["predictions"]


@pytest.mark.core
def test_the_scoring_server_answers_once_the_model_is_loaded_and_finishes_what_it_has_on_sigterm(
    tracking: dict[str, str], tmp_path: Path
) -> None:
    package(tmp_path)
    port = str(free_port())
    url = f"http://127.0.0.1:{port}"
    python = str(client_environment() / "bin" / "python")
    # Of its requirements all are there: nothing is asked of a package index, which would fail.
    words = [python, "-m", "launcher.serve_model", f"--port={port}", "--drain=20", "--install"]
    more = {"MLFLOW_TRACKING_URI": tracking["url"], "MODEL_URI": "models:/slow/1"}
    more |= {"PIP_INDEX_URL": "http://127.0.0.1:9/", "PIP_RETRIES": "0"}
    with running(words, tmp_path, f"{url}/health", **more) as process, ThreadPoolExecutor(1) as threads:
        assert ask(url, 0) == [21]
        slow = threads.submit(ask, url, 4)
        time.sleep(1)
        process.send_signal(signal.SIGTERM)
        assert slow.result() == [21], "a request that it had was lost"
        assert process.wait(20) in (0, -signal.SIGTERM)
        with pytest.raises(urllib.error.URLError):
            ask(url, 0)


def test_without_a_version_it_ends_at_once_and_says_why(tmp_path: Path) -> None:
    package(tmp_path)
    python = str(client_environment() / "bin" / "python")
    done = subprocess.run(
        [python, "-m", "launcher.serve_model", "--port=1", "--drain=1"],
        cwd=tmp_path,
        env=here(tmp_path),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 78
    assert "no version of the model is known yet" in done.stdout
