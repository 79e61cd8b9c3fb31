"""Tiers by folder, and the seeded sample of the slow ones that `make test` runs."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

TIERS = ("unit", "program", "emulators", "engine", "cluster")
SLOW = ("emulators", "engine", "cluster")
SHARE = 64
"""Of 256: with the core, what CI runs within an hour."""
HERE = Path(__file__).parent


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--sample",
        metavar="SEED",
        help="of the slow tests run the core and the quarter that SEED chooses, always the same one",
    )


def chosen(nodeid: str, seed: str) -> bool:
    """Whether the seeded quarter holds this test."""
    return hashlib.sha256(f"{seed} {nodeid}".encode()).digest()[0] < SHARE


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        folder = item.path.relative_to(HERE).parts[0]
        if folder in TIERS:
            item.add_marker(getattr(pytest.mark, folder))
    seed = config.getoption("--sample")
    if seed is None:
        return
    kept, left = [], []
    for item in items:
        slow = any(item.get_closest_marker(tier) for tier in SLOW)
        run = not slow or item.get_closest_marker("core") is not None or chosen(item.nodeid, seed)
        (kept if run else left).append(item)
    config.hook.pytest_deselected(items=left)
    items[:] = kept
