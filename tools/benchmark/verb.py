"""One verb in another project's folder, in a process of its own: what `make up` does, to be timed."""

from __future__ import annotations

import os
from pathlib import Path

from tools.common import cli
from tools.engine import verbs


def _nothing() -> None:
    """An empty program."""


def main(argv: list[str]) -> int:
    """``python -m tools.benchmark.verb preview|up|down STACK FOLDER [empty]``."""
    name, stack, folder = argv[:3]
    program = _nothing if argv[3:] == ["empty"] else None
    if name == "down":
        os.environ["FORCE"] = stack  # a throw-away stack: nobody need be asked
    {"preview": verbs.preview, "up": verbs.up, "down": verbs.down}[name](stack, Path(folder), program)
    return 0


if __name__ == "__main__":
    cli(main)
