"""Which CLI, which plugins, which backend: the user's own always win, and nothing is guessed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tools.common import Failure
from tools.engine import cli, plugins, workspace
from tools.engine.place import Place, difference, keep_additions, load, merge, prepare
from tools.engine.plugins import Providers, choose_providers, sdk_version
from tools.engine.workspace import environment

CLI = Path("/usr/local/bin/pulumi")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home and cache, nothing on PATH, no download answering, no Pulumi variable set."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    for name in (
        "PULUMI_HOME", "PULUMI_BACKEND_URL", "PULUMI_ACCESS_TOKEN", "PULUMI_CREDENTIALS_PATH",
        "PULUMI_CONFIG_PASSPHRASE", "PULUMI_CONFIG_PASSPHRASE_FILE", plugins.CHOICE,
    ):  # fmt: skip
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(plugins, "downloadable", lambda _: False)
    monkeypatch.setattr(cli, "downloadable", lambda _: False)
    return tmp_path


def install(home: Path, package: str) -> Path:
    folder = home / ".pulumi/plugins" / f"resource-{package}-v{sdk_version(package)}"
    folder.mkdir(parents=True)
    (folder / f"pulumi-resource-{package}").touch(mode=0o755)
    return folder


def executable(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


def test_official_plugins_in_the_users_folder_win_even_on_dev(home: Path):
    for package in plugins.STAND_INS:
        install(home, package)
    assert choose_providers(CLI, "dev", "dev", home / ".local") == Providers(home / ".pulumi", frozenset())


def test_official_plugins_on_path_win(home: Path):
    for package in plugins.STAND_INS:
        executable(home / "bin" / f"pulumi-resource-{package}")
    assert choose_providers(CLI, "dev", "dev", home / ".local").stand_ins == frozenset()


def test_stand_ins_fill_gaps_in_a_folder_of_the_checkouts_own_with_one_loud_line(
    home: Path, capsys: pytest.CaptureFixture[str]
):
    official = install(home, "random")
    before = sorted((home / ".pulumi").rglob("*"))
    chosen = choose_providers(CLI, "dev", "dev", home / ".local")
    assert chosen == Providers(home / ".local/pulumi-home", frozenset({"kubernetes"}))
    assert (chosen.home / "plugins" / official.name).resolve() == official
    launcher = chosen.home / "plugins" / f"resource-kubernetes-v{sdk_version('kubernetes')}"
    assert (launcher / "pulumi-resource-kubernetes").stat().st_mode & 0o111
    assert sorted((home / ".pulumi").rglob("*")) == before
    chosen.announce()
    shown = capsys.readouterr().err.strip()
    assert shown.startswith("STAND-INS")
    assert shown.count("\n") == 0
    install(home, "kubernetes")
    official_only = choose_providers(CLI, "dev", "dev", home / ".local")
    official_only.announce()
    assert official_only.stand_ins == frozenset()
    assert capsys.readouterr().err == ""


def test_a_stack_that_is_not_dev_is_never_served_by_a_stand_in(home: Path):
    for cloud in ("aws", "gcp", "azure", None):
        with pytest.raises(Failure, match="stand-ins serve") as caught:
            choose_providers(CLI, "live", cloud, home / ".local")
        assert "pulumi plugin install resource kubernetes" in caught.value.hint


def test_the_choice_can_be_insisted_on_but_not_misspelt(home: Path, monkeypatch: pytest.MonkeyPatch):
    for package in plugins.STAND_INS:
        install(home, package)
    monkeypatch.setenv(plugins.CHOICE, "stand-ins")
    assert choose_providers(CLI, "dev", "dev", home / ".local").stand_ins == set(plugins.STAND_INS)
    with pytest.raises(Failure):
        choose_providers(CLI, "live", "aws", home / ".local")
    monkeypatch.setenv(plugins.CHOICE, "standins")
    with pytest.raises(Failure, match="neither"):
        choose_providers(CLI, "dev", "dev", home / ".local")


def test_the_cli_on_path_wins_and_without_any_way_to_get_one_the_way_out_is_named(
    home: Path, monkeypatch: pytest.MonkeyPatch
):
    with pytest.raises(Failure) as caught:
        cli.find_cli()
    assert "install" in caught.value.hint
    found = executable(home / "bin/pulumi")
    assert cli.find_cli() == found
    assert cli.is_users_own(found)


def test_a_refused_download_is_not_tried_again_the_same_day(home: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.undo()
    monkeypatch.setenv("XDG_CACHE_HOME", str(home / "cache"))
    tried = []

    def refuse(request, timeout):
        tried.append(timeout)
        raise OSError("no network")

    monkeypatch.setattr("urllib.request.urlopen", refuse)
    assert not cli.downloadable("https://example.invalid/x")
    assert not cli.downloadable("https://example.invalid/x")
    assert tried == [cli.PROBE_LIMIT]
    memory = home / "cache/mlflow-on-kubernetes/refused-downloads.json"
    memory.write_text(json.dumps({"https://example.invalid/x": 0}))
    assert not cli.downloadable("https://example.invalid/x")
    assert len(tried) == 2


def place(home: Path, project: str = "name: mlflow\n") -> Place:
    root = home / "clone"
    (root / ".local").mkdir(parents=True)
    (root / "Pulumi.yaml").write_text(project)
    return Place(root, "dev")


STAND_INS = frozenset(plugins.STAND_INS)


def test_the_state_is_where_the_user_is_logged_in_and_the_login_serves_stand_ins_too(home: Path):
    there = place(home)
    (home / ".pulumi").mkdir()
    (home / ".pulumi/credentials.json").write_text(json.dumps({"current": "s3://states"}))
    env = environment(there, Providers(there.local / "pulumi-home", STAND_INS))
    assert env["PULUMI_BACKEND_URL"] == "s3://states"
    assert env["PULUMI_CREDENTIALS_PATH"] == str(home / ".pulumi")


def test_without_a_login_the_state_is_a_folder_with_a_generated_passphrase(home: Path):
    there = place(home)
    env = environment(there, Providers(there.local / "pulumi-home", STAND_INS))
    assert env["PULUMI_BACKEND_URL"] == f"file://{there.local / 'state'}"
    file = Path(env["PULUMI_CONFIG_PASSPHRASE_FILE"])
    assert file.stat().st_mode & 0o777 == 0o600
    assert len(file.read_text()) >= 32
    again = environment(there, Providers(there.local / "pulumi-home", STAND_INS))
    assert again == env


def test_what_the_user_or_the_project_says_about_the_backend_wins(
    home: Path, monkeypatch: pytest.MonkeyPatch
):
    there = place(home, "name: mlflow\nbackend: {url: gs://states}\n")
    providers = Providers(home / ".pulumi", frozenset())
    env = environment(there, providers)
    assert "PULUMI_BACKEND_URL" not in env
    assert "PULUMI_CONFIG_PASSPHRASE_FILE" not in env, "a passphrase that others need is theirs to choose"
    monkeypatch.setenv("PULUMI_BACKEND_URL", "azblob://states")
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE", "mine")
    env = environment(there, providers)
    assert env["PULUMI_BACKEND_URL"] == "azblob://states"
    assert env["PULUMI_CONFIG_PASSPHRASE"] == "mine"
    assert not (there.local / "passphrase").exists()


def test_merged_settings_come_apart_again_into_what_is_tracked_and_what_was_added():
    tracked = {"config": {"mlflow:cloud": "dev", "mlflow:server": {"replicas": 1}}}
    added = {
        "encryptionsalt": "v1:x",
        "config": {"mlflow:secrets": {"a": {"b": {"K": {"secure": "v1:y"}}}}},
    }
    merged = merge(tracked, added)
    assert merged["config"]["mlflow:server"] == {"replicas": 1}
    assert difference(merged, tracked) == added
    assert difference(tracked, tracked) == {}
    newer = {"config": {"mlflow:secrets": {"a": {"b": {"K": {"secure": "v1:z"}}}}}}
    assert merge(merged, newer)["config"] == {**merged["config"], **newer["config"]}


def test_a_key_services_data_key_is_shared_and_a_passphrases_salt_is_not(home: Path):
    there = place(home)
    there.tracked.write_text("# ours\nsecretsprovider: awskms://alias/x\nconfig: {}\n")
    prepare(there)
    there.merged.write_text(there.merged.read_text() + "encryptedkey: abc\n")
    keep_additions(there)
    assert there.tracked.read_text().startswith("# ours\n")
    assert load(there.tracked)["encryptedkey"] == "abc"
    assert not there.overlay.exists()
    there.tracked.write_text("config: {}\n")
    prepare(there)
    there.merged.write_text(there.merged.read_text() + "encryptionsalt: v1:x\n")
    keep_additions(there)
    assert load(there.tracked) == {"config": {}}
    assert load(there.overlay) == {"encryptionsalt": "v1:x"}


def test_only_stacks_that_stand_ins_made_are_marked_for_runs_by_a_plain_cli(home: Path):
    there = place(home)
    workspace.check_makers(there, {}, Providers(home, STAND_INS))
    assert json.loads(there.mark.read_text()) == sorted(STAND_INS)
    workspace.check_makers(there, {}, Providers(home, frozenset()))
    assert not there.mark.exists()


@pytest.mark.parametrize(
    ("settings", "backend", "refused"),
    [
        ("mlflow:cloud: aws", "file:///home/me/.local/state", True),
        ("mlflow:cloud: aws, mlflow:localState: false", "file://~", True),
        ("mlflow:cloud: aws, mlflow:localState: true", "file://~", False),
        ("mlflow:cloud: aws", "s3://states?region=eu-west-1", False),
        ("mlflow:cloud: dev", "file://~", False),
    ],
)
def test_a_cloud_stacks_state_stays_off_this_machine_unless_the_stack_says_so(
    home: Path, settings: str, backend: str, refused: bool
):
    there = place(home)
    there.tracked.write_text(f"config: {{{settings}}}\n")
    if not refused:
        workspace.refuse_local_state(there, {"PULUMI_BACKEND_URL": backend})
        return
    with pytest.raises(Failure, match="on this machine only") as caught:
        workspace.refuse_local_state(there, {"PULUMI_BACKEND_URL": backend})
    assert "make backend STACK=dev" in caught.value.hint
    assert "mlflow:localState: true in Pulumi.dev.yaml" in caught.value.hint
