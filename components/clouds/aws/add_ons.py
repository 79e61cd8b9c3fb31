"""What a created cluster runs for itself, installed and updated by EKS as add-ons.

With managed node groups that is everything; EKS Auto Mode has it built in. Container logs are an add-on of
both.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_aws as aws

from .provider import Account
from .roles import Role, RoleArgs, allow, document, log_groups, pod_identity_trust

LOG_DAYS = 30
"""Days that container logs are kept."""

AGENT = "eks-pod-identity-agent"


@dataclass(frozen=True, kw_only=True)
class AddOnsArgs:
    """Inputs of the components here.

    :param wait_for: what must exist before the add-ons can run.
    """

    account: Account
    cluster: aws.eks.Cluster
    wait_for: Sequence[pulumi.Resource] = ()


class _AddOns(pulumi.ComponentResource):
    def __init__(
        self, kind: str, name: str, args: AddOnsArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__(f"mlflow:aws:{kind}", name, {}, opts)
        self._name, self._args = name, args
        self._child = pulumi.ResourceOptions(parent=self)

    def _add_on(
        self,
        add_on: str,
        *,
        settings: Mapping[str, Any] | None = None,
        role: Role | None = None,
        service_account: str = "",
        after: Sequence[pulumi.Resource] = (),
    ) -> aws.eks.Addon:
        """An add-on in the version that EKS recommends for the cluster's, with a role of its own."""
        eks, cluster = aws.eks, self._args.cluster
        recommended = eks.get_addon_version_output(
            addon_name=add_on, kubernetes_version=cluster.version, opts=self._args.account.invoke
        )
        return eks.Addon(
            f"{self._name}-{add_on}",
            cluster_name=cluster.name,
            addon_name=add_on,
            addon_version=recommended.version,
            configuration_values=json.dumps(settings) if settings else None,
            pod_identity_associations=[
                eks.AddonPodIdentityAssociationArgs(role_arn=role.arn, service_account=service_account)
            ]
            if role
            else None,
            # Its fields are EKS' to set, also where the cluster came with an older copy.
            resolve_conflicts_on_create="OVERWRITE",
            resolve_conflicts_on_update="OVERWRITE",
            opts=pulumi.ResourceOptions(
                parent=self, depends_on=[*self._args.wait_for, *([role] if role else []), *after]
            ),
        )

    def _role(
        self,
        role: str,
        namespace: str,
        service_account: str,
        *,
        managed: Sequence[str] = (),
        policies: Mapping[str, pulumi.Input[str]] | None = None,
    ) -> Role:
        return Role(
            f"{self._name}-{role}",
            RoleArgs(
                account=self._args.account,
                description=f"{service_account} in {namespace}",
                trust=pod_identity_trust(self._args.cluster.arn, namespace, service_account),
                policies=policies or {},
                managed=managed,
            ),
            opts=self._child,
        )


class NetworkAddOns(_AddOns):
    """What every node needs to become ready: addresses and enforced network policies, Services, identities.

    They run on each node, so they are there before the first one.

    :ivar agent: hands pods their roles.
    """

    agent: aws.eks.Addon

    def __init__(self, name: str, args: AddOnsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("NetworkAddOns", name, args, opts)
        self.agent = self._add_on(AGENT)
        role = self._role("cni", "kube-system", "aws-node", managed=["AmazonEKS_CNI_Policy"])
        self._add_on(
            "vpc-cni",
            settings={"enableNetworkPolicy": "true"},
            role=role,
            service_account="aws-node",
            after=[self.agent],
        )
        self._add_on("kube-proxy")
        self.register_outputs({})


class ClusterAddOns(_AddOns):
    """What needs nodes to run on: DNS and volumes.

    The volume driver's rights reach only what it made: AWS managed policy reference,
    AmazonEBSCSIDriverPolicyV2.
    """

    def __init__(self, name: str, args: AddOnsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("ClusterAddOns", name, args, opts)
        self._add_on("coredns")
        account = "ebs-csi-controller-sa"
        role = self._role("ebs-csi", "kube-system", account, managed=["AmazonEBSCSIDriverPolicyV2"])
        self._add_on("aws-ebs-csi-driver", role=role, service_account=account)
        self.register_outputs({})


class ContainerLogs(_AddOns):
    """What containers write, in CloudWatch Logs for a month; no metrics, which are charged apart.

    The add-on's default is given without Container Insights, in which a configuration takes the place of the
    whole default (CloudWatch user guide, "Install the CloudWatch agent with the Amazon CloudWatch
    Observability EKS add-on"). It also watches applications from inside; that is switched off, for it changes
    their pods. The role could write neither.
    """

    def __init__(self, name: str, args: AddOnsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("ContainerLogs", name, args, opts)
        groups = [
            aws.cloudwatch.LogGroup(
                f"{name}-{kind}",
                name=pulumi.Output.concat("/aws/containerinsights/", args.cluster.name, "/", kind),
                retention_in_days=LOG_DAYS,
                opts=self._child,
            )
            for kind in ("application", "dataplane", "host")
        ]
        account = "cloudwatch-agent"
        role = self._role(
            "role",
            "amazon-cloudwatch",
            account,
            policies={
                "logs": document(
                    allow(
                        ["logs:CreateLogStream", "logs:PutLogEvents", "logs:DescribeLogStreams"],
                        log_groups(*groups),
                    )
                )
            },
        )
        self._add_on(
            "amazon-cloudwatch-observability",
            settings={
                "containerLogs": {"enabled": True},
                "agent": {
                    "config": {
                        "logs": {"metrics_collected": {"application_signals": {}}},
                        "traces": {"traces_collected": {"application_signals": {}}},
                    }
                },
                "manager": {"applicationSignals": {"autoMonitor": {"monitorAllServices": False}}},
            },
            role=role,
            service_account=account,
            after=groups,
        )
        self.register_outputs({})
