"""Metrics of a created cluster in an Azure Monitor workspace: Azure's managed Prometheus."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
from pulumi_azure_native import monitor

from .resource_group import Place

STREAM = "Microsoft-PrometheusMetrics"
ACCOUNT = "workspace"


@dataclass(frozen=True, kw_only=True)
class MetricsArgs:
    """Inputs of :class:`Metrics`.

    :param cluster: its id; its profile has metrics switched on (``control_plane.py``).
    """

    place: Place
    cluster: pulumi.Input[str]


class Metrics(pulumi.ComponentResource):
    """Where the cluster's agent sends what it scrapes, and asks what that is.

    Source: Azure/prometheus-collector, AddonBicepTemplate (without its recording rules and Grafana).

    :ivar id: of the workspace.
    """

    id: pulumi.Output[str]

    def __init__(self, name: str, args: MetricsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("mlflow:azure:Metrics", name, {}, opts)
        child, place = pulumi.ResourceOptions(parent=self), args.place
        workspace = monitor.AzureMonitorWorkspace(
            name,
            resource_group_name=place.group,
            location=place.location,
            tags=dict(place.tags),
            opts=child,
        )
        endpoint = monitor.DataCollectionEndpoint(
            name,
            resource_group_name=place.group,
            location=place.location,
            kind=monitor.KnownDataCollectionEndpointResourceKind.LINUX,
            network_acls=monitor.DataCollectionEndpointNetworkAclsArgs(
                # Azure's front door, by Entra token; a private link scope would be a network's own matter.
                public_network_access=monitor.KnownPublicNetworkAccessOptions.ENABLED
            ),
            tags=dict(place.tags),
            opts=child,
        )
        rule = monitor.DataCollectionRule(
            name,
            resource_group_name=place.group,
            location=place.location,
            kind=monitor.KnownDataCollectionRuleResourceKind.LINUX,
            data_collection_endpoint_id=endpoint.id,
            data_sources=monitor.DataCollectionRuleDataSourcesArgs(
                prometheus_forwarder=[
                    monitor.PrometheusForwarderDataSourceArgs(name="prometheus", streams=[STREAM])
                ]
            ),
            destinations=monitor.DataCollectionRuleDestinationsArgs(
                monitoring_accounts=[
                    monitor.MonitoringAccountDestinationArgs(name=ACCOUNT, account_resource_id=workspace.id)
                ]
            ),
            data_flows=[monitor.DataFlowArgs(streams=[STREAM], destinations=[ACCOUNT])],
            tags=dict(place.tags),
            opts=child,
        )
        monitor.DataCollectionRuleAssociation(
            name,
            association_name="prometheus",
            resource_uri=args.cluster,
            data_collection_rule_id=rule.id,
            opts=child,
        )
        self.id = workspace.id
        self.register_outputs({"id": self.id})
