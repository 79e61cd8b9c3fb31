"""Images by Cloud Build: what the step of ``up`` asks of Google."""

from __future__ import annotations

from dataclasses import replace

import pulumi
import pytest

from components.clouds.gcp import build_step
from components.clouds.gcp.build_step import ImageBuild, build, built
from components.image_context import context_files, context_folder
from tests.emulators.cloud_build import Builds
from tests.emulators.google_apis import Google, use

pytestmark = pytest.mark.emulators

PLACE = "projects/acme-ml/locations/europe-west1/repositories/mlflow"
WANTED = ImageBuild(
    project="acme-ml",
    image="job",
    address="europe-west1-docker.pkg.dev/acme-ml/mlflow/mlflow-job",
    repository=PLACE,
    tag="0123456789ab",
    base="docker.io/library/python:3.11",
    account="projects/acme-ml/serviceAccounts/builds@acme-ml.iam.gserviceaccount.com",
    bucket="mlflow-sources",
)


@pytest.fixture
def google(monkeypatch: pytest.MonkeyPatch) -> Google:
    monkeypatch.setattr(build_step, "ASK_SECONDS", 0)
    monkeypatch.setattr(build_step, "FRESH_SECONDS", 0)
    return use(Google(), monkeypatch)


@pytest.fixture
def builds(google: Google) -> Builds:
    """A repository in which nothing is."""
    made = Builds()
    made.serve(google)
    return made


def test_an_image_is_built_from_its_own_files_and_pushed_by_the_account_that_may(builds: Builds) -> None:
    assert built(WANTED) is None
    digest = build(WANTED)
    assert builds.tags == {f"{PLACE}/packages/mlflow-job/tags/0123456789ab": digest}
    (one,) = builds.builds
    assert one["serviceAccount"] == WANTED.account
    assert one["images"] == [WANTED.reference]
    assert f"BASE_IMAGE={WANTED.base}" in one["steps"][0]["args"]
    folder = context_folder("job")
    assert builds.files("job") == {path.relative_to(folder).as_posix() for path in context_files(folder)}
    assert "Dockerfile" in builds.files("job")


def test_what_is_in_the_repository_is_not_built_again(builds: Builds, google: Google) -> None:
    digest = build(WANTED)
    google.calls.clear()
    assert built(WANTED) == digest
    assert google.changes == []
    assert built(replace(WANTED, tag="ba9876543210")) is None


def test_a_build_that_a_killed_run_left_at_work_is_waited_for(
    builds: Builds, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(build_step.time, "sleep", killed)
        with pytest.raises(KeyboardInterrupt):
            build(WANTED)
    assert [one["status"] for one in builds.builds] == ["QUEUED"]
    build(WANTED)
    assert [one["status"] for one in builds.builds] == ["SUCCESS"], "or its tag would be taken"


@pytest.mark.parametrize("failure", ["PUSH_NOT_AUTHORIZED", "FETCH_SOURCE_FAILED", "LOGGING_FAILURE"])
def test_rights_that_are_not_known_everywhere_yet_are_waited_for(builds: Builds, failure: str) -> None:
    builds.failures = [failure, failure]
    assert build(WANTED).startswith("sha256:")
    assert len(builds.builds) == 3


@pytest.mark.parametrize("failures", [["USER_BUILD_STEP"], [""], ["PUSH_NOT_AUTHORIZED"] * 3])
def test_a_build_that_fails_is_told_with_its_log_and_not_tried_for_ever(
    builds: Builds, failures: list[str]
) -> None:
    builds.failures = list(failures)
    with pytest.raises(pulumi.RunError) as refused:
        build(WANTED)
    said = str(refused.value)
    assert said.startswith("mlflow:gcp.builder: ")
    assert f"its log: https://console.cloud.google.com/{len(failures)}" in said
    assert len(builds.builds) == len(failures)


@pytest.mark.parametrize("api", ["cloudbuild", "storage", "artifactregistry"])
def test_a_refusal_of_googles_says_which_rights_are_needed(builds: Builds, google: Google, api: str) -> None:
    google.disabled.add(f"{api}.googleapis.com")
    with pytest.raises(pulumi.RunError, match="has not been used") as refused:
        assert built(WANTED) or build(WANTED)
    assert "roles/cloudbuild.builds.editor" in str(refused.value)
    assert "\n" not in str(refused.value)


def test_without_credentials_it_says_so(google: Google, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GOOGLE_OAUTH_ACCESS_TOKEN")
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", "/nowhere")
    with pytest.raises(pulumi.RunError, match="/nowhere"):
        built(WANTED)
    assert google.calls == []
