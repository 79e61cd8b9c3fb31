"""What makes ServiceAccounts of the stack somebody in AWS: a role each, by Pod Identity or by IRSA."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from ...contracts import Identity
from ...settings.aws import IdentityMode
from .cluster import AwsCluster
from .provider import Account
from .roles import Role, RoleArgs, irsa_trust, pod_identity_trust

ROLE_ANNOTATION = "eks.amazonaws.com/role-arn"
"""Read by the webhook of EKS (user guide, "Assign IAM roles to Kubernetes service accounts")."""


@dataclass(frozen=True, kw_only=True)
class WorkloadRoleArgs:
    """Inputs of :class:`WorkloadRole`.

    :param service_account: its pods, in ``namespace`` of this cluster, and nobody else take the role on.
    :param policies: name → policy document: all that they may do.
    """

    mode: IdentityMode
    account: Account
    cluster: AwsCluster
    namespace: str
    service_account: str
    policies: Mapping[str, pulumi.Input[str]]


class WorkloadRole(pulumi.ComponentResource):
    """A role that the pods of one ServiceAccount take on.

    One way only: where a pod finds both, the SDK takes IRSA's and the association is dead weight.

    :ivar identity: the contract.
    :ivar role_arn: for policies of your own.
    """

    identity: Identity
    role_arn: pulumi.Output[str]

    def __init__(self, name: str, args: WorkloadRoleArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("mlflow:aws:WorkloadRole", name, {}, opts)
        role = Role(
            name,
            RoleArgs(
                account=args.account,
                description=f"ServiceAccount {args.namespace}/{args.service_account}",
                trust=_trust(args),
                policies=args.policies,
            ),
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.role_arn = role.arn
        annotations = {}
        if args.mode is IdentityMode.POD_IDENTITY:
            aws.eks.PodIdentityAssociation(
                name,
                cluster_name=args.cluster.name,
                namespace=args.namespace,
                service_account=args.service_account,
                role_arn=role.arn,
                opts=pulumi.ResourceOptions(parent=self, depends_on=list(args.cluster.pod_identity)),
            )
        else:
            annotations[ROLE_ANNOTATION] = role.arn
        self.identity = Identity(annotations=annotations, ready=[self])
        self.register_outputs({"roleArn": self.role_arn})


def _trust(args: WorkloadRoleArgs) -> pulumi.Output[str]:
    cluster = args.cluster
    if args.mode is IdentityMode.POD_IDENTITY:
        return pod_identity_trust(cluster.arn, args.namespace, args.service_account)
    assert cluster.oidc_provider_arn is not None, "the cluster looks it up for IRSA"  # noqa: S101
    return irsa_trust(cluster.oidc_provider_arn, cluster.issuer, args.namespace, args.service_account)
