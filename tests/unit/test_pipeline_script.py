"""What a pipeline's pod decides, in a namespace in memory; real pods: tests/cluster/test_pipelines.py."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from components.jobs import names
from components.jobs.scripts import kubernetes, pipeline, stages
from components.jobs.scripts.kubernetes import Refused
from components.jobs.scripts.pipeline import FAILED, STOPPED, UNANSWERED, Pipeline, execute
from components.jobs.scripts.stages import name_of
from tests.unit.pretend_cluster import Object, Pretend, registry_saying

pytestmark = pytest.mark.unit
RUN = "daily-29385720"
Stages = dict[str, dict[str, Any]]
CHAIN: Stages = {"a": {"job": "load"}, "b": {"job": "train", "after": ["a"]}}
WIDE: Stages = {
    "load": {"job": "load"},
    "left": {"job": "train", "after": ["load"]},
    "right": {"job": "tune", "after": ["load"]},
    "best": {"job": "best", "after": ["left", "right"]},
}


class Namespace(Pretend):
    """A namespace with the pipeline's own Job and the templates of its jobs."""

    def __init__(self, *jobs: str) -> None:
        super().__init__()
        self.own = self.put("jobs", RUN, spec={})
        for job in jobs or ("load", "train", "tune", "best"):
            self.template(job)

    def template(self, job: str, policy: str = "Forbid") -> None:
        container = {
            "name": "job",
            "command": ["python", "--entry-point=main", "--param=alpha=0.1"],
            "env": [],
        }
        pod = {"metadata": {"labels": {"mlflow/job": job}}, "spec": {"containers": [container]}}
        spec = {"template": pod, "backoffLimit": 1, "ttlSecondsAfterFinished": 3600}
        labels = {"labels": {"mlflow/job": job}}
        template = {"metadata": labels, "spec": spec}
        self.put("cronjobs", job, spec={"concurrencyPolicy": policy, "jobTemplate": template})

    def ends(self, stage: str, how: str = "Complete", **condition: str) -> None:
        job = self.objects["jobs", name_of(RUN, stage)]
        job["status"] = {"conditions": [{"type": how, "status": "True", **condition}]}

    def started(self) -> list[str]:
        prefix = f"{RUN}-"
        return [
            name.removeprefix(prefix) for verb, kind, name in self.asked if (verb, kind) == ("POST", "jobs")
        ]

    def deleted(self) -> list[str]:
        return [name for verb, _, name in self.asked if verb == "DELETE"]


def of(cluster: Pretend, stages: Stages) -> Pipeline:
    return Pipeline(cluster, "daily", stages, RUN, f"uid-{RUN}")


@pytest.fixture(autouse=True)
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline, "PERIOD", 0.001)
    monkeypatch.setattr(kubernetes, "PERIOD", 0.001)


def test_a_stage_starts_once_those_it_follows_have_succeeded_and_those_of_one_step_together() -> None:
    cluster = Namespace()
    run = of(cluster, WIDE)
    run.look()
    run.look()
    assert cluster.started() == ["load"]
    cluster.ends("load")
    run.look()
    assert cluster.started() == ["load", "left", "right"]
    cluster.ends("left")
    run.look()
    assert cluster.started() == ["load", "left", "right"]
    cluster.ends("right")
    run.look()
    cluster.ends("best")
    assert run.look()
    assert cluster.started() == ["load", "left", "right", "best"]


