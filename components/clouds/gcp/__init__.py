"""Google Cloud: GKE, Cloud SQL, Cloud Storage, Artifact Registry, and service accounts that pods are.

Here the parts are put together, and nowhere else.
"""

from __future__ import annotations

from typing import Any

import pulumi

from ...contracts import (
    DATABASE_ADMIN_ACCOUNT,
    JOBS_ACCOUNT,
    SERVER_ACCOUNT,
    Database,
    Foundation,
    WorkloadIdentity,
)
from ...settings import artifacts_place, database_place
from ...settings.database import Place
from ...settings.gcp import GcpStack, ProxyMode
from .artifacts import ArtifactBucket, ArtifactBucketArgs
from .cluster import GcpCluster, connect
from .database import CloudSql, CloudSqlArgs
from .identity import WorkloadPrincipal, WorkloadPrincipalArgs
from .images import ImageRegistry, ImageRegistryArgs
from .network import PrivateServices, PrivateServicesArgs
from .provider import Project, connect_project, needs_private_services
from .proxy import NAME as PROXY_ACCOUNT


def build(settings: GcpStack) -> Foundation:
    """The foundation on Google Cloud.

    :raises SettingsError: when the settings do not fit what there is.
    """
    project = connect_project(settings)
    return _Builder(settings, project, connect(settings, project)).foundation()


class _Builder:
    """What every part is made from."""

    def __init__(self, settings: GcpStack, project: Project, cluster: GcpCluster) -> None:
        self._settings, self._project, self._cluster = settings, project, cluster
        self._guarded = settings.protected(pulumi.get_stack())
        self._on_google = pulumi.ResourceOptions(providers=[project.provider])
        managed = database_place(settings) is Place.MANAGED
        self._shared_proxy = managed and settings.gcp.proxy is ProxyMode.DEPLOYMENT
        # A sidecar runs as its pod; the Job that makes the grants reaches the database as the server does.
        grants = managed and not self._shared_proxy
        self._server = self._principal(
            "mlflow-server", "server", SERVER_ACCOUNT, *([DATABASE_ADMIN_ACCOUNT] if grants else [])
        )
        self._jobs = self._principal("mlflow-jobs", "jobs", JOBS_ACCOUNT)

    def foundation(self) -> Foundation:
        settings = self._settings
        registry = ImageRegistry(
            "mlflow-registry",
            ImageRegistryArgs(settings=settings, project=self._project, nodes=self._cluster.nodes),
            opts=self._on_google,
        )
        database, bucket = self._database(), self._bucket()
        contract: Database | None = database.database if database else None
        return Foundation(
            cluster=self._cluster.contract,
            images=registry.images,
            identity=WorkloadIdentity(server=self._server.identity, jobs=self._jobs.identity),
            database=contract,
            artifacts=bucket.store if bucket else None,
            exports=self._exports(database, bucket, registry),
            data_places={"gcp:project": self._project.id, "gcp:region": self._project.region},
        )

    def _principal(self, name: str, what: str, *accounts: str) -> WorkloadPrincipal:
        return WorkloadPrincipal(
            name,
            WorkloadPrincipalArgs(
                project=self._project,
                mode=self._settings.gcp.identity,
                cluster=self._cluster.made,
                namespace=self._settings.namespace,
                accounts=accounts,
                description=f"MLflow: {what}",
            ),
            opts=self._on_google,
        )

    def _database(self) -> CloudSql | None:
        settings = self._settings
        if database_place(settings) is not Place.MANAGED:
            return None
        client = self._server
        if self._shared_proxy:
            client = self._principal("mlflow-proxy", "database proxy", PROXY_ACCOUNT)
        return CloudSql(
            "mlflow-database",
            CloudSqlArgs(
                settings=settings.database,
                proxy=settings.gcp.proxy,
                groups=settings.secrets,
                project=self._project,
                namespace=settings.namespace,
                network=self._cluster.network,
                private_services=self._private_services(),
                client=client,
                protect=self._guarded,
            ),
            opts=self._on_google,
        )

    def _private_services(self) -> PrivateServices | None:
        address_range = self._cluster.private_services
        if address_range is None or not needs_private_services(self._settings):
            return None
        return PrivateServices(
            "mlflow-private-services",
            PrivateServicesArgs(
                project=self._project,
                network=self._cluster.network,
                address_range=address_range,
            ),
            opts=self._on_google,
        )

    def _bucket(self) -> ArtifactBucket | None:
        if artifacts_place(self._settings) is not Place.MANAGED:
            return None
        return ArtifactBucket(
            "mlflow-artifacts",
            ArtifactBucketArgs(
                settings=self._settings.artifacts,
                project=self._project,
                server=self._server.member,
                jobs=self._jobs.member,
                protect=self._guarded,
            ),
            opts=self._on_google,
        )

    def _exports(
        self, database: CloudSql | None, bucket: ArtifactBucket | None, registry: ImageRegistry
    ) -> dict[str, Any]:
        name, place = self._cluster.name, self._cluster.location
        return {
            "clusterName": name,
            "kubeconfig": self._cluster.kubeconfig,
            "kubeconfigCommand": pulumi.Output.concat(
                "gcloud container clusters get-credentials ",
                name,
                f" --location {place} --project {self._project.id}",
                " --dns-endpoint" if self._cluster.by_name else "",
            ),
            "databaseInstance": database.service.connection_name if database else None,
            "bucket": bucket.bucket if bucket else None,
            "repository": registry.repository,
            "serviceAccounts": {"server": self._server.member, "jobs": self._jobs.member},
        }
