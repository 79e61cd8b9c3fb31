"""The tracking database on Cloud SQL: the service, who MLflow is to it, and the proxy on the way there.

MLflow speaks to the Auth Proxy without TLS and without a password; the proxy does both, with the identity of
the pod that it runs in. That identity is the database's user, so it must be a service account: there is no
user type for principals of a workload pool (GoogleCloudPlatform/cloud-sql-proxy#2527).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pulumi
import pulumi_gcp as gcp
import pulumi_random as random

from ...contracts import Database, DatabaseBootstrap, DatabaseProxy, Identity
from ...database_engines import PORTS, Engine, sqlalchemy_uri
from ...settings.database import ManagedDatabase, SignIn
from ...settings.errors import Problem, SettingsError
from ...settings.gcp import ProxyMode
from ...settings.stack import Groups
from ...third_party import CLOUD_SQL_PROXY
from .database_instance import ENGINES, CloudSqlInstance, CloudSqlInstanceArgs
from .identity import WorkloadPrincipal
from .network import PrivateServices
from .provider import Project
from .proxy import CLOSE_SECONDS, DRAIN_SECONDS, NAME, proxy_container

ADMIN = "mlflow_admin"
"""Makes the grants, once, and then has no password any more."""
ADMIN_KEYS = ("ADMIN_USERNAME", "ADMIN_PASSWORD")
"""Of the secret group that ``database.existing.admin`` names."""
PASSWORD_LENGTH = 32
CONNECT, LOG_IN = "roles/cloudsql.client", "roles/cloudsql.instanceUser"
"""To reach an instance through the proxy; to sign in by identity as well."""
CLIENT_LABELS = {"mlflow/database-client": "true"}
GRANT = Path(__file__).parent / "scripts" / "grant.py"
STOP_MARGIN_SECONDS = 10


@dataclass(frozen=True, kw_only=True)
class CloudSqlArgs:
    """Inputs of :class:`CloudSql`.

    :param namespace: of the stack; the shared proxy's Service is in it.
    :param network: id of the cluster's network.
    :param private_services: None where the network has it already.
    :param client: whose pods reach the instance: the server's, or the shared proxy's. By identity it is the
        database's user as well.
    """

    settings: ManagedDatabase
    proxy: ProxyMode
    groups: Groups
    project: Project
    namespace: str
    network: pulumi.Input[str]
    private_services: PrivateServices | None
    client: WorkloadPrincipal
    protect: bool


@dataclass(frozen=True, kw_only=True)
class Service:
    """A Cloud SQL instance, made or found.

    :param private: it has an address in the network.
    """

    name: pulumi.Output[str]
    connection_name: pulumi.Output[str]
    private: pulumi.Input[bool]
    ready: Sequence[pulumi.Resource] = ()


class CloudSql(pulumi.ComponentResource):
    """The tracking database on Cloud SQL, made or existing.

    :ivar service: the instance.
    :ivar database: the contract.
    """

    service: Service
    database: Database

    def __init__(self, name: str, args: CloudSqlArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("mlflow:gcp:CloudSql", name, {}, opts)
        self._name, self._args, self._settings = name, args, args.settings
        self._child = pulumi.ResourceOptions(parent=self)
        self._by_identity = args.settings.sign_in is SignIn.IDENTITY
        self._makes_database = not (args.settings.existing and args.settings.existing.finished)
        self.service = self._found() if args.settings.existing else self._made()
        rights = self._rights()
        # Filled below, read when the contract is made.
        self._users: list[pulumi.Resource] = []
        user = self._user()
        uri = self._uri(user)
        bootstrap = self._bootstrap(uri, user)
        self.database = Database(
            engine=args.settings.engine,
            uri=uri,
            sidecars=() if self._shared else [self._container()],
            proxy=self._proxy() if self._shared else None,
            bootstrap=bootstrap,
            client_labels=CLIENT_LABELS if self._shared else {},
            ready=[*self.service.ready, *rights, *self._users],
        )
        self.register_outputs({"connectionName": self.service.connection_name})

    @property
    def _shared(self) -> bool:
        return self._args.proxy is ProxyMode.DEPLOYMENT

    def _made(self) -> Service:
        made = CloudSqlInstance(
            self._name,
            CloudSqlInstanceArgs(
                settings=self._settings,
                project=self._args.project,
                network=self._args.network,
                private_services=[self._args.private_services] if self._args.private_services else [],
                protect=self._args.protect,
            ),
            opts=self._child,
        )
        instance = made.instance
        database = gcp.sql.Database(
            f"{self._name}-database",
            name=self._settings.name,
            instance=instance.name,
            charset="utf8mb4" if self._settings.engine is Engine.MYSQL else "UTF8",
            # It goes with the instance. Before, PostgreSQL would refuse while somebody is connected.
            deletion_policy="ABANDON",
            opts=pulumi.ResourceOptions(parent=self, protect=self._args.protect),
        )
        return Service(
            name=instance.name, connection_name=instance.connection_name, private=True, ready=[made, database]
        )

    def _found(self) -> Service:
        existing, project = self._settings.existing, self._args.project
        assert existing is not None, "only called with one"  # noqa: S101
        found = gcp.sql.get_database_instance_output(
            name=str(existing.instance), project=project.id, opts=project.invoke
        )
        checked = pulumi.Output.all(
            name=found.connection_name, version=found.database_version, flags=found.settings.apply(_flags)
        ).apply(self._checked)
        return Service(
            name=found.name,
            connection_name=checked,
            private=found.private_ip_address.apply(bool),
        )

    def _checked(self, found: Mapping[str, Any]) -> str:
        """The connection name of an existing instance that fits the settings.

        :raises SettingsError: when it does not.
        """
        problems = []
        engine = ENGINES[self._settings.engine]
        if not found["version"].startswith(engine.prefix):
            remedy = f"is {self._settings.engine}, but the existing instance is {found['version']}"
            problems.append(Problem("mlflow:database.engine", f"{remedy}; set it to that"))
        if self._by_identity and found["flags"].get(engine.identity_flag) != "on":
            remedy = (
                f"identity needs the instance's flag {engine.identity_flag}=on; set it, or signIn: password"
            )
            problems.append(Problem("mlflow:database.signIn", remedy))
        if problems:
            raise SettingsError(problems, stack=pulumi.get_stack())
        return found["name"]

    def _rights(self) -> list[pulumi.Resource]:
        """Bound to this one instance: the roles can only be given in the project (Cloud SQL, "IAM
        Conditions")."""
        project = self._args.project
        this = pulumi.Output.concat(
            f"resource.name == 'projects/{project.id}/instances/",
            self.service.name,
            "' && resource.type == 'sqladmin.googleapis.com/Instance'",
        )
        return [
            gcp.projects.IAMMember(
                f"{self._name}-{who}-{role.rpartition('.')[2].lower()}",
                project=project.id,
                role=role,
                member=member,
                condition=gcp.projects.IAMMemberConditionArgs(title="MLflow database only", expression=this),
                opts=self._child,
            )
            for who, member in self._args.client.members.items()
            for role in (CONNECT, *([LOG_IN] if self._by_identity else []))
        ]

    def _user(self) -> pulumi.Output[str]:
        """The name that MLflow signs in with. By identity the API makes the user, else the Job."""
        if not self._by_identity:
            return pulumi.Output.from_input(self._settings.user)
        email = self._args.client.email
        assert email is not None, "the settings refuse a direct principal"  # noqa: S101
        mysql = self._settings.engine is Engine.MYSQL
        made = gcp.sql.User(
            f"{self._name}-user",
            instance=self.service.name,
            # PostgreSQL wants the address without its last part, MySQL all of it.
            name=email if mysql else email.apply(postgresql_user),
            type="CLOUD_IAM_SERVICE_ACCOUNT",
            # PostgreSQL drops nobody who owns tables; the user goes with the instance.
            deletion_policy="ABANDON",
            opts=self._child,
        )
        self._users.append(made)
        return email.apply(mysql_user if mysql else postgresql_user)

    def _uri(self, user: pulumi.Output[str]) -> pulumi.Output[str]:
        settings = self._settings
        password: pulumi.Output[str] | str = "" if self._by_identity else self._password("password")
        host = f"{NAME}.{self._args.namespace}.svc.cluster.local" if self._shared else "127.0.0.1"
        return pulumi.Output.all(user, password).apply(
            lambda known: sqlalchemy_uri(
                settings.engine, host=host, database=settings.name, user=known[0], password=known[1]
            )
        )

    def _password(
        self, short: str, keepers: Mapping[str, pulumi.Input[str]] | None = None
    ) -> pulumi.Output[str]:
        return random.RandomPassword(
            f"{self._name}-{short}",
            length=PASSWORD_LENGTH,
            special=False,
            keepers=keepers,
            opts=pulumi.ResourceOptions(parent=self, protect=self._args.protect and not keepers),
        ).result

    def _container(self) -> Any:
        return proxy_container(
            self.service.connection_name,
            PORTS[self._settings.engine],
            private=self.service.private,
            identity=self._by_identity,
            shared=self._shared,
        )

    def _proxy(self) -> DatabaseProxy:
        return DatabaseProxy(
            name=NAME,
            port=PORTS[self._settings.engine],
            container=self._container(),
            uid=CLOUD_SQL_PROXY.uid,
            identity=self._args.client.identity,
            stop_seconds=DRAIN_SECONDS + CLOSE_SECONDS + STOP_MARGIN_SECONDS,
        )

    def _bootstrap(self, uri: pulumi.Output[str], user: pulumi.Output[str]) -> DatabaseBootstrap | None:
        """A Job that gives MLflow's user its rights. It reaches the instance as ``client``, like MLflow."""
        if not self._makes_database:
            return None
        existing = self._settings.existing
        env = {"SIGN_IN": str(self._settings.sign_in), "RETIRE_ADMIN": "false" if existing else "true"}
        secret_env = {"DATABASE_URI": uri}
        if existing:
            secret_env |= {
                key: pulumi.Output.secret(value.reveal())
                for secret in self._args.groups[str(existing.admin)].values()
                for key, value in secret.items()
                if key in ADMIN_KEYS
            }
        else:
            secret_env |= self._administrator(user)
        return DatabaseBootstrap(
            command=["python", "-c", GRANT.read_text()],
            identity=Identity() if self._shared else self._args.client.identity,
            env=env,
            secret_env=secret_env,
        )

    def _administrator(self, user: pulumi.Output[str]) -> dict[str, pulumi.Output[str]]:
        """A user of the instance for the Job, which ends by taking its password away.

        Another instance or another MLflow user needs it again: then it gets a new one.
        """
        password = self._password("admin-password", {"instance": self.service.name, "user": user})
        admin = gcp.sql.User(
            f"{self._name}-admin",
            instance=self.service.name,
            name=ADMIN,
            type="BUILT_IN",
            password=password,
            deletion_policy="ABANDON",
            opts=self._child,
        )
        self._users.append(admin)
        return {"ADMIN_USERNAME": pulumi.Output.from_input(ADMIN), "ADMIN_PASSWORD": password}


def _flags(settings: Sequence[Any]) -> dict[str, str]:
    """The database flags of an existing instance."""
    return {flag.name: flag.value for one in settings for flag in one.database_flags}


def postgresql_user(email: str) -> str:
    """The database user of a service account in PostgreSQL (Cloud SQL, "Manage users with IAM database
    authentication": the address without ``.gserviceaccount.com``)."""
    return email.removesuffix(".gserviceaccount.com")


def mysql_user(email: str) -> str:
    """The same in MySQL: what stands before the ``@``."""
    return email.partition("@")[0]
