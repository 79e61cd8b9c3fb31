"""A Cloud SQL instance that the stack makes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
import pulumi_gcp as gcp

from ...database_engines import Engine
from ...settings.database import ManagedDatabase
from ...settings.gcp import enterprise_plus
from ...settings.versions import DEFAULTS, Product
from .provider import Project

sql = gcp.sql

DEFAULT_SIZE = "db-custom-2-4096"
"""2 CPUs and 4 GiB."""
GROWTH = 10
LARGEST_GB = 65536
LOG_DAYS = 7
"""How far back the Enterprise edition goes; Enterprise Plus for PostgreSQL goes back as far as the
backups."""
FINAL_BACKUP_DAYS = 30
BACKUPS = "01:00"
SUNDAY, THREE = 7, 3
"""Windows in UTC."""


@dataclass(frozen=True, kw_only=True)
class EngineOnCloudSql:
    """An engine as Cloud SQL knows it.

    :ivar prefix: of ``databaseVersion``.
    :ivar identity_flag: switches IAM database authentication on (Cloud SQL, "Configure instances for IAM
        database authentication").
    :ivar flags: what MLflow's schema needs beside.
    """

    product: Product
    prefix: str
    identity_flag: str
    flags: Mapping[str, str]


ENGINES: Mapping[Engine, EngineOnCloudSql] = {
    Engine.POSTGRESQL: EngineOnCloudSql(
        product=Product.CLOUD_SQL_POSTGRESQL,
        prefix="POSTGRES_",
        identity_flag="cloudsql.iam_authentication",
        flags={},
    ),
    Engine.MYSQL: EngineOnCloudSql(
        product=Product.CLOUD_SQL_MYSQL,
        prefix="MYSQL_",
        identity_flag="cloudsql_iam_authentication",
        # MLflow's schema has a trigger: with binary logs, which backups need, only this lets its user make
        # it.
        flags={"log_bin_trust_function_creators": "on"},
    ),
}


@dataclass(frozen=True, kw_only=True)
class CloudSqlInstanceArgs:
    """Inputs of :class:`CloudSqlInstance`.

    :param network: id of the network in which it gets its only address.
    :param private_services: what must exist before it can have one there.
    :param protect: guard it against deletion: in Google's API, in the provider and in Pulumi.
    """

    settings: ManagedDatabase
    project: Project
    network: pulumi.Input[str]
    private_services: list[pulumi.Resource]
    protect: bool


class CloudSqlInstance(pulumi.ComponentResource):
    """Encrypted, private, reached through the Auth Proxy only, backed up to the second; deleted only with a
    last backup, which is kept for 30 days.

    Its name is made up by Pulumi: Google may keep a deleted one from being used again for a week.

    Sources: Cloud SQL, "Best practices" and "Prevent deletion of an instance".

    :ivar instance: the Cloud SQL instance.
    """

    instance: gcp.sql.DatabaseInstance

    def __init__(
        self, name: str, args: CloudSqlInstanceArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("mlflow:gcp:CloudSqlInstance", name, {}, opts)
        engine, settings = ENGINES[args.settings.engine], args.settings
        version = settings.version or DEFAULTS[engine.product]
        self.instance = sql.DatabaseInstance(
            name,
            database_version=engine.prefix + version.replace(".", "_"),
            region=args.project.region,
            settings=_settings(args, engine),
            deletion_protection=args.protect,
            final_backup_description="MLflow: made when the instance was deleted",
            opts=pulumi.ResourceOptions(
                parent=self,
                protect=args.protect,
                # No input names it, but without it there is no private address to be had.
                depends_on=[*args.project.apis.of("sqladmin"), *args.private_services],
                # Google makes it larger by itself, and never smaller (pulumi-gcp 10.2.0, ``disk_size``).
                ignore_changes=["settings.diskSize"],
                custom_timeouts=pulumi.CustomTimeouts(create="60m", update="60m", delete="60m"),
            ),
        )
        self.register_outputs({"name": self.instance.name})


def _settings(args: CloudSqlInstanceArgs, engine: EngineOnCloudSql) -> gcp.sql.DatabaseInstanceSettingsArgs:
    settings = args.settings
    size = settings.size or DEFAULT_SIZE
    flags = {**engine.flags, engine.identity_flag: "on"}
    most = settings.max_storage_gb or min(GROWTH * settings.storage_gb, LARGEST_GB)
    return sql.DatabaseInstanceSettingsArgs(
        tier=size,
        edition="ENTERPRISE_PLUS" if enterprise_plus(size) else "ENTERPRISE",
        availability_type="REGIONAL" if settings.high_availability else "ZONAL",
        disk_type="PD_SSD",
        disk_size=settings.storage_gb,
        # Always: switched off, a disk that has grown is larger than diskSize, and that replaces the instance.
        disk_autoresize=True,
        disk_autoresize_limit=most,
        ip_configuration=sql.DatabaseInstanceSettingsIpConfigurationArgs(
            ipv4_enabled=False,
            private_network=args.network,
            ssl_mode="ENCRYPTED_ONLY",
        ),
        # The Auth Proxy and nobody else, even inside the network.
        connector_enforcement="REQUIRED",
        # Always: a switch from password to identity then needs no restart.
        database_flags=[
            sql.DatabaseInstanceSettingsDatabaseFlagArgs(name=name, value=value)
            for name, value in sorted(flags.items())
        ],
        backup_configuration=_backups(settings, size),
        retain_backups_on_delete=True,
        final_backup_config=sql.DatabaseInstanceSettingsFinalBackupConfigArgs(
            enabled=True, retention_days=FINAL_BACKUP_DAYS
        ),
        insights_config=sql.DatabaseInstanceSettingsInsightsConfigArgs(
            query_insights_enabled=True, record_application_tags=False, record_client_address=False
        ),
        maintenance_window=sql.DatabaseInstanceSettingsMaintenanceWindowArgs(
            day=SUNDAY, hour=THREE, update_track="stable"
        ),
        deletion_protection_enabled=args.protect,
        user_labels=dict(args.project.labels),
    )


def _backups(settings: ManagedDatabase, size: str) -> gcp.sql.DatabaseInstanceSettingsBackupConfigurationArgs:
    mysql = settings.engine is Engine.MYSQL
    logs = settings.backup_days if enterprise_plus(size) else min(settings.backup_days, LOG_DAYS)
    return sql.DatabaseInstanceSettingsBackupConfigurationArgs(
        enabled=True,
        start_time=BACKUPS,
        # The same thing under two names: any second of the log can be restored.
        binary_log_enabled=True if mysql else None,
        point_in_time_recovery_enabled=None if mysql else True,
        transaction_log_retention_days=logs,
        backup_retention_settings=sql.DatabaseInstanceSettingsBackupConfigurationBackupRetentionSettingsArgs(
            retained_backups=max(settings.backup_days, logs), retention_unit="COUNT"
        ),
    )
