"""What every stack file may say; each cloud adds its own sections in a file of its own."""

from __future__ import annotations

from enum import StrEnum

from .artifacts import Artifacts, ManagedArtifacts
from .base import DnsLabel, EnvironmentName, Model, Secret
from .cluster import Images
from .database import Database, ManagedDatabase, Place
from .exposure import Exposure
from .jobs import Jobs
from .pipelines import Pipelines
from .server import Auth, LogLevels, Server
from .services import ModelServers, Services

Groups = dict[DnsLabel, dict[DnsLabel, dict[EnvironmentName, Secret]]]


class Cloud(StrEnum):
    """Where the foundation comes from."""

    DEV = "dev"
    AWS = "aws"
    GCP = "gcp"
    AZURE = "azure"
    EXISTING = "existing"


class Shared(Model):
    """The keys below `mlflow:` that every stack has, beside `cloud`: workloads and what they need."""

    protect: bool | None = None
    """Guard databases, volumes and buckets against deletion. Default: true for every stack not named dev."""
    secrets: Groups = {}
    """Secret groups: group, Secret, key. Written by `make secret GROUP= NAME= KEY=`."""
    jobs: Jobs = {}
    """Job templates by name; `make run JOB=name` starts one."""
    services: Services = {}
    """Services by name: code that answers requests for as long as the stack is up."""
    model_servers: ModelServers = {}
    """Model servers by name: a model of the registry behind MLflow's own scoring server."""
    pipelines: Pipelines = {}
    """Pipelines by name: jobs and services in an order; `make run JOB=name` starts one."""

    def protected(self, stack: str) -> bool:
        """Whether what holds data is guarded against deletion in the stack of this name."""
        return self.protect if self.protect is not None else stack != "dev"


class Common(Shared):
    """The keys below `mlflow:` that every stack with a tracking server of its own adds."""

    namespace: DnsLabel = "mlflow"
    """The Kubernetes namespace: made and owned by the stack, unless `existingNamespace` says otherwise."""
    existing_namespace: bool = False
    """Say true when the namespace is there already: the stack puts its objects into it and changes nothing of
    the namespace itself; `make down` leaves it."""
    images: Images = Images()
    """Images of server and jobs."""
    server: Server = Server()
    """The tracking server."""
    auth: Auth = Auth()
    """Sign-in."""
    exposure: Exposure = Exposure()
    """Entrances to the server."""
    log_level: LogLevels = LogLevels()
    """Log levels."""


class CloudCommon(Common):
    """What every stack on a cloud adds."""

    tags: dict[str, str] = {}
    """Tags (labels) on every cloud resource of the stack."""
    database: ManagedDatabase = ManagedDatabase()
    """The tracking database: by default the cloud's service."""
    artifacts: ManagedArtifacts = ManagedArtifacts()
    """The artifact store: by default the cloud's object store."""
    local_state: bool = False
    """Say true to keep this stack's state in a folder of this machine. Otherwise a shared backend is needed;
    `make backend STACK=…` makes one."""


def place_of(section: Database | Artifacts, cloud: Cloud) -> Place:
    """Where a store lives: as said, else external when its address is given, else the cloud's default."""
    if section.place is not None:
        return section.place
    if (section.url if isinstance(section, Database) else section.uri) is not None:
        return Place.EXTERNAL
    return Place.IN_CLUSTER if cloud is Cloud.DEV else Place.MANAGED
