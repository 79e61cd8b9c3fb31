"""One clone of the project for the whole tier, and one stack per database engine in it."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.cluster.clone import Clone
from tests.cluster.stack import Stack, brought_up
from tools.common import LOCAL

REQUIRE = ("REQUIRE_CLUSTER", "MLFLOW_REQUIRE_CLUSTER")
"""Environment variables that turn "there is no cluster" from a skip into a failure (CI)."""
PORTS = {"pytest-postgresql": 30511, "pytest-mysql": 30512, "pytest-sqlite": 30513, "pytest-external": 30514}


@pytest.fixture(scope="session")
def tell(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Write a line to the terminal past pytest's capture: these tests take minutes."""
    reporter: Any = request.config.pluginmanager.getplugin("terminalreporter")
    capture: Any = request.config.pluginmanager.getplugin("capturemanager")
    start = time.monotonic()

    def write(text: str) -> None:
        with capture.global_and_fixture_disabled():
            reporter.ensure_newline()
            reporter.write_line(f"[{time.monotonic() - start:5.0f} s] {text}")

    return write


@pytest.fixture(scope="session")
def clone(tmp_path_factory: pytest.TempPathFactory, tell: Callable[[str], None]) -> Clone:
    if not (LOCAL / "cluster.json").exists():
        text = "there is no cluster: run `make cluster`"
        if any(os.environ.get(name) == "1" for name in REQUIRE):
            pytest.fail(f"{text} ({' or '.join(REQUIRE)} is 1)")
        pytest.skip(text)
    made = Clone.make(tmp_path_factory.mktemp("clone"), tell)
    (made.root / ".local").mkdir(mode=0o700, exist_ok=True)
    for name in ("cluster.json", "images.json"):
        if (LOCAL / name).exists():
            shutil.copy2(LOCAL / name, made.root / ".local")
    made.configure("pytest-prepare", {"cloud": "dev"})
    made.verb("prepare", "pytest-prepare")
    return made


def _stack(clone: Clone, engine: str) -> Stack:
    name = f"pytest-{engine}"
    return Stack(clone, name, PORTS[name])


@pytest.fixture(scope="module")
def postgresql(clone: Clone) -> Iterator[Stack]:
    """The default stack: PostgreSQL and a volume for artifacts."""
    stack = _stack(clone, "postgresql")
    stack.configure(database={"engine": "postgresql"})
    with brought_up(stack):
        yield stack


@pytest.fixture(scope="module")
def mysql(clone: Clone) -> Iterator[Stack]:
    stack = _stack(clone, "mysql")
    stack.configure(database={"engine": "mysql"})
    with brought_up(stack):
        yield stack


@pytest.fixture(scope="module")
def sqlite(clone: Clone) -> Iterator[Stack]:
    stack = _stack(clone, "sqlite")
    stack.configure(database={"engine": "sqlite"})
    with brought_up(stack):
        yield stack


@pytest.fixture(scope="module")
def outside(clone: Clone) -> Stack:
    """The stack whose stores are elsewhere; its tests configure it."""
    return _stack(clone, "external")
