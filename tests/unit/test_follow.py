"""What `make run` and `make logs` say of a Job that takes its time: that it works, until it has ended."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from tools.common import Failure
from tools.jobs import follow as module
from tools.jobs.follow import PATIENCE, follow, log_of

pytestmark = pytest.mark.unit
RUN = "0" * 32
FIRST, SECOND, THIRD = (f"2026-11-23T09:00:0{n}.000000000Z" for n in (1, 2, 3))


def pod(name: str, **state: Any) -> dict[str, Any]:
    """A pod of one container, main, in this state."""
    return {
        "metadata": {"name": name, "creationTimestamp": name},
        "spec": {"containers": [{"name": "main"}]},
        "status": {"phase": "Running", "containerStatuses": [{"name": "main", "state": state}]},
    }


ENDED = {"terminated": {"exitCode": 0}}


@dataclass
class Pretend:
    """A cluster with one Job, whose seconds pass while somebody sleeps.

    :ivar change: called with the time at each look.
    :ivar logs: what each `kubectl logs` brings; a Failure where it ends badly.
    """

    change: Callable[[float], None] = lambda _: None
    now: float = 0.0
    conditions: list[dict[str, str]] = field(default_factory=list)
    pods: list[dict[str, Any]] = field(default_factory=list)
    logs: list[list[str | Failure]] = field(default_factory=list)
    asked: list[tuple[str, ...]] = field(default_factory=list)

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        assert self.now < 3600, "it waits for ever"

    def ends(self, how: str) -> None:
        self.conditions = [{"type": how, "status": "True", "reason": "BackoffLimitExceeded"}]

    def objects(self, kind: str, *words: str) -> list[dict[str, Any]]:
        self.change(self.now)
        if kind == "jobs":
            return [{"metadata": {"name": "train"}, "spec": {}, "status": {"conditions": self.conditions}}]
        if kind == "events":
            return []
        name = words[1].partition("metadata.name=")[2]
        return [each for each in self.pods if not name or each["metadata"]["name"] == name]

    def lines(self, *words: str) -> Iterator[str]:
        self.asked.append(words)
        for each in self.logs.pop(0):
            if isinstance(each, Failure):
                raise each
            yield each


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Any:
    made = Pretend()
    monkeypatch.setattr(module.time, "sleep", made.sleep)
    monkeypatch.setattr(module.time, "monotonic", lambda: made.now)
    return made


def test_a_job_that_waits_for_its_fifth_retry_has_not_failed(cluster: Any) -> None:
    def change(now: float) -> None:
        if now > 300:
            cluster.pods = [pod("a", **ENDED), pod("b", **ENDED)]
        if len(cluster.asked) == 2:
            cluster.ends("Complete")

    cluster.change, cluster.pods = change, [pod("a", terminated={"exitCode": 1})]
    cluster.logs = [[f"{FIRST} first\n"], [f"{SECOND} launcher: experiment 1 run {RUN}\n"]]
    assert follow(cluster, "train") == ("1", RUN)
    assert cluster.now > 300


def test_a_job_that_says_so_has_failed(cluster: Any) -> None:
    cluster.pods, cluster.logs = [pod("a", terminated={"exitCode": 1})], [[]]
    cluster.ends("Failed")
    with pytest.raises(Failure, match="Job train failed: BackoffLimitExceeded"):
        follow(cluster, "train")


def test_a_log_that_is_cut_without_an_error_is_taken_up_where_it_was(cluster: Any) -> None:
    def change(_: float) -> None:
        if len(cluster.asked) == 2:
            cluster.pods = [pod("a", **ENDED)]

    cluster.change, cluster.pods = change, [pod("a", running={})]
    again = f"{FIRST} one\n"  # the API server knows whole seconds only
    cluster.logs = [[again], [again, f"{SECOND} two\n"], [f"{SECOND} two\n", f"{THIRD} three\n"]]
    assert list(log_of(cluster, "a", "main")) == ["one\n", "two\n", "three\n"]
    assert [words[-1] for words in cluster.asked[1:]] == [f"--since-time={FIRST}", f"--since-time={SECOND}"]


def test_parts_of_a_progress_bar_go_with_their_line(cluster: Any) -> None:
    def change(_: float) -> None:
        if cluster.asked:
            cluster.pods = [pod("a", **ENDED)]

    cluster.change, cluster.pods = change, [pod("a", running={})]
    bar = [f"{FIRST} 10 %\n", "20 %\n"]  # one line with a carriage return in it
    cluster.logs = [bar, [*bar, f"{SECOND} 30 %\n", "40 %\n"]]
    assert "".join(log_of(cluster, "a", "main")) == "10 %\n20 %\n30 %\n40 %\n"


def test_a_log_that_breaks_off_is_asked_for_again_and_given_up_when_it_brings_nothing(cluster: Any) -> None:
    broken = Failure("kubectl logs exited 1")
    cluster.pods = [pod("a", running={})]
    cluster.logs = [[f"{FIRST} one\n", broken], *([broken] for _ in range(10))]
    found = log_of(cluster, "a", "main")
    assert next(found) == "one\n"
    with pytest.raises(Failure, match="kubectl logs exited 1"):
        next(found)
    assert cluster.now > 30


def test_the_log_of_a_pod_that_is_deleted_ends(cluster: Any) -> None:
    cluster.pods, cluster.logs = [], []
    assert list(log_of(cluster, "a", "main")) == []


def test_a_pull_of_ten_minutes_is_waited_for_and_said(
    cluster: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    def change(now: float) -> None:
        if now > 600:
            cluster.pods = [pod("a", **ENDED)]
            cluster.ends("Complete")

    cluster.change, cluster.logs = change, [[f"{FIRST} launcher: experiment 1 run {RUN}\n"]]
    cluster.pods = [pod("a", waiting={"reason": "ContainerCreating"})]
    assert follow(cluster, "train") == ("1", RUN)
    told = "".join(capsys.readouterr())
    assert "main waits: ContainerCreating" in told


def test_an_image_that_came_at_the_second_try_is_no_failure(cluster: Any) -> None:
    def change(now: float) -> None:
        if now > PATIENCE - 60:
            cluster.pods = [pod("a", **ENDED)]
            cluster.ends("Complete")

    cluster.change, cluster.logs = change, [[f"{FIRST} launcher: experiment 1 run {RUN}\n"]]
    cluster.pods = [pod("a", waiting={"reason": "ErrImagePull", "message": "busy"})]
    assert follow(cluster, "train") == ("1", RUN)


@pytest.mark.parametrize(
    ("reason", "least"), [("ImagePullBackOff", PATIENCE), ("CreateContainerConfigError", 0)]
)
def test_what_does_not_start_is_told_with_its_reason_and_not_called_failed(
    reason: str, least: int, cluster: Any
) -> None:
    cluster.pods = [pod("a", waiting={"reason": reason, "message": "not found"})]
    with pytest.raises(Failure, match=f"Job train does not start: container main: {reason}: not found") as no:
        follow(cluster, "train")
    assert "failed" not in str(no.value)
    assert "make stop" in no.value.hint
    assert least <= cluster.now < least + 10
