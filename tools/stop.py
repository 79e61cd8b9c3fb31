"""`make stop`: end what runs of a job or pipeline; the MLflow runs are marked KILLED."""

from __future__ import annotations

import argparse

from tools.common import Failure, cli
from tools.deployed import find
from tools.jobs.template import end, template, working


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stack", default="dev", help="stack name (default: dev)")
    parser.add_argument("--job", required=True, metavar="NAME", help="a job or pipeline of the stack")
    args = parser.parse_args(argv)
    deployed = find(args.stack)
    template(deployed, args.job)
    names = working(deployed, args.job)
    if not names:
        raise Failure(f"{args.job} is not running", "what runs: make jobs")
    for name in names:
        end(deployed, name)
    return 0


if __name__ == "__main__":
    cli(main)
