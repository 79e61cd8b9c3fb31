"""`make bench`: measure the stack, each figure a ratio within one run, and write docs/performance.md.

Runs in namespaces and throw-away projects of its own beside whatever is up, and takes all of it away.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from tools.benchmark import artifacts, engine, page, results, serving, templates
from tools.benchmark.place import Bench, bench
from tools.common import Failure, cli, console

SECTIONS = ("up", "engine", "requests", "memory", "artifacts", "jobs")
"""In the order in which they run: `up` needs a stack that is down, the others one that is up."""


@dataclass(frozen=True, kw_only=True)
class Effort:
    """How much is measured."""

    engine_rounds: int = 5
    up_rounds: int = 3
    load_rounds: int = 3
    load_seconds: float = 5
    artifact_rounds: int = 3
    artifact_size: int = 256
    template_rounds: int = 2


QUICK = Effort(
    engine_rounds=1,
    up_rounds=1,
    load_rounds=1,
    load_seconds=3,
    artifact_rounds=1,
    artifact_size=64,
    template_rounds=1,
)


def main(argv: list[str]) -> int:
    """``python -m tools.bench [--only SECTION,…] [--quick] [--render]``."""
    options = _parser().parse_args(argv)
    wanted = _wanted(options.only)
    if not options.render:
        effort = QUICK if options.quick else Effort()
        with bench() as place:
            found = measure(place, wanted, effort)
        if options.quick:
            for section in found:
                console.print(page.section_text(section), markup=False)
            console.print("quick figures are for trying out: nothing was written")
            return 0
        results.merge(found)
    known = results.read()
    page.write(known)
    console.print(f"Wrote {page.PAGE.relative_to(results.ROOT)}")
    for section in known.values():
        for figure in section.missed():
            console.print(f"[yellow]goal missed:[/] {figure.title}: {page.goal_text(figure, section)}")
    return 0


def measure(place: Bench, wanted: list[str], effort: Effort) -> list[results.Section]:
    """Run the sections in their order; each is stamped with when and where it was measured."""
    runs: dict[str, Callable[[], list[results.Section]]] = {
        "up": lambda: [engine.fresh(place, effort.up_rounds)],
        "engine": lambda: [engine.unchanged(place, effort.engine_rounds)],
        "requests": lambda: serving.sections(place, rounds=effort.load_rounds, seconds=effort.load_seconds),
        "artifacts": lambda: [
            artifacts.section(place, rounds=effort.artifact_rounds, size=effort.artifact_size)
        ],
        "jobs": lambda: [templates.section(effort.template_rounds)],
    }
    if "memory" in wanted and "requests" not in wanted:
        runs["memory"] = runs["requests"]
    found = []
    for name in (name for name in SECTIONS if name in wanted and name in runs):
        console.print(f"\n[bold]{name}[/]")
        start, load = time.monotonic(), results.load_per_core()
        sections = runs[name]()
        seconds = time.monotonic() - start
        stamps = {"measured": results.stamp(), "commit": results.commit(), "machine": results.machine()}
        found += [replace(section, load=load, seconds=seconds, **stamps) for section in sections]
        console.print(f"[green]✓[/] {name} [dim]({seconds:.0f} s)[/]")
    return found


def _wanted(only: str) -> list[str]:
    names = [name for name in only.split(",") if name] or list(SECTIONS)
    unknown = sorted(set(names) - set(SECTIONS))
    if unknown:
        raise Failure(f"unknown section {', '.join(unknown)}", f"the sections are: {', '.join(SECTIONS)}")
    return names


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--only", default="", help=f"sections, with commas between: {', '.join(SECTIONS)}")
    parser.add_argument("--quick", action="store_true", help="one short round of each, nothing is written")
    parser.add_argument("--render", action="store_true", help="only write the page anew, from what is known")
    return parser


if __name__ == "__main__":
    cli(main)
