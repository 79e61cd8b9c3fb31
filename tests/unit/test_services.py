"""What runs in the pods of services: the code's first process, the watch, and what it asks the registry."""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from components.jobs import names
from components.jobs.scripts import model_watch, rollout
from components.jobs.scripts.kubernetes import Refused
from components.jobs.scripts.model_watch import Watch, change
from components.jobs.scripts.models import NotYet, Registry
from tools.jobs.services import serves, state_of

pytestmark = pytest.mark.unit
ROOT = Path(names.__file__).resolve().parents[2]
RUN = "0123456789abcdef0123456789abcdef"


# -- what a Deployment is changed to ------------------------------------------------------------------


def deployment(
    *, replicas: int = 0, wanted: int = 2, serves: str | None = None, status: str | None = None
) -> dict[str, Any]:
    said = {"mlflow/model": "models:/churn@live", "mlflow/replicas": str(wanted)}
    template = {"labels": {}} | ({"annotations": {"mlflow/model-version": serves}} if serves else {})
    return {
        "metadata": {
            "resourceVersion": "1",
            "annotations": said | ({"mlflow/status": status} if status else {}),
        },
        "spec": {"replicas": replicas, "template": {"metadata": template}},
    }


def leads_to(version: str) -> Callable[[str], str]:
    return lambda _model: version


def to_nowhere(_model: str) -> str:
    raise NotYet("alias live not found")


def test_without_a_model_there_are_no_pods_and_the_reason_is_noted_once() -> None:
    patch = change(deployment(), to_nowhere)
    assert patch == {"metadata": {"annotations": {"mlflow/status": "no model yet: alias live not found"}}}
    assert change(deployment(status="no model yet: alias live not found"), to_nowhere) is None


def test_the_first_version_starts_the_pods_that_the_settings_want() -> None:
    found = change(deployment(status="no model yet: x"), leads_to("models:/churn/1"))
    assert found == {
        "metadata": {"annotations": {"mlflow/status": None}},
        "spec": {
            "replicas": 2,
            "template": {"metadata": {"annotations": {"mlflow/model-version": "models:/churn/1"}}},
        },
    }


def test_a_moved_alias_changes_the_version_and_nothing_else() -> None:
    found = change(deployment(replicas=2, serves="models:/churn/1"), leads_to("models:/churn/2"))
    annotations = {"mlflow/model-version": "models:/churn/2"}
    assert found == {"spec": {"template": {"metadata": {"annotations": annotations}}}}


def test_what_serves_as_it_should_is_left_alone() -> None:
    assert change(deployment(replicas=2, serves="models:/churn/2"), leads_to("models:/churn/2")) is None


def test_changed_replicas_are_carried_over() -> None:
    live = deployment(replicas=2, wanted=5, serves="models:/churn/2")
    assert change(live, leads_to("models:/churn/2")) == {"spec": {"replicas": 5}}


def test_an_alias_that_is_gone_stops_nothing() -> None:
    found = change(deployment(replicas=2, serves="models:/churn/2"), to_nowhere)
    status = "keeps serving models:/churn/2: alias live not found"
    assert found == {"metadata": {"annotations": {"mlflow/status": status}}}


def test_changed_replicas_are_carried_over_while_the_alias_is_gone() -> None:
    live = deployment(replicas=2, wanted=1, serves="models:/churn/2")
    found = change(live, to_nowhere)
    assert found is not None
    assert found["spec"] == {"replicas": 1}


class Api:
    """Deployments by name; what was patched."""

    def __init__(self, **deployments: dict[str, Any]) -> None:
        self.deployments, self.patched = deployments, []

    def get(self, _kind: str, name: str) -> dict[str, Any] | None:
        if name == "forbidden":
            raise Refused("GET", name, 403, "forbidden")
        return self.deployments.get(name)

    def patch(self, _kind: str, name: str, body: dict[str, Any]) -> dict[str, Any]:
        live = self.deployments[name]
        if body["metadata"]["resourceVersion"] != live["metadata"]["resourceVersion"]:
            raise Refused("PATCH", name, 409, "the object has been modified")
        self.patched.append(name)
        live["metadata"]["annotations"] |= body.get("metadata", {}).get("annotations", {})
        spec = body.get("spec", {})
        live["spec"]["replicas"] = spec.get("replicas", live["spec"]["replicas"])
        return live


