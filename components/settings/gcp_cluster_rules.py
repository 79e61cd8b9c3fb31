"""What a stack on Google Cloud must not say of a cluster that it makes: its nodes, zones and network.

How a rule works: ``rules.py``. Everything else of the cluster: ``gcp_rules.py``.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator

from .cloud_rules import CREATE, end_of_life, only_ipv4, said
from .cluster import Nodes
from .database import ManagedDatabase, Place
from .errors import Problem
from .gcp import HYPERDISK, NEWER, OLDER, GcpCluster, GkeMode, NewGcpCluster
from .gcp_rules import not_the_words
from .rules import rule
from .stack import Cloud, place_of
from .versions import Product

MACHINE_TYPE = r"[a-z][a-z0-9]*-[a-z]+(-[0-9]+)*"
DISK_TYPE = r"pd-(standard|balanced|ssd)|hyperdisk-balanced"
ARM = r"(t2a|c4a|n4a)-"
"""Machine series with Arm processors (Compute Engine, "Arm VMs on Compute Engine")."""

DEFAULT_ZONES = 3
PODS_PER_NODE = 256
"""Addresses that a node takes of the pods' range: a /24 for up to 110 pods (GKE, "Configure maximum Pods per
node")."""
SURGE = 1

AUTHORIZED_NETWORKS = 100
"""Ranges of a private cluster's control plane (GKE, "Quotas and limits": authorized networks)."""
DOCKER = ipaddress.IPv4Network("172.17.0.0/16")
"""Of the Docker bridge on Cloud SQL's machines: they answer nobody in it (Cloud SQL, "Configure private
IP")."""


def address_range(new: NewGcpCluster) -> ipaddress.IPv4Network | None:
    """The network that is made; None where another rule refuses what is written."""
    try:
        return new.address_range
    except ValueError:
        return None


@rule
def version_of_gke(cluster: GcpCluster) -> Iterator[Problem]:
    if cluster.create:
        yield from end_of_life(f"{CREATE}.version", Product.GKE, cluster.create.version)


@rule
def nodes_of_gke(cluster: GcpCluster) -> Iterator[Problem]:
    new = cluster.create
    if new is None:
        return
    nodes, key = new.nodes, f"{CREATE}.nodes"
    if new.compute is GkeMode.AUTOPILOT:
        for name in said(nodes, *type(nodes).model_fields):
            yield Problem(f"{key}.{name}", "is Google's choice with autopilot; remove it, or use standard")
        for name in said(new, "zones"):
            yield Problem(
                f"{CREATE}.{name}", "are Google's choice with autopilot; remove them, or use standard"
            )
        return
    yield from not_the_words(f"{key}.size", nodes.size, MACHINE_TYPE, "a machine type such as e2-standard-4")
    if re.match(ARM, nodes.size or ""):
        yield Problem(f"{key}.size", f"{nodes.size} is Arm, and the images are x86-64; such as e2-standard-4")
    types = "pd-balanced, pd-ssd, pd-standard or hyperdisk-balanced"
    yield from not_the_words(f"{key}.diskType", nodes.disk_type, DISK_TYPE, types)
    yield from _disk_of_the_machine(f"{key}.diskType", nodes)
    zones = len(new.zones) or DEFAULT_ZONES
    fewest, most = nodes.bounds
    if most < zones and fewest != most:
        yield Problem(
            f"{key}.max", f"is {most}, but the pool starts with a node in each of {zones} zones; raise it"
        )
    if fewest == most and most % zones and zones in (2, 3):
        even = most // zones * zones
        choices = f"{even} or {even + zones}" if even else str(zones)
        yield Problem(
            f"{key}.total",
            f"is {most}, but GKE puts as many in each of {zones} zones; use {choices}, or min and max",
        )


def _disk_of_the_machine(key: str, nodes: Nodes) -> Iterator[Problem]:
    size, disk = nodes.size or "e2", nodes.disk_type
    if disk and disk != HYPERDISK and NEWER.match(size):
        yield Problem(key, f"is {disk}, and {size} takes Hyperdisk only; leave it out")
    if disk == HYPERDISK and OLDER.match(f"{size}-"):
        yield Problem(
            key, f"is {disk}, which {size} does not take; leave it out, or use a size such as c3-standard-4"
        )


@rule
def one_network(cluster: GcpCluster) -> Iterator[Problem]:
    new = cluster.create
    if new and new.subnet:
        for name in said(new, "network"):
            yield Problem(f"{CREATE}.{name}", f"is made nowhere: {CREATE}.subnet is there already; remove it")
        if new.subnet.pods == new.subnet.services:
            yield Problem(f"{CREATE}.subnet.services", "is the range for pods; name another secondary range")


@rule
def room_for_nodes(cluster: GcpCluster) -> Iterator[Problem]:
    new = cluster.create
    if new is None or new.compute is GkeMode.AUTOPILOT or new.subnet:
        return
    whole = address_range(new)
    if whole is None:
        return
    most, room = new.nodes.bounds[1], whole.num_addresses // 2 // PODS_PER_NODE - SURGE
    if most > room:
        yield Problem(
            f"{CREATE}.network",
            f"{new.network} has room for {room} nodes, and {CREATE}.nodes allows {most}; widen it (a /16 at "
            "most), or lower the nodes",
        )


@rule
def a_network_that_cloud_sql_answers(
    cluster: GcpCluster, database: ManagedDatabase, cloud: Cloud
) -> Iterator[Problem]:
    new = cluster.create
    whole = address_range(new) if new and place_of(database, cloud) is Place.MANAGED else None
    if new and whole and whole.overlaps(DOCKER):
        yield Problem(
            f"{CREATE}.network", f"{new.network} is in {DOCKER}, which Cloud SQL keeps; choose another"
        )


@rule
def zones_of_the_google_region(cluster: GcpCluster, region: str) -> Iterator[Problem]:
    for index, zone in enumerate(cluster.create.zones if cluster.create else ()):
        if not re.fullmatch(re.escape(region) + "-[a-z]", zone):
            yield Problem(f"{CREATE}.zones[{index}]", f"{zone} is no zone of {region}; such as {region}-b")


@rule
def ranges_of_the_google_control_plane(cluster: GcpCluster) -> Iterator[Problem]:
    key = f"{CREATE}.access.public"
    ranges = cluster.create.access.public if cluster.create else []
    if len(ranges) > AUTHORIZED_NETWORKS:
        most = AUTHORIZED_NETWORKS
        yield Problem(key, f"has {len(ranges)} ranges; GKE takes {most} at most, merge some")
    yield from only_ipv4(key, ranges)
