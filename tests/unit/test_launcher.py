"""The launcher's own decisions, without MLflow; what it does with runs: tests/cluster/test_jobs.py."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from components.jobs.scripts import launcher

pytestmark = pytest.mark.unit
COMMIT = "0123456789abcdef0123456789abcdef01234567"


def checkout(root: Path) -> Path:
    """A folder as git-sync leaves it."""
    (root / ".worktrees" / COMMIT / "train").mkdir(parents=True)
    link = root / "current"
    link.symlink_to(f".worktrees/{COMMIT}")
    return link


def test_the_commit_is_the_name_that_git_syncs_link_leads_to(tmp_path: Path) -> None:
    args = launcher.parsed([str(checkout(tmp_path)), "--experiment=e", "--path=train"])
    folder, commit = launcher.located(args)
    assert commit == COMMIT
    assert folder == tmp_path / ".worktrees" / COMMIT / "train"


def test_a_plain_folder_has_the_commit_that_its_image_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    args = launcher.parsed([str(tmp_path), "--experiment=e"])
    assert launcher.located(args) == (tmp_path, None)
    monkeypatch.setenv("JOB_COMMIT", COMMIT)
    assert launcher.located(args) == (tmp_path, COMMIT)


def test_a_folder_that_is_not_in_the_code_is_told(tmp_path: Path) -> None:
    args = launcher.parsed([str(checkout(tmp_path)), "--experiment=e", "--path=tarin"])
    with pytest.raises(launcher.Wrong, match="no folder tarin"):
        launcher.located(args)


def test_a_secret_that_an_up_has_replaced_ends_the_job_with_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_TOKEN", "x")
    monkeypatch.delenv("OTHER_TOKEN", raising=False)
    args = launcher.parsed(["/code", "--experiment=e", "--needs=API_TOKEN"])
    launcher.check_needs(args.needs)
    with pytest.raises(launcher.Wrong, match="OTHER_TOKEN of the Job's secrets is no longer there"):
        launcher.check_needs(["API_TOKEN", "OTHER_TOKEN"])


def test_words_after_the_dashes_are_the_codes_own_and_later_parameters_count() -> None:
    args = launcher.parsed(["/code", "--experiment=e", "--command", "--", "python", "--param", "x", "--"])
    assert args.words == ["python", "--param", "x", "--"]
    args = launcher.parsed(["/code", "--experiment=e", "--param=a=1", "--param=b=x=y", "--param=a=2"])
    assert launcher.pairs(args.param) == {"a": "2", "b": "x=y"}


@pytest.mark.parametrize(
    ("run", "said", "trigger"),
    [
        ("churn-29385720", None, "schedule"),
        ("churn-0adc50", None, "manual"),
        ("churn-by-hand", None, "manual"),
        ("other-29385720", None, "manual"),
        ("churn-0adc50", "pipeline/daily", "pipeline/daily"),
    ],
)
def test_the_trigger_is_told_by_the_jobs_name_unless_a_pipeline_says_otherwise(
    run: str, said: str | None, trigger: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JOB_NAME", "churn")
    monkeypatch.setenv("JOB_RUN", run)
    monkeypatch.delenv("JOB_TRIGGER", raising=False)
    if said:
        monkeypatch.setenv("JOB_TRIGGER", said)
    assert launcher.tags_of_this_pod(COMMIT) == {
        "mlflow.source.git.commit": COMMIT,
        "job.name": "churn",
        "job.run": run,
        "job.trigger": trigger,
    }


def test_folders_of_earlier_runs_go_when_nothing_changed_in_them_for_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long_ago = time.time() - 9 * launcher.DAY
    runs = tmp_path / "runs"
    (tmp_path / "shared").mkdir()
    os.utime(tmp_path / "shared", (long_ago, long_ago))
    for name, deep in (("old", long_ago), ("old-but-used", time.time()), ("mine", long_ago)):
        file = runs / name / "deep" / "file"
        file.parent.mkdir(parents=True)
        file.write_text("kept")
        for path in (file, file.parent, runs / name):
            os.utime(path, (deep, deep))
        if name == "old-but-used":
            os.utime(runs / name, (long_ago, long_ago))
    monkeypatch.setenv("JOB_RUN", "mine")
    args = launcher.parsed(["/code", "--experiment=e", f"--workspace={tmp_path}", "--keep-days=7"])
    assert launcher.workspace(args) == runs / "mine"
    assert sorted(path.name for path in runs.iterdir()) == ["mine", "old-but-used"]
    assert (runs / "mine" / "deep" / "file").read_text() == "kept", "a second attempt finds its files"
    assert (tmp_path / "shared").exists(), "what all runs share is not the launcher's to remove"


def test_a_folder_that_another_run_removes_at_the_same_time_is_left_to_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long_ago = time.time() - 9 * launcher.DAY
    old = tmp_path / "runs" / "old"
    (old / "deep").mkdir(parents=True)
    for path in (old / "deep", old):
        os.utime(path, (long_ago, long_ago))

    class Vanishing(type(old)):
        """The other run is as fast as can be: each folder goes between being seen and being looked at."""

        def lstat(self):
            if self.name == "deep":
                self.rmdir()
            return super().lstat()

    monkeypatch.setattr(launcher, "Path", Vanishing)
    monkeypatch.setenv("JOB_RUN", "mine")
    args = launcher.parsed(["/code", "--experiment=e", f"--workspace={tmp_path}", "--keep-days=7"])
    assert str(launcher.workspace(args)) == str(tmp_path / "runs" / "mine")
    assert not (old / "deep").exists()


@pytest.mark.parametrize(
    ("entry_point", "parameters", "words"),
    [
        ("tune", [], "no entry point tune; it has: fail, main"),
        ("main", ["alhpa"], "entry point main has no parameter alhpa; it has: alpha, depth"),
        ("fail", ["alpha"], "entry point fail has no parameter alpha; it has: none"),
    ],
)
def test_what_the_mlproject_does_not_declare_is_refused_by_name(
    entry_point: str, parameters: list[str], words: str, tmp_path: Path
) -> None:
    with pytest.raises(launcher.Wrong, match="no MLproject file"):
        launcher.check_entry_point(tmp_path, "main", {})
    (tmp_path / "MLproject").write_text(
        "entry_points:\n  main:\n    parameters: {alpha: float, depth: {type: float, default: 1}}\n"
        "    command: x\n  fail: {command: x}\n"
    )
    launcher.check_entry_point(tmp_path, "main", {"alpha": "1"})
    with pytest.raises(launcher.Wrong, match=words):
        launcher.check_entry_point(tmp_path, entry_point, dict.fromkeys(parameters, "1"))


class Run:
    """MLflow, as far as a run of an entry point goes: ``code`` is what the code exits with."""

    def __init__(self, code: int, *, deaf: bool = False) -> None:
        self.code, self.deaf, self.ended = code, deaf, dict[str, str]()
        self.projects = self.entities = self
        self.process: subprocess.Popen[bytes] | None = None

    def run(self, *_: Any, **__: Any) -> SimpleNamespace:
        words = f"import time; time.sleep({60 if self.deaf else 0}); raise SystemExit({self.code})"
        self.process = subprocess.Popen([sys.executable, "-c", words], start_new_session=True)
        return SimpleNamespace(run_id="r", command_proc=self.process)

    def MlflowClient(self) -> Run:  # noqa: N802 - MLflow's name
        return self

    def RunTag(self, key: str, value: str) -> tuple[str, str]:  # noqa: N802 - MLflow's name
        return key, value

    def set_experiment(self, _name: str) -> SimpleNamespace:
        return SimpleNamespace(experiment_id="1")

    def log_batch(self, _run: str, **_: Any) -> None:
        if self.deaf:
            raise ConnectionError("the server is away")

    def set_terminated(self, run: str, status: str) -> None:
        self.ended[run] = status


def launched(mlflow: Run, folder: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    """The launcher's exit code for an entry point of a project."""
    monkeypatch.setitem(sys.modules, "mlflow", mlflow)
    (folder / "MLproject").write_text("entry_points: {main: {command: none}}")
    before = signal.getsignal(signal.SIGTERM)
    try:
        return launcher.launch(launcher.parsed([str(folder), "--experiment=e"]), launcher.Signals())
    finally:
        signal.signal(signal.SIGTERM, before)


