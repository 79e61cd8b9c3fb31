"""The README's own commands, word by word, in a clean clone with a passphrase of its own."""

from __future__ import annotations

import os
import re
import subprocess
import time
from pathlib import Path

import pytest
import yaml

from tests.cluster.clone import Clone
from tools.cluster import kubectl
from tools.common import ROOT

WALK = re.compile(r"<!-- tested: walk -->\n```sh\n(?P<commands>.*?)```", re.DOTALL)
NAMESPACE, PORT = "pytest-walk", 30515
LIMIT = 20 * 60
"""Seconds for one command; a cold `make up` builds cluster and images."""


def walk() -> list[str]:
    found = WALK.search((ROOT / "README.md").read_text())
    assert found, "README.md marks its commands with <!-- tested: walk -->"
    return [line.partition("#")[0].strip() for line in found["commands"].splitlines() if line.strip()]


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clean clone whose dev stack keeps out of the way of one that is already up on this cluster."""
    root = tmp_path_factory.mktemp("walk") / "clone"
    git("clone", "--quiet", str(ROOT), str(root), cwd=ROOT)
    file = root / "Pulumi.dev.yaml"
    stack = yaml.safe_load(file.read_text())
    stack["config"]["mlflow:namespace"] = NAMESPACE
    stack["config"]["mlflow:exposure"] = {"nodePort": {"port": PORT}}
    file.write_text(yaml.safe_dump(stack))
    git(
        "-c",
        "user.name=walk",
        "-c",
        "user.email=walk@example.com",
        "commit",
        "-qam",
        "another port",
        cwd=root,
    )
    return root


@pytest.mark.core
def test_the_readme_walk_brings_mlflow_up_trains_and_leaves_nothing(fresh: Path, clone: Clone) -> None:
    commands = walk()
    assert commands[:3] == ["make up", "make run JOB=quickstart", "make logs JOB=quickstart"]
    assert commands[-1] == "FORCE=dev make down"
    said = {}
    for command in commands:
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", command],
            cwd=fresh,
            env={**os.environ, "YES": "1", "COLUMNS": "200"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=LIMIT,
            check=False,
        )
        said[command] = done.stdout + done.stderr
        assert done.returncode == 0, f"{command}:\n{said[command][-4000:]}"
    assert f":{PORT}" in said["make up"], "make up prints the URL"
    run = said["make run JOB=quickstart"]
    assert re.search(rf":{PORT}/#/experiments/\d+/runs/[0-9a-f]{{32}}", run), "the run's link"
    assert git("rev-parse", "HEAD", cwd=fresh)[:12] in run, "the commit that ran"
    assert "registered quickstart-diabetes version 1" in said["make logs JOB=quickstart"]
    assert "3.17.2" in said["make status"]
    assert "Lost for good" in said["FORCE=dev make down"]
    assert git("status", "--porcelain", cwd=fresh) == "", "up and down left tracked files changed"
    spaces = kubectl("get", "namespaces", "-o", "name").split()
    assert f"namespace/{NAMESPACE}" not in spaces
    await_volumes_gone()
    passphrase = fresh / ".local" / "passphrase"
    assert passphrase.stat().st_mode & 0o777 == 0o600


def await_volumes_gone() -> None:
    """A provisioner deletes a volume in its own time, once the claim is gone; a minute is ample here."""
    deadline = time.monotonic() + 60
    while NAMESPACE in kubectl("get", "persistentvolumes", "-o", "jsonpath={..claimRef.namespace}"):
        assert time.monotonic() < deadline, "volumes of the stack are left"
        time.sleep(1)


def git(*words: str, cwd: Path) -> str:
    done = subprocess.run(["git", *words], cwd=cwd, capture_output=True, text=True, check=True)
    return done.stdout
