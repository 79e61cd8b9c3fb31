"""`make move`: what is refused before, and what is noticed after."""

from __future__ import annotations

from typing import Any

import pytest

from tools.common import Failure
from tools.move.__main__ import compare, main, refuse

EMPTY = {"experiments": 1, "workspaces": 1, "runs": 0, "secrets": 0}
FULL = {"experiments": 3, "workspaces": 1, "runs": 31, "secrets": 0}


def facts(counts: dict[str, int], **more: Any) -> dict[str, Any]:
    return {"revision": "1", "counts": counts, "direct": {}, "others": [], **more}


def test_a_full_stack_may_be_moved_into_an_empty_one() -> None:
    refuse("dev", "aws", facts(FULL), facts(EMPTY))


@pytest.mark.parametrize(
    ("source", "target", "complaint"),
    [
        (facts(FULL), facts(EMPTY, revision="2"), "the schemas differ: dev has 1, aws 2"),
        (facts(FULL), facts(FULL), "stack aws is not empty: 3 experiments, 31 runs"),
        (facts(FULL), facts(EMPTY | {"experiments": 2}), "stack aws is not empty: 2 experiments"),
        (facts(FULL, direct={"runs": 4}), facts(EMPTY), "in stack dev 4 runs name their store directly"),
        (facts(FULL | {"secrets": 2}), facts(EMPTY), "stack dev holds 2 gateway secrets"),
    ],
)
def test_what_would_not_be_whole_is_refused(source: Any, target: Any, complaint: str) -> None:
    with pytest.raises(Failure, match=complaint) as refused:
        refuse("dev", "aws", source, target)
    assert refused.value.hint


FILES = {"1/a": 10, "1/b": 0}


@pytest.mark.parametrize(
    ("after", "there", "arrived", "complaint"),
    [
        (FULL, FULL | {"runs": 30}, FILES, "not all of it arrived: runs"),
        (FULL, FULL, {"1/a": 10}, "not all of it arrived: 1/b"),
        (FULL, FULL, {"1/a": 9, "1/b": 0}, "not all of it arrived: 1/a"),
        (FULL | {"runs": 32}, FULL, FILES, r"written to meanwhile \(runs\)"),
    ],
)
def test_what_is_missing_or_changed_meanwhile_is_noticed(
    after: dict, there: dict, arrived: dict, complaint: str
) -> None:
    compare("dev", FULL, facts(FULL), facts(FULL), FILES, FILES)
    with pytest.raises(Failure, match=complaint):
        compare("dev", FULL, facts(after), facts(there), FILES, arrived)


def test_a_stack_cannot_be_moved_into_itself() -> None:
    with pytest.raises(Failure, match="into itself"):
        main(["--from", "dev", "--to", "dev"])
