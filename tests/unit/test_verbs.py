"""How a verb ends."""

from __future__ import annotations

import pytest

from tools.common import HINT, Failure, cli

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("failure", "what_to_do"),
    [(Failure("no node", "make cluster"), "make cluster"), (Failure("kubectl get exited 1"), HINT)],
)
def test_each_failure_ends_with_one_line_that_says_what_to_do(
    failure: Failure, what_to_do: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def verb(_words: list[str]) -> int:
        raise failure

    with pytest.raises(SystemExit) as ended:
        cli(verb)
    assert ended.value.code == 1
    told = " ".join("".join(capsys.readouterr()).split())
    assert told.endswith(f"What to do: {what_to_do}")
    assert str(failure) in told
