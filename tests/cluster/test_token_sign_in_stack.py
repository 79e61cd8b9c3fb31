"""The whole in-cluster half on a database that it signs in to with tokens: what a cloud provides, given here.

A clone's dev cloud hands over the contract that AWS's does: a URI with the plugin, the CA file, and a
bootstrap with the master's secret. Everything after that is the product's own.
"""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from components.database_engines import Engine
from components.database_signin import BOOTSTRAP_COMMAND
from tests.cluster.clone import Clone
from tests.cluster.stack import Stack, Stage, eventually
from tests.cluster.token_databases.servers import MASTER
from tests.cluster.token_databases.world import ADMIN, CA_FILE, SERVER, Place, World
from tools.common import LOCAL

NAME, PORT, USER = "pytest-token-stack", 30519, "stacked"
GIVEN = """

import json as _json
from dataclasses import replace as _replace
from pathlib import Path as _Path

import pulumi as _pulumi

from ..contracts import Database, DatabaseBootstrap, FileFromText

_cloud = build


def build(settings: Stack) -> Foundation:
    given = _json.loads((_Path(__file__).parent / "given.json").read_text())
    uri = _pulumi.Output.secret(given["uri"])
    bootstrap = DatabaseBootstrap(
        command=given["command"], env=given["admin"], secret_env={"DATABASE_URI": uri}
    )
    files = [FileFromText(path=path, text=text) for path, text in given["files"].items()]
    database = Database(
        engine=settings.database.engine, uri=uri, files=files, env=given["env"], bootstrap=bootstrap
    )
    return _replace(_cloud(settings), database=database)
"""
"""After components/clouds/__init__.py of the clone."""


@dataclass
class Given:
    """The stack, up on one of the databases."""

    stack: Stack
    world: World
    engine: Engine
    admin: tuple[str, str]

    @property
    def place(self) -> Place:
        return self.world.places[self.engine]

    def give(self, admin: Mapping[str, str]) -> None:
        """Write what the cloud provides.

        :param admin: how the bootstrap may become the administrator.
        """
        folder = self.stack.clone.root / "components" / "clouds"
        given = {
            "uri": self.world.uri(self.engine, USER),
            "files": {CA_FILE: self.world.authority.certificate},
            "env": self.world.aws(SERVER),
            "admin": {**self.world.aws(ADMIN), **admin},
            "command": list(BOOTSTRAP_COMMAND),
        }
        (folder / "given.json").write_text(json.dumps(given))
        self.stack.clone.commit("what the cloud provides")

    def makes_experiment(self, *, limit: float = 30) -> int:
        """Make one; the answer's status."""
        body = {"name": secrets.token_hex(4)}
        return self.stack.ask("/api/2.0/mlflow/experiments/create", body, user=self.admin, limit=limit).status


@pytest.fixture(scope="module")
def token_clone(
    token_world: World, stage: Stage, tmp_path_factory: pytest.TempPathFactory, tell: Callable[[str], None]
) -> Clone:
    stage.clear()  # the node has room for one
    clone = Clone.make(tmp_path_factory.mktemp("token-clone"), tell)
    (clone.root / ".local").mkdir(mode=0o700, exist_ok=True)
    for name in ("cluster.json", "images.json"):
        (clone.root / ".local" / name).write_bytes((LOCAL / name).read_bytes())
    module = clone.root / "components" / "clouds" / "__init__.py"
    module.write_text(module.read_text() + GIVEN)
    return clone


@pytest.fixture(scope="module", params=[Engine.POSTGRESQL, Engine.MYSQL])
def given(token_clone: Clone, token_world: World, request: pytest.FixtureRequest) -> Iterator[Given]:
    stack = Stack(token_clone, NAME, PORT)
    made = Given(stack, token_world, request.param, ("admin", ""))
    made.give(token_world.by_secret(made.engine))
    stack.configure(database={"engine": str(made.engine)}, auth={"mode": "basic"})
    token_clone.verb("prepare", NAME)
    try:
        stack.up()
        values = {key: value for data in stack.secrets().values() for key, value in data.items()}
        made.admin = ("admin", base64.b64decode(values["MLFLOW_AUTH_ADMIN_PASSWORD"]).decode())
        yield made
    finally:
        stack.down()


@pytest.mark.core
def test_experiments_and_users_are_in_a_database_that_knows_no_password(given: Given) -> None:
    assert given.makes_experiment() == 200
    query = given.place.server.query
    assert int(query("SELECT count(*) FROM experiments", USER)) >= 2
    assert int(query("SELECT count(*) FROM users", USER)) >= 2
    for name, data in given.stack.secrets().items():
        text = " ".join(base64.b64decode(value).decode() for value in data.values())
        assert given.place.server.password not in text, name
        assert f"{USER}:" not in text, name


@pytest.mark.core
def test_killed_sessions_come_back_with_new_tokens(given: Given) -> None:
    assert given.makes_experiment() == 200
    before = len(given.place.verdicts(USER))
    assert given.place.server.kill_sessions(USER) > 0
    assert given.makes_experiment() == 200
    after = given.place.verdicts(USER)
    assert len(after) > before
    assert set(after[before:]) == {None}


def test_open_sessions_outlive_their_token_and_refused_ones_come_back_by_themselves(given: Given) -> None:
    place = given.place
    assert given.makes_experiment() == 200
    before = len(place.verdicts(USER))
    place.rds.late = 1000
    try:
        statuses = {given.makes_experiment() for _ in range(3)}
        if len(place.verdicts(USER)) == before:  # none wanted a further session
            assert statuses == {200}
        place.server.kill_sessions(USER)
        assert given.makes_experiment(limit=60) != 200
        assert "s old" in (place.verdicts(USER)[-1] or "")
    finally:
        place.rds.late = 0
    eventually(lambda: given.makes_experiment() == 200, 60, "the server does not come back")


def test_gc_signs_in_with_tokens_too(given: Given) -> None:
    made = given.stack.ask("/api/2.0/mlflow/experiments/create", {"name": "to-go"}, user=given.admin).json()
    given.stack.ask("/api/2.0/mlflow/experiments/delete", made, user=given.admin)
    before = len(given.place.verdicts(USER))
    user, password = given.admin
    words = [f"MLFLOW_TRACKING_USERNAME={user}", f"MLFLOW_TRACKING_PASSWORD={password}"]
    words.append("MLFLOW_TRACKING_URI=http://localhost:5000")
    script = 'mlflow gc --backend-store-uri "$MLFLOW_BACKEND_STORE_URI"'
    given.stack.execute("server", "env", *words, "sh", "-c", script)
    assert given.place.server.query("SELECT count(*) FROM experiments WHERE name = 'to-go'", USER) == "0"
    assert len(given.place.verdicts(USER)) > before


def test_the_bootstrap_passes_again_when_the_administrator_is_gone(given: Given) -> None:
    before = len(given.place.verdicts(MASTER))
    given.give({})
    jobs = {job["metadata"]["uid"] for job in bootstraps(given.stack)}
    given.stack.up()
    (job,) = bootstraps(given.stack)
    assert job["metadata"]["uid"] not in jobs
    assert job["status"]["succeeded"] == 1
    log = given.stack.kubectl("logs", f"job/{job['metadata']['name']}")
    assert f"{USER} signs in and may make tables; nothing to do" in log
    assert len(given.place.verdicts(MASTER)) == before
    assert given.makes_experiment() == 200


def bootstraps(stack: Stack) -> list[dict[str, Any]]:
    return stack.objects("jobs", "--selector", "app.kubernetes.io/component=bootstrap")
