"""State on Azure: a storage account and a Key Vault key for the secrets in it, in a group of their own.

Account: versioned, soft delete, Entra sign-in only, never public. Vault: role-based, nothing in it can be
purged for 90 days. Source: Azure Storage, "Security recommendations for Blob storage"; Key Vault,
"Soft-delete overview"; Pulumi, "Managing state and backend options" and "Secrets" (the URLs).
"""

from __future__ import annotations

import hashlib
import re
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from tools.azure_api import AzureApi, AzureError
from tools.backend import PURPOSE, Backend, fitting_name
from tools.common import Failure

GROUPS, STORAGE, VAULTS, RIGHTS = "2024-03-01", "2024-01-01", "2024-11-01", "2022-04-01"
"""Versions of the APIs: those that pulumi-azure-native 3.29 uses."""
GROUP_LIMIT = 90
"""Azure, "Naming rules and restrictions for Azure resources"; storageAccounts and vaults have 24, and each
name only once in all of Azure."""
CONTAINER, KEY = "state", "secrets"
KEPT_DAYS = 365
"""Days for which an overwritten state can be brought back."""
SOFT_DELETE_DAYS = 90
KEY_BITS = 3072
BLOB_DATA_CONTRIBUTOR = "ba92f5b4-2d11-453d-a403-e96b0029c9fe"
CRYPTO_USER = "12338af0-0e69-4776-bea7-57ae8d297424"
"""Key Vault Crypto User; both by the id of their definition (Azure, "Azure built-in roles")."""
ACCOUNT = {
    "allowSharedKeyAccess": False,
    "allowBlobPublicAccess": False,
    "allowCrossTenantReplication": False,
    "defaultToOAuthAuthentication": True,
    "minimumTlsVersion": "TLS1_2",
    "supportsHttpsTrafficOnly": True,
}
RETENTION = {"enabled": True, "days": SOFT_DELETE_DAYS}
SERVICE = {
    "isVersioningEnabled": True,
    "deleteRetentionPolicy": RETENTION,
    "containerDeleteRetentionPolicy": RETENTION,
}
VAULT = {"enableRbacAuthorization": True, "enablePurgeProtection": True}


def ensure(project: str, config: Mapping[str, Any]) -> Backend:
    """Make what is missing, in the stack's location and subscription.

    :param config: the stack file's ``config``; ``azure-native:location`` and ``…:subscriptionId`` are read.
    :raises Failure: without a location or a sign-in, or when a name is somebody else's.
    """
    location = config.get("azure-native:location")
    if not location:
        raise Failure("the stack names no location", "set azure-native:location in the stack file")
    place = _Place(AzureApi(config.get("azure-native:subscriptionId")), project, str(location))
    with _understandable():
        place.group()
        account = place.account()
        key = place.key(place.vault())
    return Backend(
        url=f"azblob://{CONTAINER}?storage_account={account}",
        # With its version: without, secrets of before a rotation could not be read any more (gocloud.dev,
        # secrets/azurekeyvault: the latest version decrypts).
        secrets_provider=key.replace("https://", "azurekeyvault://"),
        made=place.made,
    )


def account_name(project: str, subscription: str, location: str) -> str:
    """A name that no other project, subscription or location of ours has: letters and digits."""
    return re.sub(r"[^a-z0-9]", "", project.lower())[:8] + _mark(project, subscription, location)


def vault_name(project: str, subscription: str, location: str) -> str:
    """The same for a vault: a letter first, and dashes."""
    start = re.sub(r"[^a-z0-9]", "", project.lower()).lstrip("0123456789")[:7] or "p"
    return f"{start}-{_mark(project, subscription, location)}"


def _mark(project: str, subscription: str, location: str) -> str:
    return hashlib.sha256(f"{project}/{subscription}/{location}".encode()).hexdigest()[:16]


