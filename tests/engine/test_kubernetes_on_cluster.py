"""The kubernetes plugin, stand-in or official, does on a real cluster what the official one documents."""

from __future__ import annotations

import json
import re
import time
from typing import Any

import pulumi
import pulumi_kubernetes
import pytest

from tests.engine.conftest import Cluster, Program, Project

pytestmark = pytest.mark.cluster

k8s: Any = pulumi_kubernetes  # plain dictionaries as arguments; the SDK checks nothing that is tested here


def config_map(cluster: Cluster, data: dict[str, str], name: str | None = None) -> Program:
    def program() -> None:
        made = k8s.core.v1.ConfigMap(
            "settings", metadata=cluster.metadata(name), data=data, opts=cluster.options()
        )
        pulumi.export("name", made.metadata.name)

    return program


def deployment(
    cluster: Cluster,
    name: str,
    script: str,
    *,
    replicas: int = 1,
    ignore: list[str] | None = None,
    container: dict[str, Any] | None = None,
    **annotations: str,
) -> Program:
    def program() -> None:
        labels = {"app": name}
        k8s.apps.v1.Deployment(
            name,
            metadata=cluster.metadata(name, **{"timeoutSeconds": "300", **annotations}),
            spec={
                "replicas": replicas,
                "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": cluster.pod(script, **container or {})},
            },
            opts=cluster.options(ignore_changes=ignore or []),
        )

    return program


def job(cluster: Cluster, name: str, script: str, **annotations: str) -> Program:
    def program() -> None:
        pod = {**cluster.pod(script), "restartPolicy": "Never"}
        k8s.batch.v1.Job(
            name,
            metadata=cluster.metadata(name, **annotations),
            spec={"backoffLimit": 0, "template": {"spec": pod}},
            opts=cluster.options(),
        )

    return program


def test_an_object_without_a_name_gets_one_and_keeps_it_over_updates(project: Project, cluster: Cluster):
    def labelled(value: str) -> Program:
        def program() -> None:
            metadata = {**cluster.metadata(), "labels": {"v": value}}
            made = k8s.core.v1.ServiceAccount("account", metadata=metadata, opts=cluster.options())
            pulumi.export("name", made.metadata.name)

        return program

    first = project.up(labelled("1"))
    assert re.fullmatch(r"account-[0-9a-f]{8}", first.outputs["name"])
    second = project.up(labelled("2"))
    assert second.steps == [("update", "account")]
    assert second.outputs["name"] == first.outputs["name"]
    live = cluster.get("serviceaccount", first.outputs["name"])
    assert live
    assert live["metadata"]["labels"] == {"v": "2"}
    assert live["metadata"]["annotations"]["pulumi.com/autonamed"] == "true"


def test_changed_data_of_a_config_map_makes_a_new_one_before_the_old_goes(project: Project, cluster: Cluster):
    first = project.up(config_map(cluster, {"a": "1"}))
    second = project.up(config_map(cluster, {"a": "2"}))
    assert not second.failed, second.text
    assert second.outputs["name"] != first.outputs["name"]
    assert [op for op, _ in second.steps] == ["create-replacement", "replace", "delete-replaced"]
    assert cluster.get("configmap", first.outputs["name"]) is None
    live = cluster.get("configmap", second.outputs["name"])
    assert live
    assert live["data"] == {"a": "2"}


def test_an_object_with_a_fixed_name_is_deleted_before_it_is_made_anew(project: Project, cluster: Cluster):
    project.up(config_map(cluster, {"a": "1"}, name="fixed"))
    second = project.up(config_map(cluster, {"a": "2"}, name="fixed"))
    assert second.steps[0][0] == "delete-replaced"
    live = cluster.get("configmap", "fixed")
    assert live
    assert live["data"] == {"a": "2"}


def test_nothing_changes_without_a_change_and_refresh_sees_no_drift(project: Project, cluster: Cluster):
    def program() -> None:
        opts = cluster.options()
        k8s.core.v1.Secret("s", metadata=cluster.metadata(), string_data={"k": "väl"}, opts=opts)
        k8s.core.v1.Service(
            "svc", metadata=cluster.metadata("quiet"), opts=opts,
            spec={"clusterIP": "None", "selector": {"app": "none"}, "ports": [{"port": 80}]},
        )  # fmt: skip
        k8s.core.v1.ResourceQuota(
            "q", metadata=cluster.metadata(), spec={"hard": {"requests.storage": "2048Gi"}}, opts=opts
        )
        k8s.batch.v1.CronJob(
            "cron", metadata=cluster.metadata(), opts=opts,
            spec={
                "schedule": "0 0 1 1 *", "suspend": True,
                "jobTemplate": {"spec": {"template": {"spec": {
                    **cluster.pod("true", resources={"requests": {"cpu": "1000m"}}), "restartPolicy": "Never",
                }}}},
            },
        )  # fmt: skip

    first = project.up(program)
    assert not first.failed, first.text
    assert project.up(program).steps == []
    assert project.refresh().steps == []
    assert project.up(program).steps == []


