"""IAM roles: who may take them, and exactly what they may do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pulumi
import pulumi_aws as aws

from .provider import Account

VERSION = "2012-10-17"
"""Of the policy language (IAM JSON policy elements: Version)."""

AUDIENCE = "sts.amazonaws.com"


@dataclass(frozen=True, kw_only=True)
class RoleArgs:
    """Inputs of :class:`Role`.

    :param trust: policy document: who may take it.
    :param policies: name → policy document of its own.
    :param managed: names (with path) of policies that AWS maintains, such as ``AmazonEKSClusterPolicy``.
    """

    account: Account
    description: str
    trust: pulumi.Input[str]
    policies: Mapping[str, pulumi.Input[str]] = field(default_factory=dict)
    managed: Sequence[str] = ()


class Role(pulumi.ComponentResource):
    """A role with everything it may do; whoever depends on it waits for all of that, and ends before it.

    :ivar arn, name: of the role.
    """

    arn: pulumi.Output[str]
    name: pulumi.Output[str]

    def __init__(self, name: str, args: RoleArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("mlflow:aws:Role", name, {}, opts)
        child = pulumi.ResourceOptions(parent=self)
        role = aws.iam.Role(
            name,
            description=args.description,
            assume_role_policy=args.trust,
            permissions_boundary=args.account.permission_boundary,
            # What somebody else attached must not keep the role from going.
            force_detach_policies=True,
            opts=child,
        )
        for policy, document in args.policies.items():
            aws.iam.RolePolicy(f"{name}-{policy}", role=role.name, policy=document, opts=child)
        for policy in args.managed:
            aws.iam.RolePolicyAttachment(
                f"{name}-{policy.rpartition('/')[2]}",
                role=role.name,
                policy_arn=pulumi.Output.concat("arn:", args.account.partition, ":iam::aws:policy/", policy),
                opts=child,
            )
        self.arn, self.name = role.arn, role.name
        self.register_outputs({"arn": self.arn})


def allow(
    actions: Sequence[str],
    resources: Sequence[pulumi.Input[str]],
    conditions: Mapping[str, Mapping[str, Any]] | None = None,
) -> dict[str, Any]:
    """One statement of a policy document."""
    statement: dict[str, Any] = {"Effect": "Allow", "Action": list(actions), "Resource": list(resources)}
    return statement | ({"Condition": conditions} if conditions else {})


def document(*statements: Mapping[str, Any]) -> pulumi.Output[str]:
    """A policy document."""
    return pulumi.Output.json_dumps({"Version": VERSION, "Statement": list(statements)})


def log_groups(*groups: aws.cloudwatch.LogGroup) -> list[pulumi.Output[str]]:
    """Log groups as the resources of a statement: themselves and the streams in them.

    Source: Service Authorization Reference, "Resource types defined by Amazon CloudWatch Logs".
    """
    return [pulumi.Output.concat(group.arn, end) for group in groups for end in ("", ":*")]


def service_trust(service: str, *actions: str) -> pulumi.Output[str]:
    """Trust in an AWS service, such as ``eks.amazonaws.com``."""
    return document(
        {
            "Effect": "Allow",
            "Principal": {"Service": service},
            "Action": ["sts:AssumeRole", *actions],
        }
    )


def pod_identity_trust(
    cluster_arn: pulumi.Input[str], namespace: str, service_account: str
) -> pulumi.Output[str]:
    """Trust in one ServiceAccount of one cluster, through EKS Pod Identity.

    Without these conditions any association in the account could hand out the role. Source: EKS user guide,
    "EKS Pod Identity role" and the session tags it lists.
    """
    tags = {
        "eks-cluster-arn": cluster_arn,
        "kubernetes-namespace": namespace,
        "kubernetes-service-account": service_account,
    }
    return document(
        {
            "Effect": "Allow",
            "Principal": {"Service": "pods.eks.amazonaws.com"},
            "Action": ["sts:AssumeRole", "sts:TagSession"],
            "Condition": {"StringEquals": {f"aws:RequestTag/{tag}": value for tag, value in tags.items()}},
        }
    )


def irsa_trust(
    provider_arn: pulumi.Input[str], issuer: pulumi.Input[str], namespace: str, service_account: str
) -> pulumi.Output[str]:
    """Trust in one ServiceAccount of one cluster, through its OIDC issuer.

    :param issuer: without ``https://``. Source: EKS user guide, "Assign IAM roles to service accounts".
    """
    equals = pulumi.Output.from_input(issuer).apply(
        lambda host: {
            f"{host}:aud": AUDIENCE,
            f"{host}:sub": f"system:serviceaccount:{namespace}:{service_account}",
        }
    )
    return document(
        {
            "Effect": "Allow",
            "Principal": {"Federated": provider_arn},
            "Action": "sts:AssumeRoleWithWebIdentity",
            "Condition": {"StringEquals": equals},
        }
    )