class Stub:
    """A registry that answers with one version, or not at all."""

    def __init__(self, answer: str | Exception) -> None:
        self.answer = answer

    def resolved(self, _model: str) -> str:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def test_one_server_that_cannot_be_looked_at_keeps_no_other_from_its_model() -> None:
    api = Api(a=deployment(), b=deployment())
    watch = Watch(api, Stub("models:/churn/1"), ["forbidden", "gone", "a", "b"])
    watch.look()
    assert api.patched == ["a", "b"]
    assert "403" in str(watch.last["forbidden"])
    assert "no such Deployment" in str(watch.last["gone"])


def test_what_a_pipeline_wrote_meanwhile_is_not_taken_back() -> None:
    api = Api(a=deployment(replicas=2, serves="models:/churn/1"))

    class Slow(Stub):
        """While it answers, a pipeline rolls the server to what it has just promoted."""

        def resolved(self, model: str) -> str:
            api.deployments["a"] = deployment(replicas=2, serves="models:/churn/3")
            api.deployments["a"]["metadata"]["resourceVersion"] = "2"
            return super().resolved(model)

    Watch(api, Slow("models:/churn/2"), ["a"]).look()
    assert api.patched == []
    Watch(api, Stub("models:/churn/3"), ["a"]).look()
    assert api.patched == []


def test_a_registry_that_does_not_answer_changes_nothing() -> None:
    api = Api(a=deployment(replicas=2, serves="models:/churn/1"))
    Watch(api, Stub(OSError("connection refused")), ["a"]).look()
    assert api.patched == []


def test_the_scripts_and_the_verbs_mean_the_same_annotations() -> None:
    assert names.MODEL == model_watch.MODEL
    assert names.REPLICAS == model_watch.REPLICAS
    assert names.SERVED_VERSION == model_watch.VERSION
    assert names.SERVICE_STATUS == model_watch.STATUS
    assert names.ROLLED == rollout.ROLLED
    assert names.SERVICE_LABEL == rollout.SERVICE


@pytest.mark.parametrize(
    ("annotations", "pods", "expected"),
    [
        ({}, {}, "code"),
        ({}, {"mlflow/rolled-at": "2026-11-23T08:27:01.5+00:00"}, "code, rolled 2026-11-23 08:27 UTC"),
        ({"mlflow/model": "models:/a@b"}, {}, "models:/a@b"),
        (
            {"mlflow/model": "models:/a@b"},
            {"mlflow/model-version": "models:/a/3"},
            "models:/a@b, now models:/a/3",
        ),
        ({"mlflow/model": "models:/a/3"}, {"mlflow/model-version": "models:/a/3"}, "models:/a/3"),
    ],
)
def test_make_jobs_says_what_is_served(
    annotations: dict[str, str], pods: dict[str, str], expected: str
) -> None:
    template = {"metadata": {"annotations": pods}}
    assert serves({"metadata": {"annotations": annotations}, "spec": {"template": template}}) == expected


@pytest.mark.parametrize(
    ("live", "status", "expected"),
    [
        (deployment(), {}, "no model yet"),
        (deployment(status="no model yet: why"), {}, "no model yet: why"),
        (
            {**deployment(), "metadata": {"annotations": {"mlflow/replicas": "1"}}},
            {},
            "waits for its first roll",
        ),
        (
            deployment(replicas=2),
            {"replicas": 2, "updatedReplicas": 2, "availableReplicas": 2},
            "serving",
        ),
        (deployment(replicas=2), {"replicas": 3, "updatedReplicas": 1, "availableReplicas": 2}, "rolling"),
        (
            deployment(replicas=2),
            {"conditions": [{"type": "Progressing", "reason": "ProgressDeadlineExceeded"}]},
            "failed: a new pod does not become ready, see its log",
        ),
    ],
)
def test_make_jobs_says_how_a_model_server_is(
    live: dict[str, Any], status: dict[str, Any], expected: str
) -> None:
    assert state_of({**live, "status": status}) == expected


