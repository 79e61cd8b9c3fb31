"""What others put into a resource group that a stack made, and that would go with it.

Azure deletes a group with everything in it, whoever made that, and the provider asks nobody
(pulumi/pulumi-azure-native#2522): a server restored beside the stack's own would go as well.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from components.settings.database import NOT_RESTORED
from tools.azure_api import AzureApi, AzureError
from tools.common import Failure
from tools.engine.data_guard import exported

GROUP = "azure-native:resources:ResourceGroup"
VERSION = "2021-04-01"
"""Of the Resources API: List by resource group."""
MADE_BY_AZURE = {
    "microsoft.network/networkinterfaces",
    "microsoft.operationsmanagement/solutions",
    "microsoft.eventgrid/systemtopics",
}
"""Beside what a stack makes: of private endpoints, Container insights and Defender for Storage. They hold no
data."""


def refuse_neighbours(stack: str, resources: Sequence[dict[str, Any]]) -> list[str]:
    """Look into every resource group that goes with the stack.

    :param resources: of its state.
    :returns: a line for each group into which nobody could look.
    :raises Failure: when something is in one that the stack does not know; or nobody could look, and the
        server that took over from the stack's own may be in there.
    """
    unseen = []
    for group in (each for each in resources if each["type"] == GROUP and each.get("id")):
        try:
            found = _neighbours(group["id"], [each["id"] for each in resources if each.get("id")])
        except (AzureError, Failure) as error:
            said = (str(error).strip() or "no reason was given").splitlines()[-1]
            if restored := _restored(resources):
                raise Failure(
                    f"resource group {_name(group['id'])} goes with stack {stack}, and may hold {restored}, "
                    f"where its database is now; it could not be looked into: {said}",
                    "sign in with az (az login) as somebody who may list the group; then run this again",
                ) from None
            unseen.append(
                f"ResourceGroup {_name(group['id'])}, with whatever others put into it; it could not be "
                f"looked into: {said}"
            )
            continue
        if found:
            raise Failure(
                f"resource group {_name(group['id'])} goes with stack {stack}, and holds what the stack does "
                f"not know: {', '.join(found)}",
                "move it to another group (az resource move) or delete it; then run this again",
            )
    return unseen


def _restored(resources: Iterable[dict[str, Any]]) -> str | None:
    """The server that took over from the stack's own; None where none did."""
    places = exported(resources).get("dataPlaces") or {}
    found = places.get("mlflow:database.restored", NOT_RESTORED)
    return None if found == NOT_RESTORED else found


def _neighbours(group: str, known: Iterable[str]) -> list[str]:
    """Kinds and names; what is below something known is part of that."""
    own = {id_.lower() for id_ in known} - {group.lower()}
    azure = AzureApi(group.split("/")[2])
    return [
        f"{each['type'].rpartition('/')[2]} {_name(each['id'])}"
        for each in azure.listed(f"{group}/resources", VERSION)
        if each["type"].lower() not in MADE_BY_AZURE and not _known(each["id"].lower(), own)
    ]


def _known(id_: str, own: set[str]) -> bool:
    return id_ in own or any(id_.startswith(f"{each}/") for each in own)


def _name(id_: str) -> str:
    return id_.rpartition("/")[2]
