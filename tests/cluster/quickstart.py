"""What a run of the quickstart must have left on the server."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from tests.cluster.stack import Stack

User = tuple[str, str] | None


def printed_run(stack: Stack, out: str, user: User = None) -> dict[str, Any]:
    """The finished run that `make train` printed the URL of."""
    url = out.strip().splitlines()[-1]
    found = re.fullmatch(r"(.*)/#/experiments/(\d+)/runs/([0-9a-f]{32})", url)
    assert found, url
    assert found[1] == stack.url
    answer = stack.ask(f"/api/2.0/mlflow/runs/get?run_id={found[3]}", user=user)
    assert answer.status == 200, answer.body
    run = answer.json()["run"]
    assert run["info"]["status"] == "FINISHED"
    assert run["info"]["experiment_id"] == found[2]
    return run


def assert_complete(stack: Stack, run: dict[str, Any], params: dict[str, str], user: User = None) -> None:
    """Parameters, metrics (autolog's and its own), artifacts, the registered model, its source."""
    run_id, data = run["info"]["run_id"], run["data"]
    assert params.items() <= {each["key"]: each["value"] for each in data["params"]}.items()
    metrics = {each["key"]: each["value"] for each in data["metrics"]}
    assert {"training_r2_score", "test_rmse", "test_mae", "test_r2"} <= metrics.keys()
    assert 0.3 < metrics["test_r2"] < 0.7
    listed = stack.ask(f"/api/2.0/mlflow/artifacts/list?run_id={run_id}&path=report", user=user).json()
    names = {Path(each["path"]).name for each in listed["files"]}
    assert names == {"coefficients.csv", "predictions.csv", "predictions.png", "summary.json"}
    alias = "/api/2.0/mlflow/registered-models/alias?name=quickstart-diabetes&alias=candidate"
    assert stack.ask(alias, user=user).json()["model_version"]["run_id"] == run_id
    tags = {each["key"]: each["value"] for each in data["tags"]}
    assert tags["mlflow.source.name"] == "examples/quickstart"
    assert re.fullmatch("[0-9a-f]{40}", tags["mlflow.source.git.commit"])
