"""Managed identities that pods are, and how a ServiceAccount becomes one.

Source: AKS, "Use Microsoft Entra Workload ID with AKS".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
from pulumi_azure_native import managedidentity

from ...contracts import Identity
from ..names import stack_name
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
    :param existing: id of an identity that is there already, instead of a new one. The stack only lets the
        accounts be it.
    """

    place: Place
    issuer: pulumi.Input[str]
    namespace: str
    accounts: Sequence[str]
    protect: bool = False
    existing: str | None = None


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
        self._args = args
        group, who = self._found(args.existing) if args.existing else (args.place.group, self._made(name))
        before: list[pulumi.Resource] = []
        for account in args.accounts:
            credential = managedidentity.FederatedIdentityCredential(
                f"{name}-{account}",
                resource_group_name=group,
                resource_name_=who.name,
                # Other stacks may have theirs on the same identity.
                federated_identity_credential_resource_name=stack_name(account) if args.existing else None,
                issuer=args.issuer,
                audiences=[AUDIENCE],
                subject=f"system:serviceaccount:{args.namespace}:{account}",
                # One after the other: Azure refuses two at once (pulumi/pulumi-azure-native#4343).
                opts=pulumi.ResourceOptions(parent=self, depends_on=before),
            )
            before = [credential]
        self.name, self.principal_id, self.client_id = who.name, who.principal_id, who.client_id
        self.identity = Identity(annotations={CLIENT_ID: self.client_id}, pod_labels=USE, ready=[self])
        self.register_outputs({"clientId": self.client_id})

    def _made(self, name: str) -> managedidentity.UserAssignedIdentity:
        place = self._args.place
        return managedidentity.UserAssignedIdentity(
            name,
            resource_group_name=place.group,
            location=place.location,
            tags=dict(place.tags),
            opts=pulumi.ResourceOptions(parent=self, protect=self._args.protect),
        )

    def _found(
        self, identity: str
    ) -> tuple[str, pulumi.Output[managedidentity.GetUserAssignedIdentityResult]]:
        """Its resource group and itself, by its id."""
        parts = identity.split("/")
        group, name = parts[parts.index("resourceGroups") + 1], parts[-1]
        return group, managedidentity.get_user_assigned_identity_output(
            resource_group_name=group,
            resource_name=name,
            opts=self._args.place.subscription.invoke,
        )
