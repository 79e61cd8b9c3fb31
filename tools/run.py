"""`make run`: start a job or pipeline, follow it to its end, print the address of a job's MLflow run."""

from __future__ import annotations

import argparse
import time

from tools.common import Failure, cli, console
from tools.deployed import find
from tools.jobs.follow import follow
from tools.jobs.template import is_pipeline, make_room, start, template


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stack", default="dev", help="stack name (default: dev)")
    parser.add_argument(
        "--job", required=True, metavar="NAME", help="a job or pipeline; make jobs lists them"
    )
    parser.add_argument("--param", action="append", default=[], metavar="NAME=VALUE", help="may be repeated")
    parser.add_argument("--ref", help="branch, tag or commit instead of the job's own")
    parser.add_argument("--detach", action="store_true", help="start it and leave")
    args = parser.parse_args(argv)
    deployed = find(args.stack)
    found = template(deployed, args.job)
    make_room(deployed, found)
    begin = time.monotonic()
    job = start(deployed, found, args.param, args.ref)
    if args.detach:
        console.print(f"Job {job} runs; its log: make logs JOB={args.job}")
        return 0
    try:
        run = follow(deployed, job)
    except KeyboardInterrupt:
        console.print(f"[yellow]Job {job} goes on.[/] Its log: make logs JOB={args.job}; to end it: "
                      f"make stop JOB={args.job}")  # fmt: skip
        raise
    if run is None and not is_pipeline(found):
        raise Failure(f"Job {job} succeeded but opened no run", f"make logs JOB={job}")
    console.print(f"[green]✓[/] {args.job} succeeded [dim]({time.monotonic() - begin:.1f} s)[/]")
    if run:
        print(f"{deployed.url}/#/experiments/{run[0]}/runs/{run[1]}")
    return 0


if __name__ == "__main__":
    cli(main)
