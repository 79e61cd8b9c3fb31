"""Pipelines on real pods: order, failure, a pod that is killed, a schedule, and a model served as trained."""

from __future__ import annotations

import base64
import json
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import yaml

from tests.cluster import service_project
from tests.cluster.clone import Clone, Done, changed_nothing
from tests.cluster.service_project import ALIAS, MODEL
from tests.cluster.stack import SIGNED_IN, Stack, Stage, eventually
from tests.cluster.test_jobs import tags

MLPROJECT = """
name: pipelines
entry_points:
  main:
    parameters:
      seconds: {type: float, default: 0}
    command: "python main.py {seconds}"
  fail:
    command: "python fail.py"
"""
MAIN = """
import sys, time
import mlflow

with mlflow.start_run():
    mlflow.set_tag("works", "yes")
    print("working", flush=True)
    time.sleep(float(sys.argv[1]))
"""
FAIL = "import time\ntime.sleep(15)\nraise ValueError('the data is gone')\n"
GRACE = 70
"""Seconds from SIGTERM to SIGKILL of a pipeline's pod (components/jobs/pipeline.py)."""


@dataclass(frozen=True)
class Pipelines:
    """The stack with its pipelines."""

    stack: Stack
    settings: dict[str, Any]

    def run(self, name: str, *words: str, check: bool = True) -> Done:
        return self.stack.clone.verb("run", self.stack.name, "--job", name, *words, check=check)

    def stop(self, name: str) -> None:
        self.stack.clone.verb("stop", self.stack.name, "--job", name)

    def start(self, name: str) -> str:
        """Start a pipeline and leave; the name of its Job."""
        return found_in(self.run(name, "--detach"), rf"Job ({name}-[0-9a-f]{{6}}) runs")

    def jobs(self, run: str) -> dict[str, dict[str, Any]]:
        """Stage → its Job, of one run of a pipeline."""
        found = self.stack.objects("jobs", "--selector", f"mlflow/pipeline-run={run}")
        return {job["metadata"]["labels"]["mlflow/stage"]: job for job in found}

    def runs(self, job: str, run: str) -> list[dict[str, Any]]:
        """The runs in MLflow of a job, as a stage of one run of a pipeline."""
        admin = self.admin()
        path = f"/api/2.0/mlflow/experiments/get-by-name?experiment_name={job}"
        experiment = self.stack.ask(path, user=admin)
        if experiment.status != 200:
            return []
        query = {
            "experiment_ids": [experiment.json()["experiment"]["experiment_id"]],
            "filter": f"tags.`job.run` LIKE '{run}-%'",
        }
        return self.stack.ask("/api/2.0/mlflow/runs/search", query, user=admin).json().get("runs", [])

    def works(self, job: str, run: str) -> str:
        """The id of a stage's run, once its code works."""

        def found() -> str | None:
            known = [each for each in self.runs(job, run) if "works" in tags(each)]
            return known[0]["info"]["run_id"] if known else None

        return eventually(found, 180, f"{job} does not work")

    def status(self, run_id: str) -> str:
        path = f"/api/2.0/mlflow/runs/get?run_id={run_id}"
        return self.stack.ask(path, user=self.admin()).json()["run"]["info"]["status"]

    def pods(self, run: str) -> list[dict[str, Any]]:
        """Pods of a pipeline's own Job."""
        return self.stack.objects("pods", "--selector", f"batch.kubernetes.io/job-name={run}")

    def ended(self, run: str) -> str | None:
        """Complete or Failed."""
        for job in self.stack.objects("jobs", "--field-selector", f"metadata.name={run}"):
            for condition in job["status"].get("conditions", []):
                if condition["status"] == "True" and condition["type"] in ("Complete", "Failed"):
                    return condition["type"]
        return None

    def admin(self) -> tuple[str, str]:
        (password,) = [
            base64.b64decode(values["MLFLOW_AUTH_ADMIN_PASSWORD"]).decode()
            for values in self.stack.secrets().values()
            if "MLFLOW_AUTH_ADMIN_PASSWORD" in values
        ]
        return "admin", password


def found_in(done: Done, pattern: str) -> str:
    found = re.search(pattern, done.text)
    assert found, done.text
    return found[1]


