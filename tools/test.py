"""``make test`` and ``make test-all``: the tiers one after the other, the time of each, one verdict."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from rich.markup import escape

from tools.common import ROOT, cli, console

TIERS = ("unit", "program", "emulators", "engine", "cluster")
FAST = ("unit", "program")
WORKERS = {"unit": ["-n", "2"], "program": ["-n", "2", "--dist", "loadgroup", "--no-loadscope-reorder"]}
"""The fast tiers are all CPU: two processes halve the wait, and the tests of a cloud share its plans."""


def main(argv: list[str]) -> int:
    """``python -m tools.test [--all] [--tier T]… [--seed S] [pytest arguments]``; 1 when a tier failed."""
    parser = argparse.ArgumentParser(prog="make test", description=__doc__)
    parser.add_argument("--all", action="store_true", help="every test, not only the core and a sample")
    parser.add_argument("--tier", action="append", choices=TIERS, help="only this tier; may be repeated")
    parser.add_argument("--seed", help="what chooses the sample (default: the committed files)")
    options, more = parser.parse_known_args(argv)
    sample = [] if options.all else ["--sample", options.seed or _tree()]
    if sample:
        console.print(f"Of the slow tests: the core and the sample of seed {sample[1]}")
    results = [_tier(tier, [*WORKERS.get(tier, []), *sample, *more]) for tier in options.tier or TIERS]
    console.print()
    for each in results:
        word = "[green]passed[/]" if each.code == 0 else f"[red]failed (pytest exit {each.code})[/]"
        left = f", [yellow]{each.skipped.total()} skipped[/]" if each.skipped else ""
        console.print(f"  {each.tier:8} {each.seconds:7.1f} s  {word}{left}")
        for reason, count in each.skipped.most_common():
            console.print(f"    [yellow]{count} skipped:[/] {escape(reason)}")
    fast = sum(each.seconds for each in results if each.tier in FAST)
    console.print(f"  fast tiers together {fast:.1f} s, all {sum(each.seconds for each in results):.1f} s")
    return 1 if any(each.code != 0 for each in results) else 0


@dataclass(frozen=True)
class Result:
    """How a tier ended.

    :ivar code: of pytest.
    :ivar skipped: why tests were skipped, and how many for each reason.
    """

    tier: str
    code: int
    seconds: float
    skipped: Counter[str]


def _tier(tier: str, arguments: list[str]) -> Result:
    console.print(f"\n[bold]{tier}[/]")
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        told = Path(folder) / "told.xml"
        code = _pytest(ROOT / "tests" / tier, [f"--junitxml={told}", *arguments])
        # A run that could not even begin tells nothing; its exit code does.
        found = ElementTree.parse(told).iter("skipped") if told.exists() else []  # noqa: S314, our own file
        skipped = Counter(each.get("message", "") for each in found)
    return Result(tier, code, time.monotonic() - start, skipped)


def _pytest(folder: Path, arguments: list[str]) -> int:
    command = [sys.executable, "-m", "pytest", str(folder), "--durations=5", *arguments]
    return subprocess.run(
        command, cwd=ROOT, env={**os.environ, "PYTHONUNBUFFERED": "1"}, check=False
    ).returncode


def _tree() -> str:
    """Git's name of the committed files: the same wherever they are checked out, whatever the commit."""
    words = ["git", "rev-parse", "HEAD^{tree}"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip()[:12] or "no-commit"


if __name__ == "__main__":
    cli(main)
