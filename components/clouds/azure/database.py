"""The tracking database on Azure: the service, who may sign in to it, and how MLflow is told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pulumi
import pulumi_random as random
from pulumi_azure_native import dbformysql, dbforpostgresql

from ...contracts import Database, DatabaseBootstrap, Identity, Text
from ...database_engines import Engine, sqlalchemy_uri, tls_parameters
from ...database_signin import BOOTSTRAP_COMMAND, token_parameters
from ...settings.azure import AzureDatabase
from ...settings.azure_store_rules import ADMIN
from ...settings.database import ExistingDatabase, SignIn
from ...settings.errors import Problem, SettingsError
from ...settings.stack import Groups
from .database_server import DatabaseServer, DatabaseServerArgs
from .identity import WorkloadPrincipal
from .resource_group import Place

PUBLIC_CAS = "/etc/ssl/certs/ca-certificates.crt"
"""Of the server image. Servers' certificates are of DigiCert Global Root G2 and Microsoft RSA Root CA 2017,
which are public (Azure Database for PostgreSQL, "TLS": root certificates)."""
PASSWORD_LENGTH = 32
ADMIN_KEYS = ("ADMIN_USERNAME", "ADMIN_PASSWORD")
"""Of the secret group that ``database.existing.admin`` names."""
OFF = ("Disabled", None)


@dataclass(frozen=True, kw_only=True)
class FlexibleServerArgs:
    """Inputs of :class:`FlexibleServer`.

    :param subnet: where the server, or its private endpoint, is made; None for an existing server.
    :param server: identity that MLflow signs in as.
    :param admin: identity that makes its user; None where nobody signs in by identity, or all is there.
    """

    settings: AzureDatabase
    groups: Groups
    place: Place
    subnet: pulumi.Input[str] | None
    server: WorkloadPrincipal
    admin: WorkloadPrincipal | None
    protect: bool


@dataclass(frozen=True, kw_only=True)
class Service:
    """A Flexible Server, made or found.

    :param env, secret_env: how the administrator signs in (``packages/database_signin``); None where
        database and user are there already.
    """

    id: pulumi.Output[str]
    host: pulumi.Output[str]
    env: Mapping[str, Text] | None = None
    secret_env: Mapping[str, pulumi.Output[str]] = field(default_factory=dict)
    ready: Sequence[pulumi.Resource] = ()


class FlexibleServer(pulumi.ComponentResource):
    """The tracking database on a Flexible Server, made or existing.

    :ivar service: the server.
    :ivar database: the contract.
    """

    service: Service
    database: Database

    def __init__(
        self, name: str, args: FlexibleServerArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("mlflow:azure:FlexibleServer", name, {}, opts)
        self._name, self._args, self._settings = name, args, args.settings
        self._child = pulumi.ResourceOptions(parent=self)
        self._by_identity = args.settings.sign_in is SignIn.IDENTITY
        existing = args.settings.existing
        self.service = self._found(existing) if existing else self._made()
        uri = self._uri()
        self.database = Database(
            engine=args.settings.engine,
            uri=uri,
            bootstrap=self._bootstrap(uri),
            ready=self.service.ready,
        )
        self.register_outputs({"host": self.service.host})

    def _made(self) -> Service:
        args = self._args
        assert args.subnet is not None, "the settings require it"  # noqa: S101
        made = DatabaseServer(
            self._name,
            DatabaseServerArgs(
                settings=self._settings,
                place=args.place,
                subnet=args.subnet,
                admin=args.admin,
                protect=args.protect,
            ),
            opts=self._child,
        )
        env: dict[str, Text]
        secret_env: dict[str, pulumi.Output[str]] = {}
        if args.admin:
            env = self._as(args.admin)
        else:
            assert made.password is not None, "there is one without an Entra administrator"  # noqa: S101
            env = {"ADMIN_SIGN_IN": "password", "ADMIN_USERNAME": ADMIN}
            secret_env = {"ADMIN_PASSWORD": made.password}
        service = Service(id=made.id, host=made.host, env=env, secret_env=secret_env, ready=[made])
        return self._restored(self._settings.restored, service) if self._settings.restored else service

    def _as(self, admin: WorkloadPrincipal) -> dict[str, Text]:
        """How the administrator signs in by token, and whom to make a user."""
        server, is_mysql = self._args.server, self._settings.engine is Engine.MYSQL
        # PostgreSQL knows an identity by its object id, MySQL by its client id.
        known_by = server.client_id if is_mysql else server.principal_id
        return {"ADMIN_SIGN_IN": "token", "ADMIN_USERNAME": admin.name, "IDENTITY_ID": known_by}

    def _restored(self, name: str, own: Service) -> Service:
        """A server restored from a backup of the one that is made: the user is in it, and its password.

        The other stays as it is, and so does what both stand on: subnet, zone and identities.
        """
        _, host = self._looked_up(name)
        return Service(id=own.id, host=host, ready=own.ready)

    def _looked_up(self, name: str) -> tuple[pulumi.Output[str], pulumi.Output[str]]:
        """Id and host of a server that the stack did not make.

        :raises SettingsError: once Azure has been asked, when it does not fit the settings.
        """
        names = {
            "resource_group_name": str(self._settings.resource_group),
            "server_name": name,
            "opts": self._args.place.subscription.invoke,
        }
        if self._settings.engine is Engine.MYSQL:
            mysql = dbformysql.get_server_output(**names)
            return mysql.id, mysql.fully_qualified_domain_name
        server = dbforpostgresql.get_server_output(**names)
        entra = server.auth_config.apply(_knows_entra)
        host = pulumi.Output.all(server.fully_qualified_domain_name, entra).apply(
            lambda found: _checked(found[0], tokens=not self._by_identity or found[1])
        )
        return server.id, host

    def _found(self, existing: ExistingDatabase) -> Service:
        id_, host = self._looked_up(str(existing.instance))
        env, secret_env = None, {}
        if self._args.admin:
            env = self._as(self._args.admin)
        elif existing.admin and not existing.finished:
            env = {"ADMIN_SIGN_IN": "password"}
            secret_env = {
                key: pulumi.Output.secret(value.reveal())
                for secret in self._args.groups[existing.admin].values()
                for key, value in secret.items()
                if key in ADMIN_KEYS
            }
        return Service(id=id_, host=host, env=env, secret_env=secret_env)

    def _uri(self) -> pulumi.Output[str]:
        settings = self._settings
        query = tls_parameters(settings.engine, PUBLIC_CAS)
        password: pulumi.Output[str] | str = ""
        if self._by_identity:
            query |= token_parameters("azure")
        else:
            password = random.RandomPassword(
                f"{self._name}-password",
                length=PASSWORD_LENGTH,
                special=False,
                opts=pulumi.ResourceOptions(parent=self, protect=self._args.protect),
            ).result
        return pulumi.Output.all(self.service.host, password).apply(
            lambda known: sqlalchemy_uri(
                settings.engine,
                host=known[0],
                database=settings.name,
                user=settings.user,
                password=known[1],
                query=query,
            )
        )

    def _bootstrap(self, uri: pulumi.Output[str]) -> DatabaseBootstrap | None:
        if self.service.env is None:
            return None
        return DatabaseBootstrap(
            command=BOOTSTRAP_COMMAND,
            identity=self._args.admin.identity if self._args.admin else Identity(),
            env=self.service.env,
            secret_env={"DATABASE_URI": uri, **self.service.secret_env},
        )


def _knows_entra(auth: Any) -> bool:
    return auth is not None and auth.active_directory_auth not in OFF


def _checked(host: str, *, tokens: bool) -> str:
    """The host of an existing PostgreSQL server that fits the settings.

    :raises SettingsError: when it does not.
    """
    if not tokens:
        remedy = "identity needs Entra authentication, which the server has off; turn it on, or set password"
        raise SettingsError([Problem("mlflow:database.signIn", remedy)], stack=pulumi.get_stack())
    return host
