"""What is said while the engine works on one step for long."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from tools.engine import progress as module
from tools.engine.progress import HEARTBEAT, Progress, watched

pytestmark = pytest.mark.unit
URN = "urn:pulumi:dev::mlflow::mlflow:aws:Data$aws:rds/instance:Instance::mlflow-database"


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(module, "time", made)
    return made


def event(**said: Any) -> Any:
    """An event of the engine: exactly one of its kinds."""
    kinds = ("resource_pre_event", "res_outputs_event", "res_op_failed_event", "diagnostic_event")
    return SimpleNamespace(**dict.fromkeys((*kinds, "summary_event")) | said)


def step(op: str = "create", *, made: bool = True) -> Any:
    """A step of the engine about a resource; a component where nobody makes it."""
    state = SimpleNamespace(custom=made)
    return SimpleNamespace(
        metadata=SimpleNamespace(urn=URN, op=SimpleNamespace(value=op), new=state, old=None)
    )


@pytest.fixture
def beats(clock: Clock, capsys: pytest.CaptureFixture[str]) -> Callable[[Progress, float], str]:
    """What is said when so many seconds have passed."""

    def beat(progress: Progress, seconds: float) -> str:
        clock.now += seconds
        progress.beat()
        return capsys.readouterr().err.strip()

    return beat


def test_a_long_step_is_heard_of_each_time_a_while_has_passed_until_it_ends(
    beats: Callable[[Progress, float], str], capsys: pytest.CaptureFixture[str]
) -> None:
    progress = Progress("up")
    progress(event(resource_pre_event=step()))
    assert beats(progress, HEARTBEAT - 1) == ""
    assert beats(progress, 1) == f"… create Instance mlflow-database ({HEARTBEAT:.0f} s)"
    assert beats(progress, HEARTBEAT - 1) == "", "once is enough"
    assert beats(progress, 1) == f"… create Instance mlflow-database ({2 * HEARTBEAT:.0f} s)"
    progress(event(res_outputs_event=step()))
    assert f"created Instance mlflow-database ({2 * HEARTBEAT:.1f} s)" in capsys.readouterr().err
    assert beats(progress, HEARTBEAT) == ""


def test_a_long_step_is_told_with_what_its_provider_said_last(
    beats: Callable[[Progress, float], str],
) -> None:
    progress = Progress("up")
    progress(event(resource_pre_event=step()))
    for text in ("first", "waiting for [app] pods"):
        said = SimpleNamespace(message=text, ephemeral=True, urn=URN, severity="info")
        progress(event(diagnostic_event=said))
    assert beats(progress, HEARTBEAT).endswith(f"({HEARTBEAT:.0f} s): waiting for [app] pods")


@pytest.mark.parametrize("quiet", [step("same"), step(made=False)], ids=["unchanged", "a component"])
def test_what_nobody_waits_for_is_not_heard_of(quiet: Any, beats: Callable[[Progress, float], str]) -> None:
    progress = Progress("up")
    progress(event(resource_pre_event=quiet))
    assert beats(progress, 10 * HEARTBEAT) == ""


def test_the_heart_beats_for_as_long_as_the_operation_runs_and_also_when_it_fails(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Hasty(threading.Event):
        """Waits as the heart does, but for a moment instead of a second."""

        def wait(self, timeout: float | None = None) -> bool:
            return super().wait(timeout and 0.001)

    threads: list[threading.Thread] = []

    def thread(**how: Any) -> threading.Thread:
        threads.append(threading.Thread(**how))
        return threads[-1]

    beaten = threading.Event()
    monkeypatch.setattr(module, "threading", SimpleNamespace(Event=Hasty, Thread=thread))
    monkeypatch.setattr(Progress, "beat", lambda _: beaten.set())

    def fails() -> None:
        with watched("up", "dev"):
            assert beaten.wait(10)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fails()
    assert [each.is_alive() for each in threads] == [False]
