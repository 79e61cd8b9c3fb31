"""A stack of workloads alone, for a tracking server that is there already."""

from __future__ import annotations

from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, StringConstraints

from .base import DnsLabel, Model
from .cluster import Cluster
from .server import JobLogLevels
from .stack import Cloud, Shared

SubdomainName = Annotated[
    str, StringConstraints(min_length=1, max_length=253, pattern=r"^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$")
]
"""A name as Secrets have. Source: Kubernetes, "Object Names and IDs", DNS subdomain names."""


def _url(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise ValueError("must be http://host or https://host, with a port or path where it has one")
    return value.rstrip("/")


Url = Annotated[str, AfterValidator(_url)]


class Tracking(Model):
    """The tracking server that the workloads use, and where they run. Nothing of it is made or changed."""

    url: Url | None = None
    """Its address as pods reach it, such as http://mlflow-server.mlflow.svc.cluster.local."""
    stack: Annotated[str, Field(pattern=r"^[^/\s]+/[^/\s]+/[^/\s]+$")] | None = None
    """Instead of `url`: the stack that made it in the same cluster, as organization/project/stack. Whoever
    brings this stack up must be able to read that one's state."""
    web_url: Url | None = None
    """Where people open it, for links and `make jobs`. Default: `url`, or the stack's own answer."""
    namespace: DnsLabel
    """Where the workloads run. It is there already, and the stack owns only what it makes in it."""
    service_account: DnsLabel = "default"
    """As which they run; it is there already."""
    credentials: DnsLabel | None = None
    """Secret group that they sign in with: MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or
    MLFLOW_TRACKING_TOKEN, in one Secret."""
    ca_bundle: str | None = None
    """PEM certificates that the server's certificate is checked against. Default: public authorities."""


class ExistingCluster(Cluster):
    """The cluster that the workloads run in."""

    context: str | None = None
    """A context of your kubeconfig. Default: the cluster that `make cluster` found or made."""
    kubeconfig: str | None = None
    """The kubeconfig file that holds `context`. Default: where kubectl looks."""


class ExistingImages(Model):
    """Images that the nodes can pull; in the cluster of `make cluster`, those that `make images` left."""

    job: str | None = None
    """The job image, by fixed tag or digest. Needed where `cluster.context` is set."""
    git_sync: str | None = None
    """A copy of git-sync's image, for nodes that cannot pull the published one."""
    pull_secrets: list[SubdomainName] = []
    """Secrets of the namespace with which all pods of the stack pull their images; they are there already.
    Default: jobs and services use those of `tracking.serviceAccount`, and other pods none."""


class ExistingStack(Shared):
    """A stack without a tracking server of its own."""

    cloud: Literal[Cloud.EXISTING]
    """existing: server, database and artifacts are there already; the stack adds workloads to them."""
    tracking: Tracking
    """The tracking server."""
    cluster: ExistingCluster = ExistingCluster()
    """The Kubernetes cluster."""
    images: ExistingImages = ExistingImages()
    """Images of jobs."""
    log_level: JobLogLevels = JobLogLevels()
    """Log levels."""

    @property
    def namespace(self) -> str:
        """Where everything of the stack is."""
        return self.tracking.namespace
