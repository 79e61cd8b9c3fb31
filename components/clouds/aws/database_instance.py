"""An RDS instance that the stack makes, and everything it stands on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws
import pulumi_random as random

from ...database_engines import PORTS, Engine
from ...settings.database import ManagedDatabase
from ...settings.versions import DEFAULTS, Product
from ..names import stack_name

MASTER = "mlflow_admin"
"""The administrator, whose password RDS makes, rotates and keeps; 16 characters at most (RDS)."""
DEFAULT_SIZE = "db.t4g.medium"
"""2 CPUs and 4 GiB."""
GROWTH = 10
LARGEST_GB = 65536
INSIGHTS_DAYS = 7
"""The retention that costs nothing."""
LOG_DAYS = 30
PREFIX = "db-"
"""An identifier starts with a letter, which a project's name need not."""
LONGEST = 63
"""Characters of an identifier (CreateDBInstance)."""
SUFFIX_BYTES = 4
AUTHORITY = "rds-ca-rsa2048-g1"
BACKUPS, MAINTENANCE = "01:00-02:00", "sun:03:00-sun:04:00"
"""Windows in UTC."""
WITHOUT_INSIGHTS = (".micro", ".small")
"""Sizes on which RDS for MySQL has no Database Insights (RDS, "Engine and class support for Database
Insights")."""


@dataclass(frozen=True, kw_only=True)
class EngineOnRds:
    """An engine as RDS knows it.

    :ivar family: parameter group family, but for the version.
    :ivar depth: how many parts of the version the family takes.
    :ivar parameters: TLS is enforced; what MLflow's schema needs is allowed.
    :ivar logs: exported to CloudWatch.
    """

    name: str
    product: Product
    family: str
    depth: int
    parameters: Mapping[str, str]
    logs: Sequence[str]


ENGINES: Mapping[Engine, EngineOnRds] = {
    Engine.POSTGRESQL: EngineOnRds(
        name="postgres",
        product=Product.RDS_POSTGRESQL,
        family="postgres",
        depth=1,
        parameters={"rds.force_ssl": "1"},
        logs=("postgresql", "upgrade", "iam-db-auth-error"),
    ),
    Engine.MYSQL: EngineOnRds(
        name="mysql",
        product=Product.RDS_MYSQL,
        family="mysql",
        depth=2,
        # MLflow's schema has a trigger, which its user may make only so: backups switch binary logs on.
        parameters={"require_secure_transport": "1", "log_bin_trust_function_creators": "1"},
        logs=("error", "iam-db-auth-error"),
    ),
}


@dataclass(frozen=True, kw_only=True)
class DatabaseInstanceArgs:
    """Inputs of :class:`DatabaseInstance`.

    :param subnet_ids: private ones, in two zones at least.
    :param admitted: security groups by name of their rule; whoever is in one may connect, and nobody else.
    :param protect: guard it against deletion, in AWS and in Pulumi.
    """

    settings: ManagedDatabase
    vpc_id: pulumi.Input[str]
    subnet_ids: pulumi.Input[Sequence[str]]
    admitted: Mapping[str, pulumi.Input[str]]
    protect: bool


