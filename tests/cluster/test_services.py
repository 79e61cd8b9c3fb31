"""Services and model servers on real pods: from no model to a prediction, and rolls that lose no request."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from tests.cluster.clone import Clone, changed_nothing
from tests.cluster.git_server import GitServer, Repository, https_server
from tests.cluster.outside import Authority
from tests.cluster.service_project import ALIAS, ASK, BREAK, MODEL, files
from tests.cluster.stack import POD_LIMIT, SIGNED_IN, Stack, Stage, eventually, is_ready
from tests.needs import host_address

TOKEN = "the-token-of-services-1508"
LEAST = 600
"""Requests that a roll is held to."""
ROLL_LIMIT = 240
"""Seconds for a roll on a busy machine."""
LOAD_LIMIT = 2 * ROLL_LIMIT
"""Seconds for requests before, during and after one."""
ONCE = (
    "import json, sys, urllib.request\n"
    "print(json.dumps([json.load(urllib.request.urlopen(sys.argv[1], timeout=30))]))"
)
ONE_POINT = json.dumps({"dataframe_split": {"columns": ["x"], "data": [[10.0]]}})


@dataclass(frozen=True)
class Services:
    """The stack with its services, and the repository that they run from."""

    stack: Stack
    settings: dict[str, Any]
    repository: Repository

    def learn(self, slope: float, alias: str) -> None:
        """Train a model, register it and give it an alias, as a job."""
        words = ["--param", f"slope={slope}", "--param", f"alias={alias}"]
        self.stack.clone.verb("run", self.stack.name, "--job", "learn", *words)

    def promote(self, version: str) -> None:
        """Move the alias that is served to another version."""
        move = (
            "import sys, mlflow\n"
            "mlflow.MlflowClient().set_registered_model_alias(*sys.argv[1:])\n"
            "print('true')"
        )
        self.stack.python(move, MODEL, ALIAS, version)

    def deployment(self, name: str) -> dict[str, Any]:
        return json.loads(self.stack.kubectl("get", "deployment", name, "-o", "json"))

    def serves(self, name: str) -> str | None:
        """What all pods of a Deployment serve: the version in their template; None while one is missing."""
        found = self.deployment(name)
        status, wanted = found.get("status", {}), found["spec"]["replicas"]
        counts = [status.get(each, 0) for each in ("replicas", "updatedReplicas", "availableReplicas")]
        current = status.get("observedGeneration") == found["metadata"]["generation"]
        if not wanted or counts != [wanted] * 3 or not current:
            return None
        return found["spec"]["template"]["metadata"].get("annotations", {}).get("mlflow/model-version")

    def status(self, name: str) -> str:
        """The line of `make jobs` about a service."""
        table = self.stack.clone.verb("jobs", self.stack.name).out
        (line,) = [line for line in table.splitlines() if line.startswith(f"{name} ")]
        return line

    def predicted(self) -> float:
        """What the served model says of one point, rounded as ASK rounds."""
        script = (
            "import sys, urllib.request\n"
            "request = urllib.request.Request('http://predict/invocations', sys.argv[1].encode(),"
            " {'Content-Type': 'application/json'})\n"
            "print(urllib.request.urlopen(request, timeout=30).read().decode())"
        )
        return round(self.stack.python(script, ONE_POINT)["predictions"][0], 6)

    def pods(self, name: str) -> dict[str, bool]:
        """Names of the pods of a service that are not going, and whether they are ready."""
        pods = self.stack.objects("pods", "--selector", f"mlflow/service={name}")
        living = [pod for pod in pods if not pod["metadata"].get("deletionTimestamp")]
        return {pod["metadata"]["name"]: is_ready(pod) for pod in living}

    @contextmanager
    def load(self, url: str, body: str, wanted: Any, *, least: int = LEAST) -> Iterator[dict[str, Any]]:
        """Many requests from a pod: from the first answer on, until after the block ``wanted`` came back.

        :returns: filled at the end: ``count``, ``failed``, ``seen`` answers and the ``last`` one.
        """
        pod, told = f"load-{secrets.token_hex(3)}", {}
        words = [url, body, json.dumps(wanted), str(least), str(LOAD_LIMIT)]
        asked = in_the_background(
            lambda: self.stack.python(ASK, *words, limit=LOAD_LIMIT + POD_LIMIT, pod=pod)
        )

        def unanswered() -> str:
            return f"{url} was never answered: {self.stack.kubectl('describe', 'pod', pod, check=False)}"

        try:
            eventually(
                lambda: asked.done() or "begun" in self.stack.kubectl("logs", pod, check=False).split(),
                POD_LIMIT,
                unanswered,
            )
            yield told
        except BaseException:
            # The tests after it shall have the node without its requests.
            self.stack.kubectl("delete", "pod", pod, "--wait=false", check=False)
            raise
        if not asked.done():
            self.stack.kubectl("exec", pod, "--", "touch", "/tmp/enough")
        told |= asked.result()


@pytest.fixture(scope="module")
def services(clone: Clone, stage: Stage, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    host = host_address(clone.local("cluster.json"))
    folder = tmp_path_factory.mktemp("git")
    repository = Repository.make(folder, "line")
    repository.commit(files())
    stack = Stack(clone, "pytest-services", 30517)
    with https_server(folder, host, Authority.make(folder / "authority"), TOKEN) as server:
        yield from brought_up(stack, stage, repository, server)


def brought_up(stack: Stack, stage: Stage, repository: Repository, server: GitServer) -> Iterator[Services]:
    settings = {**SIGNED_IN, **described(server.url(repository), server.authority.certificate)}
    stack.configure(**SIGNED_IN)
    words = ["--group", "git", "--name", "token", "--key", "GIT_TOKEN"]
    stack.clone.verb("secret", stack.name, *words, stdin=TOKEN)
    stage.show(stack, settings)
    yield Services(stack, settings, repository)
    stage.clear()  # before the server of its code goes


def described(repository: str, authority: str) -> dict[str, Any]:
    """mlflow:jobs, mlflow:services and mlflow:modelServers of these tests."""
    git = {
        "repo": repository,
        "path": "project",
        "credentials": "git",
        "caBundle": authority,
        "ref": "main",
    }
    small = {
        "resources": {"requests": {"cpu": "100m", "memory": "300Mi"}, "limits": {"cpu": "2", "memory": "1Gi"}}
    }
    words = ["python", "-m", "uvicorn", "app:app", "--host=0.0.0.0", "--port=8000"]
    return {
        "jobs": {"learn": {"git": git, **small}},
        "services": {
            "echo": {
                "git": git,
                "command": words,
                "readyPath": "/health",
                "replicas": 2,
                "schedule": "@yearly",
                "timeZone": "Europe/Berlin",
                **small,
            },
            # Nothing listens there: it would never become ready.
            "waiting": {"git": git, "command": ["sleep", "1000"], "waits": True, **small},
        },
        "modelServers": {
            "predict": {
                "model": f"models:/{MODEL}@{ALIAS}",
                "replicas": 2,
                "startSeconds": 180,
                "installRequirements": True,
                **small,
            },
            "later": {"model": f"models:/{MODEL}/99", **small},
        },
    }


def in_the_background(action: Callable[[], Any]) -> Future[Any]:
    executor = ThreadPoolExecutor(1)
    future = executor.submit(action)
    executor.shutdown(wait=False)
    return future


@pytest.mark.core
def test_an_up_before_the_first_registration_succeeds_and_says_that_there_is_no_model_yet(
    services: Services,
) -> None:
    if services.serves("predict"):
        pytest.skip("another test has trained already")  # only when this one is run again alone
    found = services.deployment("predict")
    assert found["spec"]["replicas"] == 0
    assert not services.stack.objects("pods", "--selector", "mlflow/service=predict")
    eventually(
        lambda: "no model yet" in services.status("predict"), 60, "nothing says that there is no model"
    )
    assert "2/2" in services.status("echo")
    assert "waits for its first roll" in services.status("waiting")
    clone, name = services.stack.clone, services.stack.name
    assert "service: commit " in clone.verb("logs", name, "--job", "echo").out
    assert "predict: no model yet" in clone.verb("logs", name, "--part", "model-watch").out


@pytest.mark.core
def test_a_trained_model_is_served_and_a_second_up_finds_nothing_to_change(
    services: Services, tell: Callable[[str], None]
) -> None:
    services.learn(2, ALIAS)
    start = time.monotonic()
    eventually(
        lambda: services.serves("predict") == f"models:/{MODEL}/1", ROLL_LIMIT, "the model is not served"
    )
    tell(f"    served {time.monotonic() - start:.1f} s after its job")
    assert abs(services.predicted() - 20) < 1e-6
    line = services.status("predict")
    assert f"models:/{MODEL}/1" in line
    assert "2/2" in line
    assert "no model yet" in services.status("later")
    assert changed_nothing(services.stack.up())
    services.stack.clone.verb("refresh", services.stack.name)
    assert changed_nothing(services.stack.up())
    assert services.serves("predict") == f"models:/{MODEL}/1"
    assert services.deployment("predict")["spec"]["replicas"] == 2


@pytest.mark.core
def test_a_moved_alias_is_served_by_every_pod_without_a_failed_request(
    services: Services, tell: Callable[[str], None]
) -> None:
    eventually(lambda: services.serves("predict"), ROLL_LIMIT, "there is no model to begin with")
    services.learn(5, "candidate")
    assert services.serves("predict") == f"models:/{MODEL}/1", "a version that nobody promoted is served"
    with services.load("http://predict/invocations", ONE_POINT, {"predictions": [50.0]}) as told:
        services.promote("2")
    tell(f"    {told['count']} requests, {len(told['failed'])} failed: {told['seen']}")
    assert told["failed"] == []
    assert told["count"] >= 500
    assert told["last"] == [json.dumps({"predictions": [50.0]})]
    assert told["seen"].keys() == {json.dumps({"predictions": [each]}) for each in (20.0, 50.0)}
    eventually(lambda: services.serves("predict") == f"models:/{MODEL}/2", ROLL_LIMIT, "the roll did not end")
    assert changed_nothing(services.stack.up())


@pytest.mark.core
def test_a_service_rolls_to_the_newest_commit_without_a_failed_request(
    services: Services, tell: Callable[[str], None]
) -> None:
    with services.load("http://echo/", "", "second") as told:
        services.repository.commit({"project/marker.py": "VALUE = 'second'\n"})
        services.stack.kubectl("create", "job", "--from=cronjob/echo", "echo-by-hand")
    tell(f"    {told['count']} requests, {len(told['failed'])} failed: {told['seen']}")
    assert told["failed"] == []
    assert told["count"] >= 500
    assert told["seen"].keys() == {'"first"', '"second"'}
    assert told["last"] == ['"second"']

    def ended() -> bool:
        job = json.loads(services.stack.kubectl("get", "job", "echo-by-hand", "-o", "json"))
        return job["status"].get("succeeded") == 1

    eventually(ended, ROLL_LIMIT, "the roll's Job did not succeed")
    assert changed_nothing(services.stack.up())


@pytest.mark.core
def test_a_version_that_does_not_load_leaves_the_old_one_serving_until_the_alias_is_moved_back(
    services: Services, tell: Callable[[str], None]
) -> None:
    before = eventually(lambda: services.serves("predict"), ROLL_LIMIT, "there is no model to begin with")
    answer = services.predicted()
    broken = services.stack.python(BREAK)
    # The controller's own limit is that of a slow start; nothing else about it is another one.
    limit = services.deployment("predict")["spec"]["progressDeadlineSeconds"]

    def patient_for(seconds: int) -> None:
        patch = json.dumps({"spec": {"progressDeadlineSeconds": seconds}})
        services.stack.kubectl("patch", "deployment", "predict", "--type=merge", "-p", patch)

    patient_for(20)
    try:
        with services.load("http://predict/invocations", ONE_POINT, {"predictions": [answer]}) as told:
            services.promote(broken)
            eventually(
                lambda: "failed: a new pod does not become ready" in services.status("predict"),
                ROLL_LIMIT,
                "make jobs does not say that the roll failed",
            )
            assert f"now models:/{MODEL}/{broken}" in services.status("predict")
            assert (
                "the weights are gone"
                in services.stack.clone.verb("logs", services.stack.name, "--job", "predict").out
            )
            assert sorted(services.pods("predict").values()) == [False, True, True]
    finally:
        patient_for(limit)
        services.promote(before.rpartition("/")[2])
    tell(f"    {told['count']} requests, {len(told['failed'])} failed: {told['seen']}")
    assert told["failed"] == []
    assert told["seen"].keys() == {json.dumps({"predictions": [answer]})}
    eventually(lambda: services.serves("predict") == before, ROLL_LIMIT, "the old version is not back")
    assert list(services.pods("predict").values()) == [True, True]
    assert services.predicted() == answer


def test_a_removed_alias_stops_nothing_and_is_told(services: Services) -> None:
    before = eventually(lambda: services.serves("predict"), ROLL_LIMIT, "there is no model to begin with")
    pods = services.pods("predict")
    remove = (
        "import sys, mlflow\n"
        "mlflow.MlflowClient().delete_registered_model_alias(*sys.argv[1:])\n"
        "print('true')"
    )
    services.stack.python(remove, MODEL, ALIAS)
    eventually(
        lambda: f"keeps serving {before}" in services.status("predict"), 60, "nothing says that it is gone"
    )
    assert services.pods("predict") == pods
    services.promote(before.rpartition("/")[2])
    eventually(lambda: "keeps" not in services.status("predict"), 60, "it is still said to be gone")
    assert services.pods("predict") == pods


def test_pods_that_are_moved_from_their_nodes_go_one_by_one_without_a_failed_request(
    services: Services, tell: Callable[[str], None]
) -> None:
    eventually(lambda: services.serves("predict"), ROLL_LIMIT, "there is no model to begin with")
    answer, before = services.predicted(), services.pods("predict")
    refused = 0

    def evicted(pod: str) -> bool:
        """Whether it is gone or going, as `kubectl drain` does it."""
        nonlocal refused
        metadata = {"name": pod, "namespace": services.stack.namespace}
        eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": metadata}
        path = f"/api/v1/namespaces/{services.stack.namespace}/pods/{pod}/eviction"
        said = services.stack.kubectl(
            "create", "--raw", path, "-f", "-", stdin=json.dumps(eviction), check=False
        )
        refused += "disruption budget" in said
        return "disruption budget" not in said

    with services.load("http://predict/invocations", ONE_POINT, {"predictions": [answer]}) as told:
        for pod in before:
            eventually(lambda pod=pod: evicted(pod), ROLL_LIMIT, f"{pod} may not be evicted")
        eventually(
            lambda: list(services.pods("predict").values()) == [True, True],
            ROLL_LIMIT,
            "there are no new pods",
        )
    assert not services.pods("predict").keys() & before.keys()
    assert refused, "both were let go at once"
    tell(f"    {told['count']} requests, {len(told['failed'])} failed")
    assert told["failed"] == []


def test_an_up_that_changes_pods_that_serve_fails_no_request_not_even_one_of_seconds(
    services: Services, stage: Stage, tell: Callable[[str], None]
) -> None:
    version = eventually(lambda: services.serves("predict"), ROLL_LIMIT, "there is no model to begin with")
    answer, before = services.predicted(), services.pods("predict")
    (old,) = services.stack.python(ONCE, "http://echo/")
    changed = {**services.settings}
    for section, name in (("services", "echo"), ("modelServers", "predict")):
        new = {**changed[section][name], "env": {"MORE": "!"}}
        changed[section] = {**changed[section], name: new}
    with (
        services.load("http://echo/", "", f"{old}!") as quick,
        services.load("http://echo/slow", "", f"{old}!", least=0) as slow,
        services.load("http://predict/invocations", ONE_POINT, {"predictions": [answer]}) as model,
    ):
        stage.show(services.stack, changed)
        assert services.serves("predict") == version
        assert not services.pods("predict").keys() & before.keys()
    for told in (quick, slow, model):
        tell(f"    {told['count']} requests, {len(told['failed'])} failed: {told['seen']}")
        assert told["failed"] == []
    for told in (quick, slow):
        assert told["seen"].keys() == {json.dumps(old), json.dumps(f"{old}!")}
    assert changed_nothing(services.stack.up())


def test_what_rolls_a_service_may_change_that_one_and_nothing_else(services: Services) -> None:
    def may(account: str, *words: str) -> bool:
        who = f"system:serviceaccount:{services.stack.namespace}:{account}"
        return services.stack.kubectl("auth", "can-i", "--as", who, *words, check=False).strip() == "yes"

    for account, own, other in (
        ("echo-roll", "echo", "predict"),
        ("mlflow-services-watch", "predict", "echo"),
    ):
        assert may(account, "patch", f"deployments/{own}")
        assert may(account, "get", f"deployments/{own}")
        assert not may(account, "patch", f"deployments/{other}")
        assert not may(account, "patch", "deployments/mlflow-server")
        assert not may(account, "delete", f"deployments/{own}")
        for kind in ("secrets", "pods", "configmaps", "deployments"):
            assert not may(account, "list", kind), kind
    assert not may("mlflow-jobs", "get", "deployments/echo")


@pytest.mark.core
def test_changed_replicas_reach_a_served_model_and_a_removed_service_is_deleted(
    services: Services, stage: Stage
) -> None:
    eventually(lambda: services.serves("predict"), ROLL_LIMIT, "there is no model to begin with")
    before = services.serves("predict")
    predict = {**services.settings["modelServers"]["predict"], "replicas": 1}
    changed = {**services.settings, "services": {}, "modelServers": {"predict": predict}}
    stage.show(services.stack, changed)
    for kind in ("deployment", "service", "cronjob", "networkpolicy", "serviceaccount", "role"):
        names = {one["metadata"]["name"] for one in services.stack.objects(kind)}
        assert not {"echo", "echo-roll", "later", "waiting"} & names, kind
    eventually(
        lambda: (
            services.serves("predict") == before and services.deployment("predict")["spec"]["replicas"] == 1
        ),
        60,
        "the changed replicas did not reach it",
    )
