"""The tracking database as the in-cluster half provides it: a server in the cluster, a file, or a URL."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi

from ..contracts import Cluster, Database, FileFromText, Images, VolumeMount
from ..database_engines import Engine, sqlalchemy_uri, with_checked_tls
from ..settings.database import Database as DatabaseSettings
from ..settings.database import Place
from .database_server import DatabaseServer, DatabaseServerArgs
from .volumes import volume_claim

DATA = "/var/lib/mlflow/database"
CA_FILE = "/etc/mlflow/database-ca.pem"
PUBLIC_CAS = "/etc/ssl/certs/ca-certificates.crt"
"""The public authorities of the server image (Debian's ca-certificates)."""


@dataclass(frozen=True, kw_only=True)
class TrackingDatabaseArgs:
    """Inputs of :class:`TrackingDatabase`."""

    settings: DatabaseSettings
    place: Place
    namespace: pulumi.Output[str]
    cluster: Cluster
    images: Images
    protect: bool


class TrackingDatabase(pulumi.ComponentResource):
    """The tracking database where no cloud provides it; ``database`` is the contract."""

    database: Database

    def __init__(
        self, name: str, args: TrackingDatabaseArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("mlflow:tracking:TrackingDatabase", name, {}, opts)
        if args.place is Place.EXTERNAL:
            self.database = self._external(args.settings)
        elif args.settings.engine is Engine.SQLITE:
            self.database = self._file(name, args)
        else:
            self.database = self._server(name, args)
        self.register_outputs({})

    def _external(self, settings: DatabaseSettings) -> Database:
        assert settings.url is not None, "the settings require it"  # noqa: S101
        ca_file = CA_FILE if settings.ca_bundle else PUBLIC_CAS
        uri = pulumi.Output.secret(settings.url.reveal()).apply(lambda url: _checked(url, ca_file))
        files = [FileFromText(path=CA_FILE, text=settings.ca_bundle)] if settings.ca_bundle else []
        return Database(engine=settings.engine, uri=uri, files=files)

    def _file(self, name: str, args: TrackingDatabaseArgs) -> Database:
        claim = volume_claim(
            f"{name}-volume",
            claim="mlflow-database",
            size=args.settings.volume.size,
            storage_class=args.settings.volume.storage_class or args.cluster.storage_class,
            namespace=args.namespace,
            opts=pulumi.ResourceOptions(parent=self, protect=args.protect),
        )
        return Database(
            engine=Engine.SQLITE,
            uri=f"sqlite:///{DATA}/mlflow.db",
            volume=VolumeMount(claim=claim.metadata.name, path=DATA, single_node=True),
            single_writer=True,
            ready=[claim],
        )

    def _server(self, name: str, args: TrackingDatabaseArgs) -> Database:
        server = DatabaseServer(
            name,
            DatabaseServerArgs(
                settings=args.settings,
                namespace=args.namespace,
                storage_class=args.cluster.storage_class,
                images=args.images,
                protect=args.protect,
            ),
            opts=pulumi.ResourceOptions(parent=self),
        )
        uri = pulumi.Output.all(server.host, server.password).apply(
            lambda known: sqlalchemy_uri(
                args.settings.engine,
                host=known[0],
                database=server.database_name,
                user=server.user,
                password=known[1],
            )
        )
        return Database(
            engine=args.settings.engine,
            uri=uri,
            client_labels=server.client_labels,
            ready=[server],
        )


def _checked(url: str, ca_file: str) -> str:
    try:
        return with_checked_tls(url, ca_file)
    except ValueError:
        # Offline the secret cannot be read; the settings have checked it wherever it can.
        return url
