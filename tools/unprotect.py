"""`make unprotect`: release protected resources, after saying what that puts at risk."""

from __future__ import annotations

from tools.common import cli
from tools.engine import verbs


def main(argv: list[str]) -> int:
    verbs.unprotect(verbs.parse(argv, __doc__ or ""))
    return 0


if __name__ == "__main__":
    cli(main)
