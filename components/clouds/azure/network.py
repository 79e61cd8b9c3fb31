"""The network of a created cluster, and the private ways to database and storage."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import NamedTuple

import pulumi
from pulumi_azure_native import network, privatedns

from .resource_group import Place

STORAGE = "Microsoft.Storage"
EVERYWHERE = "global"
"""Where private DNS zones are."""


class Ranges(NamedTuple):
    """How a network's address range is shared out."""

    nodes: ipaddress.IPv4Network
    database: ipaddress.IPv4Network
    endpoints: ipaddress.IPv4Network


def address_ranges(whole: ipaddress.IPv4Network) -> Ranges:
    """Half for nodes and internal load balancers, a quarter each for the database and private endpoints. Pods
    and Services have ranges of their own outside (:func:`aside`)."""
    nodes, rest = whole.subnets(prefixlen_diff=1)
    database, endpoints = rest.subnets(prefixlen_diff=1)
    return Ranges(nodes, database, endpoints)


POD_RANGES = ("10.244.0.0/16", "172.24.0.0/16")
SERVICE_RANGES = ("10.0.0.0/16", "172.25.0.0/16")


def aside(whole: ipaddress.IPv4Network, choices: tuple[str, ...]) -> ipaddress.IPv4Network:
    """The first of the choices that does not overlap the network."""
    return next(each for each in map(ipaddress.IPv4Network, choices) if not each.overlaps(whole))


@dataclass(frozen=True, kw_only=True)
class NetworkArgs:
    """Inputs of :class:`Network`.

    :param address_range: of the whole network, a /16 to a /20.
    :param database: service that the database's subnet is delegated to; None without such a subnet.
    :param endpoints: a subnet for private endpoints.
    :param storage: nodes reach storage accounts by Azure's own way, so that those can let in this subnet
        only.
    """

    place: Place
    address_range: ipaddress.IPv4Network
    database: str | None
    endpoints: bool
    storage: bool


