"""`make validate` on the cluster there is: planted mistakes, the probe of network policies, and Ctrl-C."""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from typing import Any

import pytest

from components.settings import parse
from tests.needs import known_cluster, missing
from tools.access import local_kubectl
from tools.common import LOCAL, ROOT
from tools.offline.rendered import Rendered
from tools.plan import offline
from tools.render import manifests
from tools.validate import ClusterAccess, Finding, Subject
from tools.validate.dry_run import dry_run
from tools.validate.network_policy import network_policy
from tools.validate.scratch import LABELS

pytestmark = pytest.mark.core


@pytest.fixture
def subject() -> Subject:
    """The dev stack, as if it had never been up."""
    return subject_of({})


def subject_of(settings: Mapping[str, Any]) -> Subject:
    """The dev stack with these settings, in a namespace that is not there."""
    if not (LOCAL / "images.json").exists():
        missing("there are no images: run `make images`")
    namespace = f"validate-{secrets.token_hex(3)}"
    # A port of its own: the dev stack may be up, and no two Services have the same.
    overrides = {"namespace": namespace, "exposure": {"nodePort": {"port": 30599}}, **settings}
    rendered = manifests(offline("dev", Rendered(fresh=False), overrides))
    image = json.loads((LOCAL / "images.json").read_text())["images"]["tracking-server"]["reference"]
    parsed = parse({"cloud": "dev", **overrides})
    return Subject("dev", parsed, [each.content for each in rendered], cluster(), image)


def cluster() -> ClusterAccess:
    known_cluster()
    return ClusterAccess(local_kubectl("dev"))


def living_scratch() -> list[str]:
    selector = ",".join(f"{key}={value}" for key, value in LABELS.items())
    found = cluster().objects("namespaces", "--selector", selector)
    return [each["metadata"]["name"] for each in found if each["status"]["phase"] == "Active"]


def one(subject: Subject, kind: str, name: str) -> Any:
    return next(each for each in subject.of_kind(kind) if each["metadata"]["name"].startswith(name))


def test_the_dev_stacks_manifests_are_taken_as_they_are(subject: Subject) -> None:
    assert list(dry_run(subject)) == []
    assert living_scratch() == []


def test_services_of_every_kind_and_their_entrances_are_taken_as_they_are() -> None:
    entrance = {"host": "mlflow.example.com", "className": "nginx", "controllerNamespace": "ingress-nginx"}
    exposed = {"replicas": 2, "ingress": {"host": "churn.example.com"}}
    front = {"git": {"repo": "https://git.example.com/a/b"}, "module": "app", "schedule": "@daily"}
    settings = {
        "exposure": {
            "ingress": {
                **entrance,
                "allow": ["10.0.0.0/8"],
                "annotations": {"a": "10.0.0.0/8"},
                "anonymous": True,
            }
        },
        "services": {"front": {**front, "readyPath": "/health"}, "later": {**front, "waits": True}},
        "modelServers": {"churn": {"model": "models:/churn@live", **exposed}},
    }
    described = subject_of(settings)
    assert one(described, "Ingress", "churn")
    assert one(described, "NetworkPolicy", "front")
    assert list(dry_run(described)) == []


def test_planted_mistakes_are_found_each_with_its_key(subject: Subject) -> None:
    one(subject, "Service", "mlflow-server-node-port")["spec"]["ports"][0]["port"] = 99999
    one(subject, "PersistentVolumeClaim", "mlflow-database")["spec"]["resources"]["requests"]["storage"] = "x"
    container = one(subject, "Deployment", "mlflow-server")["spec"]["template"]["spec"]["containers"][0]
    container["securityContext"]["allowPrivilegeEscalation"] = True
    one(subject, "StatefulSet", "mlflow-database")["spec"]["nonsense"] = 1
    found: dict[str, Finding] = {finding.key: finding for finding in dry_run(subject)}
    told = {key: finding.text for key, finding in found.items()}
    assert all(finding.fails for finding in found.values())
    assert told.keys() == {
        "mlflow:exposure.nodePort", "mlflow:database.volume", "mlflow:server", "mlflow:database",
    }  # fmt: skip
    assert "spec.ports[0].port" in told["mlflow:exposure.nodePort"]
    assert "allowPrivilegeEscalation" in told["mlflow:server"]
    assert "nonsense" in told["mlflow:database"]
    assert not any("\n" in text or "mlflow-validate-" in text for text in told.values())


def test_mistakes_in_what_serves_and_in_pipelines_are_found_each_with_its_key() -> None:
    git = {"git": {"repo": "https://git.example.com/a/b"}}
    described = subject_of(
        {
            "jobs": {"train": git},
            "services": {"front": {**git, "module": "app", "schedule": "@daily"}},
            "modelServers": {"churn": {"model": "models:/churn@live", "replicas": 2}},
            "pipelines": {
                "daily": {"stages": {"train": {"job": "train"}}},
                "nightly": {"stages": {"train": {"job": "train"}, "front": {"service": "front"}}},
            },
        }
    )
    one(described, "Service", "churn")["spec"]["ports"][0]["port"] = 99999
    one(described, "NetworkPolicy", "churn")["spec"]["policyTypes"] = ["Sideways"]
    one(described, "CronJob", "front")["spec"]["schedule"] = "never"
    one(described, "CronJob", "daily")["spec"]["timeZone"] = "Mars/Base"
    one(described, "Role", "pipeline-nightly")["rules"][0]["verbs"] = []
    found = [(finding.key, finding.text.split(":")[0]) for finding in dry_run(described)]
    assert sorted(found) == [
        ("mlflow:modelServers.churn", "NetworkPolicy churn"),
        ("mlflow:modelServers.churn", "Service churn"),
        ("mlflow:pipelines.daily", "CronJob daily"),
        ("mlflow:pipelines.nightly", "Role pipeline-nightly"),
        ("mlflow:services.front.schedule", "CronJob front"),
    ]


def test_the_probe_says_whether_this_cluster_enforces_policies(subject: Subject) -> None:
    found = list(network_policy(subject))
    registry_built = known_cluster()["kind"] == "registry"
    told = " ".join(finding.text for finding in found)
    if registry_built:
        assert "does not enforce network policies" in told
    assert "could not be found out" not in told
    assert living_scratch() == []


def test_ctrl_c_ends_the_probe_and_leaves_nothing(subject: Subject) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "tools.validate"],
        cwd=ROOT,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        # Whatever runs in the background of a script inherits Ctrl-C as ignored; a person's shell does not.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:
        deadline = time.monotonic() + 90
        while not _pods_in(living_scratch()):
            assert time.monotonic() < deadline, "no probe was seen"
            assert process.poll() is None, "it ended by itself"
            time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        told = process.communicate(timeout=60)[0]
    assert process.returncode == 130, told
    assert living_scratch() == []


def _pods_in(namespaces: list[str]) -> list[dict[str, Any]]:
    return [pod for each in namespaces for pod in cluster().objects("pods", "--namespace", each)]