class _Place:
    """The resource group and what is in it."""

    def __init__(self, azure: AzureApi, project: str, location: str) -> None:
        self.azure, self.project, self.location = azure, project, location
        self.made: list[str] = []
        self.tags = {"pulumi-project": project, "purpose": PURPOSE}
        name = fitting_name(project, f"-state-{location}", GROUP_LIMIT)
        self.id = f"{azure.root}/resourceGroups/{name}"

    def group(self) -> None:
        found = self.azure.find(self.id, GROUPS)
        if found is None:
            self.azure.make(self.id, GROUPS, {"location": self.location, "tags": self.tags})
            self.made.append(f"resource group {self.id.rpartition('/')[2]}")
        else:
            self._ours(found, "resource group")

    def _ours(self, found: Mapping[str, Any], kind: str) -> None:
        if not self.tags.items() <= (found.get("tags") or {}).items():
            raise Failure(
                f"{kind} {found['name']} is in your subscription, but `make backend` did not make it",
                "if it holds this project's states, tag it: "
                + ", ".join(f"{key}={value}" for key, value in self.tags.items())
                + "; else delete it",
            )

    def account(self) -> str:
        """Name of the storage account, with its container, all of it as it must be."""
        name = account_name(self.project, self.azure.subscription, self.location)
        id_ = f"{self.id}/providers/Microsoft.Storage/storageAccounts/{name}"
        found = self.azure.find(id_, STORAGE)
        if found is None or not ACCOUNT.items() <= found["properties"].items():
            wanted = {
                "location": self.location,
                "kind": "StorageV2",
                "sku": {"name": "Standard_ZRS"} if found is None else found["sku"],
                "tags": {**(found or {}).get("tags", {}), **self.tags},
                "properties": ACCOUNT,
            }
            self.azure.make(id_, STORAGE, wanted)
            self.made.append(f"storage account {name}" if found is None else "no keys, no public blobs")
        self._blobs(id_)
        return name

    def _blobs(self, account: str) -> None:
        service = f"{account}/blobServices/default"
        found = (self.azure.find(service, STORAGE) or {}).get("properties", {})
        kept = (found.get("deleteRetentionPolicy") or {}).get("enabled")
        if not (found.get("isVersioningEnabled") and kept):
            self.azure.make(service, STORAGE, {"properties": SERVICE})
            self.made.append("versioning and soft delete")
        policy = f"{account}/managementPolicies/default"
        if self.azure.find(policy, STORAGE) is None:
            self.azure.make(policy, STORAGE, {"properties": {"policy": {"rules": [_old_versions()]}}})
            self.made.append(f"old versions kept for {KEPT_DAYS} days")
        container = f"{service}/containers/{CONTAINER}"
        if self.azure.find(container, STORAGE) is None:
            self.azure.make(container, STORAGE, {"properties": {"publicAccess": "None"}})
            self.made.append(f"container {CONTAINER}")
        self._grant(container, BLOB_DATA_CONTRIBUTOR, "Storage Blob Data Contributor")

    def vault(self) -> str:
        """Id of the vault; one that was deleted is brought back, with the key that the states need."""
        name = vault_name(self.project, self.azure.subscription, self.location)
        id_ = f"{self.id}/providers/Microsoft.KeyVault/vaults/{name}"
        found = self.azure.find(id_, VAULTS)
        if found and VAULT.items() <= found["properties"].items():
            return id_
        gone = (
            f"{self.azure.root}/providers/Microsoft.KeyVault/locations/{self.location}/deletedVaults/{name}"
        )
        deleted = found is None and self.azure.find(gone, VAULTS) is not None
        # What a deleted vault had comes back with it.
        mode = {"createMode": "recover"} if deleted else {}
        if found is None:
            self.made.append(f"vault {name}" + (" (brought back)" if deleted else ""))
        else:
            self.made.append("roles instead of access policies, protection against purging")
        properties = {
            **((found or {}).get("properties") or {}),
            **VAULT,
            **mode,
            "tenantId": self._tenant(),
            "sku": {"family": "A", "name": "standard"},
            "softDeleteRetentionInDays": SOFT_DELETE_DAYS,
        }
        tags = {**(found or {}).get("tags", {}), **self.tags}
        wanted = {"location": self.location, "tags": tags, "properties": properties}
        self.azure.make(id_, VAULTS, wanted)
        return id_

    def _tenant(self) -> str:
        return self.azure.call("GET", self.azure.root, "2022-12-01")["tenantId"]

    def key(self, vault: str) -> str:
        """Address of the key, with its version."""
        id_ = f"{vault}/keys/{KEY}"
        found = self.azure.find(id_, VAULTS)
        if found is None:
            wanted = {"kty": "RSA", "keySize": KEY_BITS, "keyOps": ["encrypt", "decrypt"]}
            found = self.azure.make(id_, VAULTS, {"tags": self.tags, "properties": wanted})
            self.made.append(f"key {KEY}")
        if not found["properties"].get("attributes", {}).get("enabled", True):
            name = vault.rpartition("/")[2]
            raise Failure(
                f"the key {KEY} in {name} is disabled: secrets in the state cannot be read",
                f"bring it back: az keyvault key set-attributes --vault-name {name} --name {KEY} --enabled",
            )
        self._grant(id_, CRYPTO_USER, "Key Vault Crypto User")
        return found["properties"]["keyUriWithVersion"]

    def _grant(self, scope: str, role: str, title: str) -> None:
        """Whoever runs this may use it; owning a subscription does not open what is in an account."""
        who, kind = self.azure.caller()
        # Always the same for the same right: a second run meets the first one's.
        name = uuid.uuid5(uuid.NAMESPACE_URL, f"{scope}|{role}|{who}")
        id_ = f"{scope}/providers/Microsoft.Authorization/roleAssignments/{name}"
        if self.azure.find(id_, RIGHTS) is not None:
            return
        definition = f"{self.azure.root}/providers/Microsoft.Authorization/roleDefinitions/{role}"
        wanted = {"principalId": who, "principalType": kind, "roleDefinitionId": definition}
        try:
            self.azure.make(id_, RIGHTS, {"properties": wanted})
        except AzureError as error:
            if error.code == "RoleAssignmentExists":
                return
            raise
        self.made.append(f"your role {title} (others need it too; it may take ten minutes)")


def _old_versions() -> dict[str, Any]:
    return {
        "name": "old-versions",
        "enabled": True,
        "type": "Lifecycle",
        "definition": {
            "actions": {"version": {"delete": {"daysAfterCreationGreaterThan": KEPT_DAYS}}},
            "filters": {"blobTypes": ["blockBlob"]},
        },
    }


@contextmanager
def _understandable() -> Iterator[None]:
    """Turn what Azure answers into a line that says what to do."""
    try:
        yield
    except AzureError as error:
        if not error.status:
            raise Failure(f"Azure did not answer: {error}", "check the network") from None
        if error.code in ("StorageAccountAlreadyTaken", "VaultAlreadyExists"):
            raise Failure(f"the name is somebody else's: {error}", "use another location") from None
        raise Failure(
            f"Azure refused: {error}",
            "you need the roles Contributor and Role Based Access Control Administrator in the subscription",
        ) from None
