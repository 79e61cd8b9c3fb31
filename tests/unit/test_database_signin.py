"""The server image's sign-in by token: what it takes from the URI, what it refuses, what it never shows."""

from __future__ import annotations

import importlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any
from urllib.parse import parse_qs
from zipfile import ZipFile

import pytest
from sqlalchemy import create_engine
from sqlalchemy.engine import Engine as SqlEngine

from components.clouds.gcp.scripts import grant
from components.database_engines import Engine, sqlalchemy_uri, tls_parameters
from components.database_signin import BOOTSTRAP_COMMAND, token_parameters

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "images/tracking-server/packages/database_signin"
SECRET = "not-a-real-secret-0123456789"
HOST = "db.abc.eu-west-1.rds.amazonaws.com"


@pytest.fixture(scope="module", autouse=True)
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The package as the image installs it: from its own wheel, with its entry point."""
    folder = tmp_path_factory.mktemp("wheel")
    script = f"import build_wheel; print(build_wheel.build_wheel({str(folder)!r}))"
    name = subprocess.check_output([sys.executable, "-c", script], cwd=PACKAGE, text=True).strip()
    ZipFile(folder / name).extractall(folder / "site")
    sys.path.insert(0, str(folder / "site"))
    importlib.invalidate_caches()
    yield
    sys.path.remove(str(folder / "site"))
    for module in [name for name in sys.modules if name.partition(".")[0] == "database_signin"]:
        del sys.modules[module]


def test_the_grants_for_cloud_sql_and_for_the_others_are_the_same() -> None:
    """They are written twice (docs/decisions/0035)."""
    mysql = importlib.import_module("database_signin.mysql")
    assert set(mysql.RIGHTS) == set(grant.RIGHTS)
    texts = [(PACKAGE / "src/database_signin/postgresql.py").read_text(), Path(grant.__file__).read_text()]
    mine, others = ({*re.findall(r"GRANT ([A-Z, ]+) ON (DATABASE|SCHEMA)", text)} for text in texts)
    assert mine == others == {("CONNECT, TEMPORARY", "DATABASE"), ("USAGE, CREATE", "SCHEMA")}


@pytest.fixture(autouse=True)
def identity(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)


@pytest.fixture(autouse=True)
def no_psycopg2(monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLAlchemy's dialect imports parts of it by name; only the image has it."""
    package: Any = ModuleType("psycopg2")
    package.extras, package.extensions = ModuleType("psycopg2.extras"), ModuleType("psycopg2.extensions")
    for module in (package, package.extras, package.extensions):
        monkeypatch.setitem(sys.modules, module.__name__, module)


class NoError(Exception):
    """What the driver raises."""


class Driver(SimpleNamespace):
    """Stands in for psycopg2 and PyMySQL: notes what it is connected with, and fails."""

    def __init__(self, *answer: Any) -> None:
        names = ("Error", "OperationalError", "ProgrammingError", "InterfaceError", "InternalError")
        errors = dict.fromkeys(names, NoError)
        super().__init__(__version__="2.9.13", paramstyle="pyformat", **errors)
        self.answer, self.seen = answer, []

    def connect(self, *_: Any, **arguments: Any) -> Any:
        self.seen.append(dict(arguments))
        raise NoError(*self.answer)


def uri(engine: Engine = Engine.POSTGRESQL, *, source: Any = "aws", **changes: str | None) -> str:
    query = tls_parameters(engine, "/ca.pem") | token_parameters(source, region="eu-west-1") | changes
    given = {name: value for name, value in query.items() if value is not None}
    return sqlalchemy_uri(engine, host=HOST, database="mlflow", user="mlflow", query=given)


def engine_for(text: str, driver: Driver | None = None) -> SqlEngine:
    return create_engine(text, module=driver or Driver("no"))


def attempt(text: str, driver: Driver) -> str:
    """Try to connect; the error's text."""
    with pytest.raises(Exception) as caught:
        engine_for(text, driver).connect()
    return str(caught.value)


def test_the_wheel_registers_the_plugin_under_the_name_that_the_program_writes() -> None:
    points = {point.name: point.value for point in entry_points(group="sqlalchemy.plugins")}
    assert points[token_parameters("aws")["plugin"]] == "database_signin.plugin:TokenSignIn"


