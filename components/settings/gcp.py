"""A stack on Google Cloud."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from .artifacts import ManagedArtifacts
from .base import DnsLabel, Model
from .cluster import ManagedCluster, NewCluster
from .stack import Cloud, CloudCommon


class GkeMode(StrEnum):
    """Who looks after the nodes of a created GKE cluster."""

    STANDARD = "standard"
    AUTOPILOT = "autopilot"


class Channel(StrEnum):
    """How soon a created GKE cluster gets new versions (GKE, "About release channels")."""

    RAPID = "rapid"
    REGULAR = "regular"
    STABLE = "stable"
    EXTENDED = "extended"


class GkeFeature(StrEnum):
    """What an existing GKE cluster, or its network, has."""

    PRIVATE_SERVICES_ACCESS = "private-services-access"
    NETWORK_POLICY = "network-policy"
    PROXY_SUBNET = "proxy-subnet"


class ExistingSubnet(Model):
    """A subnet of `gcp:region` in this project; its network has a way out (Cloud NAT)."""

    name: DnsLabel
    """The subnet's name, for nodes and load balancers."""
    pods: DnsLabel
    """Name of its secondary range for pods."""
    services: DnsLabel
    """Name of its secondary range for Services."""


class NewGcpCluster(NewCluster):
    """A GKE cluster that the stack makes, with its network."""

    compute: GkeMode = GkeMode.STANDARD
    """standard (a pool of `nodes`) or autopilot (Google runs the nodes, and bills by pod)."""
    channel: Channel = Channel.REGULAR
    """Release channel, which upgrades control plane and nodes: rapid, regular, stable or extended."""
    subnet: ExistingSubnet | None = None
    """A subnet that is there already: cluster and database go into its network, and the stack makes none.
    What that network has is said in `cluster.has`."""
    dns_endpoint: bool = False
    """Reach the Kubernetes API by a name of Google's as well, from anywhere and guarded by IAM alone: for a
    private control plane without a way into its network."""


class GcpCluster(ManagedCluster):
    """The GKE cluster: `existing`, or made by the stack."""

    location: Annotated[str, Field(pattern=r"^[a-z]+-[a-z]+[0-9]+(-[a-z])?$")] | None = None
    """Region or zone of the existing cluster. Default: `gcp:region`."""
    has: list[GkeFeature] = []
    """What the existing cluster and its network have: private-services-access (a new database needs it),
    network-policy (enforced), proxy-subnet (for an internal ingress). With `create.subnet` what its network
    has."""
    create: NewGcpCluster | None = None
    """A new cluster. Default: one with every default, unless `existing` names one."""


class GcpIdentityMode(StrEnum):
    """How a ServiceAccount is somebody in Google Cloud (GKE, "About Workload Identity Federation")."""

    IMPERSONATED = "impersonated"
    DIRECT = "direct"


class ProxyMode(StrEnum):
    """Where the Cloud SQL Auth Proxy runs."""

    SIDECAR = "sidecar"
    DEPLOYMENT = "deployment"


class Builder(StrEnum):
    """Who builds the images of a stack (Cloud Build, "Overview")."""

    DOCKER = "docker"
    CLOUD_BUILD = "cloud-build"


class IdentityAwareProxy(Model):
    """Google's sign-in in front of the external ingress."""

    members: list[
        Annotated[str, Field(pattern=r"^((user|group|serviceAccount):[^@\s]+@[^@\s]+|domain:[^@\s]+)$")]
    ]
    """Who may pass, such as `group:ml@example.com`, `user:…`, `domain:…` or `serviceAccount:…`."""


class Gcp(Model):
    """What only Google Cloud has."""

    identity: GcpIdentityMode = GcpIdentityMode.IMPERSONATED
    """impersonated (each ServiceAccount becomes an IAM service account) or direct (the ServiceAccount itself
    gets the rights; it cannot sign in to Cloud SQL by identity). Either way the same namespace and
    ServiceAccount in another cluster of the project are the same somebody."""
    proxy: ProxyMode = ProxyMode.SIDECAR
    """The Cloud SQL Auth Proxy: sidecar (in each pod that opens the database) or deployment (shared, with an
    identity of its own, guarded by a network policy)."""
    builder: Builder = Builder.DOCKER
    """Who builds the images: docker (on the machine that runs `up`) or cloud-build (Google, for machines
    without Docker; billed by the minute)."""
    static_addresses: bool = True
    """Reserve the address of each load balancer, so that it outlives it."""
    addresses: dict[Literal["internal", "external", "ingress"], DnsLabel] = {}
    """Entrance → name of an address that is reserved already (for an external ingress a global one)."""
    iap: IdentityAwareProxy | None = None
    """Identity-Aware Proxy: only who it lets in reaches the external ingress."""
    pull_credentials: DnsLabel | None = None
    """Secret group that holds DOCKER_CONFIG_JSON: pull-only credentials for ready images of a private
    registry, in the format of Docker's config.json. Default: the nodes pull with their own role."""


class GcpArtifacts(ManagedArtifacts):
    """The artifact store of a stack on Google Cloud."""

    location: Annotated[str, Field(pattern=r"^[a-zA-Z0-9-]{2,40}$")] | None = None
    """Managed: where the bucket lies: a region, or eu, us, asia, or a pair of regions. Default:
    `gcp:region`."""
    soft_delete_days: Annotated[int, Field(ge=0, le=90)] = 7
    """Managed: days that everything deleted, and the bucket itself, can be restored: 0 (off) or 7 to 90.
    What is kept is billed."""


PREDEFINED_SIZE = re.compile(r"^db-perf-optimized-N-[0-9]+$")
"""Machine types of Cloud SQL's Enterprise Plus edition; all others belong to Enterprise."""


class GcpStack(CloudCommon):
    """A stack on Google Cloud; `gcp:project` and `gcp:region` say where."""

    cloud: Literal[Cloud.GCP]
    """Where the database, artifacts, registry and identity come from."""
    cluster: GcpCluster = GcpCluster()
    """The GKE cluster."""
    artifacts: GcpArtifacts = GcpArtifacts()  # pyright: ignore[reportIncompatibleVariableOverride] - frozen
    """The artifact store: by default a bucket on Cloud Storage."""
    gcp: Gcp = Gcp()
    """What only Google Cloud has."""

    @property
    def new_cluster(self) -> NewGcpCluster | None:
        """The cluster to make; None where an existing one is used."""
        return None if self.cluster.existing else self.cluster.create or NewGcpCluster()


BALANCED, HYPERDISK = "pd-balanced", "hyperdisk-balanced"
"""General-purpose SSD of the older machine series and of the newer ones."""
NEWER, OLDER = re.compile(r"^(n4d?|c4d?)-"), re.compile(r"^(e2|n1|n2d?|t2d|c2d?)-")
"""Machine series that take Hyperdisk alone, and those that take no Hyperdisk Balanced; the others take both
(Compute Engine, "About Hyperdisk": machine type support)."""


def general_disk(size: str | None) -> str:
    """The type of disk, of nodes and of volumes on them, that a machine type takes when nobody says."""
    return HYPERDISK if size and NEWER.match(size) else BALANCED


def enterprise_plus(size: str | None) -> bool:
    """Whether a Cloud SQL machine type belongs to the Enterprise Plus edition.

    The edition is never left to the API: PostgreSQL 16 and later would get Enterprise Plus, which refuses
    every other machine type (pulumi-gcp 10.2.0, ``DatabaseInstanceSettings.edition``).
    """
    return bool(size and PREDEFINED_SIZE.match(size))
