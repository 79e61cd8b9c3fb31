"""What a stack on Azure must not say: its cluster, its network, its identities and its entrances.

How a rule works: ``rules.py``. Its stores: ``azure_store_rules.py``. Every cloud: ``cloud_rules.py``.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator

from .artifacts import AccessMode
from .azure import Azure, AzureArtifacts, AzureCluster
from .cloud_rules import CREATE, end_of_life, only_ipv4, pull_credentials, said
from .cluster import Nodes
from .errors import Problem
from .exposure import EntranceApi, Exposure
from .rules import rule
from .stack import Groups
from .versions import Product

CLUSTER_NAME = r"[A-Za-z0-9]([A-Za-z0-9_-]{0,61}[A-Za-z0-9])?"
"""Azure, "Naming rules and restrictions for Azure resources": managedClusters."""
VM_SIZE = r"Standard_[A-Z]{1,3}[0-9]+(-[0-9]+)?[a-z]*(_[A-Za-z0-9]+)*(_v[0-9]+)?"
ARM = r"Standard_[A-Z]{1,3}[0-9]+(-[0-9]+)?[a-z]*p[a-z]*(_|$)"
"""Azure, "Azure virtual machine sizes naming conventions": p among the small letters is Arm."""
DISK_TYPE = r"Managed|Ephemeral"
SMALLEST_DISK = 30
"""GB of the node image (AKS, "Storage options": OS disk size)."""

ZONES = ("1", "2", "3")
"""Zones have the same names in every region that has them."""

AUTHORIZED_RANGES = 200
"""AKS, "Secure access to the API server using authorized IP address ranges"; one is the cluster's own."""

RESERVED_RANGES = tuple(
    ipaddress.IPv4Network(each)
    for each in ("169.254.0.0/16", "172.30.0.0/16", "172.31.0.0/16", "192.0.2.0/24")
)
"""AKS, "Configure Azure CNI": ranges that no part of a cluster may use."""

MOST_TAGS = 48
"""Of 50 on one resource (Azure Resource Manager, "Tag support"); the stack adds two."""
TAG_NAME, TAG_VALUE = 128, 256
"""The same: names on storage accounts, which have the shortest."""
NOT_IN_TAGS = re.compile(r"[<>%&\\?/]")
PREFIXES = ("microsoft", "azure", "windows")

NODE_GROUP = 80
"""Characters of the nodes' resource group, ``MC_<group>_<cluster>_<location>``."""
CLUSTER_NAME_MADE = len("mlflow-cluster") + 8


NGINX_OF_AZURE = "webapprouting.kubernetes.azure.com"
GATEWAY_OF_AZURE = "approuting-istio"
"""Classes of the application routing add-on (AKS, "Configure ingress with the Kubernetes Gateway API via the
application routing add-on"): the first one's support ends in November 2026, the second follows it."""


def not_the_words(key: str, value: str | None, pattern: str, wanted: str) -> Iterator[Problem]:
    """The problem of a value that Azure would refuse; ``wanted`` says what it takes."""
    if value is not None and not re.fullmatch(pattern, value):
        yield Problem(key, f"{value} is not {wanted}")


@rule
def an_azure_location_is_needed(azure: Azure, region: str) -> Iterator[Problem]:  # noqa: ARG001
    if not re.fullmatch(r"[a-z]+[a-z0-9]*", region):
        given = f"{region} is no location" if region else "is missing"
        yield Problem("azure-native:location", f"{given}; say where the stack lives, such as westeurope")


@rule
def the_existing_azure_cluster(cluster: AzureCluster) -> Iterator[Problem]:
    key = "mlflow:cluster.resourceGroup"
    yield from not_the_words(
        "mlflow:cluster.existing", cluster.existing, CLUSTER_NAME, "the name of an AKS cluster"
    )
    if cluster.existing and not cluster.resource_group:
        yield Problem(key, f"is missing; name the resource group of cluster {cluster.existing}")
    if cluster.resource_group and not cluster.existing:
        yield Problem(key, "is about an existing cluster; a new one is in mlflow:azure.resourceGroup")


