"""Who can reach the server, and how."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from .base import Cidr, DnsLabel, HostName, Model, open_to_world


class NodePort(Model):
    """A port on every node: for development clusters."""

    port: Annotated[int, Field(ge=30000, le=32767)] = 30500
    """The port; Kubernetes' default range is 30000 to 32767."""
    hosts: list[HostName] = []
    """More names or addresses under which people reach the nodes."""
    anonymous: bool = False
    """Say true to let in without sign-in whoever reaches the nodes of a cluster that you named."""


class LoadBalancer(Model):
    """A load balancer in front of the server."""

    host: HostName | None = None
    """The name people type; it enters the server's host allow-list."""
    allow: list[Cidr] = []
    """Source ranges that may connect."""
    anonymous: bool = False
    """Say true to let people in without sign-in (`auth.mode: none`) from the ranges above."""
    world: bool = False
    """Say true as well as allowing 0.0.0.0/0 or ::/0, to open the server to the whole internet."""
    certificate: str | None = None
    """On a cloud: its certificate for `host` (AWS: an ACM ARN). With it only https is served, without it
    plain http."""

    @property
    def open_to_world(self) -> bool:
        """Whether the ranges together leave nobody out, however they are split."""
        return open_to_world(self.allow)


class EntranceApi(StrEnum):
    """In whose words a controller is asked."""

    INGRESS = "ingress"
    GATEWAY = "gateway"


class Ingress(LoadBalancer):
    """An Ingress: one host name, routed by an ingress controller."""

    api: EntranceApi = EntranceApi.INGRESS
    """ingress, or gateway: a Gateway and an HTTPRoute of the Gateway API (on Azure and Google Cloud)."""
    class_name: HostName | None = None
    """IngressClass, or GatewayClass, of a controller that the cluster has. Default: the cloud's own."""
    tls_secret: DnsLabel | None = None
    """Secret of type kubernetes.io/tls in the stack's namespace, with the certificate for `host`: people come
    by https. It is made by cert-manager, where an annotation names its issuer, or by you."""
    controller_namespace: DnsLabel | None = None
    """Namespace of the controller's pods: exposed services then let in nobody else from outside their own.
    Default: not known, so their ports are open to whatever reaches them."""
    internal: bool = False
    """Inside the private network instead of on the internet (the cloud's own class only)."""
    annotations: dict[str, str] = {}
    """More annotations for its controller. With `className`, one of them must hold the ranges of `allow`, as
    nothing else enforces them there."""

    @property
    def controller_namespaces(self) -> tuple[str, ...]:
        """Where the controller's pods are, as contracts say it."""
        return (self.controller_namespace,) if self.controller_namespace else ()


class Exposure(Model):
    """Entrances. Without any, the server is reached inside the cluster and by `make open`."""

    node_port: NodePort | None = None
    """A port on every node (development clusters)."""
    internal: LoadBalancer | None = None
    """A load balancer inside the private network."""
    external: LoadBalancer | None = None
    """A load balancer on the internet; needs `allow`."""
    ingress: Ingress | None = None
    """An Ingress; needs `host`, and `allow` unless internal."""