def test_a_stages_job_is_its_templates_with_the_stages_own_words() -> None:
    cluster = Namespace()
    stage = {"job": "load", "parameters": ["alpha=0.5"], "retries": 0, "deadlineSeconds": 60}
    of(cluster, {"a": stage}).look()
    job = cluster.objects["jobs", f"{RUN}-a"]
    main = job["spec"]["template"]["spec"]["containers"][0]
    assert main["command"] == ["python", "--entry-point=main", "--param=alpha=0.1", "--param=alpha=0.5"]
    assert {"name": "JOB_TRIGGER", "value": "pipeline/daily"} in main["env"]
    assert job["spec"]["backoffLimit"] == 0
    assert job["spec"]["activeDeadlineSeconds"] == 60
    assert job["metadata"]["labels"] == {
        "mlflow/job": "load",
        "mlflow/pipeline-run": RUN,
        "mlflow/stage": "a",
    }
    (owner,) = job["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["name"], owner["uid"]) == ("Job", RUN, f"uid-{RUN}")
    # Gone before its pipeline, it would be started again by the pipeline's next pod.
    assert "ttlSecondsAfterFinished" not in job["spec"]
    template = cluster.objects["cronjobs", "load"]["spec"]["jobTemplate"]
    assert template["spec"]["template"]["spec"]["containers"][0]["env"] == []


def test_the_script_and_the_program_use_the_same_names() -> None:
    assert stages.JOB == names.JOB_LABEL
    assert stages.RUN == names.RUN_LABEL
    assert stages.STAGE == names.STAGE_LABEL
    assert stages.MAIN == names.MAIN


def test_the_next_pod_goes_on_where_the_last_one_was_killed() -> None:
    cluster = Namespace()
    of(cluster, WIDE).look()
    cluster.ends("load")
    of(cluster, WIDE).look()
    of(cluster, WIDE).look()
    cluster.ends("left")
    cluster.ends("right")
    of(cluster, WIDE).look()
    cluster.ends("best")
    assert of(cluster, WIDE).look()
    assert cluster.started() == ["load", "left", "right", "best"]


def test_a_pod_killed_while_it_ended_the_others_has_a_successor_that_starts_none_of_them_anew() -> None:
    stages: Stages = {"slow": {"job": "train"}, "fails": {"job": "tune"}}
    cluster = Namespace()
    of(cluster, stages).look()
    cluster.ends("fails", "Failed", reason="BackoffLimitExceeded", message="Job has reached its limit")
    del cluster.objects["jobs", name_of(RUN, "slow")]
    assert execute(of(cluster, stages)) == FAILED
    assert cluster.started() == ["slow", "fails"]


def test_a_failing_stage_ends_the_others_starts_no_more_and_is_told_with_its_last_lines(
    caplog: pytest.LogCaptureFixture,
) -> None:
    cluster = Namespace()
    run = of(cluster, WIDE)
    run.look()
    cluster.ends("load")
    run.look()
    cluster.ends("left", "Failed", reason="BackoffLimitExceeded", message="Job has reached its limit")
    state = {"terminated": {"exitCode": 1, "reason": "Error", "message": "line 1\nValueError: no data"}}
    label = {"batch.kubernetes.io/job-name": f"{RUN}-left"}
    pod_status = {"containerStatuses": [{"name": "job", "state": state}]}
    cluster.put("pods", "p", metadata={"labels": label}, status=pod_status)
    assert execute(run) == FAILED
    assert cluster.deleted() == [f"{RUN}-right"]
    assert "best" not in cluster.started()
    assert f"stage left failed: Job {RUN}-left: BackoffLimitExceeded" in caplog.text
    assert "ValueError: no data" in caplog.text
    assert "not done: best, left, right" in caplog.text


def test_a_job_that_runs_already_is_waited_for_under_forbid(caplog: pytest.LogCaptureFixture) -> None:
    cluster = Namespace()
    other = cluster.put("jobs", "load-by-hand", metadata={"labels": {"mlflow/job": "load"}}, spec={})
    run = of(cluster, CHAIN)
    run.look()
    run.look()
    assert cluster.started() == []
    assert caplog.text.count("a waits for Job load-by-hand") == 1
    other["status"] = {"conditions": [{"type": "Failed", "status": "True"}]}
    run.look()
    assert cluster.started() == ["a"]


def test_two_stages_of_one_job_run_one_after_the_other_unless_it_allows_both() -> None:
    twice: Stages = {"a": {"job": "load"}, "b": {"job": "load"}}
    cluster = Namespace()
    run = of(cluster, twice)
    run.look()
    assert cluster.started() == ["a"]
    cluster.ends("a")
    run.look()
    assert cluster.started() == ["a", "b"]
    cluster = Namespace()
    cluster.template("load", "Allow")
    of(cluster, twice).look()
    assert cluster.started() == ["a", "b"]


def test_a_job_that_runs_already_is_ended_under_replace() -> None:
    cluster = Namespace()
    cluster.template("load", "Replace")
    cluster.put("jobs", "load-by-hand", metadata={"labels": {"mlflow/job": "load"}}, spec={})
    run = of(cluster, CHAIN)
    run.look()
    assert (cluster.deleted(), cluster.started()) == (["load-by-hand"], [])
    run.look()
    assert cluster.started() == ["a"]


def test_under_replace_a_stage_of_the_same_run_is_waited_for() -> None:
    cluster = Namespace()
    cluster.template("load", "Replace")
    run = of(cluster, {"a": {"job": "load"}, "b": {"job": "load"}})
    run.look()
    run.look()
    assert (cluster.started(), cluster.deleted()) == (["a"], [])
    cluster.ends("a")
    run.look()
    assert cluster.started() == ["a", "b"]


def test_a_stage_whose_job_is_not_there_is_told(caplog: pytest.LogCaptureFixture) -> None:
    assert execute(of(Namespace("other"), CHAIN)) == FAILED
    assert "stage a: there is no job load; `make up` makes it" in caplog.text


def test_a_stage_that_somebody_stopped_is_not_started_again(caplog: pytest.LogCaptureFixture) -> None:
    cluster = Namespace()
    run = of(cluster, CHAIN)
    run.look()
    del cluster.objects["jobs", f"{RUN}-a"]
    assert execute(run) == FAILED
    assert "somebody deleted its Job" in caplog.text
    assert cluster.started() == ["a"]


class Deaf(Namespace):
    """Makes what it is asked for, and its answer is lost; the client asks again."""

    def ask(self, method: str, path: str, body: Any = None, content: str = "application/json") -> Any:
        if method == "POST":
            super().ask(method, path, body, content)
        return super().ask(method, path, body, content)


def test_a_job_whose_answer_was_lost_is_not_made_twice() -> None:
    cluster = Deaf()
    run = of(cluster, CHAIN)
    run.look()
    cluster.ends("a")
    run.look()
    cluster.ends("b")
    assert run.look()


def test_a_job_of_the_same_name_that_is_anothers_is_left_alone(caplog: pytest.LogCaptureFixture) -> None:
    cluster = Namespace()
    cluster.put("jobs", f"{RUN}-a", metadata={"labels": {"mlflow/pipeline-run": RUN, "mlflow/stage": "a"}})
    assert execute(of(cluster, CHAIN)) == FAILED
    assert "that is not this pipeline's" in caplog.text
    assert cluster.deleted() == []


class Closed(Namespace):
    """Refuses to make Jobs."""

    def ask(self, method: str, path: str, body: Any = None, content: str = "application/json") -> Any:
        if method == "POST":
            raise Refused(method, path, 403, "exceeded quota")
        return super().ask(method, path, body, content)


def test_a_refused_job_fails_its_stage_with_the_servers_words(caplog: pytest.LogCaptureFixture) -> None:
    assert execute(of(Closed(), CHAIN)) == FAILED
    assert "exceeded quota" in caplog.text


def test_what_a_stage_waits_for_is_told_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(pipeline, "COMPLAIN", -1)
    cluster = Namespace()
    involved = {"name": f"{RUN}-a", "kind": "Job"}
    cluster.put("events", "e", involvedObject=involved, reason="FailedCreate", message="exceeded quota")
    run = of(cluster, CHAIN)
    for _ in range(3):
        run.look()
    assert caplog.text.count("a waits: exceeded quota") == 1
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "no GPU"}
    label = {"batch.kubernetes.io/job-name": f"{RUN}-a"}
    cluster.put("pods", "p", metadata={"labels": label}, status={"conditions": [condition]})
    run.look()
    assert "a waits: Unschedulable: no GPU" in caplog.text