# -- the registry -------------------------------------------------------------------------------------


class Server:
    """MLflow's answers by call and query; the Authorization headers that came."""

    def __init__(self) -> None:
        self.answers: dict[str, tuple[int, Any]] = {}
        self.signed: list[str | None] = []
        self.address = ""


@pytest.fixture
def server() -> Iterator[Server]:
    known = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            call = parts.path.removeprefix("/prefix/api/2.0/mlflow/")
            query = ",".join(f"{key}={value[0]}" for key, value in parse_qs(parts.query).items())
            known.signed.append(self.headers.get("Authorization"))
            code, body = known.answers.get(
                f"{call}?{query}", (404, {"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "not there\nx"})
            )
            text = body if isinstance(body, bytes) else json.dumps(body).encode()
            self.send_response(code)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, format: str, *args: Any) -> None:
            """Quiet."""

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    known.address = f"http://127.0.0.1:{http.server_port}/prefix/"
    threading.Thread(target=http.serve_forever, args=(0.01,), daemon=True).start()
    yield known
    http.shutdown()
    http.server_close()


def registry(server: Server, **environment: str) -> Registry:
    return Registry({"MLFLOW_TRACKING_URI": server.address, **environment})


def version(number: str, status: str = "READY") -> dict[str, Any]:
    return {"model_version": {"version": number, "status": status}}


def test_an_alias_is_resolved_to_its_version(server: Server) -> None:
    server.answers["registered-models/alias?name=churn model,alias=live"] = (200, version("7"))
    assert registry(server).resolved("models:/churn model@live") == "models:/churn model/7"


def test_a_version_is_served_once_it_is_there_and_ready(server: Server) -> None:
    call = "model-versions/get?name=churn,version=3"
    with pytest.raises(NotYet, match=r"^not there$"):
        registry(server).resolved("models:/churn/3")
    server.answers[call] = (200, version("3", "PENDING_REGISTRATION"))
    with pytest.raises(NotYet, match="churn version 3 is PENDING_REGISTRATION"):
        registry(server).resolved("models:/churn/3")
    server.answers[call] = (200, version("3"))
    assert registry(server).resolved("models:/churn/3") == "models:/churn/3"


def test_a_runs_model_is_served_once_the_run_has_it(server: Server) -> None:
    model = f"runs:/{RUN}/model"
    with pytest.raises(NotYet, match="not there"):
        registry(server).resolved(model)
    server.answers[f"runs/get?run_id={RUN}"] = (
        200,
        {"run": {"outputs": {"model_outputs": [{"model_id": "m-1"}]}}},
    )
    server.answers["logged-models/m-1?"] = (200, {"model": {"info": {"name": "other"}}})
    server.answers[f"artifacts/list?run_id={RUN},path=model"] = (200, {})
    with pytest.raises(NotYet, match="has no model model"):
        registry(server).resolved(model)
    server.answers["logged-models/m-1?"] = (200, {"model": {"info": {"name": "model"}}})
    assert registry(server).resolved(model) == model


def test_a_model_among_a_runs_artifacts_is_found_as_well(server: Server) -> None:
    server.answers[f"runs/get?run_id={RUN}"] = (200, {"run": {}})
    files = {"files": [{"path": "model/MLmodel"}]}
    server.answers[f"artifacts/list?run_id={RUN},path=model"] = (200, files)
    assert registry(server).resolved(f"runs:/{RUN}/model") == f"runs:/{RUN}/model"


def test_a_missing_alias_is_no_fault_whatever_way_the_server_says_it(server: Server) -> None:
    call = "registered-models/alias?name=churn,alias=live"
    server.answers[call] = (
        400,
        {"error_code": "INVALID_PARAMETER_VALUE", "message": "Registered model alias live not found."},
    )
    with pytest.raises(NotYet, match="alias live not found"):
        registry(server).resolved("models:/churn@live")
    server.answers[call] = (403, "Permission denied")
    with pytest.raises(NotYet, match="permission denied"):
        registry(server).resolved("models:/churn@live")


@pytest.mark.parametrize("code", [401, 429, 500, 503])
def test_a_server_in_trouble_is_no_missing_model(server: Server, code: int) -> None:
    server.answers["registered-models/alias?name=churn,alias=live"] = (code, {"message": "trouble"})
    with pytest.raises(OSError, match=f"{code} trouble"):
        registry(server).resolved("models:/churn@live")


def test_an_answer_that_is_no_mlflows_is_trouble_of_the_servers(server: Server) -> None:
    server.answers["registered-models/alias?name=a,alias=b"] = (200, b"<html>a login page</html>")
    with pytest.raises(OSError, match="cut off or no JSON"):
        registry(server).resolved("models:/a@b")


def test_it_signs_in_as_jobs_do(server: Server) -> None:
    server.answers["registered-models/alias?name=a,alias=b"] = (200, version("1"))
    pair = {"MLFLOW_TRACKING_USERNAME": "jobs", "MLFLOW_TRACKING_PASSWORD": "pä:ss"}
    for environment in ({}, pair, {"MLFLOW_TRACKING_TOKEN": "tok"}):
        registry(server, **environment).resolved("models:/a@b")
    basic = base64.b64encode("jobs:pä:ss".encode()).decode()
    assert server.signed == [None, f"Basic {basic}", "Bearer tok"]


# -- the first process --------------------------------------------------------------------------------

STUBBORN = """
import signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: (print("asked", flush=True), time.sleep(0.3), sys.exit(7)))
print("up", flush=True)
time.sleep(60)
"""


def serve(folder: Path, *words: str) -> subprocess.Popen[str]:
    """The first process, as pods run it: from the folder above its package."""
    package = folder / "launcher"
    package.mkdir()
    for name in names.SERVING_SCRIPTS:
        (package / name).write_text((names.SCRIPTS / name).read_text())
    code = folder / "code"
    code.mkdir()
    (code / "app.py").write_text(STUBBORN)
    return subprocess.Popen(
        [sys.executable, "-m", "launcher.serve", str(code), *words],
        cwd=folder,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"},
    )


def until(process: subprocess.Popen[str], text: str) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        if text in line:
            return
    raise AssertionError(f"it never said {text}")


def test_sigterm_reaches_the_code_which_has_the_time_it_needs_and_the_pod_ends_well(tmp_path: Path) -> None:
    with serve(tmp_path, "--module=app", "--") as process:
        until(process, "up")
        start = time.monotonic()
        process.send_signal(signal.SIGTERM)
        until(process, "asked")
        assert process.wait(20) == 0
        assert time.monotonic() - start < 10


def test_the_codes_own_exit_code_is_the_pods(tmp_path: Path) -> None:
    with serve(tmp_path, "--", "sh", "-c", "exit 3") as process:
        assert process.wait(20) == 3


def test_processes_that_the_code_leaves_behind_are_reaped_and_do_not_end_the_pod(tmp_path: Path) -> None:
    with serve(tmp_path, "--", "sh", "-c", "(sleep 0.1 &) ; sleep 1; exit 5") as process:
        assert process.wait(20) == 5


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--path=nowhere", "--", "true"], "there is no folder nowhere"),
        (["--", "no-such-program"], "no-such-program cannot be run"),
        (["--requirements-file=none.txt", "--", "true"], "there is no none.txt"),
    ],
)
def test_a_service_that_cannot_start_as_it_is_described_says_so(
    tmp_path: Path, words: list[str], told: str
) -> None:
    with serve(tmp_path, *words) as process:
        out, _ = process.communicate(timeout=20)
        assert process.returncode == 78
        assert told in out
