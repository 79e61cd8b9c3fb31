"""Images by Cloud Build as a step of `up` on the real engine, with a stood-in Google."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from components.clouds.gcp import build_step, cloud_build
from tests.emulators.cloud_build import Builds
from tests.emulators.google_apis import TOKEN, Google, use
from tests.engine.test_gcp_stack import (
    EXISTING,
    GcpProject,
    nowhere,  # noqa: F401 - a fixture
)
from tools.engine.workspace import root_program

pytestmark = [
    pytest.mark.engine,
    pytest.mark.filterwarnings("ignore::DeprecationWarning:pulumi_gcp"),
]

BUILT = {**EXISTING, "images": {}, "gcp": {"builder": "cloud-build"}}


def running_image(project: GcpProject) -> str:
    spec = project.state()["mlflow-server-deployment"]["inputs"]["spec"]["template"]["spec"]
    return spec["containers"][0]["image"]


@pytest.mark.core
def test_up_builds_what_is_not_there_and_runs_it_by_digest_and_a_preview_builds_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(build_step, "ASK_SECONDS", 0)
    builds = Builds()
    google = builds.serve(use(Google(), monkeypatch))
    project = GcpProject(tmp_path, "gcp")
    project.change(**BUILT)
    planned = project.preview(root_program(tmp_path))
    assert not planned.failed, planned.text
    assert google.calls == [], "not even asked: the repository is not there yet"

    done = project.bring_up()
    assert not done.failed, done.text
    assert sorted(one["images"][0].rpartition("/")[2].partition(":")[0] for one in builds.builds) == [
        "mlflow-job",
        "mlflow-tracking-server",
    ]
    first = running_image(project)
    assert first.partition("@")[2] in builds.tags.values()
    assert "Image" not in {urn.split("::")[2].rpartition(":")[2] for urn in project.ids()}
    assert TOKEN not in json.dumps(project.stack.export_stack().deployment)

    again = project.bring_up()
    assert not again.failed, again.text
    assert again.steps == []
    assert len(builds.builds) == 2, "what is there is not built again"

    # The files change: a preview says what will roll, an `up` builds and rolls it.
    monkeypatch.setattr(cloud_build, "tag", lambda name, **_: f"{'ab' * 6}" if name == "job" else "cd" * 6)
    planned = project.preview(root_program(tmp_path))
    assert not planned.failed, planned.text
    assert ("update", "mlflow-server-deployment") in planned.planned
    assert len(builds.builds) == 2
    changed = project.bring_up()
    assert not changed.failed, changed.text
    assert len(builds.builds) == 4
    assert ("update", "mlflow-server-deployment") in changed.steps
    assert running_image(project) != first
    assert project.preview(root_program(tmp_path)).planned == []


def test_a_build_that_fails_stops_up_before_anything_runs_and_the_next_one_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(build_step, "ASK_SECONDS", 0)
    builds = Builds(failures=["USER_BUILD_STEP", "USER_BUILD_STEP"])
    builds.serve(use(Google(), monkeypatch))
    project = GcpProject(tmp_path, "gcp")
    project.change(**BUILT)
    stopped = project.bring_up()
    assert "mlflow:gcp.builder: Cloud Build" in stopped.text
    assert "its log: https://console.cloud.google.com/" in stopped.text
    assert "mlflow-server-deployment" not in project.state()
    ids = project.ids()
    made = project.bring_up()
    assert not made.failed, made.text
    assert ids.items() <= project.ids().items(), "nothing was made twice"
    gone = project.destroy()
    assert not gone.failed, gone.text
