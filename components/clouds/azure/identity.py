"""Managed identities that pods are, and how a ServiceAccount becomes one.

Source: AKS, "Use Microsoft Entra Workload ID with AKS".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
from pulumi_azure_native import managedidentity

from ...contracts import Identity
from .resource_group import Place

AUDIENCE = "api://AzureADTokenExchange"
CLIENT_ID = "azure.workload.identity/client-id"
USE = {"azure.workload.identity/use": "true"}
"""On each pod: the webhook leaves all others alone."""


@dataclass(frozen=True, kw_only=True)
class WorkloadPrincipalArgs:
    """Inputs of :class:`WorkloadPrincipal`.

    :param issuer: of the cluster's tokens.
    :param accounts: ServiceAccounts in the namespace whose pods are this identity.
    :param protect: an identity that is made anew is another one, to which the database would be locked.
    """

    place: Place
    issuer: pulumi.Input[str]
    namespace: str
    accounts: Sequence[str]
    protect: bool = False


class WorkloadPrincipal(pulumi.ComponentResource):
    """A user-assigned identity for the pods of ServiceAccounts of the stack, and of nobody else.

    :ivar principal_id: object id: what roles and PostgreSQL know it by.
    :ivar client_id: what its ServiceAccount and MySQL know it by.
    :ivar name: in Azure.
    :ivar identity: the contract.
    """

    name: pulumi.Output[str]
    principal_id: pulumi.Output[str]
    client_id: pulumi.Output[str]
    identity: Identity

    def __init__(
        self, name: str, args: WorkloadPrincipalArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("mlflow:azure:WorkloadPrincipal", name, {}, opts)
        place = args.place
        made = managedidentity.UserAssignedIdentity(
            name,
            resource_group_name=place.group,
            location=place.location,
            tags=dict(place.tags),
            opts=pulumi.ResourceOptions(parent=self, protect=args.protect),
        )
        before: list[pulumi.Resource] = []
        for account in args.accounts:
            credential = managedidentity.FederatedIdentityCredential(
                f"{name}-{account}",
                resource_group_name=place.group,
                resource_name_=made.name,
                issuer=args.issuer,
                audiences=[AUDIENCE],
                subject=f"system:serviceaccount:{args.namespace}:{account}",
                # One after the other: Azure refuses two at once (pulumi/pulumi-azure-native#4343).
                opts=pulumi.ResourceOptions(parent=self, depends_on=before),
            )
            before = [credential]
        self.name, self.principal_id, self.client_id = made.name, made.principal_id, made.client_id
        self.identity = Identity(annotations={CLIENT_ID: made.client_id}, pod_labels=USE, ready=[self])
        self.register_outputs({"clientId": self.client_id})
