"""Stacks on the real engine: state, secrets and settings, without a cluster."""

from __future__ import annotations

import io
import stat
import subprocess
import sys
from pathlib import Path

import pulumi
import pulumi_random as random
import pytest

from tests.engine.conftest import Program, Project
from tools import secret
from tools.common import Failure
from tools.engine import verbs, workspace
from tools.engine.place import load, place_of
from tools.engine.workspace import open_stack, set_secret

pytestmark = pytest.mark.engine


def password(length: int = 16, *, keeper: str = "1", protect: bool = False) -> Program:
    def program() -> None:
        opts = pulumi.ResourceOptions(protect=protect)
        made = random.RandomPassword("p", length=length, special=False, keepers={"k": keeper}, opts=opts)
        identifier = random.RandomId("i", byte_length=4, prefix="x-")
        pulumi.export("password", made.result)
        pulumi.export("id", identifier.hex)

    return program


def test_a_random_value_is_made_once_kept_over_updates_and_renewed_by_its_keeper(project: Project):
    previewed = project.preview(password())
    assert sorted(previewed.planned) == [("create", "i"), ("create", "p")]
    first = project.up(password())
    assert len(first.outputs["password"]) == 16
    assert first.outputs["id"].startswith("x-")
    again = project.up(password())
    assert again.steps == []
    assert again.outputs == first.outputs
    assert project.refresh().steps == []
    for path in (project.root / ".local/state").rglob("*.json*"):
        assert first.outputs["password"] not in path.read_text(), path
    renewed = project.up(password(keeper="2"))
    assert ("create-replacement", "p") in renewed.steps
    assert renewed.outputs["password"] != first.outputs["password"]
    assert renewed.outputs["id"] == first.outputs["id"]


@pytest.mark.core
def test_tracked_files_stay_as_they_are_and_a_second_clone_has_its_own_passphrase(
    project: Project, tmp_path: Path
):
    root = project.root
    (root / ".gitignore").write_text(".local/\n")
    git = ["git", "-C", str(root), "-c", "user.name=t", "-c", "user.email=t@t"]
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "add", "-A"], check=True)
    subprocess.run([*git, "commit", "-qm", "as it was"], check=True)
    assert not project.up(password()).failed
    set_secret("dev", 'mlflow:secrets["a"]["b"]["KEY"]', "value", root)
    assert subprocess.check_output([*git, "status", "--porcelain"], text=True) == ""
    assert "salt" not in (root / "Pulumi.dev.yaml").read_text()

    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "-q", str(root), str(clone)], check=True)
    opened = open_stack("dev", clone, password())
    assert not (opened.up().stderr or "").strip()
    first, second = ((each / ".local/passphrase") for each in (root, clone))
    assert first.read_text() != second.read_text()
    assert stat.S_IMODE(second.stat().st_mode) == 0o600


@pytest.mark.core
def test_a_secret_from_standard_input_reaches_the_program_and_no_tracked_file(
    project: Project, monkeypatch: pytest.MonkeyPatch
):
    path = secret.config_path("object-store", "s3-keys", "AWS_SECRET_ACCESS_KEY")
    value = "two\nlines, = and 'quotes'"
    file = set_secret("dev", path, value, project.root)
    assert file == place_of("dev", project.root).overlay
    assert value.split("\n")[0] not in file.read_text()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600

    def program() -> None:
        groups = pulumi.Config("mlflow").require_secret_object("secrets")
        found = groups.apply(
            lambda all_of_them: all_of_them["object-store"]["s3-keys"]["AWS_SECRET_ACCESS_KEY"]
        )
        pulumi.export("value", found)

    project._stack = None  # settings are merged when the stack is opened
    outcome = project.up(program)
    assert outcome.outputs["value"] == value
    set_secret("dev", secret.config_path("object-store", "s3-keys", "OTHER"), "x", project.root)
    keys = load(file)["config"]["mlflow:secrets"]["object-store"]["s3-keys"]
    assert set(keys) == {"AWS_SECRET_ACCESS_KEY", "OTHER"}


