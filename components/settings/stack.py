"""Everything a stack file may say."""

from __future__ import annotations

from enum import StrEnum

from .artifacts import Artifacts
from .base import DnsLabel, EnvironmentName, Model, Secret
from .cluster import DevCluster, Images
from .database import Database, Place
from .exposure import Exposure
from .server import Auth, LogLevels, Server

Groups = dict[DnsLabel, dict[DnsLabel, dict[EnvironmentName, Secret]]]


class Cloud(StrEnum):
    """Where the foundation comes from."""

    DEV = "dev"


class Stack(Model):
    """One stack: the keys below `mlflow:` in `Pulumi.<stack>.yaml`."""

    cloud: Cloud
    """Where the database, artifacts, registry and identity come from; dev needs no cloud."""
    namespace: DnsLabel = "mlflow"
    """The Kubernetes namespace, made and owned by the stack."""
    protect: bool | None = None
    """Guard databases, volumes and buckets against deletion. Default: true for every stack not named dev."""
    cluster: DevCluster = DevCluster()
    """The Kubernetes cluster."""
    images: Images = Images()
    """Images of server and jobs."""
    database: Database = Database()
    """The tracking database."""
    artifacts: Artifacts = Artifacts()
    """The artifact store."""
    server: Server = Server()
    """The tracking server."""
    auth: Auth = Auth()
    """Sign-in."""
    exposure: Exposure = Exposure()
    """Entrances to the server."""
    log_level: LogLevels = LogLevels()
    """Log levels."""
    secrets: Groups = {}
    """Secret groups: group, Secret, key. Written by `make secret GROUP= NAME= KEY=`."""

    @property
    def database_place(self) -> Place:
        """Who runs the database, with the default resolved."""
        return place_of(self.database, given=self.database.url is not None, cloud=self.cloud)

    @property
    def artifacts_place(self) -> Place:
        """Who runs the artifact store, with the default resolved."""
        return place_of(self.artifacts, given=self.artifacts.uri is not None, cloud=self.cloud)

    def protected(self, stack: str) -> bool:
        """Whether what holds data is guarded against deletion in the stack of this name."""
        return self.protect if self.protect is not None else stack != "dev"


def place_of(section: Database | Artifacts, *, given: bool, cloud: Cloud) -> Place:
    """Where a store lives: as said, else external when its address is given, else the cloud's default."""
    if section.place is not None:
        return section.place
    if given:
        return Place.EXTERNAL
    return Place.IN_CLUSTER if cloud is Cloud.DEV else Place.MANAGED
