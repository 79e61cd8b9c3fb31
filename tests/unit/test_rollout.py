"""How a service is rolled and waited for, against a namespace in memory; real pods: tests/cluster."""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Any

import pytest

from components.jobs.scripts import kubernetes, rollout
from components.jobs.scripts.pods import why
from components.jobs.scripts.rollout import Failed, roll, wait
from tests.unit.pretend_cluster import Pretend, registry_saying

pytestmark = pytest.mark.unit


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Pretend:
    monkeypatch.setattr(kubernetes, "PERIOD", 0.001)
    return Pretend()


def deployment(cluster: Pretend, replicas: int, wanted: str | None = "2", **status: Any) -> None:
    cluster.put(
        "deployments",
        "serve",
        metadata={"annotations": {"mlflow/replicas": wanted} if wanted else {}},
        spec={"replicas": replicas, "progressDeadlineSeconds": 30, "template": {"metadata": {}}},
        status=status,
    )


def then(cluster: Pretend, *moves: Callable[[dict[str, Any]], None]) -> None:
    """The Deployment controller: one move for each time that somebody looks."""
    left = list(moves)

    def tick() -> None:
        if left:
            left.pop(0)(cluster.objects["deployments", "serve"])

    cluster.tick = tick


def status(replicas: int, updated: int, available: int, seen: int = 2) -> Callable[[dict[str, Any]], None]:
    counts = {"replicas": replicas, "updatedReplicas": updated, "availableReplicas": available}
    return lambda found: found.update(status={"observedGeneration": seen, **counts})


def test_a_rollout_gives_the_pods_another_annotation_and_keeps_their_number(cluster: Pretend) -> None:
    deployment(cluster, 3)
    first = roll(cluster, "serve")
    second = roll(cluster, "serve")
    stamps = [
        each["spec"]["template"]["metadata"]["annotations"]["mlflow/rolled-at"] for each in (first, second)
    ]
    assert stamps[0] < stamps[1]
    assert second["spec"]["replicas"] == 3


def test_a_service_without_pods_gets_as_many_as_it_wants(cluster: Pretend) -> None:
    deployment(cluster, 0)
    assert roll(cluster, "serve")["spec"]["replicas"] == 2


class Known:
    """A registry in which the alias leads to version 7."""

    def resolved(self, model: str) -> str:
        if model != "models:/churn@champion":
            raise rollout.NotYet("Registered model alias challenger not found.")
        return "models:/churn/7"


def test_a_model_server_is_rolled_to_the_version_that_its_alias_leads_to_now(
    cluster: Pretend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rollout, "Registry", Known)
    deployment(cluster, 0)
    annotations = cluster.objects["deployments", "serve"]["metadata"]["annotations"]
    annotations["mlflow/model"] = "models:/churn@champion"
    rolled = roll(cluster, "serve")
    pods = rolled["spec"]["template"]["metadata"]["annotations"]
    assert pods["mlflow/model-version"] == "models:/churn/7"
    assert rolled["spec"]["replicas"] == 2
    annotations["mlflow/model"] = "models:/churn@challenger"
    cluster.objects["deployments", "serve"]["metadata"]["annotations"] = annotations
    with pytest.raises(Failed, match=r"serve: models:/churn@challenger: .* alias challenger not found"):
        roll(cluster, "serve")


def test_a_model_server_that_has_pods_for_the_version_is_not_rolled_again_unless_it_is_stuck(
    cluster: Pretend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rollout, "Registry", Known)
    deployment(cluster, 1)
    found = cluster.objects["deployments", "serve"]
    found["metadata"]["annotations"]["mlflow/model"] = "models:/churn@champion"
    found["spec"]["template"]["metadata"]["annotations"] = {"mlflow/model-version": "models:/churn/7"}
    assert roll(cluster, "serve")["metadata"]["generation"] == 1
    assert cluster.asked == []
    condition = {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}
    found["status"] = {"conditions": [condition]}
    roll(cluster, "serve")
    assert cluster.asked == [("PATCH", "deployments", "serve")]


