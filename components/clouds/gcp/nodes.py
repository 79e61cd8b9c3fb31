"""The nodes of a created GKE cluster: who they are, and the pool of a standard cluster."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
import pulumi_gcp as gcp

from ...settings.cluster import Nodes as NodeSettings
from ...settings.gcp import general_disk
from .control_plane import EVERYTHING
from .provider import Project

container = gcp.container

ROLE = "roles/container.defaultNodeServiceAccount"
"""Writes logs and metrics, and nothing else (GKE, "Configure custom node service accounts")."""
SIZE = "e2-standard-2"
"""2 CPUs and 8 GiB."""
DEFAULT_ZONES = 3
"""Of a regional cluster that names none (GKE, "About regional clusters")."""


@dataclass(frozen=True, kw_only=True)
class NodeAccountArgs:
    """Inputs of :class:`NodeAccount`."""

    project: Project


class NodeAccount(pulumi.ComponentResource):
    """The service account of nodes, with next to no rights: pods do not reach it, they have identities of
    their own. The repository lets it pull (images.py).

    :ivar email, member: of the account.
    """

    email: pulumi.Output[str]
    member: pulumi.Output[str]

    def __init__(self, name: str, args: NodeAccountArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("mlflow:gcp:NodeAccount", name, {}, opts)
        account = gcp.serviceaccount.Account(
            name,
            display_name="MLflow: nodes",
            opts=pulumi.ResourceOptions(parent=self, depends_on=args.project.apis.of("iam")),
        )
        gcp.projects.IAMMember(
            f"{name}-role",
            project=args.project.id,
            role=ROLE,
            member=account.member,
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.email, self.member = account.email, account.member
        self.register_outputs({"email": self.email})


@dataclass(frozen=True, kw_only=True)
class NodesArgs:
    """Inputs of :class:`Nodes`.

    :param zones: by name; None for those of the cluster.
    :param zone_count: how many that are.
    """

    project: Project
    settings: NodeSettings
    cluster: gcp.container.Cluster
    account: NodeAccount
    zones: Sequence[str] | None
    zone_count: int


class Nodes(pulumi.ComponentResource):
    """Shielded nodes over the zones, repaired and upgraded by GKE, one more while one is upgraded.

    Depend on this component to have nodes.
    """

    def __init__(self, name: str, args: NodesArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("mlflow:gcp:Nodes", name, {}, opts)
        fewest, most = args.settings.bounds
        fixed = fewest == most
        container.NodePool(
            name,
            cluster=args.cluster.id,
            location=args.project.region,
            node_locations=args.zones,
            # Per zone, as everything in a pool that does not say total.
            node_count=most // args.zone_count if fixed else None,
            # In each zone, to start with.
            initial_node_count=None if fixed else 1,
            autoscaling=None
            if fixed
            else container.NodePoolAutoscalingArgs(
                total_min_node_count=fewest, total_max_node_count=most, location_policy="BALANCED"
            ),
            management=container.NodePoolManagementArgs(auto_repair=True, auto_upgrade=True),
            upgrade_settings=container.NodePoolUpgradeSettingsArgs(
                strategy="SURGE", max_surge=1, max_unavailable=0
            ),
            node_config=self._node(args),
            opts=pulumi.ResourceOptions(
                parent=self,
                depends_on=[args.account],
                # Another one, also than a fixed number left behind, replaces the pool and what runs in it
                # (pulumi-gcp 10.2.0, ``initial_node_count``).
                ignore_changes=["initialNodeCount"],
            ),
        )
        self.register_outputs({})

    def _node(self, args: NodesArgs) -> gcp.container.NodePoolNodeConfigArgs:
        return container.NodePoolNodeConfigArgs(
            machine_type=args.settings.size or SIZE,
            disk_size_gb=args.settings.disk_gb,
            disk_type=args.settings.disk_type or general_disk(args.settings.size),
            image_type="COS_CONTAINERD",
            service_account=args.account.email,
            oauth_scopes=[EVERYTHING],
            shielded_instance_config=container.NodePoolNodeConfigShieldedInstanceConfigArgs(
                enable_secure_boot=True, enable_integrity_monitoring=True
            ),
            # Pods get tokens of their own identity, never the node's.
            workload_metadata_config=container.NodePoolNodeConfigWorkloadMetadataConfigArgs(
                mode="GKE_METADATA"
            ),
            metadata={"disable-legacy-endpoints": "true"},
            resource_labels=dict(args.project.labels),
        )