class DatabaseInstance(pulumi.ComponentResource):
    """Encrypted, private, TLS only, backed up to the second; deleted only with a last snapshot.

    Sources: CreateDBInstance; RDS, "Security best practices".

    :ivar instance: the RDS instance.
    :ivar security_group: whoever is in it is reached from the cluster.
    """

    instance: aws.rds.Instance
    security_group: aws.ec2.SecurityGroup

    def __init__(
        self, name: str, args: DatabaseInstanceArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("mlflow:aws:DatabaseInstance", name, {}, opts)
        self._name, self._args = name, args
        self._child = pulumi.ResourceOptions(parent=self)
        self._engine = ENGINES[args.settings.engine]
        self._wanted = args.settings.version or DEFAULTS[self._engine.product]
        self.security_group = self._security_group()
        self.instance = self._instance()
        self.register_outputs({})

    def _instance(self) -> aws.rds.Instance:
        settings, engine, protect = self._args.settings, self._engine, self._args.protect
        identifier = self._identifier()
        most = settings.max_storage_gb or min(GROWTH * settings.storage_gb, LARGEST_GB)
        size = settings.size or DEFAULT_SIZE
        insights = not (settings.engine is Engine.MYSQL and size.endswith(WITHOUT_INSIGHTS))
        return aws.rds.Instance(
            self._name,
            identifier=identifier,
            engine=engine.name,
            engine_version=self._wanted,
            # Only who names a version wants a major upgrade; a new default of this program must not be one.
            allow_major_version_upgrade=settings.version is not None,
            # What names a minor version keeps it; else RDS would move on, and the next `up` ask it back.
            auto_minor_version_upgrade=len(self._wanted.split(".")) <= engine.depth,
            engine_lifecycle_support="open-source-rds-extended-support-disabled",
            instance_class=size,
            multi_az=settings.high_availability,
            allocated_storage=settings.storage_gb,
            max_allocated_storage=most if most > settings.storage_gb else None,
            storage_type="gp3",
            storage_encrypted=True,
            db_name=settings.name,
            username=MASTER,
            manage_master_user_password=True,
            # Always: a switch from password to identity then needs no maintenance window.
            iam_database_authentication_enabled=True,
            ca_cert_identifier=AUTHORITY,
            parameter_group_name=self._parameters().name,
            db_subnet_group_name=self._subnets().name,
            vpc_security_group_ids=[self.security_group.id],
            publicly_accessible=False,
            backup_retention_period=settings.backup_days,
            backup_window=BACKUPS,
            maintenance_window=MAINTENANCE,
            copy_tags_to_snapshot=True,
            delete_automated_backups=False,
            skip_final_snapshot=False,
            final_snapshot_identifier=pulumi.Output.concat(identifier, "-final"),
            deletion_protection=protect,
            performance_insights_enabled=insights,
            performance_insights_retention_period=INSIGHTS_DAYS if insights else None,
            database_insights_mode="standard" if insights else None,
            enabled_cloudwatch_logs_exports=list(engine.logs),
            opts=pulumi.ResourceOptions(parent=self, protect=protect, depends_on=self._logs(identifier)),
        )

    def _identifier(self) -> pulumi.Output[str]:
        """Another one for each instance that is ever made: a second last snapshot of a name would fail."""
        return random.RandomId(
            f"{self._name}-id",
            byte_length=SUFFIX_BYTES,
            prefix=f"{PREFIX}{stack_name(longest=LONGEST - len(PREFIX) - 1 - 2 * SUFFIX_BYTES)}-",
            # What makes RDS replace the instance (terraform-provider-aws, instance.go: ForceNew).
            keepers={"engine": self._engine.name, "name": self._args.settings.name},
            # A renamed stack would rename the instance, and with it the address that pods know.
            opts=pulumi.ResourceOptions(parent=self, ignore_changes=["prefix"]),
        ).hex

    def _parameters(self) -> aws.rds.ParameterGroup:
        version = ".".join(self._wanted.split(".")[: self._engine.depth])
        return aws.rds.ParameterGroup(
            f"{self._name}-parameters",
            family=f"{self._engine.family}{version}",
            description="MLflow: TLS only",
            parameters=[
                # Fits static and dynamic parameters; a new instance starts with them anyway.
                aws.rds.ParameterGroupParameterArgs(name=key, value=value, apply_method="pending-reboot")
                for key, value in self._engine.parameters.items()
            ],
            # A major upgrade waits for the maintenance window, and RDS uses the old group until then and a
            # while after: deleting it would fail each `up` in between. Left behind, it costs nothing.
            opts=pulumi.ResourceOptions(parent=self, retain_on_delete=True),
        )

    def _subnets(self) -> aws.rds.SubnetGroup:
        return aws.rds.SubnetGroup(
            f"{self._name}-subnets",
            description="MLflow: private subnets",
            subnet_ids=self._args.subnet_ids,
            opts=self._child,
        )

    def _security_group(self) -> aws.ec2.SecurityGroup:
        group = aws.ec2.SecurityGroup(
            f"{self._name}-access",
            description="MLflow database: reached from the cluster only",
            vpc_id=self._args.vpc_id,
            opts=self._child,
        )
        port = PORTS[self._args.settings.engine]
        for name, source in self._args.admitted.items():
            admit(f"{self._name}-from-{name}", group.id, source, port, self._child)
        return group

    def _logs(self, identifier: pulumi.Output[str]) -> list[aws.cloudwatch.LogGroup]:
        """Made first: RDS would make groups that keep everything for ever."""
        return [
            aws.cloudwatch.LogGroup(
                f"{self._name}-log-{log}",
                name=pulumi.Output.concat("/aws/rds/instance/", identifier, f"/{log}"),
                retention_in_days=LOG_DAYS,
                opts=self._child,
            )
            for log in self._engine.logs
        ]


def admit(
    name: str,
    security_group_id: pulumi.Input[str],
    source_security_group_id: pulumi.Input[str],
    port: pulumi.Input[int],
    opts: pulumi.ResourceOptions,
) -> aws.vpc.SecurityGroupIngressRule:
    """One rule: this port, from members of that security group."""
    return aws.vpc.SecurityGroupIngressRule(
        name,
        description="MLflow, from the cluster",
        security_group_id=security_group_id,
        referenced_security_group_id=source_security_group_id,
        ip_protocol="tcp",
        from_port=port,
        to_port=port,
        opts=opts,
    )
