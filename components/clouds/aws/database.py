"""The tracking database on Amazon RDS: the service, who may sign in to it, and how MLflow is told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pulumi
import pulumi_aws as aws
import pulumi_random as random

from ...contracts import Database, DatabaseBootstrap, FileFromText, Identity, Text
from ...database_engines import PORTS, Engine, sqlalchemy_uri, tls_parameters
from ...database_signin import BOOTSTRAP_COMMAND, token_parameters
from ...settings.aws import AwsDatabase
from ...settings.database import ExistingDatabase, SignIn
from ...settings.errors import Problem, SettingsError
from ...settings.stack import Groups
from .certificates import authorities_of
from .cluster import AwsCluster
from .database_instance import MASTER, DatabaseInstance, DatabaseInstanceArgs, admit
from .provider import Account
from .roles import allow, document

CA_FILE = "/etc/mlflow/database-ca.pem"
PASSWORD_LENGTH = 32
ADMIN_KEYS = ("ADMIN_USERNAME", "ADMIN_PASSWORD")
"""Of the secret group that ``database.existing.admin`` names."""
FAMILIES: Mapping[Engine, tuple[str, ...]] = {
    Engine.POSTGRESQL: ("postgres", "aurora-postgresql"),
    Engine.MYSQL: ("mysql", "aurora-mysql"),
}
"""RDS' names of the engines, plain and Aurora."""
UNFIT = ("mariadb", "oracle-", "custom-", "sqlserver-", "db2-")
"""How the others' names start (CreateDBInstance, ``Engine``)."""


@dataclass(frozen=True, kw_only=True)
class RdsDatabaseArgs:
    """Inputs of :class:`RdsDatabase`."""

    settings: AwsDatabase
    groups: Groups
    account: Account
    cluster: AwsCluster
    protect: bool


@dataclass(frozen=True, kw_only=True)
class Administrator:
    """Who makes the database and its user.

    :param env: what tells the bootstrap how to sign in (``packages/database_signin``), without secrets.
    :param secret: ARN of the secret in which RDS keeps the password.
    :param users: as whom it may also sign in by token.
    """

    env: Mapping[str, Text]
    secret_env: Mapping[str, pulumi.Output[str]] = field(default_factory=dict)
    secret: pulumi.Output[str] | None = None
    users: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True)
class Service:
    """A database service, made or found.

    :param host: its own endpoint, no alias: tokens are signed for it.
    :param resource_id: names it in ARNs. A database restored from a backup has another one.
    :param admin: None where database and user are there already.
    """

    host: pulumi.Output[str]
    port: pulumi.Input[int]
    resource_id: pulumi.Output[str]
    admin: Administrator | None
    ready: Sequence[pulumi.Resource] = ()


