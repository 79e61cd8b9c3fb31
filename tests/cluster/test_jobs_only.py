"""A stack without a server of its own, brought up by somebody with rights in one namespace alone."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cluster.clone import Clone, Done, changed_nothing
from tests.cluster.stack import SignedIn, eventually, kubectl
from tools.common import ROOT

NAME = "pytest-team"
"""The stack, its namespace, and the context of its kubeconfig."""
RUN = re.compile(r"/#/experiments/(\d+)/runs/([0-9a-f]{32})$")
KINDS = (
    "configmaps,secrets,cronjobs,jobs,serviceaccounts,deployments,services,networkpolicies,"
    "poddisruptionbudgets,roles,rolebindings"
)
BINDING = "rolebinding.rbac.authorization.k8s.io/mlflow-workloads"
"""Of examples/jobs-only."""
BESIDE = {
    "modelServers": {"model": {"model": "models:/not-there@champion", "replicas": 2}},
    "pipelines": {"all": {"stages": {"first": {"job": "train"}}}},
}
"""What needs more rights than jobs do; a model server waits for its model's first version."""
CODE = "import mlflow, os; mlflow.log_metric('seen', 4); mlflow.set_tag('words', os.environ['TEAM'])"


@dataclass(frozen=True)
class Team:
    """A team's namespace and its stack.

    :ivar server: the stack of the server that the team uses.
    """

    clone: Clone
    server: SignedIn
    kubeconfig: Path

    def verb(self, name: str, *words: str, check: bool = True, **more: Any) -> Done:
        return self.clone.verb(name, NAME, *words, check=check, **more)

    def configure(self, *, more: dict[str, Any] | None = None, **jobs: Any) -> None:
        """Write the stack's settings.

        :param more: sections beside its jobs.
        """
        images = self.clone.local("images.json")["images"]
        stack = self.server.stack
        self.clone.configure(
            NAME,
            {
                "cloud": "existing",
                "protect": False,
                "tracking": {
                    "url": f"http://mlflow-server.{stack.namespace}.svc.cluster.local",
                    "webUrl": stack.url,
                    "namespace": NAME,
                    "serviceAccount": "runner",
                    "credentials": "sign-in",
                },
                "cluster": {"context": NAME, "kubeconfig": str(self.kubeconfig)},
                "images": {key: images[name]["reference"] for key, name in IMAGES.items()},
                "jobs": jobs,
                **(more or {}),
            },
        )

    def job(self, **more: Any) -> dict[str, Any]:
        """A job whose code is in its command, so that it needs no repository."""
        image = self.clone.local("images.json")["images"]["job"]["reference"]
        small = {"requests": {"cpu": "100m", "memory": "400Mi"}, "limits": {"cpu": "2"}}
        return {
            "folder": "/tmp", "image": image, "command": ["python", "-c", CODE],
            "env": {"TEAM": "a"}, "resources": small, **more,
        }  # fmt: skip

    def kubectl(self, *words: str, check: bool = True) -> str:
        """As the administrator of the cluster."""
        return kubectl(self.clone.local("cluster.json"), NAME, *words, check=check)

    def running(self, job: str, but: str = "") -> str | None:
        """The pod of a job whose container runs."""
        words = ("--selector", f"mlflow/job={job}", "--field-selector", "status.phase=Running")
        names = self.kubectl("get", "pods", *words, "-o", "jsonpath={.items[*].metadata.name}").split()
        return next((name for name in names if name != but), None)

    def names(self, kinds: str = KINDS) -> set[str]:
        return set(self.kubectl("get", kinds, "-o", "name").split())


IMAGES = {"job": "job", "gitSync": "git-sync"}


