"""Protection against deletion: Pulumi's own, kept in the state, and a cloud's, kept by its services.

Both follow ``mlflow:protect``. What a cloud guards must be told to let go by an `up` before any destroy can
end, so `make unprotect` runs one that says ``protect: false`` and reaches nothing but what is guarded. That
setting lives in the process that runs it and is written nowhere: the next `make up` protects again, and
what an interrupted run left open can be read from the state, where the engine drops a resource's
protection only once the cloud has let go of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pulumi.runtime
from pulumi import automation as auto

from tools.common import Failure
from tools.engine.losses import titles
from tools.engine.progress import watched
from tools.engine.workspace import OpenedStack, Program

HELD = {
    "deletionProtection": True,
    "deletionProtectionEnabled": True,
    "enableDeletionProtection": True,
    "deletionPolicy": "PREVENT",
}
"""Property, at any depth, and the value with which a cloud refuses to delete the resource (RDS, EKS, load
balancers; Google's four, facts in the SDKs' docstrings)."""
FULL = {"forceDestroy": False, "forceDelete": False}
"""The same for what a cloud refuses to delete while something is in it (buckets, registries)."""
NO_CLOUD = ("kubernetes", "random", "pulumi")
"""Packages whose resources only Pulumi guards."""


def guarded(resource: dict[str, Any]) -> bool:
    """Whether the service itself refuses to delete a resource of the state."""
    return any(HELD.get(key) == value for key, value in _leaves(_known(resource)) if key in HELD)


def is_protected(resource: dict[str, Any]) -> bool:
    """Whether anything refuses to delete it."""
    return bool(resource.get("protect")) or guarded(resource)


def to_lower(resources: list[dict[str, Any]]) -> list[str]:
    """URNs of what an `up` must reach before the stack can be destroyed; none where only Pulumi guards."""
    cloud = [each for each in resources if each.get("custom") and _package(each) not in NO_CLOUD]
    if not any(is_protected(each) for each in cloud):
        return []
    return [each["urn"] for each in cloud if is_protected(each) or _refuses_when_full(each)]


def check_lowering(opened: OpenedStack, urns: list[str], program: Program) -> None:
    """Preview it: nothing but updates in place may happen to what is about to lose its protection.

    :raises Failure: when the settings would also make, replace or delete something now.
    """
    steps: list[tuple[str, str]] = []

    def take(event: auto.EngineEvent) -> None:
        if event.resource_pre_event:
            step = event.resource_pre_event.metadata
            if step.op.value not in ("same", "update", "read", "refresh"):
                steps.append((step.op.value, step.urn))

    with watched("unprotect", opened.name, preview=True) as progress:
        opened.preview(
            on_event=lambda event: (take(event), progress(event)),
            target=urns,
            program=unprotecting(opened, program),
            suppress_outputs=True,
            suppress_progress=True,
        )
    if steps:
        ops = ", ".join(dict.fromkeys(op for op, _ in steps))
        raise Failure(
            f"nothing was changed: with the settings as they are now, this would also {ops} "
            f"{titles(dict.fromkeys(urn for _, urn in steps))}",
            f"set back what changed since the last up, or bring it up first: make up STACK={opened.name}",
        )


def lower(opened: OpenedStack, urns: list[str], program: Program, *, refresh: bool) -> None:
    """Bring the clouds' own protection down, and Pulumi's with it, resource by resource."""
    with watched("unprotect", opened.name) as progress:
        opened.up(
            on_event=progress,
            target=urns,
            refresh=refresh or None,
            program=unprotecting(opened, program),
            suppress_progress=True,
        )


def unprotecting(opened: OpenedStack, program: Program) -> Program:
    """The program with ``protect: false`` over the stack's settings, whatever they say."""
    key = f"{opened.workspace.project_settings().name}:protect"

    def run_it() -> None:
        pulumi.runtime.set_config(key, "false")
        program()

    return run_it


def _refuses_when_full(resource: dict[str, Any]) -> bool:
    return any(FULL.get(key) == value for key, value in _leaves(_known(resource)) if key in FULL)


def _known(resource: dict[str, Any]) -> dict[str, Any]:
    # Outputs last: they hold the defaults that count when an input was left out.
    return {**(resource.get("inputs") or {}), **(resource.get("outputs") or {})}


def _package(resource: dict[str, Any]) -> str:
    return resource["type"].split(":")[0]


def _leaves(value: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for key, item in value.items():
        if isinstance(item, dict):
            yield from _leaves(item)
        else:
            yield key, item
