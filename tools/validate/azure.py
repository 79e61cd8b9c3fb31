"""Whether the caller may make in Azure what the stack consists of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from components.settings.azure import AzureStack
from tools.azure_api import AzureApi, AzureError
from tools.azure_rights import missing, needed
from tools.common import Failure
from tools.offline import Plan
from tools.validate import Finding

VERSION = "2022-04-01"
"""Of the Authorization API: Permissions, the caller's own at a scope."""
SHOWN = 4


def rights(settings: AzureStack, plan: Plan, config: Mapping[str, Any]) -> Iterator[Finding]:
    """One finding with the actions that the caller lacks where the stack is made.

    Conditions on role assignments are not looked at: Azure tells them only when one is given.

    :param config: the stack file's ``config``; ``azure-native:subscriptionId`` is read.
    """
    group = settings.azure.resource_group
    try:
        azure = AzureApi(config.get("azure-native:subscriptionId"))
        scope = f"{azure.root}/resourceGroups/{group}" if group else azure.root
        found = azure.call("GET", f"{scope}/providers/Microsoft.Authorization/permissions", VERSION)
    except (AzureError, Failure) as error:
        said = str(error).strip().splitlines()[-1]
        text = f"your rights in Azure could not be asked for: {said}"
        yield Finding("azure-native:subscriptionId", text, fails=False)
        return
    lacks = missing(needed(one.type for one in plan.resources if not one.component), found["value"])
    if lacks:
        shown = ", ".join(lacks[:SHOWN]) + (f" and {len(lacks) - SHOWN} more" if len(lacks) > SHOWN else "")
        where = f"resource group {group}" if group else "the subscription"
        yield Finding(
            "mlflow:azure.resourceGroup" if group else "azure-native:subscriptionId",
            f"you lack rights in {where}: {shown}; a role that has them all is in docs/azure-role.json",
        )
