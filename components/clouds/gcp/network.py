"""The network of a created cluster, and the peering through which Cloud SQL gets a private address."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import NamedTuple

import pulumi
import pulumi_gcp as gcp

from .provider import Project

compute = gcp.compute

PODS, SERVICES = "pods", "services"
"""Names of the subnet's secondary ranges, which GKE takes by name."""


class Ranges(NamedTuple):
    """How a network's address range is shared out."""

    nodes: ipaddress.IPv4Network
    pods: ipaddress.IPv4Network
    services: ipaddress.IPv4Network
    proxies: ipaddress.IPv4Network
    private_services: ipaddress.IPv4Network


def address_ranges(whole: ipaddress.IPv4Network) -> Ranges:
    """Half for pods (a /24 for each node), a quarter for nodes and load balancers, an eighth for Services,
    and a sixteenth each for the proxies of an internal Ingress and for Cloud SQL, which wants a /24 at least
    (Cloud SQL, "Configure private IP": allocated range)."""
    lower, pods = whole.subnets(prefixlen_diff=1)
    nodes, rest = lower.subnets(prefixlen_diff=1)
    services, last = rest.subnets(prefixlen_diff=1)
    proxies, private_services = last.subnets(prefixlen_diff=1)
    return Ranges(nodes, pods, services, proxies, private_services)


@dataclass(frozen=True, kw_only=True)
class ClusterNetworkArgs:
    """Inputs of :class:`ClusterNetwork`.

    :param address_range: of the whole network, a /16 to a /20.
    :param proxies: a subnet for the proxies of an internal Ingress.
    """

    project: Project
    address_range: ipaddress.IPv4Network
    proxies: bool


class ClusterNetwork(pulumi.ComponentResource):
    """A VPC with one subnet in the region; nodes have private addresses and go out through Cloud NAT.

    :ivar ready: what must exist before a node can reach anything outside, and an Ingress its proxies.
    """

    network: gcp.compute.Network
    subnetwork: gcp.compute.Subnetwork
    ranges: Ranges
    ready: list[pulumi.Resource]

    def __init__(
        self, name: str, args: ClusterNetworkArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("mlflow:gcp:ClusterNetwork", name, {}, opts)
        self._name, self._project = name, args.project
        self._child = pulumi.ResourceOptions(parent=self)
        self.ranges = address_ranges(args.address_range)
        self.network = compute.Network(
            name,
            auto_create_subnetworks=False,
            routing_mode="REGIONAL",
            opts=pulumi.ResourceOptions(parent=self, depends_on=args.project.apis.of("compute")),
        )
        self.subnetwork = self._subnetwork()
        self.ready = [self._nat()]
        if args.proxies:
            self.ready.append(self._proxy_subnetwork())
        self.register_outputs({})

    def _subnetwork(self) -> gcp.compute.Subnetwork:
        return compute.Subnetwork(
            f"{self._name}-nodes",
            network=self.network.id,
            region=self._project.region,
            ip_cidr_range=str(self.ranges.nodes),
            secondary_ip_ranges=[
                compute.SubnetworkSecondaryIpRangeArgs(range_name=PODS, ip_cidr_range=str(self.ranges.pods)),
                compute.SubnetworkSecondaryIpRangeArgs(
                    range_name=SERVICES, ip_cidr_range=str(self.ranges.services)
                ),
            ],
            # Google's own APIs without the internet.
            private_ip_google_access=True,
            opts=self._child,
        )

    def _nat(self) -> gcp.compute.RouterNat:
        router = compute.Router(
            f"{self._name}-router", network=self.network.id, region=self._project.region, opts=self._child
        )
        return compute.RouterNat(
            f"{self._name}-nat",
            router=router.name,
            region=self._project.region,
            nat_ip_allocate_option="AUTO_ONLY",
            source_subnetwork_ip_ranges_to_nat="LIST_OF_SUBNETWORKS",
            subnetworks=[
                compute.RouterNatSubnetworkArgs(
                    name=self.subnetwork.id, source_ip_ranges_to_nats=["ALL_IP_RANGES"]
                )
            ],
            opts=self._child,
        )

    def _proxy_subnetwork(self) -> gcp.compute.Subnetwork:
        return compute.Subnetwork(
            f"{self._name}-proxies",
            network=self.network.id,
            region=self._project.region,
            ip_cidr_range=str(self.ranges.proxies),
            purpose="REGIONAL_MANAGED_PROXY",
            role="ACTIVE",
            opts=self._child,
        )


@dataclass(frozen=True, kw_only=True)
class PrivateServicesArgs:
    """Inputs of :class:`PrivateServices`.

    :param network: id of the network that gets it.
    :param address_range: where Cloud SQL takes its addresses from; None for any free range of this network.
    """

    project: Project
    network: pulumi.Input[str]
    address_range: ipaddress.IPv4Network | None


class PrivateServices(pulumi.ComponentResource):
    """Private services access: once per network. Depend on this component before making an instance."""

    def __init__(
        self, name: str, args: PrivateServicesArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("mlflow:gcp:PrivateServices", name, {}, opts)
        ranges = args.address_range
        allocated = compute.GlobalAddress(
            f"{name}-range",
            purpose="VPC_PEERING",
            address_type="INTERNAL",
            network=args.network,
            address=str(ranges.network_address) if ranges else None,
            prefix_length=ranges.prefixlen if ranges else 20,
            opts=pulumi.ResourceOptions(
                parent=self, depends_on=args.project.apis.of("compute", "servicenetworking")
            ),
        )
        gcp.servicenetworking.Connection(
            f"{name}-connection",
            network=args.network,
            service="servicenetworking.googleapis.com",
            reserved_peering_ranges=[allocated.name],
            # Deleting it the usual way is refused for days after an instance has gone, and ABANDON would keep
            # the network from going (hashicorp/terraform-provider-google#19908).
            deletion_policy="REMOVE_PEERING",
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.register_outputs({})
