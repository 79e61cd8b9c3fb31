"""The way to Cloud SQL: the real Auth Proxy with the arguments of the plan, a real PostgreSQL 16 behind.

Between the two stands what stands in for Google (``cloud_sql.py``). The grants run as in the Job.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sysconfig
import tempfile
import time
import urllib.request
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from components.clouds.gcp.database import ADMIN, GRANT
from components.clouds.gcp.proxy import HEALTH_PORT
from tests.emulators.cloud_sql import CONNECTION_NAME, CloudSql, cloud_sql
from tests.emulators.serving import free_port
from tests.program.conftest import plan_of
from tests.program.reading import pod_spec
from tools.cluster.binaries import binaries
from tools.common import ROOT, cache_dir, run

pytestmark = pytest.mark.engine

LOCK = Path(__file__).with_name("postgresql.txt")
USER = "mlflow-server-1a2b3c4@acme-ml.iam"
PASSWORD = "planted-admin-password"
NOBODY = 65534
"""PostgreSQL refuses to run as root."""
SETUP = f"""
CREATE ROLE cloudsqlsuperuser NOLOGIN CREATEROLE CREATEDB;
CREATE ROLE cloudsqliamserviceaccount NOLOGIN;
CREATE ROLE {ADMIN} LOGIN CREATEROLE CREATEDB PASSWORD '{PASSWORD}' IN ROLE cloudsqlsuperuser;
CREATE ROLE "{USER}" LOGIN IN ROLE cloudsqliamserviceaccount;
CREATE DATABASE mlflow OWNER cloudsqlsuperuser;
"""
"""An instance as the API leaves it: a database of cloudsqlsuperuser's, an administrator in that role, and a
user without any right (Cloud SQL, "About PostgreSQL users and roles")."""
HBA = """
local all all trust
host all +cloudsqliamserviceaccount 127.0.0.1/32 trust
host all all 127.0.0.1/32 scram-sha-256
"""


@dataclass
class Instance:
    """A Cloud SQL instance, as far as it is stood in for, and a folder for sockets."""

    google: CloudSql
    python: Path
    psql: Path
    sockets: Path
    port: int

    def sql(self, statement: str, database: str = "mlflow") -> str:
        """A statement as PostgreSQL's own superuser."""
        words = [self.psql, "-XAtq", "-h", self.sockets, "-p", str(self.port), "-U", "postgres", database]
        return run([*words, "-c", statement], timeout=30).strip()


@pytest.fixture(scope="module")
def environment() -> Path:
    """A virtual environment with PostgreSQL and its driver, made once per user and lock."""
    folder = cache_dir() / "tests" / f"postgresql-{sha256(LOCK.read_bytes()).hexdigest()[:12]}"
    if not (folder / ".complete").exists():
        venv.create(folder, with_pip=True, clear=True)
        run([folder / "bin" / "pip", "install", "--quiet", "--require-hashes", "-r", LOCK], timeout=600)
        (folder / ".complete").touch()
    return folder


