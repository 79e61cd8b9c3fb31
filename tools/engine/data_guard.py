"""Before an `up`: refuse settings that would leave stored data behind or delete its volume."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from components.data_places import data_places, moved
from components.settings import AnyStack, Cloud
from tools.common import Failure, console

STACK = "pulumi:pulumi:Stack"


def refuse_moved_data(
    stack: str,
    settings: AnyStack,
    state: dict[str, Any],
    cluster: str | None,
    others: Mapping[str, str] | None = None,
) -> None:
    """Compare where the last `up` put the data with where these settings would.

    :param cluster: identity of the cluster that is there now.
    :param others: the stack file's keys of other namespaces, such as ``aws:region``.
    :param state: the stack's exported deployment; nothing is refused for one that was never up.
    :raises Failure: when the places differ and ``FORCE`` does not name the stack.
    """
    before = exported(state.get("resources") or []).get("dataPlaces")
    changes = moved(before, {**(others or {}), **data_places(settings, cluster)}) if before else []
    if not changes:
        return
    text = f"this would move away from data that stack {stack} holds: {'; '.join(changes)}"
    if os.environ.get("FORCE") == stack:
        console.print(f"[bold yellow]FORCE={stack}:[/] {text}")
        return
    raise Failure(
        text,
        "set it back; or move the data first (docs/operations.md), and then say that it may be lost: "
        f"FORCE={stack} make up STACK={stack}",
    )


def identity_of_cluster(root: Path, cloud: Cloud) -> str | None:
    """What ``make cluster`` noted of the cluster that is there now; a cloud tells its clusters by name."""
    if cloud is not Cloud.DEV:
        return None
    note = root / ".local" / "cluster.json"
    return json.loads(note.read_text()).get("identity") if note.exists() else None


def exported(resources: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """What the last `up` exported; empty for a stack that was never up.

    :param resources: of the stack's state.
    """
    return next((each.get("outputs") or {} for each in resources if each["type"] == STACK), {})
