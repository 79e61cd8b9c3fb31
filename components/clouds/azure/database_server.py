"""A Flexible Server that the stack makes: PostgreSQL or MySQL, its private way in and its administrator."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_random as random
from pulumi_azure_native import dbformysql, dbforpostgresql

from ...database_engines import Engine
from ...settings.azure import AzureDatabase, DatabaseAccess
from ...settings.azure_store_rules import ADMIN
from ...settings.database import SignIn
from ...settings.versions import DEFAULTS, Product
from ..names import stack_name
from .identity import WorkloadPrincipal
from .network import PrivateEndpoint, PrivateEndpointArgs, PrivateZone, PrivateZoneArgs, network_of
from .resource_group import Place

SMALL, STANDBY = "Standard_B2s", "Standard_D2ds_v5"
"""2 CPUs and 4 GiB; a standby needs a size that is not burstable, here 2 CPUs and 8 GiB."""
TIERS = {"B": "Burstable", "D": "GeneralPurpose", "E": "MemoryOptimized"}
SMALLEST_POSTGRESQL_GB = 32
PASSWORD_LENGTH = 32
SUNDAY, THREE = 0, 3
"""Maintenance, UTC."""
MYSQL_VERSIONS = {"8.0": "8.0.21"}
"""What the API calls a version that people call otherwise."""
ONLY_ADMINISTRATOR = "ActiveDirectory"
"""Name of the one Entra administrator that MySQL can have."""


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
class DatabaseServerArgs:
    """Inputs of :class:`DatabaseServer`.

    :param subnet: id of the server's subnet, or of its private endpoint's.
    :param admin: Entra administrator; None where users sign in by password.
    :param protect: guard it against deletion.
    """

    settings: AzureDatabase
    place: Place
    subnet: pulumi.Input[str]
    admin: WorkloadPrincipal | None
    protect: bool


class DatabaseServer(pulumi.ComponentResource):
    """Encrypted, without an address on the internet, TLS only, backed up to the second. With an Entra
    administrator PostgreSQL takes no passwords at all, and MySQL's own administrator cannot sign in.

    Its name is made up by Pulumi: a deleted server can be brought back for five days, under its own name.

    The server's database is not made here but by the Job: Azure would make one before the administrator is
    there, which then nobody may use (hashicorp/terraform-provider-azurerm#27895).

    :ivar id, name, host: of the server.
    :ivar password: of the administrator who is no Entra one; None with an Entra one.
    """

    id: pulumi.Output[str]
    name: pulumi.Output[str]
    host: pulumi.Output[str]
    password: pulumi.Output[str] | None

    def __init__(
        self, name: str, args: DatabaseServerArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("mlflow:azure:DatabaseServer", name, {}, opts)
        self._name, self._args, self._settings = name, args, args.settings
        self._child = pulumi.ResourceOptions(parent=self)
        self._service = SERVICES[args.settings.engine]
        self.password = None
        mysql = args.settings.engine is Engine.MYSQL
        zone, ready = self._zone()
        server = self._mysql(zone, ready) if mysql else self._postgresql(zone, ready)
        self.id, self.name, self.host = server.id, server.name, server.fully_qualified_domain_name
        before: list[pulumi.Resource] = [server]
        if self._by_endpoint:
            before.append(self._endpoint(zone))
        # One after the other: a server does one thing at a time (terraform-provider-azurerm#19962).
        if args.admin:
            before = [self._mysql_admin(args.admin) if mysql else self._postgresql_admin(args.admin, before)]
        self._parameters(before)
        self.register_outputs({"host": self.host})

    @property
    def _by_endpoint(self) -> bool:
        return self._settings.access is DatabaseAccess.PRIVATE_ENDPOINT

    def _zone(self) -> tuple[pulumi.Input[str], list[pulumi.Resource]]:
        """Where the server's name is found; without it nothing in the network would."""
        if self._settings.dns_zone:
            return self._settings.dns_zone, []
        domain = self._service.domain
        # In its own zone a server's name must differ from the zone's.
        first = "privatelink" if self._by_endpoint else f"{stack_name()}.private"
        zone = PrivateZone(
            f"{self._name}-zone",
            PrivateZoneArgs(
                place=self._args.place,
                domain=f"{first}.{domain}",
                network=network_of(self._args.subnet),
            ),
            opts=self._child,
        )
        return zone.id, [zone]

    def _endpoint(self, zone: pulumi.Input[str]) -> pulumi.Resource:
        return PrivateEndpoint(
            f"{self._name}-endpoint",
            PrivateEndpointArgs(
                place=self._args.place,
                target=self.id,
                group=self._service.group,
                subnet=self._args.subnet,
                zone=zone,
            ),
            opts=self._child,
        )

    def _common(self, ready: Sequence[pulumi.Resource]) -> dict[str, Any]:
        place = self._args.place
        grows = self._grows
        return {
            "resource_group_name": place.group,
            "location": place.location,
            "tags": dict(place.tags),
            "opts": pulumi.ResourceOptions(
                parent=self,
                protect=self._args.protect,
                depends_on=list(ready),
                # Azure makes it larger by itself, and never smaller.
                ignore_changes=["storage.storageSizeGB"] if grows else None,
                custom_timeouts=pulumi.CustomTimeouts(create="60m", update="60m", delete="60m"),
            ),
        }

    @property
    def _grows(self) -> bool:
        return self._settings.max_storage_gb is None

    @property
    def _size(self) -> tuple[str, str]:
        size = self._settings.size or (STANDBY if self._settings.high_availability else SMALL)
        return size, TIERS[size.removeprefix("Standard_")[0]]

    @property
    def _engine_version(self) -> str:
        return self._settings.version or DEFAULTS[self._service.product]

    def _administrator(self) -> dict[str, Any]:
        """A user with a password, where one is needed: for users with passwords, and always by MySQL."""
        password = random.RandomPassword(
            f"{self._name}-admin-password",
            length=PASSWORD_LENGTH,
            min_lower=1,
            min_upper=1,
            min_numeric=1,
            special=False,
            opts=pulumi.ResourceOptions(parent=self, protect=self._args.protect),
        ).result
        if self._args.admin is None:
            self.password = password
        return {"administrator_login": ADMIN, "administrator_login_password": password}

    def _postgresql(
        self, zone: pulumi.Input[str], ready: Sequence[pulumi.Resource]
    ) -> dbforpostgresql.Server:
        settings, sql = self._settings, dbforpostgresql
        size, tier = self._size
        by_password = settings.sign_in is SignIn.PASSWORD
        storage = settings.storage_gb if "storage_gb" in settings.model_fields_set else SMALLEST_POSTGRESQL_GB
        on, off = sql.PasswordBasedAuth.ENABLED, sql.PasswordBasedAuth.DISABLED
        return sql.Server(
            self._name,
            version=self._engine_version,
            sku=sql.SkuArgs(name=size, tier=tier),
            storage=sql.StorageArgs(
                storage_size_gb=storage,
                auto_grow=sql.StorageAutoGrow.ENABLED if self._grows else sql.StorageAutoGrow.DISABLED,
            ),
            auth_config=sql.AuthConfigArgs(
                active_directory_auth=sql.MicrosoftEntraAuth.ENABLED,
                password_auth=on if by_password else off,
                tenant_id=self._args.place.subscription.tenant,
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
                delegated_subnet_resource_id=None if self._by_endpoint else self._args.subnet,
                private_dns_zone_arm_resource_id=None if self._by_endpoint else zone,
                public_network_access=sql.ServerPublicNetworkAccessState.DISABLED,
            ),
            maintenance_window=sql.MaintenanceWindowArgs(
                custom_window="Enabled", day_of_week=SUNDAY, start_hour=THREE, start_minute=0
            ),
            **(self._administrator() if by_password else {}),
            **self._common(ready),
        )

    def _mysql(self, zone: pulumi.Input[str], ready: Sequence[pulumi.Resource]) -> dbformysql.Server:
        settings, sql = self._settings, dbformysql
        size, tier = self._size
        on, off = sql.EnableStatusEnum.ENABLED, sql.EnableStatusEnum.DISABLED
        reader = settings.directory_reader
        return sql.Server(
            self._name,
            version=MYSQL_VERSIONS.get(self._engine_version, self._engine_version),
            sku=sql.MySQLServerSkuArgs(name=size, tier=tier),
            identity=sql.MySQLServerIdentityArgs(
                type=sql.ManagedServiceIdentityType.USER_ASSIGNED, user_assigned_identities=[reader]
            )
            if reader
            else None,
            storage=sql.StorageArgs(
                storage_size_gb=settings.storage_gb,
                auto_grow=on if self._grows else off,
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
                delegated_subnet_resource_id=None if self._by_endpoint else self._args.subnet,
                private_dns_zone_resource_id=None if self._by_endpoint else zone,
                public_network_access=off,
            ),
            maintenance_window=sql.MaintenanceWindowArgs(
                custom_window="Enabled", day_of_week=SUNDAY, start_hour=THREE, start_minute=0
            ),
            **self._administrator(),
            **self._common(ready),
        )

    def _postgresql_admin(
        self, admin: WorkloadPrincipal, before: Sequence[pulumi.Resource]
    ) -> pulumi.Resource:
        return dbforpostgresql.AdministratorsMicrosoftEntra(
            f"{self._name}-admin",
            resource_group_name=self._args.place.group,
            server_name=self.name,
            # Names the resource in Azure as well: without it, it would be the one called mlflow-….
            object_id=admin.principal_id,
            principal_name=admin.name,
            principal_type=dbforpostgresql.PrincipalType.SERVICE_PRINCIPAL,
            tenant_id=self._args.place.subscription.tenant,
            opts=pulumi.ResourceOptions(
                parent=self,
                depends_on=list(before),
                # The API takes servicePrincipal and gives back ServicePrincipal (its reference): no change.
                ignore_changes=["principalType"],
            ),
        )

    def _mysql_admin(self, admin: WorkloadPrincipal) -> pulumi.Resource:
        return dbformysql.AzureADAdministrator(
            f"{self._name}-admin",
            resource_group_name=self._args.place.group,
            server_name=self.name,
            administrator_name=ONLY_ADMINISTRATOR,
            administrator_type=dbformysql.AdministratorType.ACTIVE_DIRECTORY,
            identity_resource_id=self._settings.directory_reader,
            login=admin.name,
            # Of an identity MySQL wants the client id (Azure/azure-service-operator#1334).
            sid=admin.client_id,
            tenant_id=self._args.place.subscription.tenant,
            opts=self._child,
        )

    def _parameters(self, before: list[pulumi.Resource]) -> None:
        wanted = dict(self._service.parameters)
        mysql = self._settings.engine is Engine.MYSQL
        if mysql and self._args.admin:
            # Last of all: from then on no password is taken.
            wanted["aad_auth_only"] = "ON"
        configuration = dbformysql.Configuration if mysql else dbforpostgresql.Configuration
        for parameter, value in wanted.items():
            made = configuration(
                f"{self._name}-{parameter.replace('_', '-')}",
                resource_group_name=self._args.place.group,
                server_name=self.name,
                configuration_name=parameter,
                value=value,
                source="user-override",
                opts=pulumi.ResourceOptions(parent=self, depends_on=list(before)),
            )
            before = [made]
