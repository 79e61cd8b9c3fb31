"""The way to Cloud SQL for MySQL: the real Auth Proxy, a real MySQL behind, grants as the Job makes them, and
MLflow's whole schema made with them.

What stands in for Google is in ``cloud_sql.py``.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pymysql
import pytest

from components.clouds.gcp.database import ADMIN, GRANT
from components.clouds.gcp.database_instance import ENGINES
from components.clouds.gcp.scripts import grant
from components.database_engines import Engine
from tests.emulators.cloud_sql import CloudSql, cloud_sql
from tests.emulators.mysql_server import MySql, mysql
from tests.emulators.serving import free_port
from tests.emulators.test_gcp_database import proxy
from tools.jobs.here import client_environment

pytestmark = pytest.mark.emulators

USER, PASSWORD, DATABASE = "mlflow-server-1a2b3c4", "planted-admin-password", "ml_flow"
"""A database whose name, in a GRANT, means others as well."""
CASE = "gcp with mysql"
FLAGS = [f"--{name.replace('_', '-')}={value}" for name, value in ENGINES[Engine.MYSQL].flags.items()]
SUPERUSER = (
    "SELECT, INSERT, UPDATE, DELETE, CREATE, DROP, RELOAD, PROCESS, REFERENCES, INDEX, ALTER, "
    "SHOW DATABASES, CREATE TEMPORARY TABLES, LOCK TABLES, EXECUTE, REPLICATION SLAVE, REPLICATION CLIENT, "
    "CREATE VIEW, SHOW VIEW, CREATE ROUTINE, ALTER ROUTINE, CREATE USER, EVENT, TRIGGER, CREATE ROLE, "
    "DROP ROLE"
)
"""Of every BUILT_IN user, by role (Cloud SQL for MySQL, "About MySQL users": MySQL 8.0 user privileges)."""
MIGRATE = """
import sys
from mlflow.store.db.utils import _initialize_tables, create_sqlalchemy_engine_with_retry
_initialize_tables(create_sqlalchemy_engine_with_retry(sys.argv[1]))
"""


@dataclass(frozen=True)
class Instance:
    """A Cloud SQL instance, as far as it is stood in for."""

    google: CloudSql
    server: MySql


@pytest.fixture
def instance(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Instance]:
    """An instance as the API leaves it: a database, an administrator with its role, a user with nothing.

    Its parameter is ``partial_revokes``, with which a GRANT takes a database's name as it is.
    """
    port = free_port()
    revokes = f"--partial-revokes={getattr(request, 'param', 'ON')}"
    options = [*FLAGS, "--log-bin=binlog", "--server-id=1", "--activate-all-roles-on-login=ON", revokes]
    with tempfile.TemporaryDirectory() as folder, mysql(Path(folder), port, options) as server:
        server.query(
            "CREATE ROLE cloudsqlsuperuser",
            f"GRANT {SUPERUSER} ON *.* TO cloudsqlsuperuser WITH GRANT OPTION",
            f"CREATE USER {ADMIN} IDENTIFIED BY '{PASSWORD}'",
            f"GRANT cloudsqlsuperuser TO {ADMIN}",
            # The instance takes the identity's word from the proxy's certificate; here there is nothing to
            # ask.
            f"CREATE USER `{USER}` IDENTIFIED BY ''",
            f"CREATE DATABASE {DATABASE} CHARACTER SET utf8mb4",
            "CREATE DATABASE mlxflow",
        )
        address = f"127.20.{os.getpid() % 250}.1"
        with cloud_sql(tmp_path, address, ("127.0.0.1", port), "MYSQL_8_4") as google:
            yield Instance(google, server)


def grants(port: int, **more: str) -> subprocess.CompletedProcess[str]:
    """The Job that makes the grants."""
    given = {
        "DATABASE_URI": f"mysql+pymysql://{USER}@127.0.0.1:{port}/{DATABASE}",
        "SIGN_IN": "identity",
        "ADMIN_USERNAME": ADMIN,
        "ADMIN_PASSWORD": PASSWORD,
        "RETIRE_ADMIN": "true",
        "GRANT_SECONDS": "3",
        **more,
    }
    return subprocess.run(
        [sys.executable, "-c", GRANT.read_text()],
        env=given, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def migrated(uri: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """MLflow makes its schema, as ``mlflow db upgrade`` of an empty database does."""
    packages = folder / "driver"
    packages.mkdir()
    (packages / "pymysql").symlink_to(Path(pymysql.__file__).parent)
    return subprocess.run(
        [client_environment() / "bin" / "python", "-c", MIGRATE, uri],
        env={"PATH": os.defpath, "HOME": str(folder), "PYTHONPATH": str(packages)},
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip


def test_the_server_signs_in_by_its_identity_makes_mlflows_schema_and_no_administrator_is_left(
    instance: Instance, tmp_path: Path
) -> None:
    server = instance.server
    with proxy(instance.google, CASE) as (_, port, _health):
        assert "denied" in server.signs_in(USER, "", port, database=DATABASE)
        done = grants(port)
        assert done.returncode == 0, done.stdout + done.stderr
        assert PASSWORD not in done.stdout + done.stderr
        schema = migrated(f"mysql+pymysql://{USER}@127.0.0.1:{port}/{DATABASE}", tmp_path)
        assert schema.returncode == 0, schema.stderr[-2000:]
        assert instance.google.logins, "certificates came from the Admin API"
        assert all(instance.google.logins), "each was asked for with a log-in token"
        assert instance.google.connections > 0, "through the instance's TLS end"
        assert "denied" in server.signs_in(ADMIN, PASSWORD, port)
    tables = server.query(f"SHOW TABLES FROM {DATABASE}")
    assert {("experiments",), ("alembic_version",)} <= set(tables)
    assert server.query(f"SHOW TRIGGERS FROM {DATABASE}"), (
        "or TRIGGER, and the instance's flag for it, would be more than is needed"
    )


@pytest.mark.parametrize("instance", ["OFF", "ON"], indirect=True)
def test_the_user_gets_the_rights_on_this_one_database_and_nothing_else(instance: Instance) -> None:
    with proxy(instance.google, CASE) as (_, port, _health):
        assert grants(port).returncode == 0
        for statement in ("CREATE TABLE t (a int)", "CREATE USER other", "CREATE VIEW v AS SELECT 1"):
            refused = instance.server.signs_in(USER, "", port, statement, database=DATABASE)
            assert bool(refused) == ("TABLE" not in statement), statement
        assert "denied" in instance.server.signs_in(USER, "", port, database="mlxflow")
        assert "denied" in instance.server.signs_in(USER, "", port, database="mysql")
    granted = instance.server.query(f"SHOW GRANTS FOR `{USER}`")
    assert [text for (text,) in granted if "USAGE" in text] == [f"GRANT USAGE ON *.* TO `{USER}`@`%`"]
    (rights,) = [text for (text,) in granted if "USAGE" not in text]
    assert set(rights.removeprefix("GRANT ").partition(" ON ")[0].split(", ")) == set(grant.RIGHTS)
    assert "GRANT OPTION" not in rights


def test_the_grants_may_be_made_any_number_of_times(instance: Instance) -> None:
    with proxy(instance.google, CASE) as (_, port, _health):
        assert grants(port).returncode == 0
        again = grants(port)
        assert again.returncode == 0, again.stdout
        assert "gave" not in again.stdout
        assert "had none any more" in again.stdout


def test_an_administrator_of_an_existing_instance_keeps_the_password(instance: Instance) -> None:
    with proxy(instance.google, CASE) as (_, port, _health):
        assert grants(port, RETIRE_ADMIN="false").returncode == 0
        assert instance.server.signs_in(ADMIN, PASSWORD, port) == ""


def test_a_user_with_a_password_is_made_and_its_database_too(instance: Instance) -> None:
    with proxy(instance.google, "gcp with mysql, a password and a shared proxy") as (_, port, _health):
        uri = f"mysql+pymysql://ml:planted-user-password@127.0.0.1:{port}/runs"
        done = grants(port, DATABASE_URI=uri, SIGN_IN="password")
        assert done.returncode == 0, done.stdout + done.stderr
        made = instance.server.signs_in(
            "ml", "planted-user-password", port, "CREATE TABLE t (a int)", database="runs"
        )
        assert made == ""
        assert "denied" in instance.server.signs_in("ml", "none", port)
        assert not any(instance.google.logins), "no log-in token without sign-in by identity"


def test_with_nobody_to_make_the_grants_the_job_says_what_to_do(instance: Instance) -> None:
    instance.server.query(f"ALTER USER {ADMIN} IDENTIFIED BY RANDOM PASSWORD")
    with proxy(instance.google, CASE) as (_, port, _health):
        done = grants(port)
        assert done.returncode == 1
        assert f"{USER} lacks" in done.stdout
        assert "replace resource mlflow-database-admin-password" in done.stdout
        assert "Traceback" not in done.stderr