@pytest.fixture
def team(clone: Clone, signed: SignedIn, tmp_path: Path) -> Iterator[Team]:
    """The namespace of examples/jobs-only, and a kubeconfig whose user has its Role and nothing else."""
    cluster = clone.local("cluster.json")
    text = (ROOT / "examples" / "jobs-only" / "namespace.yaml").read_text().replace("team-a", NAME)
    # The group's name comes from a cluster's sign-in; here an account stands for the team's people.
    objects = list(yaml.safe_load_all(text))
    person = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "person", "namespace": NAME}}
    objects[-1]["subjects"] = [{"kind": "ServiceAccount", "name": "person", "namespace": NAME}]
    manifest = json.dumps({"apiVersion": "v1", "kind": "List", "items": [*objects, person]})
    try:
        kubectl(cluster, NAME, "apply", "-f", "-", stdin=manifest)
        token = kubectl(cluster, NAME, "create", "token", "person", "--duration=1h").strip()
        yield Team(clone, signed, kubeconfig(cluster, token, tmp_path / "kubeconfig"))
    finally:
        if (clone.root / ".local" / "work" / NAME).exists():
            clone.verb("down", NAME, env={"FORCE": NAME}, check=False)
        kubectl(cluster, "default", "delete", "namespace", NAME, "--ignore-not-found")


def kubeconfig(cluster: dict[str, Any], token: str, path: Path) -> Path:
    """The administrator's kubeconfig with another user, and a context of another name."""
    config = yaml.safe_load(Path(cluster["kubeconfig"]).read_text())
    context = next(each["context"] for each in config["contexts"] if each["name"] == cluster["context"])
    config["users"] = [{"name": "person", "user": {"token": token}}]
    config["contexts"] = [{"name": NAME, "context": {"cluster": context["cluster"], "user": "person"}}]
    config.pop("current-context", None)
    path.touch(mode=0o600)
    path.write_text(yaml.safe_dump(config))
    return path


@pytest.mark.core
def test_a_team_with_rights_in_its_namespace_alone_adds_runs_and_removes_jobs(team: Team) -> None:
    stack = team.server.stack
    denied = ("auth", "can-i", "list", "secrets", f"--as=system:serviceaccount:{NAME}:person")
    assert "no" in kubectl(team.clone.local("cluster.json"), stack.namespace, *denied, check=False)
    team.kubectl("create", "configmap", "of-somebody-else")
    before, of_server = (
        team.names(),
        set(stack.kubectl("get", "all,configmaps,secrets", "-o", "name").split()),
    )
    team.configure(train=team.job(), more=BESIDE)
    user, password = team.server.jobs
    for key, value in (("MLFLOW_TRACKING_USERNAME", user), ("MLFLOW_TRACKING_PASSWORD", password)):
        team.verb("secret", "--group", "sign-in", "--name", "user", "--key", key, stdin=value)

    validated = team.verb("validate")
    assert "is sound" in validated.told
    assert team.names() == before

    up = team.verb("up")
    assert password not in up.text
    done = team.verb("run", "--job", "train")
    found = RUN.search(done.out.strip().splitlines()[-1])
    assert found, done.text
    assert done.out.strip().splitlines()[-1].startswith(stack.url)
    run = stack.ask(f"/api/2.0/mlflow/runs/get?run_id={found[2]}", user=team.server.admin).json()["run"]
    assert run["info"]["status"] == "FINISHED"
    told = {tag["key"]: tag["value"] for tag in run["data"]["tags"]}
    assert (told["job.name"], told["job.trigger"], told["words"]) == ("train", "manual", "a")

    listed = team.verb("jobs").out
    assert "train" in listed
    assert "FINISHED" in listed
    assert found[2] in listed
    assert "no model yet" in listed
    assert "launcher: experiment" in team.verb("logs", "--job", "train").text
    team.verb("run", "--job", "all")
    assert "first complete" in team.verb("jobs").out
    status = team.verb("status").text
    assert NAME in status
    assert stack.url in status
    assert changed_nothing(team.verb("up"))

    team.verb("down", env={"FORCE": NAME})
    assert {name for name in team.names() if not name.startswith("job.batch/")} == before
    after = set(stack.kubectl("get", "all,configmaps,secrets", "-o", "name").split())
    assert after == of_server


