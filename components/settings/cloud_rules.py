"""What a stack on any cloud must not say together: its cluster, images and entrances.

How a rule works: ``rules.py``. Stores: ``cloud_store_rules.py``. One cloud's own words: ``aws_rules.py``.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from .base import Model
from .cluster import Images, ManagedCluster, NewCluster, Nodes
from .errors import Problem
from .exposure import Exposure
from .rules import no_group, rule
from .stack import Groups
from .versions import DEFAULTS, Product, supported, supported_versions

CREATE = "mlflow:cluster.create"

PRIVATE_NETWORKS = tuple(
    ipaddress.IPv4Network(network)
    for network in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10")
)
"""What nobody on the internet has: RFC 1918, and RFC 6598 for the last."""


PULL_KEY = "DOCKER_CONFIG_JSON"
"""Key of the secret group that holds credentials to pull images: the text of Docker's config.json."""


def new_cluster(cluster: ManagedCluster) -> NewCluster | None:
    """``cluster.create``, which each cloud declares with a model of its own."""
    return getattr(cluster, "create", None)


def said(section: Model, *names: str) -> Iterator[str]:
    """Of these fields, those that the stack file sets, by the names they have there."""
    for name in names:
        if name in section.model_fields_set and getattr(section, name) is not None:
            yield type(section).model_fields[name].alias or name


def end_of_life(key: str, product: Product, version: str | None) -> Iterator[Problem]:
    """The problem of a version that is out of its standard support today."""
    today = datetime.now(UTC).date()
    if version is not None and not supported(product, version, today):
        choices = ", ".join(supported_versions(product, today)) or DEFAULTS[product]
        yield Problem(key, f"{version} is out of the standard support of {product}; choose {choices}")


@rule
def existing_or_new_cluster(cluster: ManagedCluster) -> Iterator[Problem]:
    if cluster.existing and new_cluster(cluster):
        yield Problem(
            CREATE,
            f"makes a cluster, but mlflow:cluster.existing names {cluster.existing}; remove one of them",
        )


@rule
def existing_namespace_in_a_new_cluster(
    cluster: ManagedCluster, existing_namespace: bool
) -> Iterator[Problem]:
    if existing_namespace and not cluster.existing:
        yield Problem(
            "mlflow:existingNamespace",
            "is true, but a cluster that the stack makes has no namespace of yours; remove it, or name your "
            "cluster in mlflow:cluster.existing",
        )


@rule
def number_of_nodes(cluster: ManagedCluster) -> Iterator[Problem]:
    new = new_cluster(cluster)
    nodes = new.nodes if new else Nodes()
    key = f"{CREATE}.nodes"
    if nodes.total is not None and (nodes.min is not None or nodes.max is not None):
        yield Problem(f"{key}.total", "is a fixed number, and min and max are a range; say one or the other")
    if nodes.min is not None and nodes.max is None:
        yield Problem(f"{key}.max", "is missing; min needs it. For a fixed number say total instead")
    if nodes.max is not None and nodes.min is None:
        yield Problem(f"{key}.min", "is missing; max needs it. For a fixed number say total instead")
    if nodes.min is not None and nodes.max is not None and nodes.min > nodes.max:
        yield Problem(f"{key}.min", f"is {nodes.min}, more than max, which is {nodes.max}; swap them")


@rule
def control_plane_access(cluster: ManagedCluster) -> Iterator[Problem]:
    new = new_cluster(cluster)
    if new is None:
        return
    access, key = new.access, f"{CREATE}.access"
    if access.open_to_world and not access.world:
        yield Problem(
            f"{key}.public",
            f"opens the Kubernetes API to the whole world; narrow it, or say {key}.world: true as well",
        )
    if access.world and not access.open_to_world:
        yield Problem(
            f"{key}.world",
            f"is true, but {key}.public does not open it to the world; remove world, or list 0.0.0.0/0",
        )


@rule
def zones(cluster: ManagedCluster) -> Iterator[Problem]:
    new = new_cluster(cluster)
    key = f"{CREATE}.zones"
    if new is None or not new.zones:
        return
    if len(set(new.zones)) != len(new.zones):
        yield Problem(key, "names a zone twice; name each once")
    elif len(new.zones) not in (2, 3):
        yield Problem(key, f"has {len(new.zones)}; name two or three, or leave it out for the first ones")


@rule
def network(cluster: ManagedCluster) -> Iterator[Problem]:
    new = new_cluster(cluster)
    if new is None:
        return
    key = f"{CREATE}.network"
    try:
        own = new.address_range
    except ValueError:
        yield Problem(key, f"{new.network} is no address range, or has host bits set; such as 10.64.0.0/16")
        return
    if not any(own.subnet_of(private) for private in PRIVATE_NETWORKS):
        private = ", ".join(str(each) for each in PRIVATE_NETWORKS)
        yield Problem(key, f"{own} belongs to the internet; choose one inside {private}")


@rule
def no_node_port(exposure: Exposure, cluster: ManagedCluster) -> Iterator[Problem]:  # noqa: ARG001
    if exposure.node_port:
        yield Problem(
            "mlflow:exposure.nodePort",
            "is for development clusters; on a cloud use mlflow:exposure.internal, external or ingress",
        )


@rule
def no_registry(images: Images, cluster: ManagedCluster) -> Iterator[Problem]:  # noqa: ARG001
    if images.registry:
        yield Problem(
            "mlflow:images.registry",
            "is for dev; a cloud stack makes its own. For ready images use mlflow:images.server and .job",
        )


@rule
def certificates(exposure: Exposure, cluster: ManagedCluster) -> Iterator[Problem]:  # noqa: ARG001
    for kind in ("internal", "external"):
        entrance = getattr(exposure, kind)
        if entrance and entrance.certificate and not entrance.host:
            yield Problem(
                f"mlflow:exposure.{kind}.host",
                "is missing; name the host that the certificate is for, and point its DNS here",
            )


def only_ipv4(key: str, ranges: Sequence[str]) -> Iterator[Problem]:
    """Entrances and control planes are made with IPv4 addresses only; an IPv6 range would admit nobody."""
    for index, cidr in enumerate(ranges):
        if ipaddress.ip_network(cidr).version == 6:
            yield Problem(f"{key}[{index}]", f"{cidr} is IPv6, and this address is IPv4 only; remove it")


def pull_credentials(key: str, group: str | None, secrets: Groups) -> Iterator[Problem]:
    """The problem of a secret group, named by ``key``, from which the nodes cannot pull."""
    if group is None:
        return
    if group not in secrets:
        yield no_group(key, group, secrets)
    elif PULL_KEY not in {name for secret in secrets[group].values() for name in secret}:
        advice = f"`make secret GROUP={group} NAME=pull KEY={PULL_KEY}`"
        yield Problem(key, f"group {group} lacks {PULL_KEY}; {advice}")
