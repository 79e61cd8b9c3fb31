"""``make cluster``, ``make cluster-down`` and the cluster's part of ``make status``.

Which cluster: the context that the stack names, else kind when a Docker engine answers, else one built
from package registries (Linux, root).
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import Any

from rich.table import Table

from tools.cluster import INFO, KUBECONFIG, existing, info, kind, kubectl, registry
from tools.common import Failure, cli, console, local_dir


def main(argv: list[str]) -> int:
    """Run one verb; returns the exit status."""
    arguments = _parser().parse_args(argv)
    if arguments.verb == "up":
        up(arguments)
    elif arguments.verb == "down":
        down()
    else:
        status()
    return 0


def up(arguments: argparse.Namespace) -> None:
    """Make or find the cluster, and write ``.local/cluster.json`` and ``.local/kubeconfig``."""
    kept = info()["kind"] if INFO.exists() else None
    settled = arguments.context or kept in ("kind", "registry")
    way = choose(arguments, kept=kept, docker=None if settled else kind.docker_answers())
    if way == "context":
        file = Path(arguments.kubeconfig).expanduser() if arguments.kubeconfig else None
        cluster = existing.use(arguments.context, file, arguments.loader, arguments.registry)
    else:
        cluster = kind.up() if way == "kind" else registry.up()
    write(cluster)
    console.print(
        f"[green]✓[/] Cluster ready: context {cluster['context']}, NodePorts at {cluster['nodeAddress']}"
    )


def choose(arguments: argparse.Namespace, *, docker: bool | None, kept: str | None = None) -> str:
    """``context``, ``kind`` or ``registry``, in this order.

    :param docker: whether a Docker engine answers; not asked when a context is named.
    :param kept: what this checkout uses already: a Docker engine that comes or goes must not move its
        stacks to an empty cluster; `make cluster-down` lets go of it.
    :raises Failure: when options are given that only a named context can have.
    """
    if arguments.context:
        return "context"
    if arguments.kubeconfig or arguments.loader or arguments.registry:
        raise Failure("--kubeconfig, --loader and --registry go with --context", "name the context as well")
    if kept in ("kind", "registry"):
        return kept
    return "kind" if docker else "registry"


def write(cluster: dict[str, Any]) -> None:
    """Copy the kubeconfig into this checkout and note the cluster beside it."""
    local_dir()
    source = Path(cluster["kubeconfig"])
    if source != KUBECONFIG:
        text = source.read_text()
        KUBECONFIG.unlink(missing_ok=True)
        KUBECONFIG.touch(mode=0o600)
        KUBECONFIG.write_text(text)
    note = {**cluster, "kubeconfig": str(KUBECONFIG)}
    INFO.write_text(json.dumps(note, indent=1) + "\n")
    # Tells this cluster from another one made under the same name; Kubernetes never changes it.
    identity = kubectl("get", "namespace", "kube-system", "-o", "jsonpath={.metadata.uid}")
    INFO.write_text(json.dumps({**note, "identity": identity}, indent=1) + "\n")


def down() -> None:
    """Remove what ``up`` made: never a cluster that a stack named, only this checkout's note of it.

    :raises Failure: when stacks are on it and ``FORCE`` is not ``cluster``.
    """
    named = INFO.exists() and info()["kind"] == "context"
    if not named and os.environ.get("FORCE") != "cluster" and (stacks := namespaces_of_stacks()):
        raise Failure(
            f"stacks are up on this cluster, in namespaces {', '.join(stacks)}; their data would go with it",
            "take them down first (make down), or let them go: FORCE=cluster make cluster-down",
        )
    removed = False if named else any([registry.down(), kind.down()])
    for path in (INFO, KUBECONFIG):
        path.unlink(missing_ok=True)
    if named:
        console.print(
            "[green]✓[/] This checkout forgot the context that the stack names; its cluster is untouched"
        )
    else:
        console.print("[green]✓[/] The cluster is gone" if removed else "[green]✓[/] There was no cluster")


def namespaces_of_stacks() -> list[str]:
    """Namespaces that stacks of this project made; none where no cluster answers."""
    selector = "app.kubernetes.io/part-of=mlflow,app.kubernetes.io/managed-by=pulumi"
    try:
        found = kubectl(
            *("get", "namespaces", "-l", selector, "--field-selector", "status.phase=Active"),
            *("-o", "name", "--request-timeout=5s"),
            timeout=15,
        )
    except Failure:
        return []
    return [name.removeprefix("namespace/") for name in found.split()]


def status() -> None:
    """One screen: which cluster, where, how it is."""
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    cluster = info()
    table.add_row("cluster", f"{cluster['kind']}, context {cluster['context']}")
    table.add_row("NodePorts at", cluster["nodeAddress"])
    for name, value in registry.status() if cluster["kind"] == "registry" else []:
        table.add_row(name, value)
    try:
        nodes = json.loads(kubectl("get", "nodes", "-o", "json", "--request-timeout=5s", timeout=10))["items"]
    except Failure:
        console.print(table)
        raise Failure(
            "the cluster does not answer", "run `make cluster`: it starts again with its data"
        ) from None
    for node in nodes:
        ready = next(c for c in node["status"]["conditions"] if c["type"] == "Ready")
        word = "[green]Ready[/]" if ready["status"] == "True" else f"[red]not ready[/]: {ready['message']}"
        facts = node["status"]["nodeInfo"]
        versions = f"Kubernetes {facts['kubeletVersion']}, {facts['containerRuntimeVersion']}"
        table.add_row(
            f"node {node['metadata']['name']}", f"{word} since {ready['lastTransitionTime']}, {versions}"
        )
    console.print(table)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tools.cluster", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    make = verbs.add_parser("up", help="make or find the cluster")
    make.add_argument("--context", help="use the cluster of this kubeconfig context")
    make.add_argument("--kubeconfig", help="where the context is (default: where kubectl looks)")
    make.add_argument("--loader", help=f"how image archives get in: {', '.join(existing.LOADERS)}")
    make.add_argument("--registry", action="store_true", help="the cluster pulls its images from a registry")
    verbs.add_parser("down", help="remove the cluster that `up` made")
    verbs.add_parser("status", help="which cluster, where, how it is")
    return parser


if __name__ == "__main__":
    cli(main)
