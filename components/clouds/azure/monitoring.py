"""Logs of a created cluster in a Log Analytics workspace, where the settings ask for them."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
from pulumi_azure_native import containerservice, monitor, operationalinsights

from .resource_group import Place

CONTROL_PLANE = ("kube-audit-admin", "guard", "kube-apiserver", "cluster-autoscaler")
"""Who changed what, who signed in, what went wrong (AKS, "Monitoring data reference": resource logs).
``kube-audit`` as well would log every read."""
KEPT_DAYS = 30
"""Included in the price of what comes in (Azure Monitor, "Pricing")."""
STREAM = "Microsoft-ContainerInsights-Group-Default"
WORKSPACE = "workspace"


@dataclass(frozen=True, kw_only=True)
class WorkspaceArgs:
    """Inputs of :class:`Workspace`."""

    place: Place


class Workspace(pulumi.ComponentResource):
    """Where logs go, and stay for 30 days.

    :ivar id: of the workspace.
    """

    id: pulumi.Output[str]

    def __init__(self, name: str, args: WorkspaceArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("mlflow:azure:Workspace", name, {}, opts)
        made = operationalinsights.Workspace(
            name,
            resource_group_name=args.place.group,
            location=args.place.location,
            sku=operationalinsights.WorkspaceSkuArgs(
                name=operationalinsights.WorkspaceSkuNameEnum.PER_GB2018
            ),
            retention_in_days=KEPT_DAYS,
            tags=dict(args.place.tags),
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.id = made.id
        self.register_outputs({"id": self.id})

    def add_on(self) -> containerservice.ManagedClusterAddonProfileArgs:
        """The agent that sends what containers write, by the cluster's own identity."""
        return containerservice.ManagedClusterAddonProfileArgs(
            enabled=True, config={"logAnalyticsWorkspaceResourceID": self.id, "useAADAuth": "true"}
        )


@dataclass(frozen=True, kw_only=True)
class MonitoringArgs:
    """Inputs of :class:`Monitoring`.

    :param cluster: its id.
    :param workspace: its id.
    :param control_plane: keep the control plane's logs.
    :param containers: keep what containers write.
    """

    place: Place
    cluster: pulumi.Input[str]
    workspace: pulumi.Input[str]
    control_plane: bool
    containers: bool


class Monitoring(pulumi.ComponentResource):
    """What of a cluster goes to the workspace."""

    def __init__(self, name: str, args: MonitoringArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("mlflow:azure:Monitoring", name, {}, opts)
        self._name, self._args = name, args
        self._child = pulumi.ResourceOptions(parent=self)
        if args.control_plane:
            self._control_plane()
        if args.containers:
            self._containers()
        self.register_outputs({})

    def _control_plane(self) -> None:
        monitor.DiagnosticSetting(
            f"{self._name}-control-plane",
            name="mlflow",
            resource_uri=self._args.cluster,
            workspace_id=self._args.workspace,
            log_analytics_destination_type="Dedicated",
            logs=[
                monitor.DiagnosticsLogSettingsArgs(category=category, enabled=True)
                for category in CONTROL_PLANE
            ],
            opts=self._child,
        )

    def _containers(self) -> None:
        """Source: Azure Monitor, "Enable monitoring for AKS clusters" (Container insights)."""
        rule = monitor.DataCollectionRule(
            f"{self._name}-containers",
            resource_group_name=self._args.place.group,
            location=self._args.place.location,
            kind=monitor.KnownDataCollectionRuleResourceKind.LINUX,
            data_sources=monitor.DataCollectionRuleDataSourcesArgs(
                extensions=[
                    monitor.ExtensionDataSourceArgs(
                        name="ContainerInsightsExtension",
                        extension_name="ContainerInsights",
                        extension_settings={"dataCollectionSettings": {"enableContainerLogV2": True}},
                        streams=[STREAM],
                    )
                ]
            ),
            destinations=monitor.DataCollectionRuleDestinationsArgs(
                log_analytics=[
                    monitor.LogAnalyticsDestinationArgs(
                        name=WORKSPACE, workspace_resource_id=self._args.workspace
                    )
                ]
            ),
            data_flows=[monitor.DataFlowArgs(streams=[STREAM], destinations=[WORKSPACE])],
            tags=dict(self._args.place.tags),
            opts=self._child,
        )
        monitor.DataCollectionRuleAssociation(
            f"{self._name}-containers",
            association_name="ContainerInsightsExtension",
            resource_uri=self._args.cluster,
            data_collection_rule_id=rule.id,
            opts=self._child,
        )
