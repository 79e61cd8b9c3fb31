"""Who may do what: role assignments, each for one managed identity on one resource."""

from __future__ import annotations

from enum import StrEnum

import pulumi
from pulumi_azure_native import authorization

from .resource_group import Place


class Role(StrEnum):
    """Roles by the id of their definition (Azure, "Azure built-in roles")."""

    ACR_PULL = "7f951dda-4ed3-4680-a7ca-43fe172d538d"
    BLOB_DATA_CONTRIBUTOR = "ba92f5b4-2d11-453d-a403-e96b0029c9fe"
    BLOB_DELEGATOR = "db58b8e5-c6ad-4a2a-8342-4190687cbf4a"
    MANAGED_IDENTITY_OPERATOR = "f1a07417-d97a-45cb-824c-7a7467783830"
    NETWORK_CONTRIBUTOR = "4d97b98b-1d4f-4787-a291-c67834d212e7"


def assign(
    name: str,
    place: Place,
    role: Role,
    *,
    principal: pulumi.Input[str],
    scope: pulumi.Input[str],
    opts: pulumi.ResourceOptions,
    condition: str | None = None,
) -> authorization.RoleAssignment:
    """Give a managed identity a role.

    :param principal: object id of the identity, not its client id.
    :param scope: id of the resource that the role is for.
    """
    return authorization.RoleAssignment(
        name,
        principal_id=principal,
        # The SDK's own default is User, and with that Azure refuses an identity (facts/azure.md §1, §3).
        principal_type=authorization.PrincipalType.SERVICE_PRINCIPAL,
        role_definition_id=pulumi.Output.concat(
            "/subscriptions/",
            place.subscription.id,
            f"/providers/Microsoft.Authorization/roleDefinitions/{role}",
        ),
        scope=scope,
        condition=condition,
        condition_version="2.0" if condition else None,
        opts=opts,
    )