@pytest.mark.parametrize(
    ("group", "name", "key"),
    [
        ("Object", "n", "K"),
        ("g", "n_1", "K"),
        ("g", "", "K"),
        ("g", "n", "1K"),
        ("g", "n", "A-B"),
        ("g.h", "n", "K"),
    ],
)
def test_names_that_kubernetes_would_refuse_are_refused_before_anything_is_stored(
    group: str, name: str, key: str
):
    with pytest.raises(Failure):
        secret.config_path(group, name, key)


def test_an_empty_standard_input_stores_nothing(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO(""))
    with pytest.raises(Failure, match="no value"):
        secret.main(["--group", "g", "--name", "n", "--key", "K"])


def test_a_wrong_passphrase_ends_with_what_to_do(project: Project, monkeypatch: pytest.MonkeyPatch):
    project.up(password())
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE", "another one")
    with pytest.raises(Failure) as caught:
        verbs.up("dev", project.root, password())
    assert "passphrase" in caught.value.hint


@pytest.mark.core
def test_down_asks_spares_what_is_protected_and_leaves_nothing_of_the_stack(
    project: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    verbs.up("dev", project.root, password(protect=True))
    shown = capsys.readouterr().err
    for text in ("created RandomPassword p", "state: file://", "up of stack dev: 3 created", " s)"):
        assert text in shown
    monkeypatch.setenv("FORCE", "dev")
    with pytest.raises(Failure, match="RandomPassword p") as caught:
        verbs.down("dev", project.root)
    assert "unprotect" in caught.value.hint
    released = verbs.unprotect("dev", project.root)
    assert [urn.rsplit("::", 1)[1] for urn in released] == ["p"]
    monkeypatch.setenv("FORCE", "prod")
    with pytest.raises(Failure, match="nothing was changed"):
        verbs.down("dev", project.root)
    assert "p" in project.state()
    monkeypatch.setenv("FORCE", "dev")
    verbs.down("dev", project.root)
    state = project.root / ".local"
    left = [p for p in state.rglob("*") if p.is_file() and "dev" in p.name and "pulumi-home" not in p.parts]
    assert left == []
    assert not Project(project.root).up(password()).failed, "a later up must work"


def test_a_failing_program_shows_its_message_without_a_traceback(
    project: Project, capsys: pytest.CaptureFixture[str]
):
    (project.root / "__main__.py").write_text(
        "from tools.common import Failure\nraise Failure('no images yet', 'run make images')\n"
    )
    with pytest.raises(Failure):
        verbs.preview("dev", project.root)
    shown = capsys.readouterr().err
    assert "no images yet" in shown
    assert "run make images" in shown
    assert "Traceback" not in shown


def test_state_made_with_one_kind_of_plugin_is_refused_by_the_other(
    project: Project, monkeypatch: pytest.MonkeyPatch
):
    home = Path.home() / ".pulumi"
    before = sorted(home.rglob("*")) if home.exists() else None
    project.up(password())
    after = sorted(home.rglob("*")) if home.exists() else None
    place = place_of("dev", project.root)
    assert after == before or not place.mark.exists(), "the user's own folder is not for stand-ins"
    state = workspace.state_of(project.stack)
    made_by = workspace.makers(state)
    assert made_by == {"random": place.mark.exists()}
    other = frozenset() if made_by["random"] else frozenset({"random"})
    with pytest.raises(Failure, match="was made with") as caught:
        workspace.check_makers(place, state, workspace.Providers(Path(), other))
    assert "make down" in caught.value.hint


def test_a_stack_without_settings_is_refused_with_those_there_are(project: Project):
    with pytest.raises(Failure) as caught:
        open_stack("prod", project.root)
    assert "dev" in caught.value.hint


def test_only_dev_stacks_may_use_stand_ins(project: Project):
    if not place_of("dev", project.root).mark.exists() and not project.stack.workspace.env_vars.get(
        workspace.STAND_INS_VARIABLE
    ):
        pytest.skip("official plugins are installed: no stand-in is used")
    (project.root / "Pulumi.live.yaml").write_text("config:\n  mlflow:cloud: aws\n")
    with pytest.raises(Failure, match="stand-ins serve mlflow:cloud: dev, existing only") as caught:
        open_stack("live", project.root)
    assert "pulumi plugin install" in caught.value.hint
