"""Rights of whoever runs `up` on Azure: a custom role, and a condition on the roles that they may give.

``python -m tools.azure_rights`` writes both to ``docs/``. Source of the actions: Azure, "Azure permissions"
(resource provider operations): read, write and delete of each type, and what else a PUT of it asks for.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Any

from tools.common import ROOT

ROLE, CONDITION = ROOT / "docs/azure-role.json", ROOT / "docs/azure-role-condition.txt"
GROUPS = "Microsoft.Resources/subscriptions/resourceGroups"
AKS, NETWORK = "Microsoft.ContainerService/managedClusters", "Microsoft.Network"
POSTGRESQL = "Microsoft.DBforPostgreSQL/flexibleServers"
MYSQL = "Microsoft.DBforMySQL/flexibleServers"
ACCOUNTS = "Microsoft.Storage/storageAccounts"
IDENTITIES = "Microsoft.ManagedIdentity/userAssignedIdentities"

MAKES: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "authorization:ManagementLockByScope": ("Microsoft.Authorization/locks", ()),
    "authorization:RoleAssignment": ("Microsoft.Authorization/roleAssignments", ()),
    "containerregistry:Registry": (
        "Microsoft.ContainerRegistry/registries",
        # Images are pushed with the caller's token.
        (
            "Microsoft.ContainerRegistry/registries/pull/read",
            "Microsoft.ContainerRegistry/registries/push/write",
        ),
    ),
    "containerservice:AgentPool": (f"{AKS}/agentPools", (f"{NETWORK}/virtualNetworks/subnets/join/action",)),
    "containerservice:MaintenanceConfiguration": (f"{AKS}/maintenanceConfigurations", ()),
    "containerservice:ManagedCluster": (
        AKS,
        (
            f"{AKS}/listClusterUserCredential/action",
            f"{IDENTITIES}/assign/action",
            f"{NETWORK}/virtualNetworks/subnets/join/action",
            # The add-on of container logs.
            "Microsoft.OperationalInsights/workspaces/sharedkeys/read",
            "Microsoft.OperationsManagement/solutions/read",
            "Microsoft.OperationsManagement/solutions/write",
        ),
    ),
    "dbformysql:AzureADAdministrator": (f"{MYSQL}/administrators", ()),
    "dbformysql:Configuration": (f"{MYSQL}/configurations", ()),
    "dbformysql:Server": (
        MYSQL,
        (
            f"{IDENTITIES}/assign/action",
            f"{NETWORK}/virtualNetworks/subnets/join/action",
            f"{NETWORK}/privateDnsZones/join/action",
        ),
    ),
    "dbforpostgresql:AdministratorsMicrosoftEntra": (f"{POSTGRESQL}/administrators", ()),
    "dbforpostgresql:Configuration": (f"{POSTGRESQL}/configurations", ()),
    "dbforpostgresql:Server": (
        POSTGRESQL,
        (f"{NETWORK}/virtualNetworks/subnets/join/action", f"{NETWORK}/privateDnsZones/join/action"),
    ),
    "managedidentity:FederatedIdentityCredential": (f"{IDENTITIES}/federatedIdentityCredentials", ()),
    "managedidentity:UserAssignedIdentity": (IDENTITIES, ()),
    "monitor:AzureMonitorWorkspace": ("Microsoft.Monitor/accounts", ()),
    "monitor:DataCollectionEndpoint": ("Microsoft.Insights/dataCollectionEndpoints", ()),
    "monitor:DataCollectionRule": ("Microsoft.Insights/dataCollectionRules", ()),
    "monitor:DataCollectionRuleAssociation": ("Microsoft.Insights/dataCollectionRuleAssociations", ()),
    "monitor:DiagnosticSetting": ("Microsoft.Insights/diagnosticSettings", ()),
    "network:NatGateway": (
        f"{NETWORK}/natGateways",
        (f"{NETWORK}/natGateways/join/action", f"{NETWORK}/publicIPAddresses/join/action"),
    ),
    "network:PrivateDnsZoneGroup": (
        f"{NETWORK}/privateEndpoints/privateDnsZoneGroups",
        (f"{NETWORK}/privateDnsZones/join/action",),
    ),
    "network:PrivateEndpoint": (
        f"{NETWORK}/privateEndpoints",
        (
            f"{NETWORK}/virtualNetworks/subnets/join/action",
            f"{ACCOUNTS}/PrivateEndpointConnectionsApproval/action",
            f"{POSTGRESQL}/privateEndpointConnectionsApproval/action",
            f"{MYSQL}/privateEndpointConnectionsApproval/action",
        ),
    ),
    "network:PublicIPAddress": (f"{NETWORK}/publicIPAddresses", ()),
    "network:Subnet": (
        f"{NETWORK}/virtualNetworks/subnets",
        (
            f"{NETWORK}/natGateways/join/action",
            f"{NETWORK}/virtualNetworks/subnets/joinViaServiceEndpoint/action",
        ),
    ),
    "network:VirtualNetwork": (f"{NETWORK}/virtualNetworks", ()),
    "operationalinsights:Workspace": ("Microsoft.OperationalInsights/workspaces", ()),
    "privatedns:PrivateZone": (f"{NETWORK}/privateDnsZones", ()),
    "privatedns:VirtualNetworkLink": (
        f"{NETWORK}/privateDnsZones/virtualNetworkLinks",
        (f"{NETWORK}/virtualNetworks/join/action",),
    ),
    "resources:ResourceGroup": (GROUPS, ()),
    "storage:BlobContainer": (f"{ACCOUNTS}/blobServices/containers", ()),
    "storage:BlobServiceProperties": (f"{ACCOUNTS}/blobServices", ()),
    "storage:ManagementPolicy": (f"{ACCOUNTS}/managementPolicies", ()),
    "storage:StorageAccount": (ACCOUNTS, ()),
}
"""Type of the provider, without its package → Azure's type, and what else making one asks for."""

