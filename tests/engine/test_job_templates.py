"""Job templates over their life in a stack: changed in place, removed, not missed for a Job that is gone."""

from __future__ import annotations

from typing import Any

import pytest

from components.contracts import Images, TrackingAccess
from components.jobs.jobs import Jobs, JobsArgs
from components.settings.jobs import Job
from tests.engine.conftest import Cluster, Program, Project

pytestmark = pytest.mark.cluster
CODE = {"folder": "/tmp", "image": "localhost/never-run:1"}


def templates(cluster: Cluster, name: str, **jobs: dict[str, Any]) -> Program:
    """The product's own component; nothing of it is ever started here."""

    def program() -> None:
        access = TrackingAccess(namespace=cluster.namespace, account="default", config_map="environment")
        images = Images(server="localhost/never-run:1", job="localhost/never-run:1", third_party={})
        settings = {key: Job.model_validate({**CODE, **job}) for key, job in jobs.items()}
        Jobs(name, JobsArgs(settings=settings, access=access, images=images), opts=cluster.options())

    return program


def test_a_changed_template_is_updated_in_place_and_keeps_the_jobs_it_made(
    project: Project, cluster: Cluster
) -> None:
    assert not project.up(templates(cluster, "jobs", train={})).failed
    before = cluster.get("cronjob", "train")
    assert before
    cluster.kubectl("create", "job", "--from=cronjob/train", "train-by-hand")
    changed = project.up(
        templates(cluster, "jobs", train={"retries": 4, "schedule": "0 6 * * *", "suspended": True})
    )
    assert changed.steps == [("update", "jobs-train")]
    after = cluster.get("cronjob", "train")
    assert after
    assert after["metadata"]["uid"] == before["metadata"]["uid"]
    assert after["spec"]["schedule"] == "0 6 * * *"
    assert after["spec"]["jobTemplate"]["spec"]["backoffLimit"] == 4
    job = cluster.get("job", "train-by-hand")
    assert job, "an update removed a Job of the template"
    assert job["metadata"]["ownerReferences"][0]["uid"] == before["metadata"]["uid"]


def test_a_job_that_kubernetes_removed_is_no_drift(project: Project, cluster: Cluster) -> None:
    program = templates(cluster, "gone", report={})
    assert not project.up(program).failed
    cluster.kubectl("create", "job", "--from=cronjob/report", "report-by-hand")
    cluster.kubectl("delete", "job", "report-by-hand")
    assert project.refresh().steps == []
    again = project.up(program)
    assert not again.failed, again.text
    assert again.steps == []


def test_a_removed_template_is_deleted_and_the_others_stay(project: Project, cluster: Cluster) -> None:
    assert not project.up(templates(cluster, "fewer", keep={}, score={})).failed
    kept = cluster.get("cronjob", "keep")
    assert kept
    removed = project.up(templates(cluster, "fewer", keep={}))
    assert ("delete", "fewer-score") in removed.steps
    assert cluster.get("cronjob", "score") is None
    still = cluster.get("cronjob", "keep")
    assert still
    assert still["metadata"]["uid"] == kept["metadata"]["uid"]
