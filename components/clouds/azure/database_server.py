"""A Flexible Server that the stack makes: PostgreSQL or MySQL, its private way in and its administrator."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_random as random
from pulumi_azure_native import dbformysql, dbforpostgresql

from ...database_engines import Engine
from ...settings.azure import AzureDatabase, DatabaseAccess
from ...settings.azure_store_rules import ADMIN
from ...settings.database import SignIn
from ..names import stack_name
from .database_service import SERVICES, Wanted, grows, mysql, postgresql, said_size
from .identity import WorkloadPrincipal
from .network import PrivateEndpoint, PrivateEndpointArgs, PrivateZone, PrivateZoneArgs, network_of
from .resource_group import Place

PASSWORD_LENGTH = 32
ONLY_ADMINISTRATOR = "ActiveDirectory"
"""Name of the one Entra administrator that MySQL can have."""


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
        zone, ready = self._zone()
        server = self._server(zone, ready)
        self.id, self.name, self.host = server.id, server.name, server.fully_qualified_domain_name
        self._whole = server
        before: list[pulumi.Resource] = [server]
        if self._by_endpoint:
            before.append(self._endpoint(zone))
        # One after the other: a server does one thing at a time (terraform-provider-azurerm#19962).
        if args.admin:
            make = self._mysql_admin if args.settings.engine is Engine.MYSQL else self._postgresql_admin
            before = [make(args.admin, before)]
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

    def _server(
        self, zone: pulumi.Input[str], ready: Sequence[pulumi.Resource]
    ) -> dbforpostgresql.Server | dbformysql.Server:
        args, settings = self._args, self._settings
        place, is_mysql = args.place, settings.engine is Engine.MYSQL
        # MySQL has such an administrator always, PostgreSQL where it takes passwords.
        by_password = is_mysql or settings.sign_in is SignIn.PASSWORD
        wanted = Wanted(
            settings=settings,
            subnet=None if self._by_endpoint else args.subnet,
            zone=None if self._by_endpoint else zone,
            tenant=place.subscription.tenant,
            others={
                "resource_group_name": place.group,
                "location": place.location,
                "tags": dict(place.tags),
                **(self._administrator() if by_password else {}),
            },
        )
        opts = pulumi.ResourceOptions(
            parent=self,
            protect=args.protect,
            depends_on=list(ready),
            # Azure makes it larger by itself, and never smaller; a size that was said is asked for.
            ignore_changes=["storage.storageSizeGB"] if grows(settings) and not said_size(settings) else None,
            custom_timeouts=pulumi.CustomTimeouts(create="60m", update="60m", delete="60m"),
        )
        return mysql(self._name, wanted, opts) if is_mysql else postgresql(self._name, wanted, opts)

    def _administrator(self) -> dict[str, Any]:
        """A user with a password."""
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

    def _part(self, before: Sequence[pulumi.Resource], **options: Any) -> pulumi.ResourceOptions:
        """Options of what goes with the server, never by itself: Azure does not part with an administrator
        who owns a database (terraform-provider-azurerm#24736), and setting back parameters fails now and
        then (pulumi-azure-native#2043)."""
        return pulumi.ResourceOptions(
            parent=self, depends_on=list(before), deleted_with=self._whole, **options
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
            # The API takes servicePrincipal and gives back ServicePrincipal (its reference): no change.
            opts=self._part(before, ignore_changes=["principalType"]),
        )

    def _mysql_admin(self, admin: WorkloadPrincipal, before: Sequence[pulumi.Resource]) -> pulumi.Resource:
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
            opts=self._part(before),
        )

    def _parameters(self, before: list[pulumi.Resource]) -> None:
        wanted = dict(self._service.parameters)
        is_mysql = self._settings.engine is Engine.MYSQL
        if is_mysql and self._args.admin:
            # Last of all: from then on no password is taken.
            wanted["aad_auth_only"] = "ON"
        configuration = dbformysql.Configuration if is_mysql else dbforpostgresql.Configuration
        for parameter, value in wanted.items():
            made = configuration(
                f"{self._name}-{parameter.replace('_', '-')}",
                resource_group_name=self._args.place.group,
                server_name=self.name,
                configuration_name=parameter,
                value=value,
                source="user-override",
                # Azure calls a value that is its own default system-default (pulumi-azure-native#4736), and a
                # refresh would bring that here.
                opts=self._part(before, ignore_changes=["source"]),
            )
            before = [made]
