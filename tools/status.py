"""`make status`: what is up, in which versions, where it is reached, and what stands in for what."""

from __future__ import annotations

import argparse
import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from rich.console import Console
from rich.table import Table

from tools.common import ROOT, Failure, cli
from tools.deployed import Deployed, find
from tools.open import password_command

HTTP_LIMIT = 2
"""Seconds for an answer of the server."""
RECENT_JOBS = 5
out = Console(highlight=False, emoji=False)
if not out.is_terminal:
    out.width = 200  # a pipe wraps nothing


@dataclass(frozen=True)
class Usage:
    """What a node's kubelet measured. Empty where this user may not ask it.

    :ivar memory: pod name → working set in bytes.
    :ivar volumes: claim name → bytes used and free of the file system it lies on.
    """

    memory: dict[str, int]
    volumes: dict[str, tuple[int, int]]


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stack", default="dev", help="stack name (default: dev)")
    args = parser.parse_args(argv)
    deployed = find(args.stack)
    with ThreadPoolExecutor() as at_once:
        pods_asked = at_once.submit(deployed.objects, "pods")
        jobs_asked = at_once.submit(deployed.objects, "jobs")
        health_asked = at_once.submit(ask, f"{deployed.url}/health")
        version_asked = at_once.submit(ask, f"{deployed.url}/version")
        pods = pods_asked.result()
        usage = measured(deployed, {pod["spec"].get("nodeName") for pod in pods} - {None})
    out.print(_facts(deployed, health_asked.result(), version_asked.result(), usage, pods))
    out.print(_pods([pod for pod in pods if "batch.kubernetes.io/job-name" not in _labels(pod)], usage))
    if jobs := jobs_asked.result():
        out.print(_jobs(jobs))
    # Others' server may have no address that this machine reaches.
    return 0 if health_asked.result() == "OK" or "database" not in deployed.outputs else 1


def ask(url: str) -> str:
    """What a GET answers, or in brackets why it does not."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=HTTP_LIMIT) as answer:
            return answer.read(200).decode().strip()
    except urllib.error.HTTPError as error:
        return f"({error.code})"
    except OSError as error:
        return f"(no answer: {getattr(error, 'reason', error)})"


def measured(deployed: Deployed, nodes: set[str]) -> Usage:
    """Memory and volume usage in the stack's namespace, one call per node."""
    usage = Usage({}, {})
    for node in sorted(nodes):
        try:
            text = deployed.kubectl("get", "--raw", f"/api/v1/nodes/{node}/proxy/stats/summary")
        except Failure:
            continue  # many users of a shared cluster may not ask nodes
        for pod in json.loads(text)["pods"]:
            if pod["podRef"]["namespace"] != deployed.namespace:
                continue
            usage.memory[pod["podRef"]["name"]] = pod.get("memory", {}).get("workingSetBytes", 0)
            for volume in pod.get("volume", []):
                if claim := volume.get("pvcRef"):
                    usage.volumes[claim["name"]] = volume["usedBytes"], volume["availableBytes"]
    return usage


def _facts(deployed: Deployed, health: str, version: str, usage: Usage, pods: list[dict[str, Any]]) -> Table:
    """Addresses, versions and choices, one per line."""
    outputs = deployed.outputs
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    own = "database" in outputs  # else it uses a server that others run
    health = "[green]OK[/]" if health == "OK" else f"[{'red' if own else 'yellow'}]{health}[/]"
    table.add_row("stack", f"{deployed.stack}, namespace {deployed.namespace}")
    table.add_row("server", f"MLflow {version}, health {health}")
    table.add_row("URL", deployed.url)
    if outputs["inClusterUrl"] != deployed.url:
        table.add_row("  for pods", outputs["inClusterUrl"])
    if user := outputs.get("adminUsername"):
        table.add_row("sign-in", f"user {user}; password: {password_command(deployed.stack)}")
    elif own:
        table.add_row("sign-in", "none")
    if own:
        database, artifacts = outputs["database"], outputs["artifacts"]
        table.add_row("database", f"{database['engine']}, {database['place']}")
        table.add_row("artifacts", artifacts.get("uri") or artifacts["place"])
    for claim, (used, free) in sorted(usage.volumes.items()):
        full = used / max(1, used + free)
        table.add_row(f"  volume {claim}", f"its file system is {full:.0%} full, {_gigabytes(free)} free")
    images = {pod["spec"]["containers"][0]["image"] for pod in pods} | {outputs["images"]["job"]}
    for number, image in enumerate(sorted(images)):
        table.add_row("" if number else "images", image)
    for line in stand_ins(deployed.stack, images):
        table.add_row("[yellow]stands in[/]", line)
    return table


def stand_ins(stack: str, images: set[str]) -> Iterator[str]:
    """What is in use instead of the real thing: provider plugins of the engine, those of ``images``."""
    mark = ROOT / ".local" / "stacks" / f"{stack}.stand-ins"
    if mark.exists():
        yield f"provider plugins {', '.join(json.loads(mark.read_text()))}: the official ones are not here"
    path = ROOT / ".local" / "images.json"
    if path.exists():
        for name, image in sorted(json.loads(path.read_text())["images"].items()):
            if image.get("substitute") and image["reference"] in images:
                yield f"{image['reference']} for the upstream image of {name}"


def _pods(pods: list[dict[str, Any]], usage: Usage) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("pod", "ready", "restarts", "age", "memory"):
        table.add_column(column, overflow="fold")
    for pod in sorted(pods, key=lambda pod: pod["metadata"]["name"]):
        name, states = pod["metadata"]["name"], pod["status"].get("containerStatuses", [])
        ready = sum(bool(state["ready"]) for state in states)
        good = "green" if states and ready == len(states) else "red"
        table.add_row(
            name,
            f"[{good}]{ready}/{len(pod['spec']['containers'])}[/] {_trouble(pod)}".strip(),
            str(sum(state["restartCount"] for state in states)),
            _age(pod["metadata"]["creationTimestamp"]),
            _gigabytes(usage.memory[name]) if name in usage.memory else "",
        )
    return table


def _trouble(pod: dict[str, Any]) -> str:
    if pod["metadata"].get("deletionTimestamp"):
        return "ending"
    for state in pod["status"].get("containerStatuses", []):
        if reason := state["state"].get("waiting", {}).get("reason"):
            return reason
    return "" if pod["status"]["phase"] == "Running" else pod["status"]["phase"]


def _jobs(jobs: list[dict[str, Any]]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("job", "state", "age"):
        table.add_column(column, overflow="fold")
    newest = sorted(jobs, key=lambda job: job["metadata"]["creationTimestamp"], reverse=True)
    for job in newest[:RECENT_JOBS]:
        ended = [c["type"] for c in job["status"].get("conditions", []) if c["status"] == "True"]
        state = next((kind for kind in ("Complete", "Failed", "Suspended") if kind in ended), "running")
        shown = f"[red]{state}[/]" if state == "Failed" else state
        table.add_row(job["metadata"]["name"], shown, _age(job["metadata"]["creationTimestamp"]))
    return table


def _labels(pod: dict[str, Any]) -> dict[str, str]:
    return pod["metadata"].get("labels", {})


def _age(created: str) -> str:
    seconds = (datetime.now(UTC) - datetime.fromisoformat(created)).total_seconds()
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(0, seconds):.0f} s"


def _gigabytes(size: float) -> str:
    return f"{size / 1e9:.2f} GB" if size < 1e10 else f"{size / 1e9:.0f} GB"


if __name__ == "__main__":
    cli(main)
