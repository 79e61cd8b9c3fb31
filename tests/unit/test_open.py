"""`make open` stays: when the pod behind the port goes, the same port leads to the next one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from tools import open as verb
from tools.common import Failure
from tools.deployed import Deployed

pytestmark = pytest.mark.unit
STACK = Deployed("dev", {"namespace": "mlflow", "database": {}}, ())


class Ports:
    """kubectl's forwarding, without kubectl.

    :ivar story: what becomes of each attempt: a Failure, or what happens once the port is open.
    :ivar asked: the port that each attempt asked for; 0 for any.
    """

    def __init__(self) -> None:
        self.story: list[Failure | Callable[[], None]] = []
        self.asked: list[int] = []

    @contextmanager
    def forwarded(self, _deployed: Deployed, port: int = 0) -> Iterator[tuple[int, Any]]:
        self.asked.append(port)
        turn = self.story.pop(0)
        if isinstance(turn, Failure):
            raise turn
        yield port or 4711, SimpleNamespace(wait=turn)


@pytest.fixture
def ports(monkeypatch: pytest.MonkeyPatch) -> Ports:
    made = Ports()
    monkeypatch.setattr(verb, "forwarded", made.forwarded)
    monkeypatch.setattr(verb, "find", lambda _: STACK)
    monkeypatch.setattr(verb, "time", SimpleNamespace(sleep=lambda _: None))
    return made


AWAY = Failure("no port could be forwarded")


def the_pod_goes() -> None:
    """What kubectl does then: it ends."""


def ctrl_c() -> None:
    raise KeyboardInterrupt


def test_a_port_whose_pod_went_is_opened_again_until_ctrl_c(
    ports: Ports, capsys: pytest.CaptureFixture[str]
) -> None:
    ports.story = [the_pod_goes, AWAY, AWAY, the_pod_goes, ctrl_c]
    with pytest.raises(KeyboardInterrupt):
        verb.main([])
    assert ports.asked == [0, 4711, 4711, 4711, 4711]
    shown = capsys.readouterr()
    assert shown.out == "http://127.0.0.1:4711\n", "the address is told once"
    assert shown.err.count("connecting to the next one") == 2, "once each time, not at each attempt"
    assert shown.err.count("connected again") == 2


def test_a_port_that_never_opened_is_told_at_once_and_a_server_that_stays_away_after_a_while(
    ports: Ports,
) -> None:
    ports.story = [AWAY]
    with pytest.raises(Failure, match="no port could be forwarded"):
        verb.main([])
    ports.asked.clear()
    ports.story = [the_pod_goes, *[AWAY] * 1000]
    with pytest.raises(Failure, match="no port could be forwarded"):
        verb.main([])
    assert len(ports.asked) == 1 + verb.TRIES
