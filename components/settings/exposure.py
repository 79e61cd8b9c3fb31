"""Who can reach the server, and how."""

from __future__ import annotations

import ipaddress
from typing import Annotated

from pydantic import Field

from .base import Cidr, HostName, Model


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

    @property
    def open_to_world(self) -> bool:
        """Whether the ranges together leave nobody out, however they are split."""
        networks = [ipaddress.ip_network(cidr) for cidr in self.allow]
        v4 = [net for net in networks if isinstance(net, ipaddress.IPv4Network)]
        v6 = [net for net in networks if isinstance(net, ipaddress.IPv6Network)]
        # Half the address space is no restriction either: it is how a /0 is smuggled past a check.
        return any(net.prefixlen <= 1 for net in ipaddress.collapse_addresses(v4)) or any(
            net.prefixlen <= 3 for net in ipaddress.collapse_addresses(v6)
        )


class Exposure(Model):
    """Entrances. Without any, the server is reached inside the cluster and by `make open`."""

    node_port: NodePort | None = None
    """A port on every node (development clusters)."""
    internal: LoadBalancer | None = None
    """A load balancer inside the private network."""
    external: LoadBalancer | None = None
    """A load balancer on the internet; needs `allow`."""
