"""Locks of the images' Python packages: with hashes, for every Python version an image may be built on."""

from __future__ import annotations

import sys
from pathlib import Path

from components.image_context import ROOT
from tools.common import run, step

OLDEST_PYTHON = "3.11"
SERVER = Path("images/tracking-server/requirements.txt")
LOCKS = {SERVER: None, Path("images/job/requirements.txt"): SERVER}
"""Lock → the lock whose versions it keeps to: jobs and server agree on every package they share."""


def lock() -> None:
    """Resolve each requirements.in anew, in one command each.

    Packages added by a later, separate install can pull versions that clash with the others.
    """
    for target, within in LOCKS.items():
        words = [sys.executable, "-m", "uv", "pip", "compile", "--universal", "--generate-hashes"]
        words += ["--python-version", OLDEST_PYTHON, "--upgrade", "--quiet"]
        words += ["--no-emit-index-url", "--no-annotate", "--no-header"]
        words += ["--constraint", str(within)] if within else []
        words += [str(target.with_suffix(".in")), "--output-file", str(target)]
        with step(f"Locking {target}"):
            run(words, cwd=ROOT, timeout=300, hint="check that the package index can be reached")