SERVE: Stages = {"a": {"job": "load"}, "serve": {"deployment": "web", "after": ["a"]}}


def web(cluster: Namespace, replicas: int = 1) -> Object:
    metadata = {"annotations": {"mlflow/replicas": "1"}}
    spec = {"replicas": replicas, "progressDeadlineSeconds": 9, "template": {"metadata": {}}}
    return cluster.put("deployments", "web", metadata=metadata, spec=spec)


def serves(cluster: Namespace) -> None:
    found = cluster.objects["deployments", "web"]
    counts = {"replicas": 1, "updatedReplicas": 1, "availableReplicas": 1}
    found["status"] = {"observedGeneration": found["metadata"]["generation"], **counts}


def test_a_service_stage_is_rolled_once_after_its_job_and_done_when_it_serves() -> None:
    cluster = Namespace()
    web(cluster, replicas=0)
    run = of(cluster, SERVE)
    run.look()
    assert ("PATCH", "deployments", "web") not in cluster.asked
    cluster.ends("a")
    run.look()
    run.look()
    of(cluster, SERVE).look()  # the next pod
    assert cluster.asked.count(("PATCH", "deployments", "web")) == 1
    assert cluster.objects["deployments", "web"]["spec"]["replicas"] == 1
    serves(cluster)
    assert run.look()


