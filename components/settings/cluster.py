"""Which cluster the stack uses, and where its images come from."""

from __future__ import annotations

from enum import StrEnum

from .base import DnsLabel, Model


class Loader(StrEnum):
    """Ways to put a locally built image onto the nodes of a cluster."""

    KIND = "kind"
    MINIKUBE = "minikube"
    K3D = "k3d"
    DOCKER_DESKTOP = "docker-desktop"


class DevCluster(Model):
    """The cluster of a stack without a cloud: the project's own unless a context is named."""

    context: str | None = None
    """A context of your kubeconfig. Default: the project's own cluster (`make cluster`)."""
    kubeconfig: str | None = None
    """The kubeconfig file that holds `context`. Default: ~/.kube/config."""
    loader: Loader | None = None
    """How built images reach the nodes of `context`; or name `images.registry`."""
    storage_class: DnsLabel | None = None
    """Storage class of every volume. Default: the cluster's default class."""
    load_balancer: bool = False
    """Whether the cluster gives Services of type LoadBalancer a (public) address."""
    internal_load_balancer: dict[str, str] = {}
    """Annotations that make a load balancer private on this cluster; needed for `exposure.internal`."""


class Images(Model):
    """The images of server and jobs."""

    registry: str | None = None
    """Registry and path to push built images to, such as registry.example.com/team/mlflow."""
    server: str | None = None
    """A ready server image by reference, instead of building one."""
    job: str | None = None
    """A ready job image by reference, instead of building one."""