class Network(pulumi.ComponentResource):
    """A virtual network; nodes have private addresses and go out through a NAT gateway.

    :ivar outside: public address by which everything goes out.
    """

    id: pulumi.Output[str]
    nodes: pulumi.Output[str]
    database: pulumi.Output[str] | None
    endpoints: pulumi.Output[str] | None
    outside: pulumi.Output[str]

    def __init__(self, name: str, args: NetworkArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("mlflow:azure:Network", name, {}, opts)
        self._name, self._args, self._place = name, args, args.place
        self._child = pulumi.ResourceOptions(parent=self)
        self._before: list[pulumi.Resource] = []
        ranges = address_ranges(args.address_range)
        made = network.VirtualNetwork(
            name,
            resource_group_name=self._place.group,
            location=self._place.location,
            address_space=network.AddressSpaceArgs(address_prefixes=[str(args.address_range)]),
            tags=dict(self._place.tags),
            # They are resources of their own; a change of the network must not take them away.
            opts=pulumi.ResourceOptions(parent=self, ignore_changes=["subnets"]),
        )
        self._network = made.name
        self.id = made.id
        gateway = self._nat()
        self.nodes = self._subnet("nodes", ranges.nodes, gateway=gateway.id).id
        self.database = self._subnet("database", ranges.database).id if args.database else None
        self.endpoints = self._subnet("endpoints", ranges.endpoints).id if args.endpoints else None
        self.register_outputs({"id": self.id})

    def _nat(self) -> network.NatGateway:
        address = network.PublicIPAddress(
            f"{self._name}-nat",
            resource_group_name=self._place.group,
            location=self._place.location,
            sku=network.PublicIPAddressSkuArgs(name=network.PublicIPAddressSkuName.STANDARD),
            public_ip_allocation_method=network.IPAllocationMethod.STATIC,
            tags=dict(self._place.tags),
            opts=self._child,
        )
        self.outside = address.ip_address.apply(str)
        return network.NatGateway(
            f"{self._name}-nat",
            resource_group_name=self._place.group,
            location=self._place.location,
            sku=network.NatGatewaySkuArgs(name=network.NatGatewaySkuName.STANDARD),
            public_ip_addresses=[network.SubResourceArgs(id=address.id)],
            tags=dict(self._place.tags),
            opts=self._child,
        )

    def _subnet(
        self, kind: str, addresses: ipaddress.IPv4Network, *, gateway: pulumi.Input[str] | None = None
    ) -> network.Subnet:
        delegated = self._args.database if kind == "database" else None
        storage = kind == "nodes" and self._args.storage
        made = network.Subnet(
            f"{self._name}-{kind}",
            resource_group_name=self._place.group,
            virtual_network_name=self._network,
            subnet_name=kind,
            address_prefix=str(addresses),
            # Azure's way out without a gateway, which nobody asked for.
            default_outbound_access=False,
            nat_gateway=network.SubResourceArgs(id=gateway) if gateway else None,
            delegations=[network.DelegationArgs(name="database", service_name=delegated)]
            if delegated
            else None,
            service_endpoints=[network.ServiceEndpointPropertiesFormatArgs(service=STORAGE)]
            if storage
            else None,
            # Azure changes a network's subnets one at a time, and answers AnotherOperationInProgress else.
            opts=pulumi.ResourceOptions(parent=self, depends_on=self._before),
        )
        self._before = [made]
        return made


def network_of(subnet: pulumi.Input[str]) -> pulumi.Output[str]:
    """Id of the network that a subnet is in, from the subnet's."""
    return pulumi.Output.from_input(subnet).apply(lambda id_: id_.partition("/subnets/")[0])


@dataclass(frozen=True, kw_only=True)
class PrivateZoneArgs:
    """Inputs of :class:`PrivateZone`.

    :param domain: of the names in it.
    :param network: id of the network that finds them.
    """

    place: Place
    domain: str
    network: pulumi.Input[str]


class PrivateZone(pulumi.ComponentResource):
    """A DNS zone that only one network sees. Depend on this component to have names found."""

    id: pulumi.Output[str]

    def __init__(self, name: str, args: PrivateZoneArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("mlflow:azure:PrivateZone", name, {}, opts)
        child, place = pulumi.ResourceOptions(parent=self), args.place
        zone = privatedns.PrivateZone(
            name,
            resource_group_name=place.group,
            private_zone_name=args.domain,
            location=EVERYWHERE,
            tags=dict(place.tags),
            opts=child,
        )
        privatedns.VirtualNetworkLink(
            f"{name}-link",
            resource_group_name=place.group,
            private_zone_name=zone.name,
            location=EVERYWHERE,
            registration_enabled=False,
            virtual_network=privatedns.SubResourceArgs(id=args.network),
            tags=dict(place.tags),
            opts=child,
        )
        self.id = zone.id
        self.register_outputs({"id": self.id})


@dataclass(frozen=True, kw_only=True)
class PrivateEndpointArgs:
    """Inputs of :class:`PrivateEndpoint`.

    :param target: id of what it leads to.
    :param group: which part of that: blob, postgresqlServer, mysqlServer.
    :param zone: id of the private DNS zone in which its name is.
    """

    place: Place
    target: pulumi.Input[str]
    group: str
    subnet: pulumi.Input[str]
    zone: pulumi.Input[str]


class PrivateEndpoint(pulumi.ComponentResource):
    """An address in a subnet that leads to one service, under the service's own name. Depend on this
    component to reach it (Azure, "Private endpoint DNS")."""

    def __init__(
        self, name: str, args: PrivateEndpointArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("mlflow:azure:PrivateEndpoint", name, {}, opts)
        child, place = pulumi.ResourceOptions(parent=self), args.place
        endpoint = network.PrivateEndpoint(
            name,
            resource_group_name=place.group,
            location=place.location,
            subnet=network.SubnetArgs(id=args.subnet),
            private_link_service_connections=[
                network.PrivateLinkServiceConnectionArgs(
                    name=args.group, private_link_service_id=args.target, group_ids=[args.group]
                )
            ],
            tags=dict(place.tags),
            opts=child,
        )
        network.PrivateDnsZoneGroup(
            f"{name}-name",
            resource_group_name=place.group,
            private_endpoint_name=endpoint.name,
            private_dns_zone_group_name="default",
            private_dns_zone_configs=[
                network.PrivateDnsZoneConfigArgs(name=args.group, private_dns_zone_id=args.zone)
            ],
            opts=child,
        )
        self.register_outputs({})
