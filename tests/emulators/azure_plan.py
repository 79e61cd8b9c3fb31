"""A plan of the Azure stack with names and ids as Azure makes them, and what AKS's webhook adds to pods."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import NAMESPACE_DNS, uuid5

from tests.program.azure_cases import PLAIN
from tests.program.conftest import Fitting
from tests.program.reading import name_of
from tools.offline import Plan, run
from tools.offline.rendered import random_values
from tools.offline.wire import plain

TENANT = "72f988bf-0000-4000-8000-2d7cd011db47"
AUTHORITY_HOST = "https://login.microsoftonline.com/"
ISSUER = "https://westeurope.oic.prod-aks.azure.com/tenant/cluster/"
ACCOUNTS = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Storage/storageAccounts"
CLIENT_ID, USE = "azure.workload.identity/client-id", "azure.workload.identity/use"


class Real(Fitting):
    """Makes up what Azure makes up, in the form that Azure gives it.

    :param issuer: of the cluster's tokens.
    :param database: host of the database server; None: made up.
    """

    def __init__(self, issuer: str = ISSUER, database: str | None = None) -> None:
        self._issuer, self._database = issuer, database

    def created(self, token: str, name: str, urn: str, inputs: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        if token.startswith("random:"):
            return "", random_values(token, inputs, random.SystemRandom())
        identifier, outputs = super().created(token, name, urn, inputs)
        match token.rpartition(":")[2]:
            case "UserAssignedIdentity":
                outputs |= identity(f"{name}1a2b3c4d")
            case "StorageAccount":
                outputs["name"] = f"{name}1a2b3c4d"
                identifier = f"{ACCOUNTS}/{outputs['name']}"
            case "BlobContainer":
                outputs["name"] = inputs["containerName"]
                identifier = container_id(inputs["accountName"], inputs["containerName"])
            case "ManagedCluster":
                outputs["oidcIssuerProfile"] = {"enabled": True, "issuerURL": self._issuer}
            case "Server" if self._database:
                outputs["fullyQualifiedDomainName"] = self._database
        return identifier, outputs

    def looked_up(self, token: str, arguments: dict[str, Any]) -> dict[str, Any] | None:
        found = super().looked_up(token, arguments)
        if token.endswith(":getStorageAccount"):
            name = arguments["accountName"]
            return {**(found or {}), "name": name, "id": f"{ACCOUNTS}/{name}"}
        if token.endswith(":getUserAssignedIdentity"):
            return {**(found or {}), **identity(arguments["resourceName"])}
        if token.endswith(":getServer") and self._database:
            on = {"activeDirectoryAuth": "Enabled"}
            return {**(found or {}), "fullyQualifiedDomainName": self._database, "authConfig": on}
        if token.endswith(":getManagedCluster"):
            return {**(found or {}), "oidcIssuerProfile": {"enabled": True, "issuerURL": self._issuer}}
        return found


def identity(name: str) -> dict[str, str]:
    """What Azure says of a user-assigned identity."""
    ids = {key: str(uuid5(NAMESPACE_DNS, f"{name} {key}")) for key in ("clientId", "principalId")}
    return {**ids, "name": name, "tenantId": TENANT}


def container_id(account: str, container: str) -> str:
    """The resource id of a container."""
    return f"{ACCOUNTS}/{account}/blobServices/default/containers/{container}"


def azure_plan(settings: Mapping[str, Any], real: Real | None = None) -> Plan:
    """The plan of a stack on Azure with nothing said but ``settings``."""
    return run("azure", answers=real or Real(), overrides={**PLAIN, **settings})


@dataclass(frozen=True)
class FederatedCredential:
    """Whose tokens are taken for an identity."""

    issuer: str
    subject: str
    audiences: tuple[str, ...]


@dataclass(frozen=True)
class ManagedIdentity:
    """A user-assigned identity of the plan."""

    name: str
    client_id: str
    object_id: str
    trusts: tuple[FederatedCredential, ...]


@dataclass(frozen=True)
class Assignment:
    """A role of an identity.

    :ivar role: id of its definition.
    :ivar scope: resource id that it is for, with all below.
    """

    principal: str
    role: str
    scope: str
    condition: str | None


def managed_identities(planned: Plan) -> list[ManagedIdentity]:
    """Every identity that the plan makes or gives a federated credential to, with these."""
    credentials = [plain(one.inputs) for one in planned.of_type("FederatedIdentityCredential")]
    names = [str(plain(one.outputs["name"])) for one in planned.of_type("UserAssignedIdentity")]
    names += [one["resourceName"] for one in credentials]
    found = []
    for made in map(identity, dict.fromkeys(names)):
        trusts = tuple(
            FederatedCredential(each["issuer"], each["subject"], tuple(each["audiences"]))
            for each in credentials
            if each["resourceName"] == made["name"]
        )
        found.append(ManagedIdentity(made["name"], made["clientId"], made["principalId"], trusts))
    return found


def assignments(planned: Plan) -> list[Assignment]:
    """Every role of the plan."""
    return [
        Assignment(
            given["principalId"],
            given["roleDefinitionId"].rpartition("/")[2],
            given["scope"],
            given.get("condition"),
        )
        for given in (plain(one.inputs) for one in planned.of_type("RoleAssignment"))
    ]


def injected(planned: Plan, account: str, token_file: str) -> dict[str, str]:
    """What the webhook of AKS puts into the environment of pods of a ServiceAccount.

    Source: Azure Workload Identity, "Mutating Admission Webhook".
    """
    (found,) = [one for one in planned.of_type("ServiceAccount") if name_of(one) == account]
    return {
        "AZURE_CLIENT_ID": plain(found.inputs)["metadata"]["annotations"][CLIENT_ID],
        "AZURE_TENANT_ID": TENANT,
        "AZURE_FEDERATED_TOKEN_FILE": token_file,
        "AZURE_AUTHORITY_HOST": AUTHORITY_HOST,
    }


def subject(planned: Plan, account: str) -> str:
    """Who a pod of a ServiceAccount is, to the cluster that it runs in."""
    (found,) = [one for one in planned.of_type("ServiceAccount") if name_of(one) == account]
    return f"system:serviceaccount:{plain(found.inputs)['metadata']['namespace']}:{account}"
