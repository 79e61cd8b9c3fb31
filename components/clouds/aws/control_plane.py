"""The control plane of a created EKS cluster."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import pulumi
import pulumi_aws as aws

from ...settings.aws import ComputeMode, NewAwsCluster
from ...settings.cloud_rules import CREATE
from ...settings.errors import Problem, SettingsError
from ...settings.versions import DEFAULTS, Product
from .provider import Account
from .roles import Role, RoleArgs, allow, document, log_groups, service_trust

LOGS = ["api", "audit", "authenticator", "controllerManager", "scheduler"]
LOG_DAYS = 30
"""Days that control-plane logs are kept: long enough to look into an incident, and AWS charges for more."""

CLUSTER_POLICY = "AmazonEKSClusterPolicy"
AUTO_MODE_POLICIES = (
    "AmazonEKSComputePolicy",
    "AmazonEKSBlockStoragePolicy",
    "AmazonEKSLoadBalancingPolicy",
    "AmazonEKSNetworkingPolicy",
)
"""Source: EKS user guide, "Learn about identity and access in EKS Auto Mode"."""

ADMIN_POLICY = "AmazonEKSClusterAdminPolicy"


@dataclass(frozen=True, kw_only=True)
class ControlPlaneArgs:
    """Inputs of :class:`ControlPlane`.

    :param cluster_name: known beforehand, because its log group has to exist before it.
    :param subnet_ids: private ones, in at least two zones.
    """

    account: Account
    settings: NewAwsCluster
    cluster_name: str
    subnet_ids: pulumi.Input[Sequence[str]]
    protect: bool


class ControlPlane(pulumi.ComponentResource):
    """An EKS cluster: Kubernetes API private unless ranges are listed, Secrets encrypted by a key of its own,
    access by IAM alone, every kind of log kept for a month.

    :ivar access: what lets the named administrators in.
    """

    cluster: aws.eks.Cluster
    access: list[pulumi.Resource]

    def __init__(self, name: str, args: ControlPlaneArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("mlflow:aws:ControlPlane", name, {}, opts)
        self._name, self._args = name, args
        self._child = pulumi.ResourceOptions(parent=self)
        logs = aws.cloudwatch.LogGroup(
            f"{name}-logs",
            name=f"/aws/eks/{args.cluster_name}/cluster",
            retention_in_days=LOG_DAYS,
            opts=self._child,
        )
        key = aws.kms.Key(
            f"{name}-secrets",
            description=f"Secrets of the EKS cluster {args.cluster_name}",
            enable_key_rotation=True,
            deletion_window_in_days=30,
            opts=self._child,
        )
        role = self._role(logs, key)
        self.cluster = self._cluster(role, key, logs)
        self._tag_security_group()
        self.access = [
            resource
            for index, principal in enumerate(args.settings.admins)
            for resource in self._administrator(index, principal)
        ]
        self.register_outputs({"name": self.cluster.name})

    def _role(self, logs: aws.cloudwatch.LogGroup, key: aws.kms.Key) -> Role:
        auto = self._args.settings.compute is ComputeMode.AUTO
        policies = {
            "secrets": document(
                allow(["kms:Encrypt", "kms:Decrypt", "kms:DescribeKey", "kms:ListGrants"], [key.arn])
            ),
            # Otherwise the dying cluster makes its log group again, and the next `up` fails on it.
            "logs": document(
                {"Effect": "Deny", "Action": ["logs:CreateLogGroup"], "Resource": log_groups(logs)},
            ),
        }
        if auto:
            policies["tags"] = tagging_policy(self._args.account)
        return Role(
            f"{self._name}-role",
            RoleArgs(
                account=self._args.account,
                description=f"Control plane of the EKS cluster {self._args.cluster_name}",
                trust=service_trust("eks.amazonaws.com", *(["sts:TagSession"] if auto else [])),
                policies=policies,
                managed=[CLUSTER_POLICY, *(AUTO_MODE_POLICIES if auto else ())],
            ),
            opts=self._child,
        )

    def _cluster(self, role: Role, key: aws.kms.Key, logs: aws.cloudwatch.LogGroup) -> aws.eks.Cluster:
        settings, eks = self._args.settings, aws.eks
        auto = settings.compute is ComputeMode.AUTO
        public = settings.access.public
        return eks.Cluster(
            self._name,
            name=self._args.cluster_name,
            version=settings.version or DEFAULTS[Product.EKS],
            role_arn=role.arn,
            vpc_config=eks.ClusterVpcConfigArgs(
                subnet_ids=self._args.subnet_ids,
                endpoint_private_access=True,
                endpoint_public_access=bool(public),
                public_access_cidrs=list(public) or None,
            ),
            access_config=eks.ClusterAccessConfigArgs(
                authentication_mode="API", bootstrap_cluster_creator_admin_permissions=True
            ),
            # Auto Mode is these three together, on or off. Its nodes come from pools of our own.
            compute_config=eks.ClusterComputeConfigArgs(enabled=auto),
            storage_config=eks.ClusterStorageConfigArgs(
                block_storage=eks.ClusterStorageConfigBlockStorageArgs(enabled=auto)
            ),
            kubernetes_network_config=eks.ClusterKubernetesNetworkConfigArgs(
                elastic_load_balancing=eks.ClusterKubernetesNetworkConfigElasticLoadBalancingArgs(
                    enabled=auto
                )
            ),
            # What a cluster needs is installed as add-ons, which can be updated.
            bootstrap_self_managed_addons=False,
            encryption_config=eks.ClusterEncryptionConfigArgs(
                provider=eks.ClusterEncryptionConfigProviderArgs(key_arn=key.arn), resources=["secrets"]
            ),
            enabled_cluster_log_types=LOGS,
            # After standard support AWS moves the control plane on, instead of charging six times as much.
            upgrade_policy=eks.ClusterUpgradePolicyArgs(support_type="STANDARD"),
            deletion_protection=self._args.protect,
            opts=pulumi.ResourceOptions(
                parent=self,
                protect=self._args.protect,
                # Without its rights EKS cannot take away its network interfaces and security groups.
                depends_on=[role, logs],
                delete_before_replace=True,
            ),
        )

    def _tag_security_group(self) -> None:
        """EKS makes the cluster's security group itself, and leaves the provider's tags out."""
        for tag, value in self._args.account.tags.items():
            aws.ec2.Tag(
                f"{self._name}-group-{tag}",
                resource_id=known(self.cluster.vpc_config.cluster_security_group_id),
                key=tag,
                value=value,
                opts=self._child,
            )

    def _administrator(self, index: int, principal: str) -> list[pulumi.Resource]:
        entry = aws.eks.AccessEntry(
            f"{self._name}-admin-{index}",
            cluster_name=self.cluster.name,
            principal_arn=pulumi.Output.all(self._args.account.caller, self.cluster.id.is_known()).apply(
                lambda known: _not_the_maker(index, principal, *known)
            ),
            opts=self._child,
        )
        return [entry, access_policy(f"{self._name}-admin-{index}", entry, ADMIN_POLICY, self._args.account)]


def _not_the_maker(index: int, principal: str, caller: str, made: bool) -> str:
    """``principal``, unless it is about to make the cluster: EKS makes that one an administrator itself, and
    refuses a second entry (CreateAccessEntry: ResourceInUseException).

    :param made: whether the cluster is there; who comes later is not its maker.
    :raises SettingsError: before anything is made, as an unmade cluster has no id in a preview alone.
    """
    if not made and is_session_of(caller, principal):
        key = f"{CREATE}.admins[{index}]"
        text = f"{principal} is who makes the cluster, and its administrator without being named; remove it"
        raise SettingsError([Problem(key, text)], stack=pulumi.get_stack())
    return principal


def is_session_of(caller: str, principal: str) -> bool:
    """Whether an IAM principal is the one that AWS calls ``caller``: a user, or the role of that session.

    A session's ARN, ``arn:aws:sts::…:assumed-role/name/session``, holds no path (IAM user guide, "IAM
    identifiers").
    """
    head, _, rest = caller.partition(":assumed-role/")
    if not rest:
        return caller == principal
    account, (kind, *_, name) = principal.split(":")[4], principal.split(":", 5)[5].split("/")
    return (head.split(":")[4], "role", rest.split("/")[0]) == (account, kind, name)


def known(value: pulumi.Output[str | None]) -> pulumi.Output[str]:
    """A field that the SDK calls optional, and that EKS sets on every cluster."""
    return cast("pulumi.Output[str]", value)


def access_policy(
    name: str, entry: aws.eks.AccessEntry, policy: str, account: Account
) -> aws.eks.AccessPolicyAssociation:
    """Gives the principal of an access entry one of EKS' own policies, in the whole cluster."""
    return aws.eks.AccessPolicyAssociation(
        name,
        cluster_name=entry.cluster_name,
        principal_arn=entry.principal_arn,
        policy_arn=pulumi.Output.concat(
            "arn:", account.partition, ":eks::aws:cluster-access-policy/", policy
        ),
        access_scope=aws.eks.AccessPolicyAssociationAccessScopeArgs(type="cluster"),
        opts=pulumi.ResourceOptions(parent=entry),
    )


