"""PostgreSQL and MySQL as Azure's Flexible Servers: what each is called there, and the inputs of one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pulumi
from pulumi_azure_native import dbformysql, dbforpostgresql

from ...database_engines import Engine
from ...settings.azure import AzureDatabase
from ...settings.database import SignIn
from ...settings.versions import DEFAULTS, Product

SMALL, STANDBY = "Standard_B2s", "Standard_D2ds_v5"
"""2 CPUs and 4 GiB; a standby needs a size that is not burstable, here 2 CPUs and 8 GiB."""
TIERS = {"B": "Burstable", "D": "GeneralPurpose", "E": "MemoryOptimized"}
SMALLEST_POSTGRESQL_GB = 32
SUNDAY, THREE = 0, 3
"""Maintenance, UTC."""
MYSQL_VERSIONS = {"8.0": "8.0.21"}
"""What the API calls a version that people call otherwise."""


@dataclass(frozen=True, kw_only=True)
class ServiceOnAzure:
    """An engine as Azure knows it.

    :ivar delegation: of a subnet in which servers stand.
    :ivar domain: of servers' names; behind ``privatelink.`` where a private endpoint leads to one.
    :ivar group: what a private endpoint calls it.
    :ivar parameters: what is set on each server: TLS always, and what MLflow's schema needs.
    """

    product: Product
    delegation: str
    domain: str
    group: str
    parameters: Mapping[str, str]


SERVICES: Mapping[Engine, ServiceOnAzure] = {
    Engine.POSTGRESQL: ServiceOnAzure(
        product=Product.AZURE_POSTGRESQL,
        delegation="Microsoft.DBforPostgreSQL/flexibleServers",
        domain="postgres.database.azure.com",
        group="postgresqlServer",
        parameters={"require_secure_transport": "on"},
    ),
    Engine.MYSQL: ServiceOnAzure(
        product=Product.AZURE_MYSQL,
        delegation="Microsoft.DBforMySQL/flexibleServers",
        domain="mysql.database.azure.com",
        group="mysqlServer",
        # MLflow's schema has a trigger: with binary logs, which backups need, only this lets its user make
        # it.
        parameters={"log_bin_trust_function_creators": "ON", "require_secure_transport": "ON"},
    ),
}


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What a server is made from, whatever its engine.

    :param subnet: in which it stands; None where a private endpoint leads to it.
    :param zone: private DNS zone of its name; None with a private endpoint.
    :param tenant: of Entra.
    :param others: inputs that both engines call the same.
    """

    settings: AzureDatabase
    subnet: pulumi.Input[str] | None
    zone: pulumi.Input[str] | None
    tenant: pulumi.Input[str]
    others: Mapping[str, Any]

    @property
    def version(self) -> str:
        """As people call it."""
        return self.settings.version or DEFAULTS[SERVICES[self.settings.engine].product]

    @property
    def size(self) -> tuple[str, str]:
        """Machine and its tier."""
        size = self.settings.size or (STANDBY if self.settings.high_availability else SMALL)
        return size, TIERS[size.removeprefix("Standard_")[0]]


def grows(settings: AzureDatabase) -> bool:
    """Whether Azure makes the storage larger by itself."""
    return settings.max_storage_gb is None


def said_size(settings: AzureDatabase) -> bool:
    """Whether the stack file says how large the storage is."""
    return "storage_gb" in settings.model_fields_set


def postgresql(name: str, wanted: Wanted, opts: pulumi.ResourceOptions) -> dbforpostgresql.Server:
    """A PostgreSQL server; with sign-in by identity it takes no password at all."""
    settings, sql = wanted.settings, dbforpostgresql
    size, tier = wanted.size
    storage = settings.storage_gb if said_size(settings) else SMALLEST_POSTGRESQL_GB
    on, off = sql.PasswordBasedAuth.ENABLED, sql.PasswordBasedAuth.DISABLED
    return sql.Server(
        name,
        version=wanted.version,
        sku=sql.SkuArgs(name=size, tier=tier),
        storage=sql.StorageArgs(
            storage_size_gb=storage,
            auto_grow=sql.StorageAutoGrow.ENABLED if grows(settings) else sql.StorageAutoGrow.DISABLED,
        ),
        auth_config=sql.AuthConfigArgs(
            active_directory_auth=sql.MicrosoftEntraAuth.ENABLED,
            password_auth=on if settings.sign_in is SignIn.PASSWORD else off,
            tenant_id=wanted.tenant,
        ),
        backup=sql.BackupArgs(
            backup_retention_days=settings.backup_days,
            geo_redundant_backup=sql.GeographicallyRedundantBackup.ENABLED
            if settings.geo_redundant_backups
            else sql.GeographicallyRedundantBackup.DISABLED,
        ),
        high_availability=sql.HighAvailabilityArgs(
            mode=sql.PostgreSqlFlexibleServerHighAvailabilityMode.ZONE_REDUNDANT
            if settings.high_availability
            else sql.PostgreSqlFlexibleServerHighAvailabilityMode.DISABLED
        ),
        network=sql.NetworkArgs(
            delegated_subnet_resource_id=wanted.subnet,
            private_dns_zone_arm_resource_id=wanted.zone,
            public_network_access=sql.ServerPublicNetworkAccessState.DISABLED,
        ),
        maintenance_window=sql.MaintenanceWindowArgs(
            custom_window="Enabled", day_of_week=SUNDAY, start_hour=THREE, start_minute=0
        ),
        **wanted.others,
        opts=opts,
    )


def mysql(name: str, wanted: Wanted, opts: pulumi.ResourceOptions) -> dbformysql.Server:
    """A MySQL server; ``directory_reader`` is by whom it looks up in Entra who signs in."""
    settings, sql = wanted.settings, dbformysql
    size, tier = wanted.size
    on, off = sql.EnableStatusEnum.ENABLED, sql.EnableStatusEnum.DISABLED
    reader = settings.directory_reader
    return sql.Server(
        name,
        version=MYSQL_VERSIONS.get(wanted.version, wanted.version),
        sku=sql.MySQLServerSkuArgs(name=size, tier=tier),
        identity=sql.MySQLServerIdentityArgs(
            type=sql.ManagedServiceIdentityType.USER_ASSIGNED, user_assigned_identities=[reader]
        )
        if reader
        else None,
        storage=sql.StorageArgs(
            storage_size_gb=settings.storage_gb,
            auto_grow=on if grows(settings) else off,
        ),
        backup=sql.BackupArgs(
            backup_retention_days=settings.backup_days,
            geo_redundant_backup=on if settings.geo_redundant_backups else off,
        ),
        high_availability=sql.HighAvailabilityArgs(
            mode=sql.HighAvailabilityMode.ZONE_REDUNDANT
            if settings.high_availability
            else sql.HighAvailabilityMode.DISABLED
        ),
        network=sql.NetworkArgs(
            delegated_subnet_resource_id=wanted.subnet,
            private_dns_zone_resource_id=wanted.zone,
            public_network_access=off,
        ),
        maintenance_window=sql.MaintenanceWindowArgs(
            custom_window="Enabled", day_of_week=SUNDAY, start_hour=THREE, start_minute=0
        ),
        **wanted.others,
        opts=opts,
    )