def test_two_pipelines_that_roll_one_service_do_not_do_so_for_ever() -> None:
    cluster = Namespace()
    web(cluster)
    ours = of(cluster, {"serve": {"deployment": "web"}})
    theirs = Pipeline(cluster, "other", {"serve": {"deployment": "web"}}, "other-1", "uid-other")
    for _ in range(3):
        ours.look()
        theirs.look()
    assert cluster.asked.count(("PATCH", "deployments", "web")) == 2
    serves(cluster)
    assert ours.look()
    assert theirs.look()


def test_a_service_that_does_not_start_fails_its_stage(caplog: pytest.LogCaptureFixture) -> None:
    cluster = Namespace()
    web(cluster)
    run = of(cluster, {"serve": {"deployment": "web"}})
    run.look()
    condition = {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}
    cluster.objects["deployments", "web"]["status"] = {"observedGeneration": 2, "conditions": [condition]}
    assert execute(run) == FAILED
    assert "stage serve failed: web: no new pod became ready within 9 s" in caplog.text


def test_a_tracking_server_that_is_away_holds_up_its_stage_and_no_other(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    answers: list[Any] = [ConnectionRefusedError("refused")] * 3 + ["models:/churn/1"]

    monkeypatch.setattr(pipeline.rollout, "Registry", registry_saying(answers))
    cluster = Namespace()
    web(cluster)["metadata"]["annotations"]["mlflow/model"] = "models:/churn@champion"
    run = of(cluster, {"serve": {"deployment": "web"}, "a": {"job": "load"}, "b": {"job": "train"}})
    run.look()
    assert cluster.started() == ["a", "b"]
    cluster.ends("a")
    cluster.ends("b")
    run.look()
    assert run.done == {"a", "b"}
    run.look()
    assert ("PATCH", "deployments", "web") not in cluster.asked
    run.look()
    serves(cluster)
    assert run.look()
    assert caplog.text.count("serve waits: web: models:/churn@champion: the tracking server does not") == 1


def test_a_service_that_somebody_paused_is_told_while_its_stage_waits(
    caplog: pytest.LogCaptureFixture,
) -> None:
    cluster = Namespace()
    web(cluster)["spec"]["paused"] = True
    run = of(cluster, {"serve": {"deployment": "web"}})
    for _ in range(3):
        assert not run.look()
    assert caplog.text.count("serve waits: somebody paused Deployment web") == 1


def stopped(run: Pipeline) -> int:
    """The exit code when SIGTERM comes while the pipeline works."""

    def on_term(_signal: int, _frame: object) -> None:
        raise pipeline.Stopped

    signal.signal(signal.SIGTERM, on_term)
    timer = threading.Timer(0.05, lambda: os.kill(os.getpid(), signal.SIGTERM))
    timer.start()
    try:
        return execute(run)
    finally:
        timer.join()
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def deletion(cluster: Namespace) -> None:
    cluster.own["metadata"]["deletionTimestamp"] = "now"


def gone(cluster: Namespace) -> None:
    del cluster.objects["jobs", RUN]


def another(cluster: Namespace) -> None:
    cluster.own["metadata"]["uid"] = "a later Job of this name"


def judged(cluster: Namespace) -> None:
    cluster.own["status"] = {"conditions": [{"type": "FailureTarget", "status": "True"}]}


def late(cluster: Namespace) -> None:
    cluster.own["spec"]["activeDeadlineSeconds"] = 60
    cluster.own["status"]["startTime"] = (datetime.now(UTC) - timedelta(seconds=61)).isoformat()


@pytest.mark.parametrize("how", [deletion, gone, another, judged, late])
def test_a_pipeline_that_is_stopped_ends_its_stages(how: Callable[[Namespace], None]) -> None:
    cluster = Namespace()
    run = of(cluster, CHAIN)
    run.look()
    how(cluster)
    assert stopped(run) == STOPPED
    assert cluster.deleted() == [f"{RUN}-a"]


def test_a_pod_that_is_moved_leaves_its_stages_to_the_next_one() -> None:
    cluster = Namespace()
    cluster.own["spec"]["activeDeadlineSeconds"] = 60
    cluster.own["status"]["startTime"] = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    assert stopped(of(cluster, CHAIN)) == STOPPED
    assert cluster.started() == ["a"]
    assert cluster.deleted() == []


def test_names_of_stages_jobs_are_short_enough_the_same_each_time_and_never_the_same_for_two() -> None:
    run = "p" * 52 + "-29385720"
    made = [name_of(run, stage) for stage in ("train", "test", "t" * 52, "t" * 51)]
    assert len(set(made)) == 4
    assert all(len(name) <= 63 for name in made)
    assert made[0] == name_of(run, "train")
    assert name_of(RUN, "train") == f"{RUN}-train"


def test_an_api_server_that_stays_away_is_no_failure_of_the_pipeline(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Away(Namespace):
        def ask(self, method: str, path: str, body: Any = None, content: str = "application/json") -> Any:
            del body, content
            raise Refused(method, path, 503, "starting")

    monkeypatch.setattr(pipeline, "Api", Away)
    monkeypatch.setattr(sys, "argv", ["pipeline", "daily", "--stages", json.dumps(CHAIN)])
    monkeypatch.setenv("JOB_RUN", RUN)
    monkeypatch.setenv("JOB_UID", "u")
    before = signal.getsignal(signal.SIGTERM)
    try:
        assert pipeline.main() == pipeline.UNANSWERED
    finally:
        signal.signal(signal.SIGTERM, before)
    assert "503 starting" in caplog.text


def test_the_script_works_a_pipeline_off(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = Namespace()

    def tick() -> None:
        for (kind, _), job in cluster.objects.items():
            if kind == "jobs" and "mlflow/stage" in job["metadata"].get("labels", {}):
                job["status"] = {"conditions": [{"type": "Complete", "status": "True"}]}

    cluster.tick = tick
    monkeypatch.setattr(pipeline, "Api", lambda: cluster)
    monkeypatch.setattr(sys, "argv", ["pipeline", "daily", "--stages", json.dumps(WIDE)])
    monkeypatch.setenv("JOB_RUN", RUN)
    monkeypatch.setenv("JOB_UID", f"uid-{RUN}")
    before = signal.getsignal(signal.SIGTERM)
    start = time.monotonic()
    try:
        assert pipeline.main() == 0
    finally:
        signal.signal(signal.SIGTERM, before)
    assert cluster.started() == ["load", "left", "right", "best"]
    assert time.monotonic() - start < 5


def test_a_server_too_busy_to_make_a_job_is_asked_again_by_the_next_pod() -> None:
    class Busy(Namespace):
        def ask(self, method: str, path: str, body: Any = None, content: str = "application/json") -> Any:
            if method == "POST":
                raise Refused(method, path, 503, "a webhook is away")
            return super().ask(method, path, body, content)

    with pytest.raises(Refused):
        execute(of(Busy(), CHAIN))


def test_what_nobody_foresaw_leaves_the_stages_to_the_next_pod(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: Pipeline) -> int:
        raise KeyError("spec")

    monkeypatch.setattr(pipeline, "execute", broken)
    monkeypatch.setattr(pipeline, "Api", Namespace)
    monkeypatch.setattr(sys, "argv", ["pipeline", "daily", '--stages={"a": {"job": "load"}}'])
    monkeypatch.setenv("JOB_RUN", RUN)
    monkeypatch.setenv("JOB_UID", f"uid-{RUN}")
    before = signal.getsignal(signal.SIGTERM)
    try:
        assert pipeline.main() == UNANSWERED
    finally:
        signal.signal(signal.SIGTERM, before)
