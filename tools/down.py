"""`make down`: say what will be lost, ask, and take a stack down."""

from __future__ import annotations

from tools.common import cli
from tools.engine import verbs


def main(argv: list[str]) -> int:
    verbs.down(verbs.parse(argv, __doc__ or ""))
    return 0


if __name__ == "__main__":
    cli(main)