@pytest.mark.parametrize("engine", [Engine.POSTGRESQL, Engine.MYSQL])
def test_the_driver_gets_a_fresh_token_and_none_of_the_plugins_keys(engine: Engine) -> None:
    driver = Driver("no")
    text = uri(engine)
    attempt(text, driver)
    attempt(text, driver)
    for seen in driver.seen:
        assert not {"plugin", "token_source", "token_region", "token_scope"} & seen.keys()
        address, _, query = seen["password"].partition("/?")
        assert address == f"{HOST}:{5432 if engine is Engine.POSTGRESQL else 3306}"
        claims = parse_qs(query)
        assert (claims["Action"], claims["DBUser"]) == (["connect"], ["mlflow"])
        assert claims["X-Amz-Credential"][0].split("/")[2:] == ["eu-west-1", "rds-db", "aws4_request"]
        assert claims["X-Amz-Expires"] == ["900"]
    assert len(driver.seen) == 2


@pytest.mark.parametrize("engine", [Engine.POSTGRESQL, Engine.MYSQL])
def test_an_engine_made_from_an_engines_url_signs_in_too(engine: Engine) -> None:
    """As MLflow does for the migration of the user tables."""
    driver = Driver("no")
    attempt(engine_for(uri(engine)).url.render_as_string(hide_password=False), driver)
    assert "X-Amz-Signature" in driver.seen[0]["password"]


def test_gss_encryption_which_would_bypass_the_certificate_is_switched_off() -> None:
    driver = Driver("no")
    attempt(uri(), driver)
    assert driver.seen[0]["gssencmode"] == "disable"


@pytest.mark.parametrize(
    ("engine", "changes"),
    [
        (Engine.POSTGRESQL, {"sslmode": None}),
        (Engine.POSTGRESQL, {"sslmode": "require"}),
        (Engine.POSTGRESQL, {"sslmode": "verify-ca"}),
        (Engine.POSTGRESQL, {"gssencmode": "prefer"}),
        (Engine.POSTGRESQL, {"service": "other"}),
        (Engine.POSTGRESQL, {"host": "other.example.com,db.example.com"}),
        (Engine.MYSQL, {"ssl_ca": None}),
        (Engine.MYSQL, {"ssl_ca": None, "ssl_check_hostname": None}),
        (Engine.MYSQL, {"ssl_check_hostname": None}),
        (Engine.MYSQL, {"ssl_check_hostname": "false"}),
        (Engine.MYSQL, {"ssl_verify_cert": "true"}),
        (Engine.MYSQL, {"ssl_disabled": "true"}),
        (Engine.MYSQL, {"unix_socket": "/run/mysqld.sock"}),
        (Engine.MYSQL, {"read_default_file": "/etc/my.cnf"}),
    ],
)
def test_no_token_goes_over_a_connection_whose_certificate_is_not_checked(
    engine: Engine, changes: dict[str, str | None]
) -> None:
    driver = Driver("no")
    assert "no sign-in without checked TLS" in attempt(uri(engine, **changes), driver)
    assert driver.seen == []


def test_a_way_around_the_uri_is_refused_when_connecting() -> None:
    driver = Driver("no")
    engine = create_engine(uri(), module=driver, connect_args={"sslmode": "disable"})
    with pytest.raises(Exception, match="no sign-in without checked TLS"):
        engine.connect()
    assert driver.seen == []


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (uri().replace("mlflow@", "mlflow:hunter2@"), "holds a password beside token_source"),
        (uri().replace("mlflow@", ""), "names no user"),
        (uri(source="gcp"), "token_source is gcp in the database URI; it may be aws or azure"),
        (uri(token_source=None), "it may be aws or azure"),
        (uri(token_region=None), "needs token_region"),
        (uri() + "&token_region=us-east-1", "token_region stands more than once"),
    ],
)
def test_a_wrong_uri_is_refused_when_the_engine_is_made_and_before_mlflow_starts_to_wait(
    text: str, complaint: str
) -> None:
    with pytest.raises(Exception, match=complaint) as caught:
        engine_for(text)
    assert "hunter2" not in str(caught.value)


def test_the_region_may_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_REGION", "ap-southeast-2")
    driver = Driver("no")
    attempt(uri(token_region=None), driver)
    assert "%2Fap-southeast-2%2F" in driver.seen[0]["password"]


