"""What the bootstrap is told, read from the environment; all mistakes at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import URL
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from .drivers import DRIVERS
from .plugin import KEYS, PLUGIN

SECONDS = 180
"""How long to wait for a fresh identity or database. The Job tries four times."""


class AdminSignIn(StrEnum):
    """How the administrator signs in."""

    NONE = "none"
    SECRETS_MANAGER = "secrets-manager"
    PASSWORD = "password"  # noqa: S105 - a way to sign in
    TOKEN = "token"  # noqa: S105 - a way to sign in


class RefusedError(Exception):
    """Cannot succeed, however often it is tried."""


class NotYetError(Exception):
    """May succeed a little later."""


@dataclass(frozen=True, kw_only=True)
class Task:
    """The bootstrap's order.

    :param uri: the one MLflow uses: what has to work in the end.
    :param cloud: ``token_source`` of the URI; None where the user signs in by password.
    :param admin_database: PostgreSQL: where the administrator signs in before MLflow's database is there.
    :param identity_id: Azure: which identity the user is.
    :param seconds: after which to give up.
    """

    uri: URL
    cloud: str | None
    admin: AdminSignIn
    admin_user: str
    admin_password: str
    admin_secret: str
    admin_database: str
    identity_id: str
    seconds: float

    @property
    def user(self) -> str:
        return self.uri.username or ""

    @property
    def database(self) -> str:
        return self.uri.database or ""

    @property
    def plain_uri(self) -> URL:
        """The URI without the tokens; TLS options stay."""
        return self.uri.difference_update_query([*KEYS, "plugin"])

    @property
    def user_can_be_tried(self) -> bool:
        """Whether this pod can sign in as the user. In Azure the token says who the pod is: the admin."""
        return self.cloud != "azure"


def read_task(environment: Mapping[str, str]) -> Task:
    """The order in the environment; README.md lists the variables.

    :raises RefusedError: with everything that is wrong.
    """
    mistakes: list[str] = []
    uri = _uri(environment.get("DATABASE_URI", ""), mistakes)
    admin = _admin(environment, mistakes)
    cloud = str(uri.query["token_source"]) if "token_source" in uri.query else None
    identity_id = environment.get("IDENTITY_ID", "")
    if cloud == "azure" and not identity_id:
        mistakes.append("IDENTITY_ID is missing: the id of the identity that the user is")
    if cloud == "azure" and admin is not AdminSignIn.TOKEN:
        mistakes.append("ADMIN_SIGN_IN must be token on Azure: only an Entra administrator makes Entra users")
    if cloud is None and admin is AdminSignIn.TOKEN:
        mistakes.append("ADMIN_SIGN_IN=token needs token_source in DATABASE_URI")
    if environment.get("ADMIN_USERNAME") == uri.username and uri.username:
        mistakes.append(f"ADMIN_USERNAME and MLflow's user are both {uri.username}; MLflow needs its own")
    if mistakes:
        raise RefusedError("; ".join(mistakes))
    return Task(
        uri=uri,
        cloud=cloud,
        admin=admin,
        admin_user=environment.get("ADMIN_USERNAME", ""),
        admin_password=environment.get("ADMIN_PASSWORD", ""),
        admin_secret=environment.get("ADMIN_SECRET_ARN", ""),
        admin_database=environment.get("ADMIN_DATABASE") or "postgres",
        identity_id=identity_id,
        seconds=float(environment.get("BOOTSTRAP_SECONDS") or SECONDS),
    )


def _uri(text: str, mistakes: list[str]) -> URL:
    try:
        uri = make_url(text)
    except ArgumentError:
        # Not its message: that may hold the text, and with it a password.
        mistakes.append("DATABASE_URI is missing or no SQLAlchemy URI")
        return URL.create("none")
    if uri.drivername not in DRIVERS:
        mistakes.append(f"DATABASE_URI names {uri.drivername}; there are {' and '.join(DRIVERS)}")
    for name, value in (("host", uri.host), ("database", uri.database), ("user", uri.username)):
        if not value:
            mistakes.append(f"DATABASE_URI names no {name}")
    if ("token_source" in uri.query) == (uri.password is not None):
        mistakes.append("DATABASE_URI needs either a password or token_source")
    if ("token_source" in uri.query) != (uri.query.get("plugin") == PLUGIN):
        mistakes.append(f"DATABASE_URI: plugin={PLUGIN} and token_source belong together")
    return uri


NEEDED = {
    AdminSignIn.NONE: (),
    AdminSignIn.SECRETS_MANAGER: ("ADMIN_SECRET_ARN",),
    AdminSignIn.PASSWORD: ("ADMIN_USERNAME", "ADMIN_PASSWORD"),
    AdminSignIn.TOKEN: ("ADMIN_USERNAME",),
}
"""Variables beside each way in."""


def _admin(environment: Mapping[str, str], mistakes: list[str]) -> AdminSignIn:
    text = environment.get("ADMIN_SIGN_IN") or AdminSignIn.NONE
    if text not in list(AdminSignIn):
        mistakes.append(f"ADMIN_SIGN_IN is {text}; it may be {', '.join(AdminSignIn)}")
        return AdminSignIn.NONE
    admin = AdminSignIn(text)
    mistakes += [f"{name} is missing" for name in NEEDED[admin] if not environment.get(name)]
    return admin
