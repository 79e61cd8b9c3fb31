"""The control plane of a created AKS cluster, with the pool of its own parts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pulumi
from pulumi_azure_native import containerservice, managedidentity

from ...settings.azure import NewAzureCluster, Tier
from ...settings.versions import DEFAULTS, Product
from ..names import stack_name
from .monitoring import Workspace
from .network import POD_RANGES, SERVICE_RANGES, Network, aside
from .nodes import ONLY_SYSTEM, SYSTEM, pool, scaled_by_azure
from .resource_group import Place
from .roles import Role, assign

DNS_PREFIX = 54
"""Characters (AKS API, ``dnsPrefix``)."""
WEEKLY = 1
IMAGE_CLEANER_HOURS = 168
UPGRADES = ("aksManagedAutoUpgradeSchedule", "aksManagedNodeOSUpgradeSchedule")
"""Names by which AKS knows what a window is for (AKS, "Use planned maintenance")."""
NO_LOGS = containerservice.ManagedClusterAddonProfileArgs(enabled=False)


@dataclass(frozen=True, kw_only=True)
class ControlPlaneArgs:
    """Inputs of :class:`ControlPlane`.

    :param common: inputs of every node pool (``nodes.py``).
    :param workspace: gets what containers write; None without.
    """

    place: Place
    settings: NewAzureCluster
    network: Network
    common: dict[str, Any]
    workspace: Workspace | None
    protect: bool


class ControlPlane(pulumi.ComponentResource):
    """An AKS cluster: Entra sign-in with Azure RBAC and no local accounts, Kubernetes API private unless
    ranges are listed, workload identity, Cilium that enforces network policies, patched by itself in its
    window.

    The cluster and its nodes are each an identity of their own, known before the cluster is.
    Sources: AKS, "Baseline architecture for an AKS cluster" and "Best practices for cluster security".

    :ivar kubelet: object id of the nodes' identity, which pulls images.
    """

    cluster: containerservice.ManagedCluster
    kubelet: pulumi.Output[str]

    def __init__(self, name: str, args: ControlPlaneArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("mlflow:azure:ControlPlane", name, {}, opts)
        self._name, self._args = name, args
        self._child = pulumi.ResourceOptions(parent=self)
        settings, place = args.settings, args.place
        own, nodes = self._identity("identity"), self._identity("nodes")
        self.kubelet = nodes.principal_id
        rights = self._rights(own, nodes)
        self.cluster = containerservice.ManagedCluster(
            name,
            resource_group_name=place.group,
            location=place.location,
            # Part of the API's address; another would replace the cluster.
            dns_prefix=stack_name(longest=DNS_PREFIX),
            kubernetes_version=args.common["version"],
            sku=containerservice.ManagedClusterSKUArgs(
                name=containerservice.ManagedClusterSKUName.BASE,
                tier=containerservice.ManagedClusterSKUTier.STANDARD
                if settings.tier is Tier.STANDARD
                else containerservice.ManagedClusterSKUTier.FREE,
            ),
            identity=containerservice.ManagedClusterIdentityArgs(
                type=containerservice.ResourceIdentityType.USER_ASSIGNED, user_assigned_identities=[own.id]
            ),
            identity_profile={
                "kubeletidentity": containerservice.UserAssignedIdentityArgs(
                    resource_id=nodes.id, client_id=nodes.client_id, object_id=nodes.principal_id
                )
            },
            oidc_issuer_profile=containerservice.ManagedClusterOIDCIssuerProfileArgs(enabled=True),
            security_profile=containerservice.ManagedClusterSecurityProfileArgs(
                workload_identity=containerservice.ManagedClusterSecurityProfileWorkloadIdentityArgs(
                    enabled=True
                ),
                image_cleaner=containerservice.ManagedClusterSecurityProfileImageCleanerArgs(
                    enabled=True, interval_hours=IMAGE_CLEANER_HOURS
                ),
            ),
            enable_rbac=True,
            disable_local_accounts=True,
            aad_profile=containerservice.ManagedClusterAADProfileArgs(
                managed=True,
                enable_azure_rbac=True,
                admin_group_object_ids=list(settings.admin_groups),
                tenant_id=place.subscription.tenant,
            ),
            api_server_access_profile=self._access(),
            network_profile=self._network(),
            auto_upgrade_profile=containerservice.ManagedClusterAutoUpgradeProfileArgs(
                upgrade_channel=containerservice.UpgradeChannel.PATCH,
                node_os_upgrade_channel=containerservice.NodeOSUpgradeChannel.NODE_IMAGE,
            ),
            # Off is said as well: what is left out stays as it was (Azure/AKS#2904).
            addon_profiles={"omsagent": args.workspace.add_on() if args.workspace else NO_LOGS},
            azure_monitor_profile=containerservice.ManagedClusterAzureMonitorProfileArgs(
                metrics=containerservice.ManagedClusterAzureMonitorProfileMetricsArgs(
                    enabled=settings.metrics
                )
            ),
            agent_pool_profiles=[
                containerservice.ManagedClusterAgentPoolProfileArgs(
                    name=SYSTEM,
                    mode=containerservice.AgentPoolMode.SYSTEM,
                    node_taints=[ONLY_SYSTEM],
                    **pool(settings.system_nodes, settings.system_bounds, **args.common),
                )
            ],
            tags=dict(place.tags),
            opts=pulumi.ResourceOptions(
                parent=self,
                protect=args.protect,
                depends_on=[args.network, *rights],
                ignore_changes=scaled_by_azure(settings.system_bounds, "agentPoolProfiles[0]."),
            ),
        )
        self._windows()
        self.register_outputs({"name": self.cluster.name})

    def _identity(self, kind: str) -> managedidentity.UserAssignedIdentity:
        return managedidentity.UserAssignedIdentity(
            f"{self._name}-{kind}",
            resource_group_name=self._args.place.group,
            location=self._args.place.location,
            tags=dict(self._args.place.tags),
            opts=self._child,
        )

    def _rights(
        self, own: managedidentity.UserAssignedIdentity, nodes: managedidentity.UserAssignedIdentity
    ) -> list[pulumi.Resource]:
        """The cluster puts load balancers into its subnet, and gives nodes their identity. No more."""
        return [
            assign(
                f"{self._name}-{kind}",
                self._args.place,
                role,
                principal=own.principal_id,
                scope=scope,
                opts=self._child,
            )
            for kind, role, scope in (
                ("subnet", Role.NETWORK_CONTRIBUTOR, self._args.network.nodes),
                ("kubelet", Role.MANAGED_IDENTITY_OPERATOR, nodes.id),
            )
        ]

    def _access(self) -> containerservice.ManagedClusterAPIServerAccessProfileArgs:
        access = self._args.settings.access
        if not access.public:
            return containerservice.ManagedClusterAPIServerAccessProfileArgs(
                enable_private_cluster=True,
                enable_private_cluster_public_fqdn=False,
                private_dns_zone="system",
                disable_run_command=True,
            )
        # The nodes come from the NAT gateway's address.
        nodes = pulumi.Output.concat(self._args.network.outside, "/32")
        return containerservice.ManagedClusterAPIServerAccessProfileArgs(
            enable_private_cluster=False,
            # An empty list lets everybody knock; a list with 0.0.0.0/0 is refused.
            authorized_ip_ranges=[] if access.open_to_world else [*access.public, nodes],
            disable_run_command=True,
        )

    def _network(self) -> containerservice.ContainerServiceNetworkProfileArgs:
        whole = self._args.settings.address_range
        services = aside(whole, SERVICE_RANGES)
        return containerservice.ContainerServiceNetworkProfileArgs(
            network_plugin=containerservice.NetworkPlugin.AZURE,
            network_plugin_mode=containerservice.NetworkPluginMode.OVERLAY,
            network_dataplane=containerservice.NetworkDataplane.CILIUM,
            network_policy=containerservice.NetworkPolicy.CILIUM,
            load_balancer_sku=containerservice.LoadBalancerSku.STANDARD,
            outbound_type=containerservice.OutboundType.USER_ASSIGNED_NAT_GATEWAY,
            pod_cidr=str(aside(whole, POD_RANGES)),
            service_cidr=str(services),
            dns_service_ip=str(services[10]),
        )

    def _windows(self) -> None:
        window, place = self._args.settings.maintenance, self._args.place
        for config in UPGRADES:
            containerservice.MaintenanceConfiguration(
                f"{self._name}-{config.removeprefix('aksManaged').lower()}",
                resource_group_name=place.group,
                resource_name_=self.cluster.name,
                config_name=config,
                maintenance_window=containerservice.MaintenanceWindowArgs(
                    duration_hours=window.hours,
                    start_time=f"{window.hour:02}:00",
                    utc_offset="+00:00",
                    schedule=containerservice.ScheduleArgs(
                        weekly=containerservice.WeeklyScheduleArgs(
                            day_of_week=containerservice.WeekDay(window.day), interval_weeks=WEEKLY
                        )
                    ),
                ),
                opts=self._child,
            )


def version_of(settings: NewAzureCluster) -> str:
    """Kubernetes version: AKS takes the newest patch of it."""
    return settings.version or DEFAULTS[Product.AKS]
