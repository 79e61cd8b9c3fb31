"""Database URIs: explicit drivers, quoting, and TLS that is always checked."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import pytest

from components.database_engines import Engine, engine_of, sqlalchemy_uri, with_checked_tls


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


def test_an_external_mysql_checks_certificate_and_host_name() -> None:
    uri = urlsplit(with_checked_tls("mysql://u:p@db/mlflow", "/ca.pem"))
    assert uri.scheme == "mysql+pymysql"
    assert parse_qs(uri.query) == {
        "ssl_ca": ["/ca.pem"],
        "ssl_verify_cert": ["true"],
        "ssl_verify_identity": ["true"],
    }


def test_user_and_password_are_quoted() -> None:
    uri = sqlalchemy_uri(Engine.POSTGRESQL, host="h", database="d", user="a@b", password="p/w:%")
    assert uri == "postgresql+psycopg2://a%40b:p%2Fw%3A%25@h:5432/d"