@pytest.fixture
def instance(environment: Path, tmp_path: Path) -> Iterator[Instance]:
    """A fresh instance with nothing granted."""
    (packages,) = environment.glob("lib/python3*/site-packages")
    # Where the user that it runs as may look.
    with tempfile.TemporaryDirectory() as folder:
        place, port = Path(folder), free_port()
        place.chmod(0o755)
        for part in ("pgserver/pginstall", "pgserver.libs"):
            shutil.copytree(packages / part, place / part)
        data = place / "data"
        data.mkdir(mode=0o700)
        account = {"user": NOBODY, "group": NOBODY} if os.getuid() == 0 else {}
        if account:
            os.chown(data, NOBODY, NOBODY)
        home: dict[str, Any] = {"cwd": data, "env": {"PATH": os.defpath, "LC_ALL": "C.UTF-8"}, **account}
        tools = place / "pgserver" / "pginstall" / "bin"
        words = [tools / "initdb", "-D", data, "-U", "postgres", "--auth=trust", "-E", "UTF8"]
        subprocess.run(words, check=True, capture_output=True, **home)
        (data / "pg_hba.conf").write_text(HBA)
        server = subprocess.Popen(
            [tools / "postgres", "-D", data, "-p", str(port), "-k", data, "-c", "listen_addresses=127.0.0.1"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **home,
        )  # fmt: skip
        try:
            wait_for(("127.0.0.1", port))
            address = f"127.19.{os.getpid() % 250}.1"
            with cloud_sql(tmp_path, address, ("127.0.0.1", port)) as google:
                found = Instance(google, environment / "bin" / "python", tools / "psql", data, port)
                for statement in SETUP.strip().splitlines():
                    found.sql(statement, "postgres")
                yield found
        finally:
            server.send_signal(signal.SIGINT)
            server.wait(20)


def wait_for(address: tuple[str, int], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            socket.create_connection(address, 1).close()
        except OSError:
            assert time.monotonic() < deadline, f"nothing listens at {address}"
            time.sleep(0.1)
        else:
            return


@contextmanager
def proxy(google: CloudSql, case: str) -> Iterator[tuple[subprocess.Popen, int, int]]:
    """The proxy of a stack, with its very arguments but for ports and the instance's name.

    Yields the process, its port and that of its health checks.
    """
    planned = plan_of(case)
    shared = "proxy" in case
    spec = pod_spec(planned.one("Deployment", "database-proxy" if shared else "mlflow-server"))
    containers = spec["containers"] if shared else spec["initContainers"]
    (container,) = [one for one in containers if one["name"] == "cloud-sql-proxy"]
    port, health = free_port(), free_port()
    *flags, name = [str(one) for one in container["args"]]
    assert "connectionName" in name
    replaced = {f"--http-port={HEALTH_PORT}": f"--http-port={health}"}
    arguments = [
        f"--port={port}" if flag.startswith("--port=") else replaced.get(flag, flag) for flag in flags
    ]
    process = subprocess.Popen(
        [
            str(binaries("cloud-sql-proxy") / "cloud-sql-proxy"),
            f"--sqladmin-api-endpoint={google.api}",
            "--admin-port=0",
            *arguments,
            CONNECTION_NAME,
        ],
        env={"GCE_METADATA_HOST": google.metadata, "HOME": "/nonexistent"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    try:
        wait_for(("127.0.0.1", port))
        yield process, port, health
    finally:
        process.kill()
        process.wait(10)


def grants(instance: Instance, port: int, **more: str) -> subprocess.CompletedProcess[str]:
    """The Job that makes the grants."""
    given = {
        "DATABASE_URI": f"postgresql+psycopg2://{USER.replace('@', '%40')}@127.0.0.1:{port}/mlflow",
        "SIGN_IN": "identity",
        "ADMIN_USERNAME": ADMIN,
        "ADMIN_PASSWORD": PASSWORD,
        "RETIRE_ADMIN": "true",
        "GRANT_SECONDS": "3",
        **more,
    }
    return subprocess.run(
        [instance.python, "-c", GRANT.read_text()],
        env=given, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def signs_in(instance: Instance, user: str, password: str, port: int, statement: str = "select 1") -> bool:
    words = [
        instance.psql,
        "-XAtq",
        "-h",
        "127.0.0.1",
        "-p",
        str(port),
        "-U",
        user,
        "mlflow",
        "-c",
        statement,
    ]
    environment = {"PGPASSWORD": password, "PATH": os.defpath}
    return (
        subprocess.run(words, env=environment, capture_output=True, timeout=30, check=False).returncode == 0
    )


def test_the_server_signs_in_by_its_identity_and_may_make_tables_and_no_administrator_is_left(
    instance: Instance,
) -> None:
    with proxy(instance.google, "gcp by default") as (_, port, _health):
        assert not signs_in(instance, USER, "none", port, "create table t (a int)")
        done = grants(instance, port)
        assert done.returncode == 0, done.stdout + done.stderr
        assert signs_in(instance, USER, "none", port, "create table t (a int)")
        assert instance.google.logins, "certificates came from the Admin API"
        assert all(instance.google.logins), "each was asked for with a log-in token"
        assert instance.google.connections > 0, "through the instance's TLS end"
        assert not signs_in(instance, ADMIN, PASSWORD, port)
        assert PASSWORD not in done.stdout + done.stderr
        roles = f"select roleid::regrole from pg_auth_members where member = '\"{USER}\"'::regrole"  # noqa: S608
        assert instance.sql(roles) == "cloudsqliamserviceaccount", "no administrator's role came with it"
        powers = f"select rolcreaterole or rolcreatedb from pg_roles where rolname = '{USER}'"  # noqa: S608
        assert instance.sql(powers) == "f"


def test_the_grants_may_be_made_any_number_of_times(instance: Instance) -> None:
    with proxy(instance.google, "gcp by default") as (_, port, _health):
        assert grants(instance, port).returncode == 0
        again = grants(instance, port)
        assert again.returncode == 0, again.stdout
        assert "gave" not in again.stdout
        assert "had none any more" in again.stdout


def test_tables_that_another_user_made_are_no_success(instance: Instance) -> None:
    """After another sign-in: the rights on the schema do not reach what is in it."""
    with proxy(instance.google, "gcp by default") as (_, port, _health):
        instance.sql("create role mlflow login; create table alembic_version (version_num text)")
        instance.sql("alter table alembic_version owner to mlflow")
        done = grants(instance, port)
        assert done.returncode != 0, done.stdout
        assert f"its tables belong to mlflow, and not to {USER}" in done.stdout
        assert "mlflow:database.signIn" in done.stdout
        instance.sql(f'alter table alembic_version owner to "{USER}"')
        assert grants(instance, port).returncode == 0


CHECK = """
import sys
from types import SimpleNamespace
from sqlalchemy import create_engine
from database_signin import postgresql
task = SimpleNamespace(user=sys.argv[2], database="mlflow")
with create_engine(sys.argv[1]).connect() as connection:
    print(postgresql.may_create(connection, task))
"""
"""Of the other clouds, which sign in without a proxy."""


def test_the_other_clouds_see_whose_tables_there_are_as_well(instance: Instance) -> None:
    def checked() -> subprocess.CompletedProcess[str]:
        source = ROOT / "images/tracking-server/packages/database_signin/src"
        path = os.pathsep.join([str(source), sysconfig.get_path("purelib")])
        words = [
            instance.python,
            "-c",
            CHECK,
            f"postgresql+psycopg2://new@127.0.0.1:{instance.port}/mlflow",
            "new",
        ]
        return subprocess.run(
            words, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, timeout=60
        )

    instance.sql("create role former nologin; create role new login in role cloudsqliamserviceaccount")
    instance.sql("grant usage, create on schema public to new")
    assert checked().stdout == "True\n"
    instance.sql("create table alembic_version (version_num text)")
    instance.sql("alter table alembic_version owner to former")
    refused = checked()
    assert "MLflow's tables belong to former, and not to new" in refused.stderr, refused
    instance.sql("grant former to new")
    assert checked().stdout == "True\n", "as AWS leaves a user that signed in by password"


def test_an_administrator_of_an_existing_instance_keeps_the_password(instance: Instance) -> None:
    with proxy(instance.google, "gcp by default") as (_, port, _health):
        assert grants(instance, port, RETIRE_ADMIN="false").returncode == 0
        assert signs_in(instance, ADMIN, PASSWORD, port)


def test_a_user_with_a_password_is_made_and_its_database_too(instance: Instance) -> None:
    case = "gcp with direct principals and a password"
    with proxy(instance.google, case) as (_, port, _health):
        uri = f"postgresql+psycopg2://ml:planted-user-password@127.0.0.1:{port}/runs"
        done = grants(instance, port, DATABASE_URI=uri, SIGN_IN="password")
        assert done.returncode == 0, done.stdout + done.stderr
        assert instance.sql("select count(*) from pg_database where datname = 'runs'") == "1"
        assert instance.sql("select has_schema_privilege('ml', 'public', 'CREATE')", "runs") == "t"
        assert instance.google.logins
        assert not any(instance.google.logins), "no log-in token without sign-in by identity"


def test_with_nobody_to_make_the_grants_the_job_says_what_to_do(instance: Instance) -> None:
    with proxy(instance.google, "gcp by default") as (_, port, _health):
        instance.sql(f"ALTER ROLE {ADMIN} PASSWORD NULL")
        done = grants(instance, port)
        assert done.returncode == 1
        assert f"{USER} lacks CREATE on schema public" in done.stdout
        assert "replace resource mlflow-database-admin-password" in done.stdout
        assert "Traceback" not in done.stderr


@pytest.mark.parametrize("case", ["gcp by default", "gcp with a range of nodes and a shared proxy"])
def test_the_proxy_answers_its_probes_and_ends_well_when_told(instance: Instance, case: str) -> None:
    with proxy(instance.google, case) as (process, port, health):
        for path in ("startup", "liveness", "readiness"):
            assert urllib.request.urlopen(f"http://127.0.0.1:{health}/{path}", timeout=10).status == 200
        if "shared" in case:
            process.terminate()
            time.sleep(1)
            assert process.poll() is None, "it still takes connections while Services learn that it goes"
            assert signs_in(instance, USER, "none", port)
            return
        process.terminate()
        assert process.wait(10) == 0, "a Job's sidecar must not keep or fail the Job"