@rule
def administrators_of_a_new_azure_cluster(cluster: AzureCluster) -> Iterator[Problem]:
    new, key = cluster.create, f"{CREATE}.adminGroups"
    if cluster.existing:
        return
    groups = new.admin_groups if new else []
    if not groups:
        yield Problem(
            key,
            "is missing, and nobody could administer the cluster: list the object id of an Entra group that "
            "whoever runs `make up` is in (az ad group show -g NAME --query id)",
        )
    if len(set(groups)) != len(groups):
        yield Problem(key, "names a group twice; name each once")


@rule
def version_of_aks(cluster: AzureCluster) -> Iterator[Problem]:
    if cluster.create:
        yield from end_of_life(f"{CREATE}.version", Product.AKS, cluster.create.version)


@rule
def nodes_of_aks(cluster: AzureCluster) -> Iterator[Problem]:
    new = cluster.create
    if new is None:
        return
    pools = {f"{CREATE}.nodes": new.nodes, f"{CREATE}.systemNodes": new.system_nodes}
    for key, nodes in pools.items():
        yield from _pool(key, nodes)
    system, key = new.system_nodes, f"{CREATE}.systemNodes"
    if (system.min is None) != (system.max is None) or (system.total is not None and system.min is not None):
        yield Problem(f"{key}.total", "or min and max: say one or the other")
    elif new.system_bounds[0] > new.system_bounds[1]:
        yield Problem(f"{key}.min", "is more than max; swap them")
    elif new.system_bounds[0] < 1:
        yield Problem(f"{key}.min", "is 0, and the cluster's own parts need a node; use 1 or more")


def _pool(key: str, nodes: Nodes) -> Iterator[Problem]:
    size = nodes.size
    yield from not_the_words(f"{key}.size", size, VM_SIZE, "a machine size such as Standard_D4s_v5")
    if size and re.match(ARM, size):
        yield Problem(f"{key}.size", f"{size} is Arm, and the images are x86-64; such as Standard_D4s_v5")
    if size and re.match(r"Standard_A[0-9]", size):
        yield Problem(f"{key}.size", f"{size} is too small for AKS; such as Standard_D4s_v5")
    yield from not_the_words(f"{key}.diskType", nodes.disk_type, DISK_TYPE, "Managed or Ephemeral")
    if nodes.disk_gb < SMALLEST_DISK:
        yield Problem(f"{key}.diskGb", f"is {nodes.disk_gb}; the nodes' image needs {SMALLEST_DISK}")


@rule
def ranges_that_aks_keeps(cluster: AzureCluster) -> Iterator[Problem]:
    new, key = cluster.create, f"{CREATE}.network"
    if new is None:
        return
    try:
        own = new.address_range
    except ValueError:
        return
    for reserved in RESERVED_RANGES:
        if own.overlaps(reserved):
            yield Problem(key, f"{own} overlaps {reserved}, which AKS keeps; such as 10.64.0.0/16")


@rule
def zones_of_azure(cluster: AzureCluster) -> Iterator[Problem]:
    for index, zone in enumerate(cluster.create.zones if cluster.create else ()):
        if zone not in ZONES:
            yield Problem(
                f"{CREATE}.zones[{index}]", f"{zone} is no zone of Azure; they are {', '.join(ZONES)}"
            )


@rule
def ranges_of_the_azure_control_plane(cluster: AzureCluster) -> Iterator[Problem]:
    key = f"{CREATE}.access.public"
    ranges = cluster.create.access.public if cluster.create else []
    if len(ranges) >= AUTHORIZED_RANGES:
        yield Problem(key, f"has {len(ranges)} ranges; AKS takes {AUTHORIZED_RANGES - 1} at most, merge some")
    yield from only_ipv4(key, ranges)


@rule
def ranges_of_azure_entrances(exposure: Exposure, azure: Azure) -> Iterator[Problem]:  # noqa: ARG001
    for kind in ("internal", "external"):
        entrance = getattr(exposure, kind)
        if entrance:
            yield from only_ipv4(f"mlflow:exposure.{kind}.allow", entrance.allow)