def described() -> dict[str, Any]:
    """mlflow:jobs, mlflow:modelServers and mlflow:pipelines of these tests."""
    git = {"git": {"local": ".", "path": "own/pipelines"}}
    learn = {"git": {"local": ".", "path": "own/learn"}}
    small = {
        "resources": {"requests": {"cpu": "50m", "memory": "300Mi"}, "limits": {"cpu": "2", "memory": "1Gi"}},
        "retries": 0,
    }
    serving = {"resources": {"requests": {"cpu": "50m", "memory": "300Mi"}, "limits": {"cpu": "2"}}}
    words = ["python", "-m", "uvicorn", "app:app", "--host=0.0.0.0", "--port=8000"]
    return {
        "jobs": {
            "quick": {**git, **small, "concurrency": "Allow"},
            "left": {**git, **small},
            "right": {**git, **small},
            "fails": {**git, **small, "entryPoint": "fail"},
            "learn": {**learn, **small},
        },
        "modelServers": {"predict": {"model": f"models:/{MODEL}@{ALIAS}", "startSeconds": 180, **serving}},
        "services": {"front": {**learn, **serving, "command": words, "readyPath": "/health", "waits": True}},
        "pipelines": {
            "late": {
                "stages": {
                    "slow": {"job": "left", "parameters": {"seconds": 300}},
                    "after": {"job": "quick", "after": ["slow"]},
                },
                "deadlineSeconds": 90,
            },
            "wide": {
                "stages": {
                    "first": {"job": "quick"},
                    "left": {"job": "left", "after": ["first"], "parameters": {"seconds": 15}},
                    "right": {"job": "right", "after": ["first"], "parameters": {"seconds": 15}},
                    "last": {"job": "quick", "after": ["left", "right"]},
                }
            },
            "breaks": {
                "stages": {
                    "slow": {"job": "left", "parameters": {"seconds": 300}},
                    "fails": {"job": "fails"},
                    "never": {"job": "quick", "after": ["fails"]},
                }
            },
            "waits": {
                "stages": {
                    "slow": {"job": "left", "parameters": {"seconds": 40}},
                    "after": {"job": "quick", "after": ["slow"]},
                }
            },
            "serves": {
                "stages": {
                    "train": {"job": "learn", "parameters": {"slope": 3, "alias": ALIAS}},
                    "serve": {"modelServer": "predict", "after": ["train"]},
                    "front": {"service": "front", "after": ["train"]},
                }
            },
        },
    }


def with_projects(clone: Clone) -> None:
    """The code of these tests, committed in the clone."""
    projects = {"own/pipelines": {"MLproject": MLPROJECT, "main.py": MAIN, "fail.py": FAIL}}
    learn = {name.removeprefix("project/"): text for name, text in service_project.files().items()}
    for folder, files in {**projects, "own/learn": learn}.items():
        for name, text in files.items():
            path = clone.root / folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(str(text))
    clone.commit("projects of one's own")


@pytest.fixture(scope="module")
def pipelines(clone: Clone, stage: Stage) -> Iterator[Pipelines]:
    with_projects(clone)
    stack = Stack(clone, "pytest-pipelines", 30518)
    settings = {**SIGNED_IN, **described()}
    stage.show(stack, settings)
    yield Pipelines(stack, settings)
    stage.clear()


@pytest.mark.core
def test_stages_run_in_their_order_and_those_of_one_step_at_the_same_time(pipelines: Pipelines) -> None:
    done = pipelines.run("wide")
    run = found_in(done, r"Job (wide-[0-9a-f]{6})")
    for line in ("first started, as Job", "last is done", "all 4 stages are done"):
        assert line in done.out, done.text
    told = {job: pipelines.runs(job, run) for job in ("quick", "left", "right")}
    assert {job: len(found) for job, found in told.items()} == {"quick": 2, "left": 1, "right": 1}
    every = [each for found in told.values() for each in found]
    assert {tags(each)["job.trigger"] for each in every} == {"pipeline/wide"}
    assert {each["info"]["status"] for each in every} == {"FINISHED"}
    spans = {tags(each)["job.run"].removeprefix(f"{run}-"): each["info"] for each in every}
    assert spans.keys() == {"first", "left", "right", "last"}
    left, right = spans["left"], spans["right"]
    assert spans["first"]["end_time"] < min(left["start_time"], right["start_time"])
    assert max(left["start_time"], right["start_time"]) < min(left["end_time"], right["end_time"])
    assert max(left["end_time"], right["end_time"]) < spans["last"]["start_time"]
    table = pipelines.stack.clone.verb("jobs", pipelines.stack.name).out
    (line,) = [line for line in table.splitlines() if line.startswith("wide ")]
    assert "first complete, left complete, right complete, last complete" in line
    assert "all 4 stages" in pipelines.stack.clone.verb("logs", pipelines.stack.name, "--job", "wide").out


