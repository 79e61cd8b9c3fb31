"""The network of a created cluster: a VPC over two or three zones, with nodes and databases kept private.

Or subnets of one that is there.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from ...settings.cloud_rules import CREATE
from ...settings.errors import Problem, SettingsError
from .provider import Account

WITHOUT_EKS = ["use1-az3", "usw1-az2", "cac1-az3"]
"""Zones in which EKS places no control plane (EKS user guide, "Subnet requirements for clusters")."""

ZONES = 3
FEWER_ZONES = {"us-west-1": 2}
"""Regions that offer a new account fewer than three zones for EKS."""

PUBLIC, PRIVATE = "kubernetes.io/role/elb", "kubernetes.io/role/internal-elb"
"""Tags by which load balancer controllers find their subnets (EKS user guide, "Tag subnets")."""


@dataclass(frozen=True, kw_only=True)
class ExistingSubnet:
    """A subnet that is only looked up."""

    id: pulumi.Output[str]
    availability_zone: pulumi.Output[str]


@dataclass(frozen=True, kw_only=True)
class ExistingNetwork:
    """A network that is only looked up, in the words of :class:`Network`."""

    vpc_id: pulumi.Output[str]
    private_subnets: Sequence[ExistingSubnet]
    private_subnet_ids: pulumi.Output[Sequence[str]]
    egress: Sequence[pulumi.Resource] = ()


def existing_network(subnets: Sequence[str], account: Account) -> ExistingNetwork:
    """The network of these subnets.

    :raises SettingsError: when they are not in one VPC, or two of them in one zone.
    """
    found = [aws.ec2.get_subnet_output(id=subnet, opts=account.invoke) for subnet in subnets]
    facts = pulumi.Output.all(*(pulumi.Output.all(one.vpc_id, one.availability_zone) for one in found))
    vpc_id = facts.apply(lambda known: _one_network(known, account.region))
    return ExistingNetwork(
        vpc_id=vpc_id,
        private_subnets=[ExistingSubnet(id=one.id, availability_zone=one.availability_zone) for one in found],
        # Nothing is made in subnets that do not fit.
        private_subnet_ids=vpc_id.apply(lambda _: list(subnets)),
    )


def _one_network(found: Sequence[Sequence[str]], region: str) -> str:
    vpcs, zones = {vpc for vpc, _ in found}, [zone for _, zone in found]
    # What an offline plan looks up is no zone of the region, and fits.
    shared = {zone for zone in zones if zones.count(zone) > 1 and zone.startswith(region)}
    problems = []
    if len(vpcs) > 1:
        problems.append(f"lie in {len(vpcs)} VPCs, {', '.join(sorted(vpcs))}; name subnets of one")
    if shared:
        problems.append(
            f"share zone {', '.join(sorted(shared))}; name one subnet in each of two or three zones"
        )
    if problems:
        key = f"{CREATE}.subnets"
        raise SettingsError([Problem(key, text) for text in problems], stack=pulumi.get_stack())
    return found[0][0]


@dataclass(frozen=True, kw_only=True)
class NetworkArgs:
    """Inputs of :class:`Network`.

    :param address_range: of the whole VPC, a /16 to a /20.
    :param zones: by name; empty for the first ones of the region.
    :param protect: guard VPC and subnets: cluster and database cannot follow them into others.
    """

    account: Account
    address_range: ipaddress.IPv4Network
    zones: Sequence[str]
    protect: bool


class Network(pulumi.ComponentResource):
    """VPC, public and private subnets in each zone, one NAT gateway, a way to S3 that costs nothing.

    One NAT gateway for all zones: each costs as much as a small database, and a stack whose first zone fails
    keeps serving; it only cannot reach the internet until the zone is back.

    :ivar private_subnets: one per zone.
    :ivar egress: what must exist before a node can reach anything outside.
    """

    vpc_id: pulumi.Output[str]
    private_subnets: list[aws.ec2.Subnet]
    private_subnet_ids: pulumi.Output[Sequence[str]]
    egress: list[pulumi.Resource]

    def __init__(self, name: str, args: NetworkArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("mlflow:aws:Network", name, {}, opts)
        self._name, self._args = name, args
        self._child = pulumi.ResourceOptions(parent=self)
        vpc = aws.ec2.Vpc(
            f"{name}-vpc",
            cidr_block=str(args.address_range),
            enable_dns_support=True,
            enable_dns_hostnames=True,
            tags={"Name": name},
            opts=pulumi.ResourceOptions(parent=self, protect=args.protect),
        )
        self.vpc_id = vpc.id
        # Everything that forgets to name a security group gets one that lets nothing through.
        aws.ec2.DefaultSecurityGroup(
            f"{name}-default", vpc_id=vpc.id, ingress=[], egress=[], opts=self._child
        )
        zones = self._zones()
        private, public = subnet_ranges(args.address_range, len(zones))
        self.private_subnets = self._subnets("private", private, zones, {PRIVATE: "1"})
        public_subnets = self._subnets("public", public, zones, {PUBLIC: "1"})
        self.private_subnet_ids = pulumi.Output.all(*(subnet.id for subnet in self.private_subnets))
        gateway = aws.ec2.InternetGateway(f"{name}-internet", vpc_id=vpc.id, opts=self._child)
        address = aws.ec2.Eip(f"{name}-nat", domain="vpc", opts=self._child)
        # Load balancers stand in the public half and the nodes' way out leads through it: it outlives both.
        _, outside = self._routes("public", public_subnets, gateway_id=gateway.id)
        nat = aws.ec2.NatGateway(
            f"{name}-nat",
            allocation_id=address.id,
            subnet_id=public_subnets[0].id,
            opts=pulumi.ResourceOptions(parent=self, depends_on=[gateway, *outside]),
        )
        table, inside = self._routes("private", self.private_subnets, nat_gateway_id=nat.id)
        self.egress = [*outside, *inside]
        aws.ec2.VpcEndpoint(
            f"{name}-s3",
            vpc_id=vpc.id,
            service_name=f"com.amazonaws.{args.account.region}.s3",
            vpc_endpoint_type="Gateway",
            route_table_ids=[table.id],
            opts=self._child,
        )
        self.register_outputs({"vpcId": self.vpc_id})

    def _zones(self) -> list[pulumi.Input[str]]:
        if self._args.zones:
            return list(self._args.zones)
        found = aws.get_availability_zones_output(
            state="available",
            exclude_zone_ids=WITHOUT_EKS,
            # No local zones: they have to be opted into.
            filters=[
                aws.GetAvailabilityZonesFilterArgs(name="opt-in-status", values=["opt-in-not-required"])
            ],
            opts=self._args.account.invoke,
        )
        count = FEWER_ZONES.get(self._args.account.region, ZONES)
        return [found.names[index] for index in range(count)]

    def _subnets(
        self,
        kind: str,
        ranges: Sequence[ipaddress.IPv4Network],
        zones: Sequence[pulumi.Input[str]],
        tags: dict[str, str],
    ) -> list[aws.ec2.Subnet]:
        # A zone that AWS takes out of its list must not move subnets, and with them nodes and databases.
        stay = [] if self._args.zones else ["availability_zone"]
        return [
            aws.ec2.Subnet(
                f"{self._name}-{kind}-{index}",
                vpc_id=self.vpc_id,
                availability_zone=zone,
                cidr_block=str(addresses),
                map_public_ip_on_launch=False,
                tags={"Name": f"{self._name}-{kind}-{index}", **tags},
                opts=pulumi.ResourceOptions(parent=self, protect=self._args.protect, ignore_changes=stay),
            )
            for index, (addresses, zone) in enumerate(zip(ranges, zones, strict=True))
        ]

    def _routes(
        self,
        kind: str,
        subnets: Sequence[aws.ec2.Subnet],
        *,
        gateway_id: pulumi.Input[str] | None = None,
        nat_gateway_id: pulumi.Input[str] | None = None,
    ) -> tuple[aws.ec2.RouteTable, list[pulumi.Resource]]:
        table = aws.ec2.RouteTable(
            f"{self._name}-{kind}",
            vpc_id=self.vpc_id,
            tags={"Name": f"{self._name}-{kind}"},
            opts=self._child,
        )
        made: list[pulumi.Resource] = [
            aws.ec2.Route(
                f"{self._name}-{kind}",
                route_table_id=table.id,
                destination_cidr_block="0.0.0.0/0",
                gateway_id=gateway_id,
                nat_gateway_id=nat_gateway_id,
                opts=self._child,
            )
        ]
        for index, subnet in enumerate(subnets):
            made.append(
                aws.ec2.RouteTableAssociation(
                    f"{self._name}-{kind}-{index}",
                    route_table_id=table.id,
                    subnet_id=subnet.id,
                    opts=self._child,
                )
            )
        return table, made


def subnet_ranges(
    whole: ipaddress.IPv4Network, zones: int
) -> tuple[list[ipaddress.IPv4Network], list[ipaddress.IPv4Network]]:
    """Private and public ranges, one of each per zone: a quarter and a sixteenth of the whole.

    They depend on the zone's number only, so that a third zone can be added to two.
    """
    *private, last = whole.subnets(prefixlen_diff=2)
    public = list(last.subnets(prefixlen_diff=2))
    return private[:zones], public[:zones]