def test_refresh_finds_what_somebody_else_changed_and_up_puts_it_right(project: Project, cluster: Cluster):
    force = {"patchForce": "true"}

    def program() -> None:
        k8s.core.v1.ConfigMap(
            "settings", metadata=cluster.metadata("drift", **force), data={"a": "1", "b": "2"},
            immutable=None, opts=cluster.options(),
        )  # fmt: skip

    project.up(program)
    cluster.kubectl("patch", "configmap", "drift", "-p", '{"data":{"a":"changed","theirs":"1"}}')
    found = project.refresh()
    assert found.steps == [("update", "settings")]
    assert project.state()["settings"]["inputs"]["data"] == {"a": "changed", "b": "2"}
    again = project.up(program)
    assert not again.failed, again.text
    live = cluster.get("configmap", "drift")
    assert live
    assert live["data"]["a"] == "1"


def test_an_object_that_is_gone_is_noticed_by_refresh_and_made_again(project: Project, cluster: Cluster):
    program = config_map(cluster, {"a": "1"}, name="gone")
    project.up(program)
    cluster.kubectl("delete", "configmap", "gone")
    assert project.refresh().steps == [("delete", "settings")]
    assert project.up(program).steps == [("create", "settings")]


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


@pytest.mark.core
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


@pytest.mark.core
def test_an_object_that_exists_already_is_not_taken_over_silently(project: Project, cluster: Cluster):
    cluster.kubectl("create", "configmap", "theirs", "--from-literal=a=theirs")
    outcome = project.up(config_map(cluster, {"a": "mine"}, name="theirs"))
    assert outcome.failed
    assert "already exists" in outcome.text
    live = cluster.get("configmap", "theirs")
    assert live
    assert live["data"] == {"a": "theirs"}


def test_a_preview_asks_the_server_and_changes_nothing(project: Project, cluster: Cluster):
    def program() -> None:
        k8s.core.v1.Service(
            "bad", metadata=cluster.metadata("bad"), opts=cluster.options(),
            spec={"selector": {"app": "x"}, "ports": [{"port": 70000}]},
        )  # fmt: skip

    outcome = project.preview(program)
    assert outcome.failed
    assert "70000" in outcome.text
    fine = project.preview(config_map(cluster, {"a": "1"}, name="only-previewed"))
    assert fine.planned == [("create", "settings")]
    assert cluster.get("configmap", "only-previewed") is None


def test_a_preview_works_before_the_namespace_is_there(project: Project, cluster: Cluster):
    def program() -> None:
        opts = cluster.options()
        space = k8s.core.v1.Namespace("space", metadata={"name": cluster.namespace + "-new"}, opts=opts)
        k8s.core.v1.ConfigMap("c", metadata={"namespace": space.metadata.name}, data={"a": "1"}, opts=opts)

    outcome = project.preview(program)
    assert not outcome.failed, outcome.text
    assert ("create", "c") in outcome.planned


def test_destroy_takes_dependents_first_and_leaves_nothing(project: Project, cluster: Cluster):
    name = cluster.namespace + "-own"

    def program() -> None:
        opts = cluster.options()
        space = k8s.core.v1.Namespace("space", metadata={"name": name}, opts=opts)
        k8s.core.v1.Secret("inside", metadata={"namespace": space.metadata.name}, opts=opts)

    assert not project.up(program).failed
    gone = project.destroy()
    assert gone.steps == [("delete", "inside"), ("delete", "space")]
    assert cluster.kubectl("get", "namespace", name, "--ignore-not-found") == ""


@pytest.mark.core
def test_secret_values_are_encrypted_in_the_state(project: Project, cluster: Cluster):
    def program() -> None:
        k8s.core.v1.Secret(
            "s", metadata=cluster.metadata(), string_data={"k": "plain-to-see-4711"}, opts=cluster.options()
        )

    project.up(program)
    files = [path for path in (project.root / ".local/state").rglob("*") if path.is_file()]
    assert files
    for path in files:
        assert b"plain-to-see-4711" not in path.read_bytes(), path
        assert b"cGxhaW4tdG8tc2VlLTQ3MTE" not in path.read_bytes(), path


def test_custom_resources_work_in_the_same_update_as_their_definition(project: Project, cluster: Cluster):
    group = f"{cluster.namespace}.example.com"

    def program() -> None:
        opts = cluster.options()
        schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
        names = {"plural": "widgets", "singular": "widget", "kind": "Widget"}
        definition = k8s.apiextensions.v1.CustomResourceDefinition(
            "definition", metadata={"name": f"widgets.{group}"}, opts=opts,
            spec={
                "group": group, "scope": "Namespaced", "names": names,
                "versions": [
                    {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
                ],
            },
        )  # fmt: skip
        k8s.apiextensions.CustomResource(
            "widget", api_version=f"{group}/v1", kind="Widget", metadata=cluster.metadata("one"),
            spec={"size": 3}, opts=pulumi.ResourceOptions.merge(
                opts, pulumi.ResourceOptions(depends_on=[definition])
            ),
        )  # fmt: skip

    first = project.up(program)
    assert not first.failed, first.text
    live = cluster.get(f"widgets.{group}", "one")
    assert live
    assert live["spec"] == {"size": 3}
    assert project.refresh().steps == []
    gone = project.destroy()
    assert not gone.failed, gone.text
