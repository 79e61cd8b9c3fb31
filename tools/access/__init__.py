"""How kubectl reaches a stack's cluster: never through the user's current context.

A dev stack's is the one that ``make cluster`` found or made; a stack without a server of its own names a
context, or uses the same. A stack on a cloud exports ``kubeconfig``: an
address and the command that signs in, no credentials.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tools.common import ROOT, Failure
from tools.engine.place import load, place_of

KUBECONFIG = "kubeconfig"
"""The export of a stack on a cloud (``components/kubeconfig.py`` writes it)."""


def make(verb: str, stack: str) -> str:
    """The command line of a verb for a stack."""
    return f"make {verb}" + ("" if stack == "dev" else f" STACK={stack}")


def kubectl_of_stack(stack: str, outputs: Mapping[str, Any], root: Path = ROOT) -> tuple[str, ...]:
    """kubectl for the cluster of a stack that is up.

    :param outputs: the stack's exports.
    :raises Failure: when it is not known which cluster that is, or the command that signs in is missing.
    """
    cloud = place_of(stack, root).cloud()
    if cloud == "dev":
        return local_kubectl(stack, root)
    if cloud == "existing":
        return named_kubectl(stack, root)
    if KUBECONFIG not in outputs:
        raise Failure(f"stack {stack} does not say how its cluster is reached", make("up", stack))
    return kubectl_with(stack, outputs[KUBECONFIG], root)


def local_kubectl(stack: str, root: Path = ROOT) -> tuple[str, ...]:
    """kubectl for the cluster that ``make cluster`` found or made.

    :raises Failure: when there is none.
    """
    path = root / ".local" / "cluster.json"
    if not path.exists():
        raise Failure("there is no cluster", make("up", stack))
    cluster = json.loads(path.read_text())
    return (
        cluster.get("kubectl") or "kubectl",
        "--kubeconfig",
        cluster["kubeconfig"],
        "--context",
        cluster["context"],
    )


def named_kubectl(stack: str, root: Path = ROOT) -> tuple[str, ...]:
    """kubectl for the context that a stack without a server of its own names, else ``make cluster``'s.

    :raises Failure: when kubectl, or that cluster, is missing.
    """
    place = place_of(stack, root)
    chosen = (load(place.tracked).get("config") or {}).get(f"{place.project()['name']}:cluster") or {}
    if not chosen.get("context"):
        return local_kubectl(stack, root)
    file = ("--kubeconfig", str(Path(chosen["kubeconfig"]).expanduser())) if chosen.get("kubeconfig") else ()
    return find_kubectl(root), *file, "--context", chosen["context"]


def find_kubectl(root: Path = ROOT) -> str:
    """kubectl: the user's, else the one that fits the cluster of ``make cluster``.

    :raises Failure: when there is none.
    """
    found = os.environ.get("MLFLOW_KUBECTL") or shutil.which("kubectl")
    found = found or load(root / ".local" / "cluster.json").get("kubectl")
    if found is None:
        raise Failure("kubectl is not installed", "put a kubectl of the cluster's minor version on PATH")
    return found


def kubectl_with(stack: str, kubeconfig: str, root: Path = ROOT) -> tuple[str, ...]:
    """kubectl with a kubeconfig, written beside the stack's work files, which go with the stack.

    :param kubeconfig: JSON that names a command for each user, and no credentials.
    :raises Failure: when it holds credentials, or kubectl or that command is missing.
    """
    config = json.loads(kubeconfig)
    for entry in config["users"]:
        if set(entry["user"]) != {"exec"}:
            raise Failure(
                f"the kubeconfig of stack {stack} holds credentials, which would lie in state and outputs",
                "make it with components/kubeconfig.py",
            )
        plugin = entry["user"]["exec"]
        if shutil.which(plugin["command"]) is None:
            raise Failure(
                f"{plugin['command']} is not installed: it signs in to the cluster of stack {stack}",
                plugin.get("installHint") or f"put {plugin['command']} on PATH",
            )
    kubectl = find_kubectl(root)
    path = place_of(stack, root).work / "kubeconfig"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)
    path.write_text(kubeconfig)
    return kubectl, "--kubeconfig", str(path), "--context", config["current-context"]
