"""The database engines MLflow runs on here: names, ports, drivers and how each driver checks TLS."""

from __future__ import annotations

from enum import StrEnum
from urllib.parse import parse_qsl, quote, urlencode, urlsplit


class Engine(StrEnum):
    """Database engines."""

    POSTGRESQL = "postgresql"
    MYSQL = "mysql"
    SQLITE = "sqlite"


PORTS = {Engine.POSTGRESQL: 5432, Engine.MYSQL: 3306}

DRIVERS = {Engine.POSTGRESQL: "postgresql+psycopg2", Engine.MYSQL: "mysql+pymysql"}
"""Always explicit: SQLAlchemy 2.1 reads a bare ``postgresql://`` as psycopg 3."""

SCHEMES = {"postgresql": Engine.POSTGRESQL, "postgres": Engine.POSTGRESQL, "mysql": Engine.MYSQL}
"""URL schemes a database elsewhere may be given with, before any ``+driver``."""


def engine_of(url: str) -> Engine | None:
    """The engine a database URL speaks of, or None where it names no supported one."""
    return SCHEMES.get(urlsplit(url).scheme.partition("+")[0])


def tls_parameters(engine: Engine, ca_file: str) -> dict[str, str]:
    """URI query with which the driver checks the server's certificate and host name against ``ca_file``.

    Sources: libpq, "SSL support" (verify-full); SQLAlchemy's PyMySQL dialect, "SSL Connections". PyMySQL's
    own ``ssl_verify_cert`` and ``ssl_verify_identity`` must not stand beside ``ssl_ca``: the dialect passes
    the CA in ``ssl``, they make PyMySQL build that anew without it, and the host name goes unchecked
    (run: SQLAlchemy 2.1.9, PyMySQL 1.2.4).
    """
    if engine is Engine.POSTGRESQL:
        return {"sslmode": "verify-full", "sslrootcert": ca_file}
    return {"ssl_ca": ca_file, "ssl_check_hostname": "true"}


def sqlalchemy_uri(
    engine: Engine,
    *,
    host: str,
    database: str,
    user: str,
    password: str = "",
    port: int | None = None,
    query: dict[str, str] | None = None,
) -> str:
    """A SQLAlchemy URI with an explicit driver; user and password are quoted."""
    secret = f":{quote(password, safe='')}" if password else ""
    rest = f"?{urlencode(query, safe='/')}" if query else ""
    return (
        f"{DRIVERS[engine]}://{quote(user, safe='')}{secret}@{host}:{port or PORTS[engine]}/{database}{rest}"
    )


def with_checked_tls(url: str, ca_file: str) -> str:
    """A user's database URL with our driver and with its TLS certificate checked.

    :raises ValueError: when the URL speaks of no supported engine.
    """
    engine = engine_of(url)
    if engine is None:
        raise ValueError("not a PostgreSQL or MySQL URL")
    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query)) | tls_parameters(engine, ca_file)
    return parts._replace(scheme=DRIVERS[engine], query=urlencode(query, safe="/")).geturl()
