"""`make logs`: the log of the server, its database, a job or a service; of the container before it where one
crashed.

Of a job template it is the newest run's, through all its containers, and to its end where it still works.
"""

from __future__ import annotations

import argparse
import subprocess
from typing import Any

from rich.markup import escape

from components.jobs.names import SERVICE_LABEL
from tools.common import Failure, cli, console
from tools.deployed import Deployed, find
from tools.jobs.follow import ended, follow
from tools.jobs.services import services
from tools.jobs.template import jobs_of

PARTS = ("server", "database", "migration", "model-watch")


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stack", default="dev", help="stack name (default: dev)")
    parser.add_argument("--part", choices=PARTS, default="server", help="default: %(default)s")
    parser.add_argument(
        "--job", metavar="NAME", help="a job's newest run instead, a service, or a Job by its name"
    )
    parser.add_argument("--follow", action="store_true", help="stay and show new lines")
    parser.add_argument("--tail", type=int, default=200, help="lines per container (default: %(default)s)")
    args = parser.parse_args(argv)
    deployed = find(args.stack)
    if args.job and (runs := jobs_of(deployed, args.job)):
        args.job = runs[0]["metadata"]["name"]
        if ended(runs[0]) is None:
            follow(deployed, args.job)
            return 0
    selector = _selector(deployed, args.job, args.part)
    pods = _pods(deployed, selector, args.job or args.part)
    for pod in pods:
        if crashed := _crash(pod):
            name = pod["metadata"]["name"]
            console.print(f"[yellow]{name} crashed ({escape(crashed)}); the log of the container before:[/]")
            _show(deployed, name, "--previous", f"--tail={args.tail}")
            console.print(f"[yellow]… and of {name} now:[/]")
        if not args.follow:
            if len(pods) > 1:
                console.print(f"[bold]{pod['metadata']['name']}[/]")
            for words in _containers(pod):
                _show(deployed, pod["metadata"]["name"], f"--tail={args.tail}", *words)
    if args.follow:
        words = ["--follow", f"--tail={args.tail}", "--selector", selector, "--max-log-requests=50"]
        _show(deployed, *words, *(["--prefix"] if len(pods) > 1 else []))
    return 0


def _selector(deployed: Deployed, job: str | None, part: str) -> str:
    if job and job in services(deployed):
        return f"{SERVICE_LABEL}={job}"
    if job:
        return f"batch.kubernetes.io/job-name={job}"
    return f"app.kubernetes.io/name=mlflow,app.kubernetes.io/component={part}"


def _pods(deployed: Deployed, selector: str, what: str) -> list[dict[str, Any]]:
    """Pods, oldest first.

    :raises Failure: when there is none, with those that there are.
    """
    pods = deployed.objects("pods", "--selector", selector)
    if not pods:
        jobs = [each["metadata"]["name"] for each in deployed.objects("jobs")]
        known = ", ".join(sorted(jobs)) or "none"
        raise Failure(f"{what} has no pod in namespace {deployed.namespace}", f"Jobs there are: {known}")
    return sorted(pods, key=lambda pod: pod["metadata"]["creationTimestamp"])


def _containers(pod: dict[str, Any]) -> list[list[str]]:
    """What picks each container of a pod that has a log, in the order in which they ran."""
    status = pod["status"]
    states = [*status.get("initContainerStatuses", []), *status.get("containerStatuses", [])]
    begun = [each["name"] for each in states if "waiting" not in each.get("state", {})]
    return [["--container", name] for name in begun] or [[]]


def _crash(pod: dict[str, Any]) -> str | None:
    """How the container before the present one ended; None where there was none, or all is well again."""
    for status in pod["status"].get("containerStatuses", []):
        ended = status.get("lastState", {}).get("terminated")
        if ended and not status.get("ready"):
            return f"{ended.get('reason')}, exit code {ended.get('exitCode')}"
    return None


def _show(deployed: Deployed, *words: str) -> None:
    done = subprocess.run(deployed.command("logs", *words), check=False)
    if done.returncode:
        raise Failure(f"kubectl logs exited {done.returncode}", "see above; what is up: make status")


if __name__ == "__main__":
    cli(main)
