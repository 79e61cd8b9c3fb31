"""The in-cluster half: from contracts and settings to a running tracking server."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import pulumi

from ..contracts import ArtifactStore, Cluster, Database, Foundation, TrackingAccess
from ..data_places import data_places
from ..settings import Stack, artifacts_place, database_place
from .artifacts import TrackingArtifacts, TrackingArtifactsArgs
from .base import Base, BaseArgs
from .bootstrap import Bootstrap, BootstrapArgs
from .client import Client, ClientArgs
from .database import TrackingDatabase, TrackingDatabaseArgs
from .database_proxy import Proxy, ProxyArgs
from .environment import Environment, EnvironmentArgs
from .exposure import Exposure, ExposureArgs
from .migration import Migration, MigrationArgs
from .server import Server, ServerArgs


@dataclass(frozen=True, kw_only=True)
class TrackingArgs:
    """Inputs of :class:`Tracking`."""

    settings: Stack
    foundation: Foundation
    protect: bool


class Tracking(pulumi.ComponentResource):
    """MLflow in a namespace. ``exports`` is what a person needs next, ``access`` what jobs need.

    Every object is reached through the contract's provider only; children inherit it.
    """

    exports: dict[str, Any]
    access: TrackingAccess

    def __init__(self, name: str, args: TrackingArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("mlflow:tracking:Tracking", name, {}, opts)
        self._name, self._args = name, args
        self._child = pulumi.ResourceOptions(parent=self)
        settings, foundation = args.settings, args.foundation
        cluster, images, identity = foundation.cluster, foundation.images, foundation.identity

        base = Base(
            f"{name}-base",
            BaseArgs(
                namespace=settings.namespace,
                existing_namespace=settings.existing_namespace,
                cluster=cluster,
                identity=identity,
                images=images,
                groups=settings.secrets,
                protect=args.protect,
            ),
            opts=self._child,
        )
        database = self._proxied(base, foundation.database or self._database(base, cluster))
        artifacts = foundation.artifacts or self._artifacts(base, cluster)
        bootstrap = self._bootstrap(base, database)
        exposure = Exposure(
            f"{name}-exposure",
            ExposureArgs(
                settings=settings.exposure,
                namespace=base.namespace,
                namespace_name=settings.namespace,
                cluster=cluster,
            ),
            opts=self._child,
        )
        environment = Environment(
            f"{name}-environment",
            EnvironmentArgs(
                settings=settings,
                namespace=base.namespace,
                database=database,
                artifacts=artifacts,
                allowed_hosts=exposure.allowed_hosts,
                cors_origins=exposure.cors_origins,
            ),
            opts=self._child,
        )
        migration = Migration(
            f"{name}-migration",
            MigrationArgs(
                namespace=base.namespace,
                account=base.server_account,
                images=images,
                identity=identity.server,
                database=database,
                environment=environment,
                bootstrap=bootstrap,
            ),
            opts=self._child,
        )
        Server(
            f"{name}-server",
            ServerArgs(
                settings=settings.server,
                auth=settings.auth,
                namespace=base.namespace,
                account=base.server_account,
                images=images,
                identity=identity.server,
                database=database,
                artifacts=artifacts,
                environment=environment,
                group_secrets=[
                    secret for group in settings.server.secrets for secret in base.group_secrets[group]
                ],
                migration=migration,
                drain_seconds=exposure.drain_seconds,
            ),
            opts=self._child,
        )
        client = Client(
            f"{name}-client",
            ClientArgs(
                log_level=settings.log_level,
                namespace=base.namespace,
                url=exposure.in_cluster_url,
                env=artifacts.client_env,
            ),
            opts=self._child,
        )
        self.access = TrackingAccess(
            namespace=base.namespace,
            account=base.jobs_account,
            config_map=client.config_map,
            environment=client.environment,
            secret=environment.jobs_secret,
            groups={
                group: {
                    key: secret
                    for values, secret in zip(named.values(), base.group_secrets[group], strict=True)
                    for key in values
                }
                for group, named in settings.secrets.items()
            },
            pod_labels=identity.jobs.pod_labels,
            job_annotations=cluster.job_annotations,
            pull_secrets=base.pull_secrets,
        )
        self.exports = self._exports(exposure, environment, client, base, artifacts)
        self.register_outputs({})

    def _database(self, base: Base, cluster: Cluster) -> Database:
        settings = self._args.settings
        made = TrackingDatabase(
            f"{self._name}-database",
            TrackingDatabaseArgs(
                settings=settings.database,
                place=database_place(settings),
                namespace=base.namespace,
                cluster=cluster,
                images=self._args.foundation.images,
                protect=self._args.protect,
            ),
            opts=self._child,
        )
        return made.database

    def _bootstrap(self, base: Base, database: Database) -> Bootstrap | None:
        if database.bootstrap is None:
            return None
        return Bootstrap(
            f"{self._name}-bootstrap",
            BootstrapArgs(
                bootstrap=database.bootstrap,
                database=database,
                namespace=base.namespace,
                images=self._args.foundation.images,
                pull_secrets=base.pull_secrets,
            ),
            opts=self._child,
        )

    def _proxied(self, base: Base, database: Database) -> Database:
        """The database, with its proxy as one of the things that must be there first."""
        if database.proxy is None:
            return database
        proxy = Proxy(
            f"{self._name}-database-proxy",
            ProxyArgs(proxy=database.proxy, database=database, namespace=base.namespace),
            opts=self._child,
        )
        return replace(database, ready=[*database.ready, proxy])

    def _artifacts(self, base: Base, cluster: Cluster) -> ArtifactStore:
        settings = self._args.settings
        made = TrackingArtifacts(
            f"{self._name}-artifacts",
            TrackingArtifactsArgs(
                settings=settings.artifacts,
                place=artifacts_place(settings),
                groups=settings.secrets,
                namespace=base.namespace,
                cluster=cluster,
                protect=self._args.protect,
            ),
            opts=self._child,
        )
        return made.store

    def _exports(
        self,
        exposure: Exposure,
        environment: Environment,
        client: Client,
        base: Base,
        artifacts: ArtifactStore,
    ) -> dict[str, Any]:
        settings = self._args.settings
        url = exposure.url or pulumi.Output.from_input(exposure.in_cluster_url)
        username = settings.auth.admin_username if environment.admin_password else None
        lines = [
            pulumi.Output.concat("export MLFLOW_TRACKING_URI=", url),
            *(pulumi.Output.concat(f"export {name}=", value) for name, value in artifacts.client_env.items()),
        ]
        if username:
            stack = pulumi.get_stack()
            password = f'"$(pulumi stack output adminPassword --show-secrets --stack {stack})"'
            lines += [
                pulumi.Output.from_input(f"export MLFLOW_TRACKING_USERNAME={username}"),
                pulumi.Output.from_input(f"export MLFLOW_TRACKING_PASSWORD={password}"),
            ]
        return {
            "url": url,
            "inClusterUrl": exposure.in_cluster_url,
            "internalUrl": exposure.internal_url,
            "externalUrl": exposure.external_url,
            "clientEnvironment": pulumi.Output.all(*lines),
            "adminUsername": username,
            "adminPassword": environment.admin_password,
            "namespace": base.namespace,
            "jobsServiceAccount": base.jobs_account,
            "jobsConfigMap": client.config_map,
            "jobsSecret": environment.jobs_secret,
            "images": {
                "server": self._args.foundation.images.server,
                "job": self._args.foundation.images.job,
            },
            "database": {"engine": settings.database.engine, "place": database_place(settings)},
            "artifacts": {"place": artifacts_place(settings), "uri": settings.artifacts.uri},
            "dataPlaces": data_places(settings, self._args.foundation.cluster.identity)
            | dict(self._args.foundation.data_places),
            **self._args.foundation.exports,
        }
