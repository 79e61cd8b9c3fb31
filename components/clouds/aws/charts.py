"""What managed node groups need beside them and EKS offers no add-on for: releases of the official charts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_aws as aws
import pulumi_kubernetes as kubernetes

from .load_balancer_policy import load_balancer_policy
from .provider import Account
from .roles import Role, RoleArgs, allow, document, pod_identity_trust

helm = kubernetes.helm.v3

NAMESPACE = "kube-system"
TIMEOUT = 600
"""Seconds until a release must be ready: its nodes may only just have come."""

CONTROLLER = "aws-load-balancer-controller"
CONTROLLER_CHART = "3.4.2"
"""Chart and controller have the same version. Source: aws/eks-charts, pull request 1347."""

AUTOSCALER = "cluster-autoscaler"
AUTOSCALER_CHART = "9.59.0"
"""Autoscaler 1.35. Source: kubermatic/kubermatic, pull request 16253."""


@dataclass(frozen=True, kw_only=True)
class ChartsArgs:
    """Inputs of :class:`Charts`.

    :param agent: hands the charts' pods their roles.
    :param autoscaled: whether the node groups have a range to move in.
    :param wait_for: nodes, DNS.
    """

    account: Account
    cluster: aws.eks.Cluster
    vpc_id: pulumi.Input[str]
    agent: pulumi.Resource
    autoscaled: bool
    wait_for: Sequence[pulumi.Resource]


class Charts(pulumi.ComponentResource):
    """The AWS Load Balancer Controller and, where node groups have a range, the cluster autoscaler.

    Depend on this component to have load balancers: on destroy it stays until they are gone.
    """

    def __init__(self, name: str, args: ChartsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("mlflow:aws:Charts", name, {}, opts)
        self._name, self._args = name, args
        region, cluster = args.account.region, args.cluster.name
        self._release(
            CONTROLLER,
            "load-balancers",
            load_balancer_policy(args.account, args.cluster),
            chart=CONTROLLER,
            repository="https://aws.github.io/eks-charts",
            version=CONTROLLER_CHART,
            values={
                "clusterName": cluster,
                # It need not, and on our nodes could not, ask the metadata service.
                "region": region,
                "vpcId": args.vpc_id,
                "serviceAccount": {"create": True, "name": CONTROLLER},
                "enableShield": False,
                "enableWaf": False,
                "enableWafv2": False,
                # It would change every Service of the cluster; ours name their class.
                "enableServiceMutatorWebhook": False,
                # Helm would otherwise make a new one on each upgrade, under the running controller.
                "keepTLSSecret": True,
            },
        )
        if args.autoscaled:
            self._release(
                AUTOSCALER,
                "autoscaler",
                autoscaler_policy(args.account, args.cluster.name),
                chart=AUTOSCALER,
                repository="https://kubernetes.github.io/autoscaler",
                version=AUTOSCALER_CHART,
                values={
                    "cloudProvider": "aws",
                    "awsRegion": region,
                    "autoDiscovery": {"clusterName": cluster},
                    "rbac": {"serviceAccount": {"create": True, "name": AUTOSCALER}},
                    "extraArgs": {
                        "balance-similar-node-groups": True,
                        # A pod with files of its own may be a training run.
                        "skip-nodes-with-local-storage": True,
                    },
                },
            )
        self.register_outputs({})

    def _release(
        self,
        service_account: str,
        role: str,
        policy: pulumi.Input[str],
        *,
        chart: str,
        repository: str,
        version: str,
        values: Mapping[str, Any],
    ) -> None:
        child = pulumi.ResourceOptions(parent=self)
        made = Role(
            f"{self._name}-{role}",
            RoleArgs(
                account=self._args.account,
                description=f"{service_account} in {NAMESPACE}",
                trust=pod_identity_trust(self._args.cluster.arn, NAMESPACE, service_account),
                policies={"policy": policy},
            ),
            opts=child,
        )
        association = aws.eks.PodIdentityAssociation(
            f"{self._name}-{role}",
            cluster_name=self._args.cluster.name,
            namespace=NAMESPACE,
            service_account=service_account,
            role_arn=made.arn,
            opts=pulumi.ResourceOptions(parent=self, depends_on=[made, self._args.agent]),
        )
        helm.Release(
            f"{self._name}-{role}",
            name=chart,
            namespace=NAMESPACE,
            chart=chart,
            version=version,
            repository_opts=helm.RepositoryOptsArgs(repo=repository),
            values=values,
            timeout=TIMEOUT,
            # A first installation that fails leaves nothing behind that would stop the next one.
            atomic=True,
            opts=pulumi.ResourceOptions(parent=self, depends_on=[association, *self._args.wait_for]),
        )


def autoscaler_policy(account: Account, cluster: pulumi.Input[str]) -> pulumi.Output[str]:
    """Sees every group, moves those of this cluster. Source: cluster-autoscaler, "CloudProvider: AWS"."""
    groups = pulumi.Output.concat(
        "arn:", account.partition, ":autoscaling:", account.region, ":", account.id, ":autoScalingGroup:*"
    )
    return document(
        allow(
            [
                "autoscaling:DescribeAutoScalingGroups",
                "autoscaling:DescribeAutoScalingInstances",
                "autoscaling:DescribeLaunchConfigurations",
                "autoscaling:DescribeScalingActivities",
                "autoscaling:DescribeTags",
                "ec2:DescribeImages",
                "ec2:DescribeInstanceTypes",
                "ec2:DescribeLaunchTemplateVersions",
                "ec2:GetInstanceTypesFromInstanceRequirements",
                "eks:DescribeNodegroup",
            ],
            ["*"],
        ),
        allow(
            ["autoscaling:SetDesiredCapacity", "autoscaling:TerminateInstanceInAutoScalingGroup"],
            [groups],
            {"StringEquals": {"aws:ResourceTag/eks:cluster-name": cluster}},
        ),
    )
