"""After a run that was killed: release its lock, and find out what became of what it was doing.

The engine notes each operation before it starts. What a killed run was creating may exist or not, and
the engine leaves it to a person to find out; for Kubernetes objects the cluster itself knows.
"""

from __future__ import annotations

import copy
import json
import os
import socket
import time
from pathlib import Path
from typing import Any

from pulumi import automation as auto

from tools.common import Failure, console
from tools.engine.standins.kubectl import FIELD_MANAGER, Kubectl
from tools.engine.standins.objects import clean, identifier
from tools.engine.standins.plugin import ProviderError

LOCK_PATIENCE = 20.0  # seconds for a run whose terminal was killed to notice and end


def release_dead_lock(stack: auto.Stack, project: str) -> None:
    """Remove the lock of a run on this machine whose process is gone; wait a little for one that is ending.

    :raises Failure: when another run is at work.
    """
    backend = stack.workspace.env_vars.get("PULUMI_BACKEND_URL", "")
    if not backend.startswith("file://"):
        return
    folder = Path(backend.removeprefix("file://")) / ".pulumi/locks/organization" / project / stack.name
    for path in folder.glob("*.json"):
        deadline = time.monotonic() + LOCK_PATIENCE
        while path.exists() and (owner := _living_owner(path)):
            if time.monotonic() > deadline:
                raise Failure(
                    f"another run (process {owner}) is at work on stack {stack.name}",
                    f"wait until it ends, or end it: kill {owner}; then run this again",
                )
            time.sleep(0.2)
        if path.exists():
            console.print("  [yellow]an earlier run was killed: its lock is released[/]")
            path.unlink(missing_ok=True)


def _living_owner(lock: Path) -> int | None:
    try:
        content = json.loads(lock.read_text())
    except (OSError, ValueError):
        return None
    if content.get("hostname") != socket.gethostname():
        raise Failure(
            f"a run on {content.get('hostname')} (process {content.get('pid')}) holds this stack's lock",
            "wait until it ends; if that machine is gone: pulumi cancel",
        )
    process = Path("/proc") / str(content["pid"])
    if not Path("/proc/self").exists():  # no procfs (macOS): whatever has that number counts
        return content["pid"] if _answers(content["pid"]) else None
    try:
        command = (process / "cmdline").read_bytes()
    except OSError:
        return None
    # Numbers are used again: only a Pulumi that still runs holds the lock.
    return content["pid"] if b"pulumi" in command else None


def _answers(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def settle_pending(stack: auto.Stack, deployment: dict[str, Any]) -> bool:
    """Settle what an interrupted run left open; nothing that exists is lost from the state.

    :param deployment: the exported state.
    :returns: whether there was anything, so that a refresh is due.
    :raises Failure: for objects outside Kubernetes, which only their owner can look up.
    """
    pending = deployment.get("pending_operations") or []
    if not pending:
        return False
    if kubectl := stack.workspace.env_vars.get("MLFLOW_KUBECTL"):
        os.environ.setdefault("MLFLOW_KUBECTL", kubectl)
    settled = copy.deepcopy(deployment)
    settled["pending_operations"] = [op for op in pending if op["type"] != "creating"]
    for op in pending:
        if op["type"] == "creating":
            _settle_creation(settled, op["resource"])
    stack.import_stack(auto.Deployment(version=3, deployment=settled))
    return True


def _settle_creation(state: dict[str, Any], resource: dict[str, Any]) -> None:
    title = f"{resource['type'].rsplit(':', 1)[-1]} {resource['urn'].rsplit('::', 1)[1]}"
    package = resource["type"].split(":")[0]
    # Components, the stack itself, providers and random values exist nowhere but in the state.
    if not resource.get("custom") or package in ("pulumi", "random"):
        return
    if package != "kubernetes" or resource["type"].startswith("kubernetes:helm"):
        raise Failure(
            f"an earlier run was interrupted while it created {title}, which may exist or not",
            f'look it up, then: eval "$(python -m tools.env)" && pulumi refresh ({resource["urn"]})',
        )
    inputs = clean(resource.get("inputs") or {})
    if _made_by_us(state, resource, inputs):
        console.print(f"  [yellow]{title}: an earlier run was interrupted after making it; taken over[/]")
        for other in state["resources"]:
            if other["urn"] == resource["urn"]:
                other["delete"] = True  # it was being replaced
        state["resources"].append({**resource, "id": identifier(inputs), "outputs": inputs})
    else:
        console.print(f"  [yellow]{title}: an earlier run was interrupted before making it[/]")


def _made_by_us(state: dict[str, Any], resource: dict[str, Any], inputs: dict[str, Any]) -> bool:
    """Whether the object exists and an apply of ours made it: somebody else's must not become ours."""
    urn = resource["provider"].rpartition("::")[0]
    provider = next(each for each in state["resources"] if each["urn"] == urn)
    config = provider.get("inputs") or {}
    kubeconfig = config.get("kubeconfig")
    if isinstance(kubeconfig, dict):  # a secret, shown
        kubeconfig = json.loads(kubeconfig.get("plaintext", "null"))
    try:
        kubectl = Kubectl(kubeconfig, config.get("context"), config.get("cluster"))
        live = kubectl.get(inputs, managed_fields=True)
    except ProviderError as error:
        raise Failure(str(error), "an interrupted run must be settled first: start the cluster") from None
    entries = ((live or {}).get("metadata") or {}).get("managedFields") or []
    return any(str(entry.get("manager")).startswith(FIELD_MANAGER) for entry in entries)
