"""MySQL and sqlite: up, log, read back, kill, down; what they share with PostgreSQL is tested there."""

from __future__ import annotations

import re

import pytest

from tests.cluster.experiments import assert_readable_from_another_pod, log_from_a_pod
from tests.cluster.stack import Stack, Stage

pytestmark = pytest.mark.core


def test_mysql_is_mysql_and_keeps_what_was_logged_when_it_is_killed(mysql: Stack) -> None:
    script = (
        "import os, sqlalchemy as s; c = s.create_engine(os.environ['MLFLOW_BACKEND_STORE_URI']).connect();"
        "print(*c.execute(s.text('SELECT VERSION(), @@version_comment')).one())"
    )
    version = mysql.execute("server", "python", "-c", script)
    assert re.match(r"(8|9)\.\d", version), version
    assert "MariaDB" not in version
    logged = log_from_a_pod(mysql, "on-mysql")
    for component in ("database", "server"):
        mysql.killed(component, lambda stack, component=component: stack.kill_pod(component))
        mysql.wait_until_answers()
    assert_readable_from_another_pod(mysql, logged)


def test_sqlite_keeps_what_was_logged_when_its_server_is_killed(sqlite: Stack) -> None:
    logged = log_from_a_pod(sqlite, "on-sqlite")
    sqlite.killed("server", lambda stack: stack.kill_pod("server"))
    assert_readable_from_another_pod(sqlite, logged)


def test_sqlite_never_has_two_writers_while_a_setting_changes(sqlite: Stack, stage: Stage) -> None:
    deployment = sqlite.objects("deployments")[0]
    assert deployment["spec"]["strategy"] == {"type": "Recreate"}
    before = sqlite.pod_of("server")["metadata"]["uid"]
    stage.show(sqlite, {"database": {"engine": "sqlite"}, "logLevel": {"server": "WARNING"}})
    assert sqlite.pod_of("server")["metadata"]["uid"] != before
    assert sqlite.ask("/health").status == 200
