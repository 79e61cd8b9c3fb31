"""Database URIs: explicit drivers, quoting, and TLS that is always checked."""

from __future__ import annotations

import ssl
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pymysql
import pytest
from sqlalchemy.dialects.mysql.pymysql import MySQLDialect_pymysql
from sqlalchemy.engine import make_url

from components.database_engines import Engine, engine_of, sqlalchemy_uri, with_checked_tls

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("url", "engine"),
    [
        ("postgresql://h/d", Engine.POSTGRESQL),
        ("postgres://h/d", Engine.POSTGRESQL),
        ("postgresql+asyncpg://h/d", Engine.POSTGRESQL),
        ("mysql://h/d", Engine.MYSQL),
        ("sqlite:///x", None),
        ("", None),
    ],
)
def test_the_engine_is_read_from_the_scheme(url: str, engine: Engine | None) -> None:
    assert engine_of(url) is engine


def test_an_external_postgresql_is_verified_in_full_with_our_driver() -> None:
    uri = urlsplit(with_checked_tls("postgresql://u:p%40ss@db:6432/mlflow?application_name=x", "/ca.pem"))
    assert uri.scheme == "postgresql+psycopg2"
    assert uri.netloc == "u:p%40ss@db:6432"
    assert parse_qs(uri.query) == {
        "application_name": ["x"],
        "sslmode": ["verify-full"],
        "sslrootcert": ["/ca.pem"],
    }


def test_mysql_elsewhere_is_reached_with_our_ca_and_with_its_host_name_checked(tmp_path: Path) -> None:
    """Judged by the TLS context that SQLAlchemy and PyMySQL really build, in the versions of the image."""
    ca = tmp_path / "ca.pem"
    ca.write_text(own_ca())
    uri = make_url(with_checked_tls("mysql://u:p@db.example.com/mlflow", str(ca)))
    assert uri.drivername == "mysql+pymysql"
    _, arguments = MySQLDialect_pymysql(dbapi=pymysql).create_connect_args(uri)
    connection: Any = pymysql.connect(defer_connect=True, **arguments)
    assert connection.ctx.check_hostname
    assert connection.ctx.verify_mode is ssl.CERT_REQUIRED
    assert len(connection.ctx.get_ca_certs()) == 1, "our CA and no other"


def own_ca() -> str:
    return subprocess.check_output(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "/dev/null",
         "-days", "1", "-subj", "/CN=test"], stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip


def test_the_drivers_tested_here_are_those_of_the_image() -> None:
    locked = (ROOT / "images/tracking-server/requirements.txt").read_text()
    assert f"pymysql=={version('pymysql')}" in locked.lower()
    assert f"sqlalchemy=={version('sqlalchemy')}" in locked.lower()


def test_user_and_password_are_quoted() -> None:
    uri = sqlalchemy_uri(Engine.POSTGRESQL, host="h", database="d", user="a@b", password="p/w:%")
    assert uri == "postgresql+psycopg2://a%40b:p%2Fw%3A%25@h:5432/d"
