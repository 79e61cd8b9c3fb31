"""Job templates over their life in a stack: changed in place, removed, not missed for a Job that is gone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from components.contracts import Images, TrackingAccess
from components.jobs import jobs
from components.jobs.jobs import Jobs, JobsArgs
from components.jobs.names import LAUNCHER
from components.settings.jobs import Job
from tests.engine.conftest import Cluster, Program, Project

pytestmark = pytest.mark.cluster
CODE = {"folder": "/tmp", "image": "localhost/never-run:1"}


def templates(cluster: Cluster, name: str, **described: dict[str, Any]) -> Program:
    """The product's own component; nothing of it is ever started here."""

    def program() -> None:
        access = TrackingAccess(namespace=cluster.namespace, account="default", config_map="environment")
        images = Images(server="localhost/never-run:1", job="localhost/never-run:1", third_party={})
        settings = {key: Job.model_validate({**CODE, **job}) for key, job in described.items()}
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


def test_a_new_launcher_comes_under_the_old_name_and_leaves_templates_and_their_jobs_alone(
    project: Project, cluster: Cluster, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    program = templates(cluster, "newer", tune={})
    assert not project.up(program).failed
    before = cluster.get("cronjob", "tune")
    assert before
    cluster.kubectl("create", "job", "--from=cronjob/tune", "tune-by-hand")
    other = tmp_path / LAUNCHER.name
    other.write_text(f"{LAUNCHER.read_text()}\n# another version\n")
    monkeypatch.setattr(jobs, "LAUNCHER", other)
    changed = project.up(program)
    assert not changed.failed, changed.text
    assert {name for _, name in changed.steps} == {"newer-launcher"}
    live = cluster.get("configmap", "newer-launcher")
    assert live
    assert live["data"][LAUNCHER.name].endswith("# another version\n")
    after = cluster.get("cronjob", "tune")
    assert after
    assert after["metadata"]["uid"] == before["metadata"]["uid"]
    assert cluster.get("job", "tune-by-hand")
