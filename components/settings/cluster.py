"""Which cluster the stack uses, and where its images come from."""

from __future__ import annotations

import ipaddress
from enum import StrEnum
from typing import Annotated

from pydantic import Field

from .base import Cidr, DnsLabel, Model, open_to_world


class Loader(StrEnum):
    """Ways to put a locally built image onto the nodes of a cluster."""

    KIND = "kind"
    MINIKUBE = "minikube"
    K3D = "k3d"
    DOCKER_DESKTOP = "docker-desktop"


class Cluster(Model):
    """The Kubernetes cluster, as every stack may describe it."""

    storage_class: DnsLabel | None = None
    """Storage class of every volume. Default: on dev the cluster's default class, on a cloud an encrypted
    one that the stack makes."""
    argo_workflows: bool = False
    """Say true where Argo Workflows 4 is installed, controller and custom resources. Pipelines may then have
    `engine: argo`."""


class DevCluster(Cluster):
    """The cluster of a stack without a cloud: the project's own unless a context is named."""

    context: str | None = None
    """A context of your kubeconfig. Default: the project's own cluster (`make cluster`)."""
    kubeconfig: str | None = None
    """The kubeconfig file that holds `context`. Default: ~/.kube/config."""
    loader: Loader | None = None
    """How built images reach the nodes of `context`; or name `images.registry`."""
    load_balancer: bool = False
    """Whether the cluster gives Services of type LoadBalancer a (public) address."""
    internal_load_balancer: dict[str, str] = {}
    """Annotations that make a load balancer private on this cluster; needed for `exposure.internal`."""


class ControlPlaneAccess(Model):
    """Who reaches the Kubernetes API of a created cluster. Without ranges: only its private network."""

    public: list[Cidr] = []
    """Source ranges that reach it from the internet; it stays reachable from inside as well."""
    world: bool = False
    """Say true as well as listing 0.0.0.0/0 or ::/0, to open the Kubernetes API to the whole internet."""

    @property
    def open_to_world(self) -> bool:
        """Whether the ranges together leave nobody out."""
        return open_to_world(self.public)


class Nodes(Model):
    """The nodes of a created cluster: a fixed number, or a range that follows the load."""

    total: Annotated[int, Field(ge=1, le=1000)] | None = None
    """Nodes over all zones. Default: 3; where the cloud sizes the cluster by its load, as the load wants."""
    min: Annotated[int, Field(ge=0, le=1000)] | None = None
    """Fewest nodes over all zones, with `max`, instead of `total`."""
    max: Annotated[int, Field(ge=1, le=1000)] | None = None
    """Most nodes over all zones."""
    size: str | None = None
    """Machine type, in the cloud's own words. Default: 2 to 4 CPUs and 8 to 16 GiB."""
    disk_gb: Annotated[int, Field(ge=20, le=16000)] = 50
    """Size of each node's disk in GB."""
    disk_type: str | None = None
    """Type of each node's disk, in the cloud's own words. Default: the cloud's general-purpose SSD."""

    @property
    def bounds(self) -> tuple[int, int]:
        """Fewest and most nodes, over all zones."""
        if self.min is not None and self.max is not None:
            return self.min, self.max
        total = self.total or DEFAULT_NODES
        return total, total


DEFAULT_NODES = 3
"""One node per zone of a cluster over three, and enough to drain one of two."""


class NewCluster(Model):
    """A cluster that the stack makes, with its network."""

    version: Annotated[str, Field(pattern=r"^1\.[0-9]{2}$")] | None = None
    """Kubernetes version, such as 1.35. Default: one in the cloud's standard support."""
    access: ControlPlaneAccess = ControlPlaneAccess()
    """Who reaches the Kubernetes API."""
    nodes: Nodes = Nodes()
    """The nodes."""
    zones: list[str] = []
    """Zones of network and nodes, by name, two or three. Default: the first ones of the region."""
    network: Annotated[str, Field(pattern=r"^[0-9.]+/(1[6-9]|20)$")] = "10.64.0.0/16"
    """Address range of the network that is made, a /16 to a /20."""
    container_logs: bool = False
    """Send what containers write to the cloud's log service, which charges for it."""

    @property
    def address_range(self) -> ipaddress.IPv4Network:
        """``network`` as a network."""
        return ipaddress.IPv4Network(self.network)


class ManagedCluster(Cluster):
    """A cluster of the cloud: an existing one by name, or one that the stack makes."""

    existing: str | None = None
    """Name of a cluster that is there already; the stack never changes or deletes it."""

    # Each cloud adds ``create``: NewCluster or what it adds to that.


class Images(Model):
    """The images of server and jobs."""

    registry: str | None = None
    """On dev: registry and path to push built images to, such as registry.example.com/team/mlflow. A cloud
    stack makes a registry of its own."""
    server: str | None = None
    """A ready server image by reference, instead of building one."""
    job: str | None = None
    """A ready job image by reference, instead of building one."""
