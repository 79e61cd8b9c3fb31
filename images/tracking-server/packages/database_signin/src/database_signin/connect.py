"""Connections of the bootstrap: as MLflow's user, and as the administrator by whatever way is open."""

from __future__ import annotations

import json
from dataclasses import dataclass

from sqlalchemy import URL, Connection, create_engine
from sqlalchemy.exc import ArgumentError, DBAPIError, OperationalError
from sqlalchemy.pool import NullPool

from .drivers import check_tls, driver_of
from .errors import NoTokenError
from .task import AdminSignIn, NotYetError, RefusedError, Task

CONNECT_SECONDS = 10


class SignInError(Exception):
    """The database answered, and did not let this user in.

    :ivar refused: because of the user or its password, not because it is starting, full or missing.
    """

    def __init__(self, reason: str, *, refused: bool) -> None:
        super().__init__(reason)
        self.refused = refused


def connect(uri: URL) -> Connection:
    """One connection, each statement its own transaction unless one is begun.

    :raises RefusedError: TLS is not checked, or the server's certificate is not the right one's.
    :raises NotYetError: there is no token yet, or nobody answers.
    :raises SignInError: the database lets nobody in.
    """
    driver = driver_of(uri.drivername)
    try:
        engine = create_engine(
            uri,
            poolclass=NullPool,
            isolation_level="AUTOCOMMIT",
            connect_args={"connect_timeout": CONNECT_SECONDS},
            hide_parameters=True,
        )
        # The plugin looks for itself; here it is for an administrator's password.
        check_tls(uri.drivername, engine.dialect.create_connect_args(engine.url)[1])
        return engine.connect()
    except ArgumentError as error:
        raise RefusedError(str(error)) from None
    except NoTokenError as error:
        raise NotYetError(str(error)) from None
    except OperationalError as error:
        cause = error.orig if isinstance(error.orig, Exception) else error
        if driver.distrusted(cause):
            raise RefusedError(f"the certificate of {uri.host} is not trusted: {one_line(cause)}") from None
        if not driver.answered(cause):
            raise NotYetError(f"{uri.host} cannot be reached: {one_line(cause)}") from None
        raise SignInError(one_line(cause), refused=driver.refused(cause)) from None


@dataclass(frozen=True)
class Way:
    """One way to sign in as the administrator."""

    uri: URL
    means: str


@dataclass(frozen=True)
class Administrator:
    """The administrator, and the ways it may sign in, the usual one first.

    An administrator of RDS for PostgreSQL who is a member of a user that has rds_iam is refused with its
    password, and let in with a token.
    """

    user: str
    ways: tuple[Way, ...]
    password_is_final: bool

    @classmethod
    def of(cls, task: Task) -> Administrator:
        """Looked up anew at each try: RDS rotates the secret.

        :raises NotYetError: its secret cannot be read.
        """
        if task.admin is AdminSignIn.TOKEN:
            token = Way(task.uri.set(username=task.admin_user), "its token")
            return cls(task.admin_user, (token,), password_is_final=False)
        user, password = task.admin_user, task.admin_password
        if task.admin is AdminSignIn.SECRETS_MANAGER:
            user, password = _managed_secret(task.admin_secret)
        ways = [Way(task.plain_uri.set(username=user, password=password), "its password")]
        if task.cloud == "aws":
            ways.append(Way(task.uri.set(username=user), "a token"))
        return cls(user, tuple(ways), password_is_final=task.admin is AdminSignIn.PASSWORD)

    def connect(self, database: str) -> Connection:
        """A connection by the first way that is open.

        :raises RefusedError: none is, and no waiting helps.
        :raises NotYetError: none is.
        """
        answers: list[str] = []
        for way in self.ways:
            try:
                return connect(way.uri.set(database=database))
            except SignInError as no:
                answers.append(f"with {way.means}: {no}")
                if not no.refused:
                    raise NotYetError(f"administrator {self.user} cannot sign in {answers[-1]}") from None
        text = f"administrator {self.user} cannot sign in {'; '.join(answers)}"
        raise RefusedError(text) if self.password_is_final else NotYetError(text)


def _managed_secret(arn: str) -> tuple[str, str]:
    """User and password in the secret that RDS manages: JSON with ``username`` and ``password``.

    Source: Amazon RDS User Guide, "Password management with Amazon RDS and AWS Secrets Manager".
    """
    import boto3
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        client = boto3.Session().client("secretsmanager", region_name=arn.split(":")[3])
        secret = json.loads(client.get_secret_value(SecretId=arn)["SecretString"])
        return secret["username"], secret["password"]
    except (BotoCoreError, ClientError) as error:
        raise NotYetError(
            f"the administrator's secret cannot be read: {one_line(error)} (check the bootstrap's role: "
            "secretsmanager:GetSecretValue, and kms:Decrypt where the key is your own)"
        ) from None
    except (IndexError, KeyError, ValueError):
        # Not the error itself: it may quote the secret.
        raise RefusedError(
            f"ADMIN_SECRET_ARN={arn} is no ARN, or that secret is not JSON with username and password"
        ) from None


def one_line(error: BaseException) -> str:
    """An error's text, without the SQL that SQLAlchemy adds."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    # PyMySQL's come as (code, text).
    text = cause.args[-1] if cause is not None and cause.args else cause
    return " ".join(str(text).split())[:600]