@pytest.mark.parametrize(
    ("engine", "answer"),
    [
        (Engine.POSTGRESQL, ('FATAL:  PAM authentication failed for user "mlflow"',)),
        (Engine.MYSQL, (1045, "Access denied for user 'mlflow'")),
    ],
)
def test_a_refused_token_is_explained_and_never_shown(engine: Engine, answer: tuple[Any, ...]) -> None:
    driver = Driver(*answer)
    told = attempt(uri(engine), driver)
    assert str(answer[-1]) in told
    assert "check rds-db:connect on dbuser:RESOURCE_ID/mlflow" in told
    assert "X-Amz" not in told
    assert SECRET not in told


def test_without_credentials_the_error_says_where_they_should_come_from(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("HOME", "/nonexistent")
    sources: Any = importlib.import_module("database_signin.sources")
    sources.rds_client.cache_clear()
    told = attempt(uri(), Driver("no"))
    assert "no AWS token for database user mlflow: Unable to locate credentials" in told
    assert "Pod Identity association" in told
    sources.rds_client.cache_clear()


def task_errors(environment: dict[str, str]) -> str:
    task = importlib.import_module("database_signin.task")
    with pytest.raises(task.RefusedError) as caught:
        task.read_task(environment)
    return str(caught.value)


def test_the_bootstrap_names_every_mistake_in_its_variables_at_once() -> None:
    told = task_errors({"DATABASE_URI": uri(source="azure"), "ADMIN_SIGN_IN": "password"})
    for part in ("IDENTITY_ID is missing", "ADMIN_USERNAME is missing", "ADMIN_PASSWORD is missing"):
        assert part in told
    assert "ADMIN_SIGN_IN must be token on Azure" in told


@pytest.mark.parametrize(
    ("environment", "complaint"),
    [
        ({}, "DATABASE_URI is missing"),
        ({"DATABASE_URI": "hunter2 is no URI"}, "DATABASE_URI is missing or no SQLAlchemy URI"),
        ({"DATABASE_URI": "sqlite:////data/mlflow.db"}, "DATABASE_URI names sqlite"),
        ({"DATABASE_URI": uri(plugin=None)}, "plugin=database_signin and token_source belong together"),
        ({"DATABASE_URI": uri().replace("mlflow@", "mlflow:hunter2@")}, "either a password or token_source"),
        ({"DATABASE_URI": uri(), "ADMIN_SIGN_IN": "guess"}, "ADMIN_SIGN_IN is guess; it may be none, "),
        ({"DATABASE_URI": uri(), "ADMIN_SIGN_IN": "secrets-manager"}, "ADMIN_SECRET_ARN is missing"),
        (
            {"DATABASE_URI": uri(), "ADMIN_SIGN_IN": "token", "ADMIN_USERNAME": "mlflow"},
            "ADMIN_USERNAME and MLflow's user are both mlflow",
        ),
    ],
)
def test_the_bootstrap_refuses_wrong_variables_without_showing_them(
    environment: dict[str, str], complaint: str
) -> None:
    told = task_errors(environment)
    assert complaint in told
    assert "hunter2" not in told


def test_an_administrators_password_never_stands_beside_the_tokens_keys() -> None:
    task = importlib.import_module("database_signin.task").read_task({"DATABASE_URI": uri()})
    assert "token" not in task.plain_uri.render_as_string()
    assert dict(task.plain_uri.query) == tls_parameters(Engine.POSTGRESQL, "/ca.pem")


def test_an_image_without_the_package_is_named_in_one_line_by_bootstrap_and_migration() -> None:
    clean = {"PATH": os.environ["PATH"], "MLFLOW_BACKEND_STORE_URI": uri()}
    word = "install packages/database_signin of that folder"
    done = subprocess.run(
        [sys.executable, *BOOTSTRAP_COMMAND[1:]], env=clean, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert "this image lacks the Python package database_signin" in done.stderr
    assert word in done.stderr
    script = ROOT / "components/tracking/scripts/migrate.py"
    done = subprocess.run(
        [sys.executable, str(script)], env=clean, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert len((done.stdout + done.stderr).splitlines()) == 1
    assert "this image lacks the SQLAlchemy plugin database_signin" in done.stdout
    assert word in done.stdout


def test_the_bootstraps_command_runs_the_bootstrap() -> None:
    """Told by its own message about a variable."""
    site = next(path for path in sys.path if path.endswith("/site"))
    script = (
        f"import sys; sys.path.insert(0, {site!r});"
        "driver = sys.modules['psycopg2.extensions'] = type(sys)('d');"
        f"driver.encrypt_password = None; {BOOTSTRAP_COMMAND[2]}"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={"PATH": os.environ["PATH"]}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2, done.stderr
    assert "failed: DATABASE_URI is missing" in done.stdout
