"""The kubernetes plugin waits until things are ready; the stand-in also says early why they will not be."""

from __future__ import annotations

import json
import time

import pytest

from tests.engine.conftest import Cluster, Project
from tests.engine.programs import deployment, job, k8s

pytestmark = pytest.mark.cluster


def test_a_replica_count_that_is_ignored_stays_with_whoever_set_it(project: Project, cluster: Cluster):
    name, ignore = "scaled", ["spec.replicas"]
    first = project.up(deployment(cluster, name, "sleep 3600", ignore=ignore))
    assert not first.failed, first.text
    cluster.kubectl("scale", "deployment", name, "--replicas=2")
    second = project.up(deployment(cluster, name, "sleep 3601", ignore=ignore))
    assert second.steps == [("update", name)], second.text
    live = cluster.get("deployment", name)
    assert live
    assert live["spec"]["replicas"] == 2


def test_up_returns_when_the_new_pods_are_ready(project: Project, cluster: Cluster):
    name = "rolled"
    project.up(deployment(cluster, name, "sleep 3600"))
    second = project.up(deployment(cluster, name, "sleep 3601"))
    assert second.steps == [("update", name)], second.text
    live = cluster.get("deployment", name)
    assert live
    status = live["status"]
    assert status["observedGeneration"] == live["metadata"]["generation"] == 2
    assert (status["updatedReplicas"], status["availableReplicas"], status["replicas"]) == (1, 1, 1)


def test_a_crashing_pod_fails_with_its_log_and_the_next_up_mends_it(
    project: Project, cluster: Cluster, stand_in: None
):
    name, start = "crashing", time.monotonic()
    # Without a probe a container counts as ready in the moment between its start and its crash.
    probe = {"readinessProbe": {"exec": {"command": ["sh", "-c", ":"]}, "initialDelaySeconds": 3}}
    broken = deployment(
        cluster, name, "echo the reason is this; exit 3", container=probe, timeoutSeconds="300"
    )
    first = project.up(broken)
    assert first.failed
    assert time.monotonic() - start < 150
    assert "the reason is this" in first.text
    assert name in project.state(), "an object that exists must be in the state"
    second = project.up(deployment(cluster, name, "sleep 3600", container=probe))
    assert second.steps == [("update", name)], second.text


def test_an_image_that_nodes_do_not_have_fails_within_seconds(
    project: Project, cluster: Cluster, stand_in: None
):
    def program() -> None:
        labels = {"app": "imageless"}
        pod = cluster.pod("true", image="localhost/not/there:1", imagePullPolicy="Never")
        k8s.apps.v1.Deployment(
            "imageless", metadata=cluster.metadata("imageless", timeoutSeconds="120"), opts=cluster.options(),
            spec={"selector": {"matchLabels": labels},
                  "template": {"metadata": {"labels": labels}, "spec": pod}},
        )  # fmt: skip

    start = time.monotonic()
    outcome = project.up(program)
    assert outcome.failed
    assert "ErrImageNeverPull" in outcome.text
    assert time.monotonic() - start < 40


def test_pods_that_the_namespace_refuses_are_told_with_the_rule_that_they_break(
    project: Project, cluster: Cluster, stand_in: None
):
    name = cluster.namespace + "-strict"

    def program() -> None:
        opts = cluster.options()
        labels = {"pod-security.kubernetes.io/enforce": "restricted"}
        space = k8s.core.v1.Namespace("space", metadata={"name": name, "labels": labels}, opts=opts)
        pod = {"containers": [{"name": "main", "image": cluster.image, "command": ["sleep", "60"]}]}
        k8s.apps.v1.StatefulSet(
            "rooted", metadata={"namespace": space.metadata.name}, opts=opts,
            spec={"serviceName": "none", "selector": {"matchLabels": {"a": "b"}},
                  "template": {"metadata": {"labels": {"a": "b"}}, "spec": pod}},
        )  # fmt: skip

    start = time.monotonic()
    outcome = project.up(program)
    assert outcome.failed
    assert "runAsNonRoot" in outcome.text
    assert time.monotonic() - start < 40
    assert not project.destroy().failed


