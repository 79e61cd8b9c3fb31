"""The network of a created cluster, and the peering through which Cloud SQL gets a private address."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import pulumi
import pulumi_gcp as gcp

from ...settings.errors import Problem, SettingsError
from ...settings.gcp import ExistingSubnet
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
class ClusterPlace:
    """Where a created cluster goes.

    :ivar network, subnetwork: their ids.
    :ivar pods, services: names of the subnet's secondary ranges.
    :ivar private_services: where Cloud SQL takes its addresses from; None in a network that was there.
    :ivar ready: what must exist before a node can reach anything outside, and an Ingress its proxies.
    """

    network: pulumi.Output[str]
    subnetwork: pulumi.Output[str]
    pods: str
    services: str
    private_services: ipaddress.IPv4Network | None = None
    ready: Sequence[pulumi.Resource] = ()


def existing_place(subnet: ExistingSubnet, project: Project) -> ClusterPlace:
    """A subnet that is there already.

    :raises SettingsError: in an Output, when it lacks one of the ranges.
    """
    found = gcp.compute.get_subnetwork_output(
        name=subnet.name, region=project.region, project=project.id, opts=project.invoke
    )
    checked = pulumi.Output.all(
        network=found.network, id=found.id, ranges=found.secondary_ip_ranges.apply(_range_names)
    ).apply(lambda known: _checked(subnet, known))
    return ClusterPlace(
        network=checked["network"], subnetwork=checked["id"], pods=subnet.pods, services=subnet.services
    )


def _range_names(ranges: Sequence[Any]) -> list[str]:
    return [one.range_name for one in ranges]


def _checked(subnet: ExistingSubnet, known: dict[str, Any]) -> dict[str, str]:
    problems = [
        Problem(
            f"mlflow:cluster.create.subnet.{what}",
            f"{name} is no secondary range of subnet {subnet.name}; it has "
            f"{', '.join(known['ranges']) or 'none'}",
        )
        for what, name in (("pods", subnet.pods), ("services", subnet.services))
        if name not in known["ranges"]
    ]
    if problems:
        raise SettingsError(problems, stack=pulumi.get_stack())
    # The look-up gives an address, everything else goes by the path in it.
    return {"network": known["network"].rpartition("/v1/")[2], "id": known["id"]}


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
    """A VPC with one subnet in the region; nodes have private addresses and go out through Cloud NAT."""

    network: gcp.compute.Network
    subnetwork: gcp.compute.Subnetwork
    ranges: Ranges
    place: ClusterPlace

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
        ready: list[pulumi.Resource] = [self._nat()]
        if args.proxies:
            ready.append(self._proxy_subnetwork())
        self.place = ClusterPlace(
            network=self.network.id,
            subnetwork=self.subnetwork.id,
            pods=PODS,
            services=SERVICES,
            private_services=self.ranges.private_services,
            ready=ready,
        )
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

    :param network: id of a network that the stack makes: the peering of another is not ours to take away.
    :param address_range: where Cloud SQL takes its addresses from.
    """

    project: Project
    network: pulumi.Input[str]
    address_range: ipaddress.IPv4Network


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
            address=str(ranges.network_address),
            prefix_length=ranges.prefixlen,
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
