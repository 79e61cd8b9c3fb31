"""What the verbs say of pipelines, without a cluster; with one: tests/cluster/test_pipelines.py."""

from __future__ import annotations

from typing import Any, cast

import pytest

from components.settings import parse
from tools.common import Failure
from tools.deployed import Deployed
from tools.jobs import __main__ as listing
from tools.jobs import template

pytestmark = pytest.mark.unit
STAGES = {"train": {"job": "train"}}
SETTINGS = {
    "cloud": "dev",
    "cluster": {"argoWorkflows": True},
    "jobs": {"train": {"git": {"repo": "https://git.example.com/team/churn.git"}}},
    "pipelines": {"daily": {"stages": STAGES}, "by-argo": {"stages": STAGES, "engine": "argo"}},
}


class Namespace:
    """What kubectl would say."""

    stack, namespace = "dev", "team"

    def __init__(self, **objects: list[dict[str, Any]]) -> None:
        self.found = objects

    def objects(self, kind: str, *_: str) -> list[dict[str, Any]]:
        return self.found.get(kind, [])


def deployed(**objects: list[dict[str, Any]]) -> Deployed:
    return cast("Deployed", Namespace(**objects))


def made(name: str, state: str = "", **labels: str) -> dict[str, Any]:
    """A CronJob or Job."""
    conditions = [{"type": state, "status": "True"}] if state else []
    labels = {f"mlflow/{key.replace('_', '-')}": value for key, value in labels.items()}
    metadata = {"name": name, "labels": labels, "creationTimestamp": "2026-01-01T00:00:00Z"}
    template = {"spec": {"template": {"spec": {"volumes": []}}}}
    spec = {"concurrencyPolicy": "Forbid", "jobTemplate": template}
    return {"metadata": metadata, "spec": spec, "status": {"conditions": conditions}}


DAILY = made("daily", job="daily", pipeline="daily")


@pytest.fixture(autouse=True)
def settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(template, "settings_of", lambda _stack: parse(SETTINGS))


def test_a_pipeline_of_argos_is_left_to_argos_own_tools() -> None:
    with pytest.raises(Failure, match="by-argo is a pipeline of Argo Workflows") as refused:
        template.template(deployed(cronjobs=[DAILY]), "by-argo")
    assert "argo submit --namespace team --from workflowtemplate/by-argo" in refused.value.hint
    with pytest.raises(Failure, match="there is no job nightly") as refused:
        template.template(deployed(cronjobs=[DAILY]), "nightly")
    assert "daily" in refused.value.hint
    assert template.template(deployed(cronjobs=[DAILY]), "daily") is DAILY


@pytest.mark.parametrize(("parameters", "ref"), [(["alpha=1"], None), ([], "main")])
def test_a_pipeline_takes_neither_parameters_nor_a_ref(parameters: list[str], ref: str | None) -> None:
    with pytest.raises(Failure, match="daily is a pipeline, which takes neither PARAMS nor REF"):
        template.start(deployed(), DAILY, parameters, ref)


def test_a_second_run_of_a_pipeline_is_refused_with_its_key() -> None:
    working = made("daily-123456", job="daily", pipeline="daily")
    with pytest.raises(Failure, match=r"mlflow:pipelines\.daily\.concurrency is Forbid"):
        template.make_room(deployed(jobs=[working]), DAILY)


class Busy:
    """A tracking server whose newest runs are all of one job."""

    def __init__(self, _deployed: Deployed) -> None:
        pass

    def ask(self, call: str, body: dict[str, Any]) -> dict[str, Any]:
        if call == "experiments/search":
            return {"experiments": [{"name": "churn", "experiment_id": "1"}]}
        name = "rare" if body["filter"] == "tags.`job.name` = 'rare'" else "busy"
        run = {"data": {"tags": [{"key": "job.name", "value": name}]}}
        return {"runs": [] if "never" in body["filter"] else [run] * body["max_results"]}


def test_the_last_run_of_a_rare_job_is_found_behind_those_of_a_busy_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(listing, "Server", Busy)
    monkeypatch.setattr(listing, "NEWEST", 3)
    template = {"metadata": {"annotations": {"mlflow/experiment": "churn"}, "labels": {}}}
    known: dict[str, dict[str, Any]] = dict.fromkeys(("busy", "rare", "never"), template)
    assert listing.last_runs(deployed(), known).keys() == {"busy", "rare"}


def test_the_list_tells_how_far_the_stages_are() -> None:
    run = {"pipeline_run": "daily-123456"}
    jobs = [
        made("daily-123456", job="daily", pipeline="daily"),
        made("daily-123456-load", "Complete", job="load", stage="load", **run),
        made("daily-123456-left", "Failed", job="train", stage="left", **run),
        made("daily-123456-right", job="train", stage="right", **run),
        made("train-654321", "Complete", job="train"),
    ]
    assert listing._stages(jobs) == {"daily-123456": "load complete, left failed, right working"}
