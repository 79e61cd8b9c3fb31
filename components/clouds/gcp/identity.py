"""What makes ServiceAccounts of the stack somebody in Google Cloud.

Impersonated: each becomes an IAM service account, which gets the rights. Direct: the rights go to the
ServiceAccount itself, as a principal of the project's workload pool. A namespace and ServiceAccount of the
same names in another cluster of the project are the same somebody (GKE, "About Workload Identity
Federation").
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
import pulumi_gcp as gcp

from ...contracts import Identity
from ...settings.gcp import GcpIdentityMode
from .provider import Project

ANNOTATION = "iam.gke.io/gcp-service-account"
BECOME = "roles/iam.workloadIdentityUser"


@dataclass(frozen=True, kw_only=True)
class WorkloadPrincipalArgs:
    """Inputs of :class:`WorkloadPrincipal`.

    :param cluster: the workload pool exists since the project's first cluster that uses it; before, a binding
        to it is refused ("Identity Pool does not exist").
    :param accounts: ServiceAccounts whose pods are this somebody.
    """

    project: Project
    mode: GcpIdentityMode
    cluster: Sequence[pulumi.Resource]
    namespace: str
    accounts: Sequence[str]
    description: str


class WorkloadPrincipal(pulumi.ComponentResource):
    """Somebody whom the pods of a ServiceAccount are.

    :ivar members: for IAM bindings: name → member. One service account for all, or each ServiceAccount
        itself.
    :ivar email: of its service account; None for direct principals.
    :ivar identity: the contract.
    """

    members: dict[str, pulumi.Output[str]]
    email: pulumi.Output[str] | None
    identity: Identity

    def __init__(
        self, name: str, args: WorkloadPrincipalArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("mlflow:gcp:WorkloadPrincipal", name, {}, opts)
        if args.mode is GcpIdentityMode.DIRECT:
            self.email = None
            self.members = {one: principal(args.project, args.namespace, one) for one in args.accounts}
            self.identity = Identity()
        else:
            account = self._account(name, args)
            self.email, self.members = account.email, {args.accounts[0]: account.member}
            self.identity = Identity(annotations={ANNOTATION: account.email}, ready=[self])
        self.register_outputs({"members": self.members})

    @property
    def member(self) -> pulumi.Output[str]:
        """Who the pods of the first ServiceAccount are."""
        return next(iter(self.members.values()))

    def _account(self, name: str, args: WorkloadPrincipalArgs) -> gcp.serviceaccount.Account:
        account = gcp.serviceaccount.Account(
            name,
            display_name=args.description,
            opts=pulumi.ResourceOptions(
                parent=self, depends_on=args.project.apis.of("iam", "iamcredentials")
            ),
        )
        for service_account in args.accounts:
            gcp.serviceaccount.IAMMember(
                f"{name}-{service_account}",
                service_account_id=account.name,
                role=BECOME,
                member=f"serviceAccount:{args.project.workload_pool}[{args.namespace}/{service_account}]",
                opts=pulumi.ResourceOptions(parent=self, depends_on=list(args.cluster)),
            )
        return account


def principal(project: Project, namespace: str, service_account: str) -> pulumi.Output[str]:
    """A ServiceAccount as a member of IAM policies (GKE, "Authenticate to Google Cloud APIs from GKE
    workloads")."""
    return pulumi.Output.concat(
        "principal://iam.googleapis.com/projects/",
        project.number(),
        "/locations/global/workloadIdentityPools/",
        project.workload_pool,
        f"/subject/ns/{namespace}/sa/{service_account}",
    )