@rule
def azure_load_balancers(exposure: Exposure, azure: Azure) -> Iterator[Problem]:  # noqa: ARG001
    for kind in ("internal", "external"):
        entrance = getattr(exposure, kind)
        if entrance and entrance.certificate:
            yield Problem(
                f"mlflow:exposure.{kind}.certificate",
                "has no place on Azure's load balancer, which passes bytes on; use mlflow:exposure.ingress "
                "with tlsSecret, which ends TLS in a controller",
            )


@rule
def azure_ingress(exposure: Exposure, azure: Azure) -> Iterator[Problem]:  # noqa: ARG001
    ingress, key = exposure.ingress, "mlflow:exposure.ingress.className"
    if ingress is None:
        return
    if not ingress.class_name:
        yield Problem(key, "is missing; AKS has no class of its own, name one that the cluster has")
    if ingress.class_name == NGINX_OF_AZURE:
        yield Problem(
            key,
            f"{NGINX_OF_AZURE} gets no security fixes after November 2026; use its successor, api: gateway "
            f"with className: {GATEWAY_OF_AZURE}, or a controller of your own",
        )
    of_gateway = ingress.class_name == GATEWAY_OF_AZURE
    if of_gateway and ingress.api is not EntranceApi.GATEWAY:
        yield Problem("mlflow:exposure.ingress.api", f"must be gateway for className {GATEWAY_OF_AZURE}")


@rule
def the_resource_group(azure: Azure, cluster: AzureCluster, region: str) -> Iterator[Problem]:
    group = azure.resource_group
    if group is None or cluster.existing:
        return
    nodes = len(f"MC_{group}__{region}") + CLUSTER_NAME_MADE
    if nodes > NODE_GROUP:
        yield Problem(
            "mlflow:azure.resourceGroup",
            f"{group} is {nodes - NODE_GROUP} characters too long: AKS names the nodes' group after it, and "
            f"takes {NODE_GROUP}; use another, or none",
        )


@rule
def credentials_to_pull_to_azure(azure: Azure, secrets: Groups) -> Iterator[Problem]:
    yield from pull_credentials("mlflow:azure.pullCredentials", azure.pull_credentials, secrets)


@rule
def tags_of_azure(tags: dict[str, str], azure: Azure) -> Iterator[Problem]:  # noqa: ARG001
    key = "mlflow:tags"
    if len(tags) > MOST_TAGS:
        yield Problem(key, f"has {len(tags)}; {MOST_TAGS} at most")
    for name, value in tags.items():
        if not name or len(name) > TAG_NAME or NOT_IN_TAGS.search(name):
            yield Problem(f"{key}.{name}", rf"is no tag: up to {TAG_NAME} characters, none of <>%&\?/")
        elif name.lower().startswith(PREFIXES):
            yield Problem(f"{key}.{name}", f"starts with {', '.join(PREFIXES)}: Azure's own; choose another")
        elif "," in name + value or "=" in name + value:
            yield Problem(f"{key}.{name}", "holds , or =, which part the tags of volumes; remove it")
        if len(value) > TAG_VALUE:
            yield Problem(f"{key}.{name}", f"has a value of {len(value)} characters; {TAG_VALUE} at most")


@rule
def shared_azure_volumes(cluster: AzureCluster, artifacts: AzureArtifacts) -> Iterator[Problem]:
    shared = artifacts.volume.access_mode is AccessMode.READ_WRITE_MANY
    if shared and not (artifacts.volume.storage_class or cluster.storage_class):
        yield Problem(
            "mlflow:artifacts.volume.accessMode",
            "is ReadWriteMany, which disks cannot do; name a class that can, such as azurefile-csi-premium, "
            "in mlflow:artifacts.volume.storageClass",
        )


def unused(section: object, key: str, names: tuple[str, ...], why: str) -> Iterator[Problem]:
    """The problem of fields that were said and have no effect."""
    for name in said(section, *names):  # pyright: ignore[reportArgumentType] - a Model
        yield Problem(f"{key}.{name}", why)