class RdsDatabase(pulumi.ComponentResource):
    """The tracking database on RDS, made or existing.

    :ivar endpoint: host and port.
    :ivar server_policies: what the server's role needs to sign in.
    :ivar admin_policies: what the role of the Job needs that makes the user; empty where it needs none.
    """

    endpoint: pulumi.Output[str]
    server_policies: dict[str, pulumi.Output[str]]
    admin_policies: dict[str, pulumi.Output[str]]

    def __init__(self, name: str, args: RdsDatabaseArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("mlflow:aws:RdsDatabase", name, {}, opts)
        self._name, self._args, self._settings = name, args, args.settings
        self._child = pulumi.ResourceOptions(parent=self)
        self._tokens = args.settings.sign_in is SignIn.IDENTITY
        existing = args.settings.existing
        self._service = self._found(existing) if existing else self._made()
        self._uri = self._uri_of(self._service)
        self.endpoint = pulumi.Output.concat(
            self._service.host, ":", pulumi.Output.from_input(self._service.port).apply(str)
        )
        connect = {"connect": document(self._connect(args.settings.user))} if self._tokens else {}
        self.server_policies = connect
        self.admin_policies = self._admin_policies()
        self.register_outputs({"endpoint": self.endpoint})

    def contract(self, admin: Identity) -> Database:
        """The database as the in-cluster half knows it.

        :param admin: has :attr:`admin_policies`; only the Job that makes the user takes it on.
        """
        authorities = authorities_of(self._args.account.region)
        return Database(
            engine=self._settings.engine,
            uri=self._uri,
            files=[FileFromText(path=CA_FILE, text=authorities)],
            bootstrap=self._bootstrap(admin),
            ready=self._service.ready,
        )

    def _made(self) -> Service:
        made = DatabaseInstance(
            self._name,
            DatabaseInstanceArgs(
                settings=self._settings,
                vpc_id=self._args.cluster.vpc_id,
                subnet_ids=self._args.cluster.private_subnet_ids,
                admitted=self._admitted(),
                protect=self._args.protect,
            ),
            opts=self._child,
        )
        if self._settings.restored:
            return self._restored(self._settings.restored, made)
        instance = made.instance
        secret = instance.master_user_secrets[0].secret_arn
        admin = Administrator(
            env={"ADMIN_SIGN_IN": "secrets-manager", "ADMIN_SECRET_ARN": secret},
            secret=secret,
            # Once it has granted rds_iam, PostgreSQL may refuse its password.
            users=[MASTER],
        )
        return Service(
            host=instance.address,
            port=PORTS[self._settings.engine],
            resource_id=instance.resource_id,
            admin=admin,
            ready=[made],
        )

    def _restored(self, identifier: str, made: DatabaseInstance) -> Service:
        """An instance restored from a backup of the one that is made: the user and its password are in it.

        The other stays as it is, and so does what both stand on: subnets, parameters, who is let in.
        """
        instance = aws.rds.get_instance_output(
            db_instance_identifier=identifier, opts=self._args.account.invoke
        )
        key = "mlflow:database.restored"
        host = pulumi.Output.all(
            instance.address, instance.engine, instance.vpc_security_groups, made.security_group.id
        ).apply(lambda found: _let_in(_checked(found[0], found[1], self._settings.engine), key, *found[2:]))
        return Service(
            host=host, port=instance.port, resource_id=instance.resource_id, admin=None, ready=[made]
        )

    def _found(self, existing: ExistingDatabase) -> Service:
        engine, invoke = self._settings.engine, self._args.account.invoke
        if existing.cluster:
            cluster = aws.rds.get_cluster_output(cluster_identifier=existing.cluster, opts=invoke)
            host = pulumi.Output.all(
                cluster.endpoint, cluster.engine, cluster.iam_database_authentication_enabled
            ).apply(lambda found: _checked(found[0], found[1], engine, tokens=not self._tokens or found[2]))
            port, resource_id = cluster.port, cluster.cluster_resource_id
        else:
            instance = aws.rds.get_instance_output(db_instance_identifier=existing.instance, opts=invoke)
            host = pulumi.Output.all(instance.address, instance.engine).apply(
                lambda found: _checked(found[0], found[1], engine)
            )
            port, resource_id = instance.port, instance.resource_id
        rules = []
        if existing.security_group:
            rules = [
                admit(f"{self._name}-from-{name}", existing.security_group, source, port, self._child)
                for name, source in self._admitted().items()
            ]
        admin = _administrator(existing, self._args.groups)
        return Service(host=host, port=port, resource_id=resource_id, admin=admin, ready=rules)

    def _admitted(self) -> dict[str, pulumi.Input[str]]:
        """Name of a rule → security group from which pods connect."""
        cluster = self._args.cluster
        return {"cluster": cluster.security_group_id, **{one: one for one in cluster.node_security_group_ids}}

    def _uri_of(self, service: Service) -> pulumi.Output[str]:
        settings = self._settings
        query = tls_parameters(settings.engine, CA_FILE)
        password: pulumi.Output[str] | str = ""
        if self._tokens:
            query |= token_parameters("aws", region=self._args.account.region)
        else:
            password = random.RandomPassword(
                f"{self._name}-password",
                length=PASSWORD_LENGTH,
                special=False,
                opts=pulumi.ResourceOptions(parent=self, protect=self._args.protect),
            ).result
        return pulumi.Output.all(service.host, service.port, password).apply(
            lambda known: sqlalchemy_uri(
                settings.engine,
                host=known[0],
                port=int(known[1]),
                database=settings.name,
                user=settings.user,
                password=known[2],
                query=query,
            )
        )

    def _connect(self, *users: str) -> dict[str, object]:
        """Signing in as exactly these users (RDS, "Creating and using an IAM policy for IAM database
        access")."""
        account = self._args.account
        prefix = pulumi.Output.concat(
            *("arn:", account.partition, ":rds-db:", account.region, ":", account.id),
            *(":dbuser:", self._service.resource_id, "/"),
        )
        return allow(["rds-db:connect"], [pulumi.Output.concat(prefix, user) for user in users])

    def _admin_policies(self) -> dict[str, pulumi.Output[str]]:
        admin, statements = self._service.admin, []
        if admin and admin.secret:
            statements.append(allow(["secretsmanager:GetSecretValue"], [admin.secret]))
        if admin and self._tokens:
            statements.append(self._connect(self._settings.user, *admin.users))
        return {"bootstrap": document(*statements)} if statements else {}

    def _bootstrap(self, identity: Identity) -> DatabaseBootstrap | None:
        admin = self._service.admin
        if admin is None:
            return None
        return DatabaseBootstrap(
            command=BOOTSTRAP_COMMAND,
            identity=identity,
            env=admin.env,
            secret_env={"DATABASE_URI": self._uri, **admin.secret_env},
        )


def _administrator(existing: ExistingDatabase, groups: Groups) -> Administrator | None:
    """That of an existing service; None where there is nothing left to do for one."""
    if existing.finished or existing.admin is None:
        return None
    values = {key: value for secret in groups[existing.admin].values() for key, value in secret.items()}
    return Administrator(
        env={"ADMIN_SIGN_IN": "password"},
        secret_env={key: pulumi.Output.secret(values[key].reveal()) for key in ADMIN_KEYS},
    )


def _checked(host: str, engine: str, wanted: Engine, *, tokens: bool = True) -> str:
    """The host of an existing service that fits the settings.

    :raises SettingsError: when it does not.
    """
    problems = []
    other = next((one for one, names in FAMILIES.items() if engine in names), None)
    # Named one by one: what an offline plan looks up is a text of its own, and fits.
    if (other and other is not wanted) or engine.startswith(UNFIT):
        remedy = "set it to that" if other else "MLflow needs PostgreSQL or MySQL; name another service"
        text = f"is {wanted}, but the existing one is {other or engine}; {remedy}"
        problems.append(Problem("mlflow:database.engine", text))
    if not tokens:
        remedy = "needs IAM authentication, which the cluster has off; turn it on, or set signIn: password"
        problems.append(Problem("mlflow:database.signIn", f"identity {remedy}"))
    if problems:
        raise SettingsError(problems, stack=pulumi.get_stack())
    return host


def _let_in(host: str, key: str, has: Sequence[str], wanted: str) -> str:
    """The host of an instance that is in the security group which lets the cluster in.

    :raises SettingsError: when it is not: the server would wait for it in vain.
    """
    if wanted not in has:
        text = f"names an instance outside security group {wanted}, which lets the cluster in; add it there"
        raise SettingsError([Problem(key, text)], stack=pulumi.get_stack())
    return host