@pytest.mark.core
def test_a_failing_stage_ends_the_others_and_is_told_with_its_last_lines(pipelines: Pipelines) -> None:
    done = pipelines.run("breaks", check=False)
    assert done.code == 1
    error = done.told[done.told.index("Error:") :]
    assert "stage fails failed" in error
    assert "not done: fails, never, slow" in error
    assert "the data is gone" in done.text
    run = found_in(done, r"Job (breaks-[0-9a-f]{6})")
    assert pipelines.jobs(run).keys() == {"fails"}
    (slow,) = pipelines.runs("left", run)
    assert slow["info"]["status"] == "KILLED"
    assert pipelines.runs("quick", run) == []
    assert len(pipelines.pods(run)) == 1, "it was tried again"


@pytest.mark.core
def test_a_killed_pod_has_a_successor_that_starts_nothing_twice(pipelines: Pipelines) -> None:
    run = pipelines.start("waits")
    works = pipelines.works("left", run)
    before = pipelines.jobs(run)["slow"]["metadata"]["uid"]
    (pod,) = pipelines.pods(run)
    pipelines.stack.kubectl("delete", "pod", pod["metadata"]["name"], "--grace-period=0", "--force")
    eventually(lambda: pipelines.ended(run), 400, f"{run} does not end")
    assert pipelines.ended(run) == "Complete"
    assert pipelines.jobs(run)["slow"]["metadata"]["uid"] == before
    assert [each["info"]["run_id"] for each in pipelines.runs("left", run)] == [works]
    assert pipelines.status(works) == "FINISHED"
    assert len(pipelines.runs("quick", run)) == 1


@pytest.mark.core
def test_an_evicted_pod_leaves_its_stages_alone_and_a_stopped_pipeline_ends_them(
    pipelines: Pipelines, tell: Callable[[str], None]
) -> None:
    run = pipelines.start("waits")
    works = pipelines.works("left", run)
    refused = pipelines.run("waits", check=False)
    assert f"waits is already running, as Job {run}, and mlflow:pipelines.waits.concurrency" in refused.told
    (pod,) = pipelines.pods(run)
    name = pod["metadata"]["name"]
    metadata = {"name": name, "namespace": pipelines.stack.namespace}
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": metadata}
    path = f"/api/v1/namespaces/{pipelines.stack.namespace}/pods/{name}/eviction"
    pipelines.stack.kubectl("create", "--raw", path, "-f", "-", stdin=json.dumps(eviction))

    def successor() -> bool:
        return any(
            each["metadata"]["name"] != name and each["status"]["phase"] == "Running"
            for each in pipelines.pods(run)
        )

    eventually(successor, 60, "the evicted pod has no successor")
    assert pipelines.status(works) == "RUNNING"
    start = time.monotonic()
    pipelines.stop("waits")
    tell(f"    make stop took {time.monotonic() - start:.1f} s")
    assert time.monotonic() - start < GRACE
    assert pipelines.status(works) == "KILLED"
    assert pipelines.jobs(run) == {}
    assert pipelines.runs("quick", run) == []


def test_a_pipelines_deadline_ends_its_stages(pipelines: Pipelines) -> None:
    run = pipelines.start("late")
    works = pipelines.works("left", run)
    eventually(lambda: pipelines.ended(run) == "Failed", 90 + GRACE, f"{run} does not end")
    eventually(lambda: pipelines.status(works) == "KILLED", GRACE, "its stage goes on")
    assert pipelines.jobs(run) == {}
    assert pipelines.runs("quick", run) == []


def test_a_stage_waits_for_a_run_by_hand_of_its_job(pipelines: Pipelines) -> None:
    pipelines.run("left", "--detach", "--param", "seconds=600")
    run = pipelines.start("waits")

    def waits() -> bool:
        logs = pipelines.stack.kubectl(
            "logs", "--selector", f"batch.kubernetes.io/job-name={run}", check=False
        )
        return "slow waits for Job left-" in logs

    eventually(waits, 120, "the stage does not wait")
    assert pipelines.jobs(run) == {}
    pipelines.stop("left")
    pipelines.works("left", run)
    pipelines.stop("waits")


def test_parameters_and_refs_are_refused_for_a_pipeline(pipelines: Pipelines) -> None:
    refused = pipelines.run("breaks", "--param", "seconds=1", check=False)
    assert refused.code == 1
    assert "breaks is a pipeline, which takes neither PARAMS nor REF" in refused.told


