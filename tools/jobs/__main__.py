"""`make jobs`: the services; the job templates, their last runs, how those ended, links to MLflow."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from typing import Any

from rich.console import Console
from rich.table import Table

from components.jobs.names import EXPERIMENT, RUN_LABEL, STAGE_LABEL
from tools.common import Failure, cli
from tools.deployed import Deployed, find
from tools.jobs.follow import ended
from tools.jobs.server import Server
from tools.jobs.services import services, table_of
from tools.jobs.template import JOB_LABEL, argo_pipelines, is_pipeline, templates

NEWEST = 1000
"""Runs that are looked through for the last one of each job."""
out = Console(highlight=False, emoji=False)
if not out.is_terminal:
    out.width = 240  # a pipe wraps nothing


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stack", default="dev", help="stack name (default: dev)")
    args = parser.parse_args(argv)
    deployed = find(args.stack)
    known, serving, argo = templates(deployed), services(deployed), argo_pipelines(deployed)
    if not known and not serving and not argo:
        raise Failure(f"stack {args.stack} has no jobs", "describe them under mlflow:jobs; see docs/jobs.md")
    if serving:
        out.print(table_of(deployed, serving))
    if not known and not argo:
        return 0
    newest: dict[str, dict[str, Any]] = {}
    jobs = deployed.objects("jobs", "--selector", JOB_LABEL)
    for job in jobs:
        name = job["metadata"]["labels"][JOB_LABEL]
        if name not in newest or _created(job) > _created(newest[name]):
            newest[name] = job
    table = _table(deployed, known, newest, last_runs(deployed, known), _stages(jobs))
    for name in argo:
        table.add_row(name, "Argo Workflows", "", "", "", "", f"argo list --namespace {deployed.namespace}")
    out.print(table)
    return 0


def last_runs(deployed: Deployed, known: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Job's name → its newest run in MLflow, which keeps runs when their Jobs are long gone."""
    wanted = {each["metadata"]["annotations"][EXPERIMENT] for each in known.values() if not is_pipeline(each)}
    server = Server(deployed)
    listed = server.ask("experiments/search", {"max_results": 10000}).get("experiments", [])
    ids = [each["experiment_id"] for each in listed if each["name"] in wanted]
    if not ids:
        return {}

    def newest(which: str, most: int) -> list[dict[str, Any]]:
        order = ["attributes.start_time DESC"]
        query = {"experiment_ids": ids, "filter": which, "order_by": order, "max_results": most}
        return server.ask("runs/search", query).get("runs", [])

    runs = newest("tags.`job.name` LIKE '%'", NEWEST)
    # Busy jobs may have pushed the last run of a rare one out of these.
    rare = known.keys() - {_tags(run)["job.name"] for run in runs} if len(runs) == NEWEST else ()
    runs += [run for name in sorted(rare) for run in newest(f"tags.`job.name` = '{name}'", 1)]
    found: dict[str, dict[str, Any]] = {}
    for run in runs:
        found.setdefault(_tags(run)["job.name"], run)
    return found


def _table(
    deployed: Deployed,
    known: dict[str, dict[str, Any]],
    newest: dict[str, dict[str, Any]],
    runs: dict[str, dict[str, Any]],
    stages: dict[str, str],
) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("job", "starts", "last Job", "run", "commit", "when", "MLflow run"):
        table.add_column(column, overflow="fold")
    for name, template in sorted(known.items()):
        job, run = newest.get(name), runs.get(name)
        told = stages.get(job["metadata"]["name"], "") if job and is_pipeline(template) else ""
        state = (ended(job) or "working") if job else ""
        tags = _tags(run) if run else {}
        table.add_row(
            name,
            _starts(template["spec"]),
            f"[red]{state}[/]" if state == "Failed" else state,
            told or (run["info"]["status"] if run else "none yet"),
            tags.get("mlflow.source.git.commit", "")[:12],
            f"{datetime.fromtimestamp(run['info']['start_time'] / 1000, UTC):%Y-%m-%d %H:%M} UTC"
            if run
            else "",
            f"{deployed.url}/#/experiments/{run['info']['experiment_id']}/runs/{run['info']['run_id']}"
            if run
            else f"make run JOB={name}",
        )
    return table


def _stages(jobs: list[dict[str, Any]]) -> dict[str, str]:
    """Job of a pipeline → how far its stages are; those that roll a service are no Jobs."""
    found: dict[str, list[str]] = {}
    for job in sorted(jobs, key=_created):
        labels = job["metadata"]["labels"]
        if RUN_LABEL in labels:
            state = (ended(job) or "working").lower()
            found.setdefault(labels[RUN_LABEL], []).append(f"{labels[STAGE_LABEL]} {state}")
    return {run: ", ".join(told) for run, told in found.items()}


def _starts(spec: dict[str, Any]) -> str:
    """What starts a template."""
    if not spec.get("suspend"):
        return f"{spec['schedule']} {spec.get('timeZone', '')}".strip()
    return "by hand"


def _created(job: dict[str, Any]) -> str:
    return job["metadata"]["creationTimestamp"]


def _tags(run: dict[str, Any]) -> dict[str, str]:
    return {tag["key"]: tag["value"] for tag in run["data"].get("tags", [])}


if __name__ == "__main__":
    cli(main)
