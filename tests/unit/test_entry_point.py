"""The program's entry point stays what a reader takes in at once."""

from __future__ import annotations

import pytest

from tools.common import ROOT

pytestmark = pytest.mark.unit


def test_the_entry_point_is_shorter_than_40_lines() -> None:
    assert len((ROOT / "__main__.py").read_text().splitlines()) < 40
