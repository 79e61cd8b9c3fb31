"""What of a checkout is sent to the cluster, and what is refused."""

from __future__ import annotations

import io
import subprocess
import tarfile
from pathlib import Path

import pytest

from components.clouds.dev.code import local_code
from components.local_code import LIMIT, NotServable, archived
from components.settings import SettingsError, parse
from components.settings.dev import DevStack

pytestmark = pytest.mark.unit


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "a.py").write_text("first\n")
    (tmp_path / "other.txt").write_text("other\n")
    git(tmp_path, "init", "--quiet", "--initial-branch=main")
    commit(tmp_path)
    return tmp_path


def git(folder: Path, *words: str) -> str:
    who = ["-c", "user.name=tests", "-c", "user.email=tests@localhost", "-c", "commit.gpgsign=false"]
    return subprocess.check_output(["git", *who, *words], cwd=folder, text=True).strip()


def commit(folder: Path) -> str:
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "x")
    return git(folder, "rev-parse", "HEAD")


def names(content: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(content)) as files:
        opened = {member.name: files.extractfile(member) for member in files.getmembers()}
        return {name: file.read() for name, file in opened.items() if file}


def test_only_the_folder_of_the_commit_is_sent_and_twice_the_same(checkout: Path) -> None:
    code = archived(checkout, "HEAD", "train")
    assert names(code.tar_gz) == {"train/a.py": b"first\n"}
    assert code.commit == git(checkout, "rev-parse", "HEAD")
    assert archived(checkout, "HEAD", "train") == code


def test_another_ref_is_what_it_was_whatever_is_not_committed(checkout: Path) -> None:
    first = git(checkout, "rev-parse", "HEAD")
    (checkout / "train" / "a.py").write_text("second\n")
    assert names(archived(checkout, first, "train").tar_gz) == {"train/a.py": b"first\n"}
    second = commit(checkout)
    assert archived(checkout, "main", "train").commit == second


@pytest.mark.parametrize("name", ["train/a.py", "train/new.py"])
def test_what_is_not_committed_is_refused_by_name_and_elsewhere_does_not_matter(
    name: str, checkout: Path
) -> None:
    (checkout / "other.txt").write_text("changed\n")
    archived(checkout, "HEAD", "train")
    (checkout / name).write_text("changed\n")
    with pytest.raises(NotServable, match=f"{name} is not committed; commit") as refused:
        archived(checkout, "HEAD", "train")
    assert "\n" not in str(refused.value)


def test_what_cannot_be_served_is_told_in_one_line(
    checkout: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with pytest.raises(NotServable, match="no nope in the checkout"):
        archived(checkout, "nope", "")
    with pytest.raises(NotServable, match="no folder tarin"):
        archived(checkout, "main", "tarin")
    with pytest.raises(NotServable, match="there is no folder"):
        archived(checkout / "missing", "HEAD", "")
    with pytest.raises(NotServable, match="is not a Git checkout"):
        archived(tmp_path_factory.mktemp("plain"), "HEAD", "")


def test_what_does_not_fit_a_config_map_is_refused_unless_it_goes_elsewhere(checkout: Path) -> None:
    with pytest.raises(NotServable, match="name a smaller folder in path, or push it"):
        archived(checkout, "HEAD", "", limit=10)
    assert archived(checkout, "HEAD", "", limit=None)
    assert LIMIT < 2**20


def test_every_job_and_service_of_this_machine_is_asked_for_its_commit(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_OFFLINE", raising=False)
    (checkout / "train" / "new.py").write_text("not committed\n")
    here = {"git": {"local": str(checkout), "path": "train"}}
    clean = {"git": {"local": str(checkout), "ref": "main"}}
    settings = parse(
        {
            "cloud": "dev",
            "jobs": {"learn": here, "fine": clean},
            "services": {"front": {**here, "module": "a"}, "calm": {**clean, "module": "a"}},
        }
    )
    assert isinstance(settings, DevStack)
    with pytest.raises(SettingsError) as refused:
        local_code(settings)
    assert [problem.key for problem in refused.value.problems] == [
        "mlflow:jobs.learn.git.local",
        "mlflow:services.front.git.local",
    ]
