"""A cluster that somebody else made: the context that the stack names. It is used, never changed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from tools.cluster import KUBECONFIG
from tools.cluster.binaries import binaries
from tools.cluster.kubeconfigs import only_context, read, user_kubeconfig
from tools.common import Failure, local_dir, run, step

LOADERS = ("kind", "minikube", "k3d", "docker-desktop")


def use(context: str, kubeconfig: Path | None, loader: str | None, registry: bool) -> dict[str, Any]:
    """Check that ``context`` answers and return what ``cluster.json`` holds.

    :param kubeconfig: where to find the context; None means where kubectl looks.
    :param loader: how image archives get in; None together with ``registry`` means they are pulled.
    :raises Failure: when it is not known how images get in, or the cluster does not answer.
    """
    refuse_unclear_images(context, loader, registry)
    config = only_context(read(kubeconfig) if kubeconfig else user_kubeconfig(), context)
    local_dir()
    KUBECONFIG.unlink(missing_ok=True)
    KUBECONFIG.touch(mode=0o600)
    KUBECONFIG.write_text(json.dumps(config, indent=1))
    with step(f"Asking the cluster of context {context}"):
        kubectl = fitting_kubectl(KUBECONFIG)
        address = node_address(context, loader, kubectl)
    return {
        "kind": "context",
        "context": context,
        "kubeconfig": str(KUBECONFIG),
        "loader": loader,
        "canPull": True,
        "nodeAddress": address,
        "hostAddress": None,
        "kubectl": kubectl,
    }


def refuse_unclear_images(context: str, loader: str | None, registry: bool) -> None:
    """:raises Failure: unless exactly one of ``loader`` and ``registry`` is given."""
    if loader and registry:
        raise Failure(f"context {context} has both a loader and a registry", "name one of them in the stack")
    if not loader and not registry:
        raise Failure(
            f"it is not said how images get into the cluster of context {context}",
            f"give the stack a registry to push to, or a loader ({', '.join(LOADERS)})",
        )
    if loader and loader not in LOADERS:
        raise Failure(f"{loader!r} is not a known loader", f"use one of {', '.join(LOADERS)}")


def fitting_kubectl(kubeconfig: Path) -> str:
    """Absolute path of a kubectl at most one minor version away from the server's: PATH's, else one built.

    :raises Failure: when the cluster does not answer within 15 s.
    """
    server = "?"
    for candidate in dict.fromkeys((shutil.which("kubectl"), None)):
        kubectl = candidate or str(binaries("kubernetes") / "kubectl")
        hint = "check that the cluster runs and that you may use it (`kubectl get nodes`)"
        command = [kubectl, "--kubeconfig", kubeconfig, "--request-timeout=10s", "version", "-o", "json"]
        versions = json.loads(run(command, timeout=15, hint=hint))
        if skew(versions) <= 1:
            return str(Path(kubectl).absolute())
        server = versions["serverVersion"]["gitVersion"]
    raise Failure(
        f"no kubectl fits the server, which is {server}",
        "put a kubectl of the server's minor version on PATH",
    )


def skew(versions: dict[str, Any]) -> int:
    """Minor versions between client and server, from ``kubectl version -o json``."""
    client, server = (
        int(versions[part]["gitVersion"].split(".")[1]) for part in ("clientVersion", "serverVersion")
    )
    return abs(client - server)


def node_address(context: str, loader: str | None, kubectl: str) -> str:
    """Where NodePorts answer: this machine for local clusters in Docker, else a node's own address."""
    if loader in ("kind", "k3d", "docker-desktop"):
        return "127.0.0.1"
    if loader == "minikube":
        return run(["minikube", "ip", "--profile", context], timeout=30).strip()
    listing = run([kubectl, "--kubeconfig", KUBECONFIG, "get", "nodes", "-o", "json"], timeout=30)
    addresses = json.loads(listing)["items"][0]["status"]["addresses"]
    by_type = {entry["type"]: entry["address"] for entry in addresses}
    return by_type.get("ExternalIP") or by_type["InternalIP"]
