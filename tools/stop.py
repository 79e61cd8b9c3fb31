"""`make stop`: end what runs of a job; its MLflow run is marked KILLED."""

from __future__ import annotations

import argparse

from tools.common import Failure, cli, step
from tools.deployed import find
from tools.jobs.follow import ended
from tools.jobs.template import jobs_of, template

LIMIT = 55
"""Seconds; above a pod's grace period of 45."""


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stack", default="dev", help="stack name (default: dev)")
    parser.add_argument("--job", required=True, metavar="NAME", help="a job of the stack")
    args = parser.parse_args(argv)
    deployed = find(args.stack)
    template(deployed, args.job)
    working = [job["metadata"]["name"] for job in jobs_of(deployed, args.job) if ended(job) is None]
    if not working:
        raise Failure(f"{args.job} is not running", "what runs: make jobs")
    for name in working:
        with step(f"ending Job {name}"):
            deployed.kubectl("delete", "job", name, "--cascade=foreground", f"--timeout={LIMIT}s")
    return 0


if __name__ == "__main__":
    cli(main)
