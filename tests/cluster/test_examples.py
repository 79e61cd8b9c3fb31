"""The examples beyond the quickstart, against the deployed stack."""

from __future__ import annotations

import os
import re

import pytest

from tests.cluster.notebook import executed
from tests.cluster.stack import POSTGRESQL, SIGNED_IN, SignedIn, Stack, Stage, eventually
from tools.common import ROOT
from tools.jobs.here import ANOTHER_SERVERS

SERVED_LIMIT = 240
"""Seconds from the promotion of a model to its first answer, on a busy machine."""
IRIS = {"iris": {"git": {"local": ".", "path": "examples/iris"}}}


@pytest.mark.core
def test_the_iris_example_tunes_picks_registers_promotes_retrieves_and_is_served(
    postgresql: Stack, stage: Stage
) -> None:
    ask = {"iris-ask": {**IRIS["iris"], "entryPoint": "ask"}}
    served = {"iris-species": {"model": "models:/iris-species@champion", "startSeconds": 180}}
    settings = {**POSTGRESQL, "jobs": {**IRIS, **ask}, "modelServers": served}
    stack = stage.show(postgresql, settings)
    done = stack.clone.verb("run", stack.name, "--job", "iris", "--param", "trials=3")
    assert "is setosa" in done.out
    experiment = stack.api("experiments/get-by-name", experiment_name="iris")["experiment"]["experiment_id"]
    runs = stack.api("runs/search", {"experiment_ids": [experiment]})["runs"]
    losses = {
        run["info"]["run_id"]: metric["value"]
        for run in runs
        for metric in run["data"].get("metrics", [])
        if metric["key"] == "test_log_loss"
    }
    assert len(losses) == 3
    alias = stack.ask("/api/2.0/mlflow/registered-models/alias?name=iris-species&alias=champion")
    champion = alias.json()["model_version"]
    assert champion["run_id"] == min(losses, key=lambda run: losses[run])
    told = {tag["key"]: tag["value"] for tag in champion["tags"]}
    assert told["classes"] == '["setosa", "versicolor", "virginica"]'
    assert told["features"].startswith('["sepal length (cm)"')

    def serves() -> bool:
        words = ["deployment", "iris-species", "-o", "jsonpath={.status.availableReplicas}"]
        return stack.kubectl("get", *words) == "1"

    eventually(serves, SERVED_LIMIT, "the promoted model is not served")
    asked = stack.clone.verb("run", stack.name, "--job", "iris-ask")
    assert "http://iris-species says that a flower of [5.1, 3.5, 1.4, 0.2] is setosa" in asked.out


def test_a_job_signs_in_by_itself_and_its_runs_belong_to_the_jobs_user(
    signed: SignedIn, stage: Stage
) -> None:
    # Of its own name, and so its own experiment: others' the user of jobs may read only.
    jobs = {"tune-signed-in": {**IRIS["iris"], "entryPoint": "tune"}}
    stack = stage.show(signed.stack, {**SIGNED_IN, "jobs": jobs})
    assert stack.ask("/api/2.0/mlflow/experiments/get?experiment_id=0").status == 401
    done = stack.clone.verb("run", stack.name, "--job", "tune-signed-in", "--param", "trials=1")
    run = done.out.strip().splitlines()[-1].rpartition("/")[2]
    found = stack.ask(f"/api/2.0/mlflow/runs/get?run_id={run}", user=signed.jobs)
    assert found.json()["run"]["info"]["status"] == "FINISHED"
    assert run in stack.clone.verb("jobs", stack.name).out


def test_the_demo_notebook_runs_against_the_deployed_server(postgresql: Stack) -> None:
    kept = {name: value for name, value in os.environ.items() if name not in ANOTHER_SERVERS}
    environment = {
        **kept,
        "MLFLOW_TRACKING_URI": postgresql.url,
        "MLFLOW_ENABLE_PROXY_MULTIPART_DOWNLOAD": "false",
        "MLFLOW_ENABLE_PROXY_MULTIPART_UPLOAD": "false",
        "NO_PROXY": "*",
        "DEMO_EXPERIMENT": "iris-demo",
    }
    outputs = executed(ROOT / "examples" / "iris" / "demo.ipynb", environment)
    text = str(outputs)
    assert postgresql.url in text
    assert re.search(r"iris-species version \d+ is @champion", text)
    assert "setosa" in str(outputs[-1])
    experiment = postgresql.api("experiments/get-by-name", experiment_name="iris-demo")["experiment"]
    runs = postgresql.api("runs/search", {"experiment_ids": [experiment["experiment_id"]]})["runs"]
    assert len(runs) == 4, "one parent and three trials"
