"""Azure: AKS, Flexible Server, Blob Storage, Container Registry, and managed identities that pods are.

Here the parts are put together, and nowhere else.
"""

from __future__ import annotations

from typing import Any

import pulumi

from ...contracts import (
    DATABASE_ADMIN_ACCOUNT,
    JOBS_ACCOUNT,
    SERVER_ACCOUNT,
    Foundation,
    WorkloadIdentity,
)
from ...settings import artifacts_place, database_place
from ...settings.azure import AzureStack, DatabaseAccess
from ...settings.database import Place as StorePlace
from ...settings.database import SignIn
from .artifacts import ArtifactContainer, ArtifactContainerArgs
from .cluster import AzureCluster, connect
from .database import FlexibleServer, FlexibleServerArgs
from .identity import WorkloadPrincipal, WorkloadPrincipalArgs
from .images import ImageRegistry, ImageRegistryArgs
from .locks import Locks, LocksArgs
from .provider import connect_subscription
from .resource_group import Place, resource_group


def build(settings: AzureStack) -> Foundation:
    """The foundation on Azure.

    :raises SettingsError: when the settings do not fit what there is.
    """
    place = resource_group(settings, connect_subscription(settings))
    return _Builder(settings, place, connect(settings, place)).foundation()


class _Builder:
    """What every part is made from."""

    def __init__(self, settings: AzureStack, place: Place, cluster: AzureCluster) -> None:
        self._settings, self._place, self._cluster = settings, place, cluster
        self._guarded = settings.protected(pulumi.get_stack())
        self._on_azure = pulumi.ResourceOptions(providers=[place.subscription.provider])
        database = settings.database
        self._managed = database_place(settings) is StorePlace.MANAGED
        self._by_identity = self._managed and database.sign_in is SignIn.IDENTITY
        self._server = self._principal("mlflow-server", SERVER_ACCOUNT, protect=self._by_identity)
        self._jobs = self._principal("mlflow-jobs", JOBS_ACCOUNT)

    def foundation(self) -> Foundation:
        settings = self._settings
        registry = ImageRegistry(
            "mlflow-registry",
            ImageRegistryArgs(settings=settings, place=self._place, kubelet=self._cluster.kubelet),
            opts=self._on_azure,
        )
        database, container = self._database(), self._container()
        if settings.azure.locks:
            self._lock(database, container)
        return Foundation(
            cluster=self._cluster.contract,
            images=registry.images,
            identity=WorkloadIdentity(server=self._server.identity, jobs=self._jobs.identity),
            database=database.database if database else None,
            artifacts=container.store if container else None,
            exports=self._exports(database, container, registry),
            data_places={"azure-native:location": self._place.location},
        )

    def _principal(
        self, name: str, account: str, *, protect: bool = False, existing: str | None = None
    ) -> WorkloadPrincipal:
        return WorkloadPrincipal(
            name,
            WorkloadPrincipalArgs(
                place=self._place,
                issuer=self._cluster.issuer,
                namespace=self._settings.namespace,
                accounts=[account],
                protect=protect and self._guarded,
                existing=existing,
            ),
            opts=self._on_azure,
        )

    def _database(self) -> FlexibleServer | None:
        if not self._managed:
            return None
        settings = self._settings.database
        admin = None
        if self._by_identity and (settings.existing is None or settings.administrator):
            # Nobody else is the administrator: the server's own identity never can be.
            admin = self._principal(
                "mlflow-database-admin",
                DATABASE_ADMIN_ACCOUNT,
                protect=True,
                existing=settings.administrator,
            )
        return FlexibleServer(
            "mlflow-database",
            FlexibleServerArgs(
                settings=settings,
                groups=self._settings.secrets,
                place=self._place,
                subnet=self._database_subnet(),
                server=self._server,
                admin=admin,
                protect=self._guarded,
            ),
            opts=self._on_azure,
        )

    def _database_subnet(self) -> pulumi.Input[str] | None:
        settings, network = self._settings.database, self._cluster.network
        if settings.subnet or network is None:
            return settings.subnet
        return network.database if settings.access is DatabaseAccess.VNET else network.endpoints

    def _container(self) -> ArtifactContainer | None:
        if artifacts_place(self._settings) is not StorePlace.MANAGED:
            return None
        return ArtifactContainer(
            "mlflow-artifacts",
            ArtifactContainerArgs(
                settings=self._settings.artifacts,
                access=self._settings.storage_access,
                place=self._place,
                network=self._cluster.network,
                server=self._server,
                jobs=self._jobs,
                protect=self._guarded,
            ),
            opts=self._on_azure,
        )

    def _lock(self, database: FlexibleServer | None, container: ArtifactContainer | None) -> None:
        on: dict[str, pulumi.Input[str]] = {}
        last_of: list[pulumi.Resource] = []
        if database and self._settings.database.existing is None:
            on["database"] = database.service.id
            last_of.append(database)
        if container and container.account_id is not None:
            on["artifacts"] = container.account_id
            last_of.append(container)
        Locks("mlflow-locks", LocksArgs(on=on, last_of=last_of), opts=self._on_azure)

    def _exports(
        self, database: FlexibleServer | None, container: ArtifactContainer | None, registry: ImageRegistry
    ) -> dict[str, Any]:
        name, group = self._cluster.name, self._cluster.group
        return {
            "resourceGroup": self._place.group,
            "clusterName": name,
            "kubeconfig": self._cluster.kubeconfig,
            "kubeconfigCommand": pulumi.Output.concat(
                "az aks get-credentials --resource-group ", group, " --name ", name
            ),
            "databaseServer": database.service.host if database else None,
            "storageAccount": container.account if container else None,
            "container": container.container if container else None,
            "registry": registry.server,
            "identities": {"server": self._server.client_id, "jobs": self._jobs.client_id},
        }
