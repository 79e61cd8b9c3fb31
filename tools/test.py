"""``make test`` and ``make test-all``: the tiers one after the other, the time of each, one verdict."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

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
    results: list[tuple[str, int, float]] = []
    for tier in options.tier or TIERS:
        folder = ROOT / "tests" / tier
        console.print(f"\n[bold]{tier}[/]")
        start = time.monotonic()
        code = _pytest(folder, [*WORKERS.get(tier, []), *sample, *more])
        results.append((tier, code, time.monotonic() - start))
    console.print()
    for tier, code, seconds in results:
        word = "[green]passed[/]" if code == 0 else f"[red]failed (pytest exit {code})[/]"
        console.print(f"  {tier:8} {seconds:7.1f} s  {word}")
    fast = sum(seconds for tier, _, seconds in results if tier in FAST)
    console.print(f"  fast tiers together {fast:.1f} s, all {sum(result[2] for result in results):.1f} s")
    return 1 if any(code != 0 for _, code, _ in results) else 0


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
