"""A run that is killed in the middle: the next one goes on, and the state loses nothing that exists."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.engine.conftest import Cluster, Project
from tools.common import ROOT, Failure
from tools.engine import verbs
from tools.engine.recovery import release_dead_lock
from tools.engine.workspace import open_stack, root_program

PROGRAM = """
import json, os, pulumi, pulumi_kubernetes as k8s, pulumi_random as random
facts = json.loads({facts!r})
opts = pulumi.ResourceOptions(
    provider=k8s.Provider("cluster", kubeconfig=facts["kubeconfig"], context=facts["context"])
)
random.RandomId("first", byte_length=4)
k8s.core.v1.ConfigMap("early", metadata={{"namespace": {namespace!r}}}, data={{"a": "1"}}, opts=opts)
pod = json.loads({pod!r})
labels = {{"app": "late"}}
k8s.apps.v1.Deployment(
    "late", metadata={{"namespace": {namespace!r}, "name": "late"}}, opts=opts,
    spec={{"selector": {{"matchLabels": labels}},
          "template": {{"metadata": {{"labels": labels}}, "spec": pod}}}},
)
"""


def kill_when(root: Path, seen: Callable[[], bool], verb: str = "up", stack: str = "dev") -> None:
    """Run a verb on a project and kill it, engine and plugins included, as soon as ``seen()``."""
    code = (
        "import sys, pathlib; from tools.common import cli; from tools.engine import verbs;"
        f"cli(lambda words: verbs.{verb}('{stack}', pathlib.Path(words[0])) and 0)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(root)], cwd=ROOT, start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    deadline = time.monotonic() + 60
    while not seen():
        assert process.poll() is None, "the run ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def being_made(root: Path, stack: str = "dev") -> list[str]:
    """The types of what the engine notes as being created, as its file stands at this moment."""
    checkpoint = root / f".local/state/.pulumi/stacks/mlflow/{stack}.json"
    if not checkpoint.exists():
        return []
    latest = json.loads(checkpoint.read_text())["checkpoint"].get("latest") or {}
    pending = latest.get("pending_operations") or []
    return [op["resource"]["type"] for op in pending if op["type"] == "creating"]


@pytest.mark.core
@pytest.mark.cluster
def test_an_up_that_was_killed_while_it_waited_goes_on_with_what_it_had_made(
    project: Project, cluster: Cluster
):
    probe = {"readinessProbe": {"exec": {"command": ["sh", "-c", ":"]}, "initialDelaySeconds": 8}}
    pod = cluster.pod("sleep 3600", **probe)
    text = PROGRAM.format(facts=json.dumps(cluster.facts), namespace=cluster.namespace, pod=json.dumps(pod))
    (project.root / "__main__.py").write_text(text)
    kill_when(project.root, lambda: cluster.get("deployment", "late") is not None)
    made = cluster.get("deployment", "late")
    assert made

    result = verbs.up("dev", project.root)
    assert result.summary.result == "succeeded"
    live = cluster.get("deployment", "late")
    assert live
    assert live["metadata"]["uid"] == made["metadata"]["uid"], "it must be taken over, not made again"
    assert live["status"]["availableReplicas"] == 1
    configs = json.loads(cluster.kubectl("get", "configmap", "-o", "json"))["items"]
    assert len([c for c in configs if c["metadata"]["name"].startswith("early-")]) == 1
    assert set(project.state()) >= {"first", "early", "late"}
    project._stack = open_stack("dev", project.root, root_program(project.root))
    again = project.up(root_program(project.root))
    assert again.steps == [], "a second up must find nothing to do"
    assert not project.destroy().failed


CLOUD_PROGRAM = """
import pulumi

class Bucket(pulumi.CustomResource):
    def __init__(self, name):
        super().__init__("demo:index:Bucket", name, {"region": "x"})

class Group(pulumi.ComponentResource):
    def __init__(self, name):
        super().__init__("mlflow:test:Group", name)

Group("group")
Bucket("storage")
"""


@pytest.mark.core
@pytest.mark.engine
def test_what_a_killed_run_was_making_in_a_cloud_is_left_to_its_owner_and_never_forgotten(
    project: Project, demo: None, monkeypatch: pytest.MonkeyPatch
):
    (project.root / "__main__.py").write_text(CLOUD_PROGRAM)
    monkeypatch.setenv("ANYPROVIDER_DELAY", "60")
    kill_when(project.root, lambda: being_made(project.root) == ["demo:index:Bucket"])
    monkeypatch.delenv("ANYPROVIDER_DELAY")
    with pytest.raises(Failure, match="Bucket storage, which may exist or not") as caught:
        verbs.up("dev", project.root)
    assert "pulumi refresh" in caught.value.hint
    assert being_made(project.root) == ["demo:index:Bucket"]


@pytest.mark.engine
def test_what_exists_nowhere_but_in_the_state_holds_nobody_up_when_a_run_died_while_it_was_noted(
    project: Project, demo: None
):
    (project.root / "__main__.py").write_text(CLOUD_PROGRAM)
    verbs.up("dev", project.root)
    checkpoint = project.root / ".local/state/.pulumi/stacks/mlflow/dev.json"
    whole = json.loads(checkpoint.read_text())
    latest = whole["checkpoint"]["latest"]
    noted = [each for each in latest["resources"] if each["type"] != "demo:index:Bucket"]
    assert {each["type"] for each in noted} == {
        "pulumi:pulumi:Stack", "pulumi:providers:demo", "mlflow:test:Group"
    }  # fmt: skip
    latest["resources"] = []
    # Into the file: `pulumi stack import` would clear them.
    latest["pending_operations"] = [{"resource": each, "type": "creating"} for each in noted]
    checkpoint.write_text(json.dumps(whole))

    verbs.up("dev", project.root)
    assert being_made(project.root) == []
    assert {"group", "storage"} <= set(project.state())


@pytest.mark.engine
def test_a_lock_of_a_dead_run_is_released_and_one_of_a_living_run_is_not(project: Project, monkeypatch):
    import socket

    folder = project.root / ".local/state/.pulumi/locks/organization/mlflow/dev"
    stack = project.stack
    folder.mkdir(parents=True, exist_ok=True)
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    lock = {
        "pid": dead.pid,
        "hostname": socket.gethostname(),
        "username": "me",
        "timestamp": "2026-01-01T00:00:00Z",
    }
    (folder / "one.json").write_text(json.dumps(lock))
    release_dead_lock(stack, "mlflow")
    assert list(folder.glob("*.json")) == []

    monkeypatch.setattr("tools.engine.recovery.LOCK_PATIENCE", 0.3)
    (folder / "two.json").write_text(json.dumps({**lock, "pid": os.getpid()}))
    release_dead_lock(stack, "mlflow")
    assert not (folder / "two.json").exists(), "a process that is no engine got a dead run's number"

    living = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)", "pulumi"])
    while not (Path("/proc") / str(living.pid) / "cmdline").read_bytes():  # not yet there at the exec itself
        time.sleep(0.01)
    (folder / "two.json").write_text(json.dumps({**lock, "pid": living.pid}))
    with pytest.raises(Failure, match="another run"):
        release_dead_lock(stack, "mlflow")
    living.kill()
    living.wait()
    (folder / "two.json").write_text(json.dumps({**lock, "hostname": "elsewhere"}))
    with pytest.raises(Failure, match="elsewhere"):
        release_dead_lock(stack, "mlflow")
    assert (folder / "two.json").exists()
