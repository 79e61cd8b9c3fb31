"""The control plane of a created GKE cluster, standard or Autopilot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_gcp as gcp

from ...settings.gcp import GkeMode, NewGcpCluster
from .network import ClusterPlace
from .provider import Project

container = gcp.container

SYSTEM, WORKLOADS = "SYSTEM_COMPONENTS", "WORKLOADS"
"""What GKE logs and measures (GKE, "About GKE logs")."""
EVERYTHING = "https://www.googleapis.com/auth/cloud-platform"
"""Access scope of nodes: what they may do is decided by their roles alone (GKE, "Access scopes in GKE")."""


@dataclass(frozen=True, kw_only=True)
class ControlPlaneArgs:
    """Inputs of :class:`ControlPlane`.

    :param zones: of the nodes; None for those that GKE chooses.
    :param node_account: email of the service account that nodes run as.
    :param wait_for: what nodes need to come up.
    """

    project: Project
    settings: NewGcpCluster
    place: ClusterPlace
    zones: Sequence[str] | None
    node_account: pulumi.Input[str]
    wait_for: Sequence[pulumi.Resource]
    protect: bool


class ControlPlane(pulumi.ComponentResource):
    """A regional GKE cluster: private nodes, Kubernetes API private unless ranges are listed, Workload
    Identity, network policies enforced (Dataplane V2), upgraded by its release channel, logged and measured.

    Sources: GKE, "Harden your cluster's security" and "Best practices for GKE networking".
    """

    cluster: gcp.container.Cluster

    def __init__(self, name: str, args: ControlPlaneArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("mlflow:gcp:ControlPlane", name, {}, opts)
        self._args = args
        autopilot = args.settings.compute is GkeMode.AUTOPILOT
        self.cluster = container.Cluster(
            name,
            location=args.project.region,
            network=args.place.network,
            subnetwork=args.place.subnetwork,
            networking_mode="VPC_NATIVE",
            ip_allocation_policy=container.ClusterIpAllocationPolicyArgs(
                cluster_secondary_range_name=args.place.pods,
                services_secondary_range_name=args.place.services,
            ),
            private_cluster_config=container.ClusterPrivateClusterConfigArgs(
                enable_private_nodes=True, enable_private_endpoint=not args.settings.access.public
            ),
            master_authorized_networks_config=self._authorized_networks(),
            control_plane_endpoints_config=container.ClusterControlPlaneEndpointsConfigArgs(
                dns_endpoint_config=container.ClusterControlPlaneEndpointsConfigDnsEndpointConfigArgs(
                    allow_external_traffic=args.settings.dns_endpoint
                )
            ),
            release_channel=container.ClusterReleaseChannelArgs(channel=args.settings.channel.upper()),
            # Without one: the channel's own, which is always supported and moves on by itself.
            min_master_version=args.settings.version,
            logging_config=self._logs(),
            monitoring_config=container.ClusterMonitoringConfigArgs(
                enable_components=[SYSTEM],
                # Autopilot cannot do without.
                managed_prometheus=container.ClusterMonitoringConfigManagedPrometheusArgs(enabled=autopilot),
            ),
            gateway_api_config=container.ClusterGatewayApiConfigArgs(channel="CHANNEL_STANDARD"),
            # Only health checks are answered without signing in.
            anonymous_authentication_config=container.ClusterAnonymousAuthenticationConfigArgs(
                mode="LIMITED"
            ),
            deletion_protection=args.protect,
            resource_labels=dict(args.project.labels),
            **(self._autopilot() if autopilot else self._standard()),
            opts=pulumi.ResourceOptions(parent=self, protect=args.protect, depends_on=list(args.wait_for)),
        )
        self.register_outputs({"name": self.cluster.name})

    def _authorized_networks(self) -> gcp.container.ClusterMasterAuthorizedNetworksConfigArgs:
        """Without ranges still there: else the API would be open to the whole internet, or the cluster
        refused."""
        return container.ClusterMasterAuthorizedNetworksConfigArgs(
            cidr_blocks=[
                container.ClusterMasterAuthorizedNetworksConfigCidrBlockArgs(cidr_block=cidr)
                for cidr in self._args.settings.access.public
            ],
            # Else every virtual machine of every customer of Google's could knock.
            gcp_public_cidrs_access_enabled=False,
        )

    def _logs(self) -> gcp.container.ClusterLoggingConfigArgs:
        workloads = [WORKLOADS] if self._args.settings.container_logs else []
        return container.ClusterLoggingConfigArgs(enable_components=[SYSTEM, *workloads])

    def _standard(self) -> dict[str, Any]:
        return {
            # The nodes are a resource of their own (nodes.py), which can change without the cluster.
            "remove_default_node_pool": True,
            "initial_node_count": 1,
            "node_locations": self._args.zones,
            "enable_shielded_nodes": True,
            "datapath_provider": "ADVANCED_DATAPATH",
            "enable_l4_ilb_subsetting": True,
            "workload_identity_config": container.ClusterWorkloadIdentityConfigArgs(
                workload_pool=self._args.project.workload_pool
            ),
            "addons_config": container.ClusterAddonsConfigArgs(
                gce_persistent_disk_csi_driver_config=container.ClusterAddonsConfigGcePersistentDiskCsiDriverConfigArgs(
                    enabled=True
                ),
                http_load_balancing=container.ClusterAddonsConfigHttpLoadBalancingArgs(disabled=False),
            ),
        }

    def _autopilot(self) -> dict[str, Any]:
        """The rest is built in: shielded nodes, Dataplane V2, Workload Identity (GKE, "Compare features in
        Autopilot and Standard")."""
        return {
            "enable_autopilot": True,
            "cluster_autoscaling": container.ClusterClusterAutoscalingArgs(
                auto_provisioning_defaults=container.ClusterClusterAutoscalingAutoProvisioningDefaultsArgs(
                    service_account=self._args.node_account, oauth_scopes=[EVERYTHING]
                )
            ),
        }