NOT_DELETED = {f"{ACCOUNTS}/blobServices", f"{POSTGRESQL}/configurations", f"{MYSQL}/configurations"}
"""They are as old as what they belong to."""
BESIDE = (
    f"{GROUPS}/read",
    # `make down` looks for what others put into the stack's own group.
    f"{GROUPS}/resources/read",
    "Microsoft.Resources/subscriptions/read",
    # Long operations are asked for how they go, at an address of each service's own.
    "*/operationresults/read",
    "*/locations/*/read",
)
GIVES = {
    "7f951dda-4ed3-4680-a7ca-43fe172d538d": "AcrPull",
    "ba92f5b4-2d11-453d-a403-e96b0029c9fe": "Storage Blob Data Contributor",
    "db58b8e5-c6ad-4a2a-8342-4190687cbf4a": "Storage Blob Delegator",
    "f1a07417-d97a-45cb-824c-7a7467783830": "Managed Identity Operator",
    "4d97b98b-1d4f-4787-a291-c67834d212e7": "Network Contributor",
}
"""Roles that the stack gives its identities (``components/clouds/azure/roles.py``)."""


def needed(types: Iterable[str]) -> list[str]:
    """The actions with which resources of these types are made, kept and taken away.

    :param types: with their package, ``azure-native:…``; others are left out.
    :raises KeyError: for a type of Azure's that is not in the table.
    """
    actions = set(BESIDE)
    for type_ in {each for each in types if each.startswith("azure-native:")}:
        kind, others = MAKES[type_.removeprefix("azure-native:")]
        verbs = ("read", "write") if kind in NOT_DELETED else ("read", "write", "delete")
        actions |= {f"{kind}/{verb}" for verb in verbs} | set(others)
    return sorted(actions)


def missing(wanted: Iterable[str], permissions: Iterable[Mapping[str, Any]]) -> list[str]:
    """Which of the actions none of the permissions gives (Authorization API, "Permissions")."""

    def given(action: str) -> bool:
        return any(
            _any(action, each.get("actions") or ()) and not _any(action, each.get("notActions") or ())
            for each in permissions
        )

    return [action for action in wanted if not given(action)]


def _any(action: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(action.lower(), pattern.lower()) for pattern in patterns)


def role() -> dict[str, Any]:
    """The custom role, for everything that a stack can make, in the form that `az role definition create`
    takes."""
    return {
        "Name": "MLflow stack",
        "IsCustom": True,
        "Description": "Makes, changes and takes away an MLflow stack (docs/azure.md)",
        "Actions": needed(f"azure-native:{each}" for each in MAKES),
        "NotActions": [],
        "DataActions": [],
        "NotDataActions": [],
        "AssignableScopes": ["/subscriptions/00000000-0000-0000-0000-000000000000"],
    }


def condition() -> str:
    """What holds of a role that its holder gives or takes: one of these, of an identity (Azure, "Delegate
    Azure role assignment management to others with conditions")."""
    right = "Microsoft.Authorization/roleAssignments"
    roles = ", ".join(GIVES)
    parts = []
    for verb, of in (("write", "Request"), ("delete", "Resource")):
        allowed = (
            f"@{of}[{right}:RoleDefinitionId] ForAnyOfAnyValues:GuidEquals {{{roles}}} AND "
            f"@{of}[{right}:PrincipalType] ForAnyOfAnyValues:StringEqualsIgnoreCase {{'ServicePrincipal'}}"
        )
        parts.append(f"((!(ActionMatches{{'{right}/{verb}'}})) OR ({allowed}))")
    return " AND ".join(parts)


def main() -> int:
    ROLE.write_text(json.dumps(role(), indent=2) + "\n")
    CONDITION.write_text(condition() + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
