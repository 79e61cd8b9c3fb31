"""What differs between the two drivers: how TLS is asked for, and what their errors mean."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from .errors import NotAllowedError


class Driver(Protocol):
    """One driver's ways."""

    def why_tls_is_unchecked(self, arguments: Mapping[str, Any]) -> str | None:
        """What is missing in the driver's arguments for a connection that only the right server can read."""
        ...

    def answered(self, error: Exception) -> bool:
        """Whether the database itself answered; otherwise it was not reached."""
        ...

    def refused(self, error: Exception) -> bool:
        """Whether the database refused the user or the password."""
        ...

    def distrusted(self, error: Exception) -> bool:
        """Whether the server's certificate was not accepted."""
        ...


class Psycopg2:
    """libpq. Its errors at connection time carry no SQLSTATE, only the server's text."""

    def why_tls_is_unchecked(self, arguments: Mapping[str, Any]) -> str | None:
        if not arguments.get("host") or "," in str(arguments["host"]):
            return "it names not exactly one host"
        if {"service", "dsn"} & arguments.keys():
            return "it takes settings from elsewhere (service, dsn)"
        if arguments.get("sslmode") != "verify-full":
            return "sslmode is not verify-full"
        # libpq prefers GSS encryption where there is a ticket, and then does not look at sslmode.
        if arguments.get("gssencmode", "disable") != "disable":
            return "gssencmode is not disable"
        return None

    def answered(self, error: Exception) -> bool:
        return "FATAL:" in str(error)

    def refused(self, error: Exception) -> bool:
        return "authentication failed" in str(error)

    def distrusted(self, error: Exception) -> bool:
        return "certificate" in str(error) and not self.answered(error)


class PyMySql:
    """PyMySQL as SQLAlchemy calls it: what ``ssl_ca=`` says arrives in the dictionary ``ssl``."""

    ACCESS_DENIED = (1045, 1698)

    def why_tls_is_unchecked(self, arguments: Mapping[str, Any]) -> str | None:
        if {"unix_socket", "read_default_file"} & arguments.keys():
            return "it takes settings from elsewhere (unix_socket, read_default_file)"
        tls = arguments.get("ssl")
        if not isinstance(tls, Mapping) or not tls.get("ca"):
            return "ssl_ca names no CA file"
        if tls.get("check_hostname") is not True:
            return "ssl_check_hostname is not true"
        # Beside the dictionary these make PyMySQL build its own without the CA (PyMySQL 1.2.4).
        if beside := [name for name in arguments if name.startswith("ssl_")]:
            return f"{', '.join(beside)} must not stand beside ssl_ca and ssl_check_hostname"
        if not set(tls) <= {"ca", "cert", "key", "check_hostname"}:
            return "the TLS options hold more than ssl_ca, ssl_cert, ssl_key and ssl_check_hostname"
        return None

    def answered(self, error: Exception) -> bool:
        # 2000 to 2999 are the client's own (MySQL Error Reference).
        return not 2000 <= _code(error) < 3000

    def refused(self, error: Exception) -> bool:
        return _code(error) in self.ACCESS_DENIED

    def distrusted(self, error: Exception) -> bool:
        return "certificate" in str(error).lower() and not self.answered(error)


def _code(error: Exception) -> int:
    return error.args[0] if error.args and isinstance(error.args[0], int) else 2000


DRIVERS: Mapping[str, Driver] = {"postgresql+psycopg2": Psycopg2(), "mysql+pymysql": PyMySql()}
"""SQLAlchemy's name of a dialect and driver → its ways."""


def driver_of(drivername: str) -> Driver:
    """The driver that a URI names.

    :raises NotAllowedError: for any other than the image's two.
    """
    if drivername not in DRIVERS:
        raise NotAllowedError(
            f"database sign-in works with {' and '.join(DRIVERS)}; the database URI names {drivername}"
        )
    return DRIVERS[drivername]


def check_tls(drivername: str, arguments: Mapping[str, Any]) -> None:
    """Refuse to show a token or an administrator's password to a server whose certificate is not checked.

    :raises NotAllowedError: when it is not.
    """
    if why := driver_of(drivername).why_tls_is_unchecked(arguments):
        wanted = (
            "sslmode=verify-full&sslrootcert=FILE"
            if drivername.startswith("postgresql")
            else "ssl_ca=FILE&ssl_check_hostname=true"
        )
        raise NotAllowedError(f"no sign-in without checked TLS: {why}; the database URI needs {wanted}")