def test_a_tracking_server_that_is_away_for_a_moment_is_asked_again(
    cluster: Pretend, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers: list[Exception | str] = [ConnectionRefusedError("refused"), "models:/churn/8"]

    monkeypatch.setattr(rollout, "Registry", registry_saying(answers))
    monkeypatch.setattr(rollout, "PERIOD", 0.001)
    deployment(cluster, 1)
    cluster.objects["deployments", "serve"]["metadata"]["annotations"]["mlflow/model"] = "models:/churn@live"
    pods = roll(cluster, "serve")["spec"]["template"]["metadata"]["annotations"]
    assert pods["mlflow/model-version"] == "models:/churn/8"
    answers.append(ConnectionRefusedError("refused"))
    with pytest.raises(rollout.Away, match=r"serve: models:/churn@live: .* does not answer: refused"):
        roll(cluster, "serve", patience=0)


def test_one_scaled_to_nothing_by_hand_is_not_said_to_serve(cluster: Pretend) -> None:
    deployment(cluster, 0, wanted=None)
    with pytest.raises(Failed, match="scaled to no pods by hand"):
        roll(cluster, "serve")
    assert cluster.asked == []


def test_one_that_is_not_there_is_named(cluster: Pretend) -> None:
    with pytest.raises(Failed, match="there is no Deployment serve"):
        roll(cluster, "serve")


def test_a_rollout_is_through_when_only_new_pods_are_left_and_all_serve(cluster: Pretend) -> None:
    deployment(cluster, 2)
    begun = roll(cluster, "serve")
    looks: list[str] = []

    def noting(name: str, move: Callable[[dict[str, Any]], None]) -> Callable[[dict[str, Any]], None]:
        def moved(found: dict[str, Any]) -> None:
            looks.append(name)
            move(found)

        return moved

    then(
        cluster,
        noting("not seen yet", status(2, 2, 2, seen=1)),
        noting("an old pod is left", status(3, 2, 3)),
        noting("one is not ready", status(2, 2, 1)),
        noting("through", status(2, 2, 2)),
    )
    wait(cluster, begun)
    assert looks[-1] == "through"


def test_a_pod_that_does_not_start_is_told_with_its_last_words(cluster: Pretend) -> None:
    deployment(cluster, 1)
    begun = roll(cluster, "serve")
    ended = {"exitCode": 3, "reason": "Error", "message": "loading\nno such alias: champion\n"}
    waiting = {"waiting": {"reason": "CrashLoopBackOff"}}
    cluster.put("pods", "old", metadata={"labels": {"mlflow/service": "serve"}}, status={})
    cluster.put(
        "pods",
        "new",
        metadata={"labels": {"mlflow/service": "serve"}},
        status={
            "containerStatuses": [{"name": "server", "state": waiting, "lastState": {"terminated": ended}}]
        },
    )

    def over(found: dict[str, Any]) -> None:
        condition = {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}
        found["status"] = {"observedGeneration": 2, "conditions": [condition]}

    then(cluster, status(1, 0, 0), over)
    with pytest.raises(
        Failed, match=r"serve: no new pod became ready within 30 s; container server: Error"
    ) as e:
        wait(cluster, begun)
    assert "no such alias: champion" in str(e.value)


def test_who_may_not_look_at_pods_is_told_what_went_wrong_all_the_same(
    cluster: Pretend, monkeypatch: pytest.MonkeyPatch
) -> None:
    deployment(cluster, 2)
    begun = roll(cluster, "serve")

    def refused(*_: Any, **__: Any) -> None:
        raise kubernetes.Refused("GET", "pods", 403, "forbidden")

    monkeypatch.setattr(cluster, "list", refused)
    late = {"type": "Progressing", "reason": "ProgressDeadlineExceeded"}
    then(cluster, lambda found: found.update(status={"observedGeneration": 2, "conditions": [late]}))
    with pytest.raises(Failed, match=r"no new pod became ready within 30 s; `make logs JOB=serve`"):
        wait(cluster, begun)


def test_pods_that_a_quota_keeps_away_are_told_with_the_quotas_words(cluster: Pretend) -> None:
    deployment(cluster, 1)
    begun = roll(cluster, "serve")

    def over(found: dict[str, Any]) -> None:
        progress = {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}
        quota = {"type": "ReplicaFailure", "status": "True", "message": "exceeded quota: small"}
        found["status"] = {"observedGeneration": 2, "conditions": [progress, quota]}

    then(cluster, over)
    with pytest.raises(Failed, match="exceeded quota: small"):
        wait(cluster, begun)


def test_one_that_is_deleted_meanwhile_is_told(cluster: Pretend) -> None:
    deployment(cluster, 1)
    begun = roll(cluster, "serve")
    del cluster.objects["deployments", "serve"]
    with pytest.raises(Failed, match="there is no Deployment serve"):
        wait(cluster, begun)


def test_the_script_rolls_all_it_is_given_at_once_and_says_what_failed(
    cluster: Pretend, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(rollout, "Api", lambda: cluster)
    deployment(cluster, 1)
    cluster.objects["deployments", "serve"]["status"] = {
        "observedGeneration": 2, "replicas": 1, "updatedReplicas": 1, "availableReplicas": 1,
    }  # fmt: skip
    assert rollout.main(["serve"]) == 0
    assert rollout.main(["serve", "other"]) == 1
    assert "there is no Deployment other" in caplog.text


def test_the_script_ends_at_once_when_its_pod_is_stopped(
    cluster: Pretend, monkeypatch: pytest.MonkeyPatch
) -> None:
    deployment(cluster, 1)
    monkeypatch.setattr(rollout, "Api", lambda: cluster)
    cluster.tick = lambda: signal.raise_signal(signal.SIGTERM)
    before = signal.getsignal(signal.SIGTERM)
    try:
        with pytest.raises(SystemExit) as ended:
            rollout.main(["serve"])
    finally:
        signal.signal(signal.SIGTERM, before)
    assert ended.value.code == 143


def container(name: str, **status: Any) -> dict[str, Any]:
    return {"containerStatuses": [{"name": name, **status}]}


UNSCHEDULABLE = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes"}
NO_IMAGE = {"waiting": {"reason": "ImagePullBackOff", "message": "no x"}}
KILLED = {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}


@pytest.mark.parametrize(
    ("pod", "words"),
    [
        ({}, ""),
        ({"conditions": [UNSCHEDULABLE]}, "Unschedulable: 0/3 nodes"),
        (
            {"initContainerStatuses": [{"name": "fetch-code", "state": NO_IMAGE}]},
            "container fetch-code: ImagePullBackOff: no x",
        ),
        (container("job", state={"waiting": {"reason": "PodInitializing"}}), ""),
        (container("job", state=KILLED), "container job: OOMKilled, exit code 137"),
        (container("job", state={"terminated": {"exitCode": 0}}), ""),
        ({"reason": "Evicted", "message": "low on disk"}, "Evicted: low on disk"),
        (
            container("s", ready=False, started=False, state={"running": {}}),
            "container s runs, but has not become ready",
        ),
    ],
)
def test_what_is_wrong_with_a_pod_is_told_in_a_line(pod: dict[str, Any], words: str) -> None:
    assert why({"status": pod}) == words
