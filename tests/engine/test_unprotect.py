"""What a cloud itself refuses to delete: told to let go by unprotect, guarded again by the next up."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.engine.anyprovider.plugin import DELAY
from tests.engine.conftest import Project
from tests.engine.test_interrupted import kill_when
from tools.common import Failure
from tools.engine import verbs

pytestmark = [pytest.mark.engine, pytest.mark.usefixtures("demo")]

PROGRAM = """
import pulumi, pulumi_random as random

class Made(pulumi.CustomResource):
    def __init__(self, kind, name, opts, **inputs):
        super().__init__(f"demo:index:{kind}", name, inputs, opts)

protect = pulumi.Config("mlflow").get_bool("protect")
protect = True if protect is None else protect
guarded = pulumi.ResourceOptions(protect=protect)
first = Made("Database", "db", guarded, identifier="mlflow-db-1a2b", allocatedStorage=20,
             deletionProtection=protect, **MORE)
after = pulumi.ResourceOptions(protect=protect, depends_on=[first])
Made("Database", "second", after, identifier="mlflow-db-2", allocatedStorage=40, deletionProtection=protect)
Made("Bucket", "store", pulumi.ResourceOptions(), region="x", tags=TAGS)
random.RandomPassword("key", length=8, opts=guarded)
"""


@pytest.fixture
def stack(project: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A stack with two databases that their service guards, a password, and a bucket nobody guards."""
    write(project)
    verbs.up("dev", project.root)
    monkeypatch.setenv("FORCE", "dev")
    return project


def write(project: Project, more: str = "", tags: str = "{}") -> None:
    text = f"MORE = dict({more})\nTAGS = {tags}\n{PROGRAM}"
    (project.root / "__main__.py").write_text(text)


def flags(project: Project) -> dict[str, tuple[bool, bool]]:
    """Of each resource: Pulumi's protection, and its service's."""
    return {
        name: (bool(each.get("protect")), bool((each.get("outputs") or {}).get("deletionProtection")))
        for name, each in project.state().items()
    }


def files(root: Path) -> dict[str, str]:
    """The settings that outlive a verb."""
    found = [*root.glob("Pulumi*.yaml"), *root.glob(".local/stacks/*.yaml")]
    return {path.name: path.read_text() for path in found}


UP = {"db": (True, True), "second": (True, True), "store": (False, False), "key": (True, False)}
DOWN = dict.fromkeys(UP, (False, False))


@pytest.mark.core
def test_down_is_refused_until_unprotect_and_the_next_up_guards_again(
    stack: Project, capsys: pytest.CaptureFixture[str]
):
    assert flags(stack) == UP
    with pytest.raises(Failure, match="3 protected resources") as refused:
        verbs.down("dev", stack.root)
    assert "make unprotect" in refused.value.hint

    settings = files(stack.root)
    capsys.readouterr()
    verbs.unprotect("dev", stack.root)
    shown = capsys.readouterr().err
    for line in ("Database db (mlflow-db-1a2b), 20 GB", "Database second (mlflow-db-2), 40 GB",
                 "RandomPassword key"):  # fmt: skip
        assert line in shown
    assert "store" not in shown
    assert flags(stack) == DOWN
    assert files(stack.root) == settings, "nothing may keep the stack unprotected behind its owner's back"
    assert verbs.unprotect("dev", stack.root) == []

    verbs.up("dev", stack.root)
    assert flags(stack) == UP
    verbs.unprotect("dev", stack.root)
    verbs.down("dev", stack.root)


def test_without_the_stacks_name_nothing_is_released(stack: Project, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("FORCE", "prod")
    with pytest.raises(Failure, match="nothing was changed"):
        verbs.unprotect("dev", stack.root)
    assert flags(stack) == UP


def test_settings_that_changed_since_are_refused_before_anything_is_released(stack: Project):
    write(stack, more="engine='other'")
    with pytest.raises(Failure, match="db") as refused:
        verbs.unprotect("dev", stack.root)
    assert "set back" in refused.value.hint
    assert flags(stack) == UP


def test_only_what_is_guarded_is_reached(stack: Project):
    write(stack, tags="{'team': 'b'}")
    verbs.unprotect("dev", stack.root)
    assert flags(stack) == DOWN
    assert stack.state()["store"]["inputs"]["tags"] == {}


@pytest.mark.core
def test_an_unprotect_that_was_killed_leaves_nothing_half_released_and_goes_on(
    stack: Project, monkeypatch: pytest.MonkeyPatch
):
    checkpoint = stack.root / ".local/state/.pulumi/stacks/mlflow/dev.json"

    def first_is_released() -> bool:
        resources = json.loads(checkpoint.read_text())["checkpoint"]["latest"]["resources"]
        protected = {each["urn"].rsplit("::", 1)[1] for each in resources if each.get("protect")}
        return "db" not in protected

    monkeypatch.setenv(DELAY, "3")
    kill_when(stack.root, first_is_released, verb="unprotect")
    monkeypatch.delenv(DELAY)
    assert flags(stack) == UP | {"db": (False, False)}, "Pulumi lets go only after the service did"
    with pytest.raises(Failure, match="Database second"):
        verbs.down("dev", stack.root)
    verbs.unprotect("dev", stack.root)
    assert flags(stack) == DOWN
    verbs.down("dev", stack.root)
