"""One clone of the project for the whole tier, and one stack per database engine in it."""

from __future__ import annotations

import base64
import json
import shutil
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.cluster.clone import Clone
from tests.cluster.experiments import Logged, log_from_a_pod
from tests.cluster.stack import POSTGRESQL, SIGNED_IN, SignedIn, Stack, Stage
from tests.cluster.token_databases.world import World
from tests.cluster.token_databases.world import token_world as start_token_world
from tests.needs import host_address, known_cluster
from tools.common import LOCAL

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
    known_cluster()
    made = Clone.make(tmp_path_factory.mktemp("clone"), tell)
    (made.root / ".local").mkdir(mode=0o700, exist_ok=True)
    for name in ("cluster.json", "images.json"):
        if (LOCAL / name).exists():
            shutil.copy2(LOCAL / name, made.root / ".local")
    made.configure("pytest-prepare", {"cloud": "dev"})
    made.verb("prepare", "pytest-prepare")
    return made


@pytest.fixture(scope="session")
def stage(clone: Clone) -> Iterator[Stage]:
    made = Stage(clone)
    yield made
    made.clear()


def _stack(clone: Clone, kind: str) -> Stack:
    name = f"pytest-{kind}"
    return Stack(clone, name, PORTS[name])


@pytest.fixture
def postgresql(clone: Clone, stage: Stage) -> Stack:
    """The default stack: PostgreSQL and a volume for artifacts."""
    return stage.show(_stack(clone, "postgresql"), POSTGRESQL)


@pytest.fixture
def logged(postgresql: Stack, stage: Stage) -> Logged:
    """A run that a pod logged to the default stack."""
    return stage.once(log_from_a_pod)


@pytest.fixture
def signed(clone: Clone, stage: Stage) -> SignedIn:
    """The default stack with sign-in."""
    stack = stage.show(_stack(clone, "postgresql"), SIGNED_IN)
    values: dict[str, str] = {}
    for data in stack.secrets().values():
        values |= {key: base64.b64decode(value).decode() for key, value in data.items()}
    jobs = (values["MLFLOW_TRACKING_USERNAME"], values["MLFLOW_TRACKING_PASSWORD"])
    return SignedIn(stack, ("admin", values["MLFLOW_AUTH_ADMIN_PASSWORD"]), jobs)


@pytest.fixture
def mysql(clone: Clone, stage: Stage) -> Stack:
    return stage.show(_stack(clone, "mysql"), {"database": {"engine": "mysql"}})


@pytest.fixture
def sqlite(clone: Clone, stage: Stage) -> Stack:
    return stage.show(_stack(clone, "sqlite"), {"database": {"engine": "sqlite"}})


@pytest.fixture(scope="session")
def outside(clone: Clone) -> Stack:
    """The stack whose stores are elsewhere; its tests bring it up."""
    return _stack(clone, "external")


@pytest.fixture(scope="session")
def token_world(tmp_path_factory: pytest.TempPathFactory, tell: Callable[[str], None]) -> Iterator[World]:
    """Databases that are signed in to with tokens."""
    known = known_cluster()
    host_address(known)
    images = json.loads((LOCAL / "images.json").read_text())["images"]
    tell("  … databases that are signed in to with tokens")
    folder = tmp_path_factory.mktemp("tokens")
    with start_token_world(known, images, "pytest-tokens", folder) as made:
        tell("  ✓ databases that are signed in to with tokens")
        yield made