@pytest.mark.parametrize(("code", "expected"), [(0, 0), (3, 3), (launcher.MISDESCRIBED, 1), (-9, 137)])
def test_the_codes_exit_code_is_the_jobs_and_none_means_that_it_is_misdescribed(
    code: int, expected: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mlflow = Run(code if code >= 0 else 0)
    if code < 0:
        monkeypatch.setattr(subprocess.Popen, "wait", lambda *_: code)
    assert launched(mlflow, tmp_path, monkeypatch) == expected


def test_a_run_that_cannot_be_tagged_ends_with_its_code_since_no_attempt_would_find_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mlflow = Run(0, deaf=True)
    with pytest.raises(ConnectionError):
        launched(mlflow, tmp_path, monkeypatch)
    assert mlflow.process is not None
    assert mlflow.process.poll() == -signal.SIGTERM
    assert mlflow.ended == {"r": "FAILED"}


OLD, MISTAKE = "removing the workspace of old", "the project has no MLproject file"
"""What it says at INFO and at ERROR when it tidies up and then finds nothing to run."""


@pytest.mark.parametrize(
    ("level", "said"),
    [
        (None, [OLD, MISTAKE]),
        ("INFO", [OLD, MISTAKE]),
        ("WARNING", [MISTAKE]),
        ("ERROR", [MISTAKE]),
        ("CRITICAL", []),
    ],
)
def test_the_launcher_says_no_more_than_its_log_level_asks_for(
    level: str | None, said: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = tmp_path / "runs" / "old"
    old.mkdir(parents=True)
    os.utime(old, (0, 0))
    monkeypatch.delenv("LAUNCHER_LOG_LEVEL", raising=False)
    if level:
        monkeypatch.setenv("LAUNCHER_LOG_LEVEL", level)
    # A process of its own, as in a pod: the tests' own logging would stand in the way.
    words = [launcher.__file__, str(tmp_path), "--experiment=e", f"--workspace={tmp_path}", "--keep-days=7"]
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (launcher.MISDESCRIBED, "")
    lines = done.stdout.splitlines()
    assert len(lines) == len(said)
    assert all(line.startswith(f"launcher: {text}") for line, text in zip(lines, said, strict=True))


def test_the_line_that_make_run_reads_is_printed_at_every_log_level(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = launcher.log.level
    launcher.log.setLevel("CRITICAL")
    try:
        launched(Run(0), tmp_path, monkeypatch)
    finally:
        launcher.log.setLevel(before)
    assert "launcher: experiment 1 run r\n" in capsys.readouterr().out


def test_requirements_go_into_an_environment_of_their_own_on_top_of_the_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[list[str]] = []

    def tool(command: list[str], cwd: Path | None = None) -> None:
        calls.append(command)
        if "venv" in command:
            Path(command[-1], "lib", f"python{launcher.sys.version_info[0]}.{launcher.sys.version_info[1]}",
                 "site-packages").mkdir(parents=True)  # fmt: skip

    monkeypatch.setattr(launcher, "checked", tool)
    monkeypatch.setenv("PATH", "/usr/bin")
    monkeypatch.delenv("VIRTUAL_ENV", raising=False)
    place = tmp_path / "run"
    place.mkdir()
    (tmp_path / "requirements.txt").write_text("a==1\n")
    args = launcher.parsed(["/code", "--experiment=e", "--requirements-file=requirements.txt"])
    launcher.install(args, tmp_path, place)
    assert [("pip" in call, call[-1]) for call in calls] == [
        (False, str(place / ".venv")),
        (True, str(tmp_path / "requirements.txt")),
    ]
    assert os.environ["PATH"] == f"{place / '.venv' / 'bin'}:/usr/bin"
    (pth,) = (place / ".venv").rglob("image.pth")
    assert "site-packages" in pth.read_text()
    launcher.install(args, tmp_path, place)
    assert len(calls) == 2, "a second attempt installed again"
    (tmp_path / "requirements.txt").write_text("a==2\n")
    launcher.install(args, tmp_path, place)
    assert len(calls) == 4, "changed requirements were not installed"


def test_without_requirements_nothing_is_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launcher, "checked", lambda *_, **__: pytest.fail("something was installed"))
    launcher.install(launcher.parsed(["/code", "--experiment=e"]), tmp_path, tmp_path)


def test_the_launcher_needs_only_the_standard_library_and_what_mlflow_brings() -> None:
    text = Path(launcher.__file__).read_text()
    imported = {
        line.split()[1] for line in text.splitlines() if line.strip().startswith(("import ", "from "))
    }
    outside = {name for name in imported if name not in launcher.sys.stdlib_module_names}
    assert outside == {"mlflow", "yaml"}