def test_a_job_is_waited_for_and_made_anew_when_its_template_changes(project: Project, cluster: Cluster):
    assert not project.up(job(cluster, "again", "sleep 1; echo done")).failed
    live = cluster.get("job", "again")
    assert live
    assert live["status"]["succeeded"] == 1
    second = project.up(job(cluster, "again", "echo done again"))
    assert not second.failed, second.text
    assert [op for op, _ in second.steps] == ["delete-replaced", "replace", "create-replacement"]


def test_a_failed_job_tells_its_last_words(project: Project, cluster: Cluster, stand_in: None):
    outcome = project.up(job(cluster, "work", "echo no such table: runs; exit 1"))
    assert outcome.failed
    assert "no such table: runs" in outcome.text


def test_a_failed_job_that_says_so_runs_again_at_the_next_up_and_a_finished_one_does_not(
    project: Project, cluster: Cluster
):
    """As a migration must: the database was down, somebody mended it, nothing in the program changed."""

    def program() -> None:
        flag = {"configMapRef": {"name": "mended", "optional": True}}
        k8s.batch.v1.Job(
            "heals", metadata=cluster.metadata(replaceUnready="true"),
            spec={
                "backoffLimit": 0,
                "template": {"spec": {
                    **cluster.pod('test "$MENDED" = yes', envFrom=[flag]), "restartPolicy": "Never",
                }},
            },
            opts=cluster.options(delete_before_replace=True),
        )  # fmt: skip

    assert project.up(program).failed
    assert project.up(program).failed, "it is still broken"
    cluster.kubectl("create", "configmap", "mended", "--from-literal=MENDED=yes")
    healed = project.up(program)
    assert not healed.failed, healed.text
    assert project.up(program).steps == []


def test_a_job_that_may_take_longer_is_given_up_at_its_limit(project: Project, cluster: Cluster):
    start = time.monotonic()
    outcome = project.up(job(cluster, "slow", "sleep 3600", timeoutSeconds="4"))
    assert outcome.failed
    assert 4 <= time.monotonic() - start < 25


def test_skip_await_returns_at_once_and_wait_for_waits_for_what_it_says(project: Project, cluster: Cluster):
    def program() -> None:
        opts = cluster.options()
        pod = {**cluster.pod("sleep 3600"), "restartPolicy": "Never"}
        k8s.batch.v1.Job(
            "later", metadata=cluster.metadata("later", skipAwait="true"), opts=opts,
            spec={"suspend": True, "template": {"spec": pod}},
        )  # fmt: skip
        k8s.core.v1.Service(
            "front", metadata=cluster.metadata("front", waitFor="jsonpath={.spec.clusterIP}"), opts=opts,
            spec={"selector": {"app": "nobody"}, "ports": [{"port": 80}]},
        )  # fmt: skip

    start = time.monotonic()
    outcome = project.up(program)
    assert not outcome.failed, outcome.text
    assert time.monotonic() - start < 20


def test_a_claim_whose_volume_comes_with_its_first_pod_does_not_block(project: Project, cluster: Cluster):
    classes = json.loads(cluster.kubectl("get", "storageclass", "-o", "json"))["items"]
    lazy = [c["metadata"]["name"] for c in classes if c.get("volumeBindingMode") == "WaitForFirstConsumer"]
    assert lazy, "the cluster has no storage class that waits for the first consumer"

    def program() -> None:
        k8s.core.v1.PersistentVolumeClaim(
            "data", metadata=cluster.metadata("data"), opts=cluster.options(),
            spec={"accessModes": ["ReadWriteOnce"], "storageClassName": lazy[0],
                  "resources": {"requests": {"storage": "10Mi"}}},
        )  # fmt: skip

    start = time.monotonic()
    outcome = project.up(program)
    assert not outcome.failed, outcome.text
    assert time.monotonic() - start < 20
