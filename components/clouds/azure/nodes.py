"""The node pools of a created AKS cluster, in the shared words."""

from __future__ import annotations

from typing import Any

import pulumi
from pulumi_azure_native import containerservice

from ...settings.azure import NewAzureCluster
from ...settings.azure_rules import ZONES
from ...settings.cluster import Nodes
from .resource_group import Place

SIZE = "Standard_D2s_v5"
"""2 CPUs and 8 GiB."""
SYSTEM, USER = "system", "user"
"""Names of the pools: 12 small letters and digits at most, and no dash."""
ONLY_SYSTEM = "CriticalAddonsOnly=true:NoSchedule"
"""AKS, "Manage system node pools": keeps everything else off them."""
SURGE = "1"
KEPT = ("availabilityZones", "osDiskSizeGB", "osDiskType", "vnetSubnetID")
"""What AKS never changes of a pool, and the provider does not know (Pulumi,
azure.containerservice.KubernetesClusterNodePool: properties that cycle the pool); the size it does."""


def pool(
    settings: Nodes,
    bounds: tuple[int, int],
    *,
    place: Place,
    subnet: pulumi.Input[str],
    zones: list[str],
    version: str,
) -> dict[str, Any]:
    """Inputs that the pool inside a cluster and one of its own have in common."""
    fewest, most = bounds
    fixed = fewest == most
    return {
        # Azure makes no pool without it, bounds or not (Azure/azure-service-operator#3220).
        "count": fewest,
        "enable_auto_scaling": not fixed,
        "min_count": None if fixed else fewest,
        "max_count": None if fixed else most,
        "vm_size": settings.size or SIZE,
        "os_disk_size_gb": settings.disk_gb,
        "os_disk_type": settings.disk_type or containerservice.OSDiskType.MANAGED,
        "os_type": containerservice.OSType.LINUX,
        "os_sku": containerservice.OSSKU.UBUNTU,
        "type": containerservice.AgentPoolType.VIRTUAL_MACHINE_SCALE_SETS,
        "availability_zones": zones,
        "vnet_subnet_id": subnet,
        "enable_node_public_ip": False,
        "orchestrator_version": version,
        "upgrade_settings": containerservice.AgentPoolUpgradeSettingsArgs(max_surge=SURGE),
        "tags": dict(place.tags),
    }


def scaled_by_azure(bounds: tuple[int, int], where: str = "") -> list[str]:
    """What only the autoscaler says once there is a pool: asked for again it would be refused, or take nodes
    away under running jobs (hashicorp/terraform-provider-azurerm#4543).

    :param where: the pool in what the resource takes, with a dot.
    """
    fewest, most = bounds
    return [] if fewest == most else [f"{where}count"]


def zones_of(settings: NewAzureCluster) -> list[str]:
    """The zones of nodes."""
    return list(settings.zones or ZONES)


def user_pool(
    name: str,
    cluster: containerservice.ManagedCluster,
    settings: NewAzureCluster,
    provider: pulumi.ProviderResource,
    **common: Any,
) -> containerservice.AgentPool:
    """The pool of MLflow and jobs. Its name is fixed, so other machines take the old nodes away first."""
    place: Place = common["place"]
    return containerservice.AgentPool(
        name,
        resource_group_name=place.group,
        resource_name_=cluster.name,
        agent_pool_name=USER,
        mode=containerservice.AgentPoolMode.USER,
        **pool(settings.nodes, settings.nodes.bounds, **common),
        opts=pulumi.ResourceOptions(
            provider=provider,
            delete_before_replace=True,
            replace_on_changes=list(KEPT),
            ignore_changes=scaled_by_azure(settings.nodes.bounds),
        ),
    )
