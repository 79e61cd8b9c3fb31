"""What a test does where what it needs is not there."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any, NoReturn

import pytest

from tools.common import LOCAL

REQUIRE = "REQUIRE_CLUSTER"


def missing(text: str) -> NoReturn:
    """Skip for want of a cluster or of something on it; fail where ``REQUIRE_CLUSTER`` is 1, as in CI."""
    if os.environ.get(REQUIRE) == "1":
        pytest.fail(f"{text} ({REQUIRE} is 1)")
    pytest.skip(text)


def known_cluster() -> dict[str, Any]:
    """What `make cluster` noted."""
    note = LOCAL / "cluster.json"
    if not note.exists():
        missing("there is no cluster: run `make cluster`")
    return json.loads(note.read_text())


def host_address(cluster: Mapping[str, Any]) -> str:
    """The address of this machine as pods of the cluster reach it."""
    known = cluster["hostAddress"]
    if known is None:
        missing("it is not known under which address this cluster's pods reach this machine")
    return known
