"""Write the generated pages of ``docs/``, or with ``--check`` say which are stale."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable

from components.settings.schema import settings_page, stack_schema
from tools.common import ROOT, Failure, cli, console
from tools.graph import resources_page

PAGES: dict[str, Callable[[], str]] = {
    "docs/settings.md": settings_page,
    "docs/stack.schema.json": lambda: json.dumps(stack_schema(), indent=2) + "\n",
    "docs/aws-resources.md": lambda: resources_page("aws"),
    "docs/gcp-resources.md": lambda: resources_page("gcp"),
    "docs/azure-resources.md": lambda: resources_page("azure"),
}


def stale() -> list[str]:
    """Generated pages whose file differs from what the code says now."""
    return [
        name
        for name, make in PAGES.items()
        if not (ROOT / name).exists() or (ROOT / name).read_text() != make()
    ]


def main(argv: list[str]) -> int:
    """``python -m tools.docs [--check]``."""
    parser = argparse.ArgumentParser(prog="python -m tools.docs", description=__doc__)
    parser.add_argument("--check", action="store_true")
    if parser.parse_args(argv).check:
        if behind := stale():
            raise Failure(f"stale: {', '.join(behind)}", "run `make docs` and commit what it writes")
        return 0
    for name in stale():
        path = ROOT / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(PAGES[name]())
        console.print(f"Wrote {name}")
    return 0


if __name__ == "__main__":
    cli(main)
