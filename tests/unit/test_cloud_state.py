"""A cloud stack's state is not kept in a folder, unless the stack says so."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path

import pytest

from components.clouds import state
from components.clouds.state import backend_url, refuse_local_state
from components.local_state import MADE_FOR
from components.settings import Cloud, SettingsError
from components.settings.stack import CloudCommon

pytestmark = pytest.mark.unit


@pytest.fixture(autouse=True)
def nobody_logged_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home without Pulumi, and no variable of Pulumi set."""
    for name in (
        "PULUMI_BACKEND_URL", "PULUMI_HOME", "PULUMI_CREDENTIALS_PATH", "PULUMI_ACCESS_TOKEN", state.OFFLINE
    ):  # fmt: skip
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(state, "ROOT", tmp_path)
    (tmp_path / "Pulumi.yaml").write_text("name: mlflow\n")
    return tmp_path


def stack(**settings: bool) -> CloudCommon:
    return CloudCommon.model_validate(settings)


@pytest.mark.parametrize("backend", ["file:///srv/state", "file://~", "file://."])
def test_a_folder_is_refused_with_both_ways_out(backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PULUMI_BACKEND_URL", backend)
    with pytest.raises(SettingsError, match=r"make backend STACK=\S+.*mlflow:localState: true"):
        refuse_local_state(stack(), Cloud.AWS)


@pytest.mark.parametrize(
    "backend", ["s3://bucket?region=eu-west-1", "azblob://state", "gs://state", "https://x.io"]
)
def test_a_shared_backend_is_fine(backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PULUMI_BACKEND_URL", backend)
    refuse_local_state(stack(), Cloud.AWS)


@pytest.mark.parametrize("cloud", [cloud for cloud in Cloud if cloud is not Cloud.DEV])
def test_only_where_make_makes_a_place_is_it_named(cloud: Cloud) -> None:
    with pytest.raises(SettingsError, match="pulumi login") as refused:
        refuse_local_state(stack(), cloud)
    assert ("make backend" in str(refused.value)) == (cloud in MADE_FOR)
    assert (cloud in MADE_FOR) == (find_spec(f"tools.backend.{cloud}") is not None)


def test_nobody_logged_in_means_the_folder_that_make_falls_back_to() -> None:
    assert backend_url() is None
    with pytest.raises(SettingsError):
        refuse_local_state(stack(), Cloud.AWS)


def test_whoever_says_so_keeps_it_locally(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PULUMI_BACKEND_URL", "file://~")
    refuse_local_state(stack(localState=True), Cloud.AWS)


def test_a_plan_has_no_state(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(state.OFFLINE, "1")
    refuse_local_state(stack(), Cloud.AWS)


def test_the_backend_is_found_in_the_clis_order(
    nobody_logged_in: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PULUMI_ACCESS_TOKEN", "pul-x")
    assert backend_url() == "https://api.pulumi.com"
    folder = nobody_logged_in / ".pulumi"
    folder.mkdir()
    (folder / "credentials.json").write_text(json.dumps({"current": "s3://login"}))
    assert backend_url() == "s3://login"
    (nobody_logged_in / "Pulumi.yaml").write_text("name: mlflow\nbackend:\n  url: gs://project\n")
    assert backend_url() == "gs://project"
    monkeypatch.setenv("PULUMI_BACKEND_URL", "azblob://variable")
    assert backend_url() == "azblob://variable"
