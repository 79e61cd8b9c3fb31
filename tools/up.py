"""`make up`: bring a stack to what its settings say."""

from __future__ import annotations

from tools.common import cli
from tools.engine import verbs


def main(argv: list[str]) -> int:
    verbs.up(verbs.parse(argv, __doc__ or ""))
    return 0


if __name__ == "__main__":
    cli(main)
