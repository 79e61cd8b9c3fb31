"""`make train`: run an MLproject against the deployed server, as a pod or (FROM=here) on this machine."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from tools.common import ROOT, cli, console
from tools.deployed import find
from tools.jobs.here import run_here
from tools.jobs.pod import run_as_pod
from tools.jobs.project import checked_parameters, read_project

DEFAULT_LIMIT = 30
"""Minutes."""


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stack", default="dev", help="stack name (default: dev)")
    parser.add_argument("--from", dest="place", choices=("pod", "here"), default="pod")
    parser.add_argument("--param", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--project", type=Path, default=ROOT / "examples" / "quickstart")
    parser.add_argument("--limit", type=int, default=DEFAULT_LIMIT, help="minutes (default: %(default)s)")
    args = parser.parse_args(argv)
    project = read_project(args.project)
    parameters = checked_parameters(project, args.param)
    deployed = find(args.stack)
    start = time.monotonic()
    train = run_as_pod if args.place == "pod" else run_here
    experiment, run = train(deployed, project, parameters, args.limit * 60)
    console.print(f"[green]✓[/] {project.name} trained [dim]({time.monotonic() - start:.1f} s)[/]")
    print(f"{deployed.url}/#/experiments/{experiment}/runs/{run}")
    return 0


if __name__ == "__main__":
    cli(main)