@pytest.mark.core
def test_a_pipeline_serves_the_model_that_it_has_just_trained(pipelines: Pipelines, stage: Stage) -> None:
    asked = (
        "import json, sys, urllib.request\n"
        "body = json.dumps({'dataframe_split': {'columns': ['x'], 'data': [[10.0]]}}).encode()\n"
        "headers = {'Content-Type': 'application/json'}\n"
        "request = urllib.request.Request('http://predict/invocations', body, headers)\n"
        "print(urllib.request.urlopen(request, timeout=30).read().decode())"
    )
    assert not pipelines.stack.objects("pods", "--selector", "mlflow/service=front")
    done = pipelines.run("serves")
    assert "serve is done" in done.out
    assert "front is done" in done.out
    front = (
        "import json, urllib.request\nprint(json.dumps([json.load(urllib.request.urlopen('http://front/'))]))"
    )
    assert pipelines.stack.python(front) == ["first"]
    assert round(pipelines.stack.python(asked)["predictions"][0]) == 30
    again = {**pipelines.settings["pipelines"]["serves"]["stages"]}
    again["train"] = {**again["train"], "parameters": {"slope": 5, "alias": ALIAS}}
    settings = {**pipelines.settings["pipelines"], "serves": {"stages": again}}
    stage.show(pipelines.stack, {**pipelines.settings, "pipelines": settings})
    pipelines.run("serves")
    assert round(pipelines.stack.python(asked)["predictions"][0]) == 50


def test_the_example_tunes_promotes_serves_and_asks(pipelines: Pipelines, stage: Stage) -> None:
    written = yaml.safe_load((pipelines.stack.clone.root / "examples/iris/pipeline.yaml").read_text())[
        "config"
    ]
    workloads = ("jobs", "modelServers", "pipelines")
    stage.show(pipelines.stack, {**SIGNED_IN, **{name: written[f"mlflow:{name}"] for name in workloads}})
    assert "ask is done" in pipelines.run("iris").out
    log = pipelines.stack.clone.verb("logs", pipelines.stack.name, "--job", "iris-ask").out
    assert "is setosa" in log
    stage.show(pipelines.stack, pipelines.settings)


@pytest.mark.core
def test_a_schedule_fires_and_removed_jobs_are_no_drift(pipelines: Pipelines, stage: Stage) -> None:
    ticking = {"stages": {"a": {"job": "quick"}, "b": {"job": "quick", "after": ["a"]}}}
    ticking |= {"schedule": "* * * * *", "timeZone": "Europe/Berlin"}
    every = {**pipelines.settings["pipelines"], "ticking": ticking}
    stage.show(pipelines.stack, {**pipelines.settings, "pipelines": every})

    def done() -> list[str]:
        jobs = pipelines.stack.objects("jobs", "--selector", "mlflow/pipeline=ticking")
        return [job["metadata"]["name"] for job in jobs if job["status"].get("succeeded")]

    (run, *_) = eventually(done, 240, "the schedule did not fire")
    assert re.fullmatch(r"ticking-\d{8,}", run)
    assert len(pipelines.runs("quick", run)) == 2
    stage.show(pipelines.stack, pipelines.settings)
    names = [each["metadata"]["name"] for each in pipelines.stack.objects("cronjobs,roles,serviceaccounts")]
    assert not [name for name in names if "ticking" in name]
    pipelines.stack.kubectl("delete", "jobs", "--selector", "mlflow/job")
    pipelines.stack.clone.verb("refresh", pipelines.stack.name)
    assert changed_nothing(pipelines.stack.up())


def test_a_pipelines_account_may_do_what_it_needs_and_no_more(pipelines: Pipelines) -> None:
    account = f"system:serviceaccount:{pipelines.stack.namespace}:pipeline-serves"
    can = {
        words: pipelines.stack.kubectl(
            "auth", "can-i", *words.split(), f"--as={account}", check=False
        ).strip()
        for words in (
            "create jobs",
            "get cronjobs/learn",
            "get cronjobs/quick",
            "patch deployments/predict",
            "patch deployments/mlflow-server",
            "get secrets",
            "list secrets",
            "create pods/exec",
            "create pods",
            "create jobs --namespace=default",
        )
    }
    assert [words for words, answer in can.items() if answer.startswith("yes")] == [
        "create jobs",
        "get cronjobs/learn",
        "patch deployments/predict",
    ]