def tagging_policy(account: Account) -> pulumi.Output[str]:
    """Lets Auto Mode put our tags on what it makes, which its own policies do not.

    Only on what it tags with this cluster's name. Source: EKS user guide, "Custom AWS tags for EKS Auto
    resources".
    """
    ours = {"aws:RequestTag/eks:eks-cluster-name": "${aws:PrincipalTag/eks:eks-cluster-name}"}
    ec2 = pulumi.Output.concat("arn:", account.partition, ":ec2:", account.region, ":*:")
    balancing = pulumi.Output.concat(
        "arn:", account.partition, ":elasticloadbalancing:", account.region, ":", account.id, ":"
    )
    anything_in_ec2 = pulumi.Output.concat(ec2, "*")
    return document(
        allow(
            ["ec2:CreateFleet", "ec2:RunInstances", "ec2:CreateLaunchTemplate"],
            [anything_in_ec2],
            {
                "StringEquals": ours,
                "StringLike": {
                    "aws:RequestTag/eks:kubernetes-node-class-name": "*",
                    "aws:RequestTag/eks:kubernetes-node-pool-name": "*",
                },
            },
        ),
        allow(
            ["ec2:CreateVolume", "ec2:CreateSnapshot"],
            [pulumi.Output.concat(ec2, "volume/*"), pulumi.Output.concat(ec2, "snapshot/*")],
            {"StringEquals": ours},
        ),
        allow(
            ["ec2:CreateNetworkInterface"],
            [anything_in_ec2],
            {"StringEquals": ours, "StringLike": {"aws:RequestTag/eks:kubernetes-cni-node-name": "*"}},
        ),
        allow(
            [
                "elasticloadbalancing:CreateLoadBalancer",
                "elasticloadbalancing:CreateTargetGroup",
                "elasticloadbalancing:CreateListener",
                "elasticloadbalancing:CreateRule",
            ],
            [pulumi.Output.concat(balancing, "*")],
            {"StringEquals": ours},
        ),
        allow(["ec2:CreateSecurityGroup"], [anything_in_ec2], {"StringEquals": ours}),
    )