def test_an_attempt_after_an_up_has_the_jobs_settings_or_ends_it_at_once(team: Team) -> None:
    """Without either, its pod would wait for a ConfigMap or Secret that is gone, until the deadline."""
    waits = ["python", "-c", "import os, time; print(os.environ['MLFLOW_LOGGING_LEVEL']); time.sleep(600)"]
    jobs = {"plain": team.job(command=waits), "secret": team.job(command=waits, secrets=["extra"])}
    team.configure(**jobs)
    for key, value in zip(("USERNAME", "PASSWORD"), team.server.jobs, strict=True):
        words = ("--group", "sign-in", "--name", "user", "--key", f"MLFLOW_TRACKING_{key}")
        team.verb("secret", *words, stdin=value)
    team.verb("secret", "--group", "extra", "--name", "keys", "--key", "API_TOKEN", stdin="one")
    team.verb("up")
    for job in jobs:
        team.verb("run", "--job", job, "--detach")
    first = {job: eventually(lambda job=job: team.running(job), 120, f"{job} does not work") for job in jobs}
    team.verb("secret", "--group", "extra", "--name", "keys", "--key", "API_TOKEN", stdin="two")
    team.clone.configure(NAME, {**team.clone.settings[NAME], "logLevel": {"jobs": "DEBUG"}})
    team.verb("up")
    for pod in first.values():
        team.kubectl("delete", "pod", pod, "--grace-period=0", "--force")
    second = eventually(lambda: team.running("plain", but=first["plain"]), 120, "plain does not go on")
    eventually(lambda: "INFO" in team.kubectl("logs", second).split(), 60, "not with the level it began with")
    ended = "{.items[*].status.conditions[?(@.type=='Failed')].reason}"
    words = ("get", "jobs", "--selector", "mlflow/job=secret", "-o", f"jsonpath={ended}")
    eventually(lambda: team.kubectl(*words) == "PodFailurePolicy", 120, "secret is not ended")
    told = team.verb("logs", "--job", "secret").text
    assert "API_TOKEN of the Job's secrets is no longer there" in told
    team.verb("stop", "--job", "plain")


def test_a_schedule_leaves_a_run_out_while_one_by_hand_works(team: Team) -> None:
    waits = ["python", "-c", "import time; time.sleep(600)"]
    team.configure(busy=team.job(command=waits, schedule="* * * * *", suspended=True))
    for key, value in zip(("USERNAME", "PASSWORD"), team.server.jobs, strict=True):
        words = ("--group", "sign-in", "--name", "user", "--key", f"MLFLOW_TRACKING_{key}")
        team.verb("secret", *words, stdin=value)
    team.verb("up")
    done = team.verb("run", "--job", "busy", "--detach")
    assert "cronjobs/status" not in done.text
    eventually(lambda: team.running("busy"), 120, "busy does not work")
    team.kubectl("patch", "cronjob", "busy", "--patch", '{"spec": {"suspend": false}}')
    time.sleep(70)  # a run is due each minute
    jobs = team.kubectl("get", "jobs", "--selector", "mlflow/job=busy", "-o", "name").split()
    assert len(jobs) == 1, jobs
    team.kubectl("delete", *jobs)
    due = ("get", "jobs", "--selector", "mlflow/job=busy", "-o", "name")
    eventually(
        lambda: set(team.kubectl(*due).split()) - set(jobs), 90, "its schedule starts nothing any more"
    )


def test_what_the_team_may_not_do_is_found_before_anything_is_made(team: Team) -> None:
    nowhere = {"repo": "https://127.0.0.1:1/churn.git", "credentials": "git"}
    team.configure(train=team.job(), private={"git": nowhere})
    for key in ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD", "GIT_TOKEN"):
        group = "git" if key == "GIT_TOKEN" else "sign-in"
        team.verb("secret", "--group", group, "--name", "user", "--key", key, stdin="planted-value")
    before = team.names()
    team.kubectl("delete", "serviceaccount", "runner")
    found = team.verb("validate", check=False)
    assert found.code == 1
    assert "mlflow:tracking.serviceAccount there is no ServiceAccount runner" in found.told
    # Its credentials could be decrypted, and were used.
    assert "mlflow:jobs.private.git.repo cannot be reached from this machine" in found.told
    assert "planted-value" not in found.text
    team.kubectl("delete", BINDING)
    found = team.verb("validate", check=False)
    assert found.code == 1
    assert "mlflow:jobs.train" in found.told
    assert "forbidden" in found.told
    # Both were taken away by this test.
    assert team.names() == before - {"serviceaccount/runner", BINDING}
