"""The stand-in for git-sync, run on this machine; in pods: tests/cluster/test_jobs.py."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cluster.git_server import Repository
from tools.common import ROOT

pytestmark = pytest.mark.unit
SCRIPT = ROOT / "images" / "substitutes" / "git-sync" / "git-sync.py"


def synced(repository: Repository, root: Path, *flags: str) -> tuple[int, str]:
    """Exit code and what it wrote last."""
    root.mkdir()
    words = [f"--repo={repository.bare.as_uri()}", f"--root={root}", "--link=current", "--one-time", *flags]
    done = subprocess.run(
        [sys.executable, SCRIPT, *words],
        # Of itself git fetches no submodule from a path.
        env={**os.environ, "GIT_ALLOW_PROTOCOL": "file"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stderr.strip().splitlines()[-1]


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    shared, made = (Repository.make(tmp_path, name) for name in ("shared", "churn"))
    shared.commit({"value.py": "VALUE = 1\n"})
    made.hold(shared, "vendor/shared")
    made.commit({"main.py": "x\n"})
    return made


def test_a_submodule_of_a_relative_address_is_fetched_from_beside_its_repository(
    repository: Repository, tmp_path: Path
) -> None:
    code, told = synced(repository, tmp_path / "root")
    assert code == 0, told
    assert (tmp_path / "root" / "current" / "vendor" / "shared" / "value.py").exists()
    # By this link the launcher knows the commit.
    assert json.loads(told)["hash"] == (tmp_path / "root" / "current").readlink().name


def test_no_submodule_is_fetched_where_none_is_wanted(repository: Repository, tmp_path: Path) -> None:
    code, told = synced(repository, tmp_path / "root", "--submodules=off")
    assert code == 0, told
    assert list((tmp_path / "root" / "current" / "vendor" / "shared").iterdir()) == []


def test_a_ref_that_is_not_there_is_told(repository: Repository, tmp_path: Path) -> None:
    code, told = synced(repository, tmp_path / "root", "--ref=nowhere")
    assert code == 1
    assert "couldn't find remote ref nowhere" in json.loads(told)["error"]
