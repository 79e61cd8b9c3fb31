"""Services and model servers of a running stack, as `make jobs` shows them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from rich.markup import escape
from rich.table import Table

from components.jobs.names import MODEL, REPLICAS, ROLLED, SERVED_VERSION, SERVICE_LABEL, SERVICE_STATUS
from tools.deployed import Deployed


def services(deployed: Deployed) -> dict[str, dict[str, Any]]:
    """Name → Deployment."""
    found = deployed.objects("deployments", "--selector", SERVICE_LABEL)
    return {each["metadata"]["name"]: each for each in found}


def table_of(deployed: Deployed, known: dict[str, dict[str, Any]]) -> Table:
    """A line for each: what it serves, how many pods do, and what keeps the rest."""
    hosts = {
        each["metadata"]["name"]: each["spec"]["rules"][0]["host"]
        for each in deployed.objects("ingresses", "--selector", SERVICE_LABEL)
    }
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("service", "pods", "state", "serves", "address"):
        table.add_column(column, overflow="fold")
    for name, deployment in sorted(known.items()):
        state, ready = state_of(deployment), deployment.get("status", {}).get("availableReplicas", 0)
        colour = {"serving": "green", "rolling": "yellow"}.get(
            state, "red" if "failed" in state else "yellow"
        )
        table.add_row(
            name,
            f"{ready}/{_annotations(deployment)[REPLICAS]}",
            f"[{colour}]{escape(state)}[/]",
            serves(deployment),
            f"http://{name}.{deployed.namespace}" + (f", {hosts[name]}" if name in hosts else ""),
        )
    return table


def state_of(deployment: dict[str, Any]) -> str:
    """In a word or a line: serving, rolling, or why not."""
    status, replicas = deployment.get("status", {}), deployment["spec"]["replicas"]
    said = _annotations(deployment)
    if SERVICE_STATUS in said:
        return said[SERVICE_STATUS]
    if replicas == 0:
        return "no model yet" if MODEL in said else "waits for its first roll"
    for condition in status.get("conditions", []):
        if condition.get("reason") == "ProgressDeadlineExceeded":
            return "failed: a new pod does not become ready, see its log"
    counts = [status.get(each, 0) for each in ("replicas", "updatedReplicas", "availableReplicas")]
    return "serving" if counts == [replicas] * 3 else "rolling"


def serves(deployment: dict[str, Any]) -> str:
    """The model and its version, or the code and when it was last fetched anew by a roll."""
    model = _annotations(deployment).get(MODEL)
    template = deployment["spec"]["template"]["metadata"].get("annotations") or {}
    if model is None:
        rolled = template.get(ROLLED)
        return f"code, rolled {datetime.fromisoformat(rolled):%Y-%m-%d %H:%M} UTC" if rolled else "code"
    version = template.get(SERVED_VERSION)
    return model if version in (None, model) else f"{model}, now {version}"


def _annotations(deployment: dict[str, Any]) -> dict[str, str]:
    return deployment["metadata"].get("annotations", {})
