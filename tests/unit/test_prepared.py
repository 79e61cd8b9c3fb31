"""What the program wants of `make cluster` and `make images`, and of the plugins that made a stack."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pulumi
import pytest

from components.clouds import dev, existing
from components.clouds.dev import local
from components.clouds.dev.cluster import connect
from components.clouds.dev.images import local_images
from components.image_context import OWN_IMAGES, context_hash
from components.settings import SettingsError, parse
from components.settings.dev import DevStack
from components.settings.existing import ExistingStack
from tools.engine.place import Place

pytestmark = pytest.mark.unit


@pytest.fixture
def left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The ``.local`` of a checkout in which nothing was made yet, for a run that changes something."""
    monkeypatch.setattr(local, "ROOT", tmp_path)
    monkeypatch.delenv(local.OFFLINE, raising=False)
    monkeypatch.delenv("MLFLOW_STAND_INS", raising=False)
    (tmp_path / ".local").mkdir()
    return tmp_path / ".local"


def stack(**settings: Any) -> DevStack:
    parsed = parse({"cloud": "dev", **settings})
    assert isinstance(parsed, DevStack)
    return parsed


def built(folder: Path, **hashes: str) -> None:
    """Note images as `make images` does, of the files there are but for these hashes."""
    images = {
        name: {"reference": f"localhost/{name}:1", "contextHash": hashes.get(name, context_hash(name))}
        for name in OWN_IMAGES
    }
    (folder / "images.json").write_text(json.dumps({"images": images}))


def told(refused: pytest.ExceptionInfo[SettingsError]) -> list[tuple[str, str]]:
    return [(problem.key, problem.message) for problem in refused.value.problems]


def test_without_a_cluster_the_dev_stack_stops_and_says_what_to_run(left: Path) -> None:
    with pytest.raises(SettingsError) as refused:
        connect(stack())
    assert told(refused) == [("mlflow:cluster.context", "there is no cluster yet; run `make cluster`")]


def test_a_cluster_that_the_stack_does_not_name_is_refused_with_both_names(left: Path) -> None:
    (left / "cluster.json").write_text(json.dumps({"context": "other", "kubeconfig": "/k"}))
    settings = stack(cluster={"context": "mine", "loader": "kind"})
    with pytest.raises(SettingsError) as refused:
        connect(settings)
    ((key, message),) = told(refused)
    assert key == "mlflow:cluster.context"
    assert message == "is mine, but `make cluster` last chose other; run it again"


def test_without_images_the_dev_stack_stops_and_says_what_to_run(left: Path) -> None:
    with pytest.raises(SettingsError) as refused:
        local_images(stack())
    assert told(refused) == [("mlflow:images", "there are no images yet; run `make images`")]


def test_images_whose_files_changed_or_that_were_never_built_are_all_named(left: Path) -> None:
    built(left, job="of earlier files")
    with pytest.raises(SettingsError) as refused:
        local_images(stack())
    changed = ("mlflow:images", "the files of job changed after it was built; run `make images`")
    assert told(refused) == [changed]
    noted = json.loads((left / "images.json").read_text())
    del noted["images"]["tracking-server"]
    (left / "images.json").write_text(json.dumps(noted))
    with pytest.raises(SettingsError) as refused:
        local_images(stack())
    assert told(refused) == [
        ("mlflow:images", "tracking-server has not been built; run `make images`"),
        changed,
    ]


def test_images_of_the_files_there_are_and_images_that_the_stack_names_are_taken(left: Path) -> None:
    built(left, job="of earlier files")
    images = local_images(stack(images={"job": "r.example/j:1"}))
    assert (images.server, images.job) == ("localhost/tracking-server:1", "r.example/j:1")


def existing_stack() -> ExistingStack:
    tracking = {"url": "https://mlflow.example.com", "namespace": "team"}
    parsed = parse({"cloud": "existing", "tracking": tracking})
    assert isinstance(parsed, ExistingStack)
    return parsed


@pytest.mark.parametrize(
    "build",
    [lambda: dev.build(stack()), lambda: existing.build(existing_stack())],
    ids=["dev", "existing"],
)
def test_a_plain_pulumi_up_is_refused_on_state_that_stand_ins_made(
    build: Any, left: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mark = Place(left.parent, pulumi.get_stack()).mark
    mark.parent.mkdir()
    mark.write_text('["kubernetes"]\n')
    with pytest.raises(SettingsError, match="stand-in plugins made this stack") as refused:
        build()
    assert f"`make down STACK={pulumi.get_stack()}` first, or go on with `make up`" in str(refused.value)
    monkeypatch.setenv("MLFLOW_STAND_INS", "1")  # as the verbs set it for a run with stand-ins
    local.refuse_stand_ins_state()
    monkeypatch.setenv("MLFLOW_STAND_INS", "0")
    monkeypatch.setenv(local.OFFLINE, "local")  # `make plan` touches no state
    local.refuse_stand_ins_state()
