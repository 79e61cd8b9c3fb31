"""The kubernetes plugin, stand-in or official, treats objects as the official one documents it."""

from __future__ import annotations

import re

import pulumi
import pytest

from tests.engine.conftest import Cluster, Program, Project
from tests.engine.programs import config_map, k8s

pytestmark = pytest.mark.cluster


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


@pytest.mark.core
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


def test_an_object_of_somebody_elses_is_read_and_outlives_the_stack_and_a_missing_one_ends_the_run(
    project: Project, cluster: Cluster
):
    def inside(name: str) -> Program:
        def program() -> None:
            options = cluster.options()
            found = k8s.core.v1.Namespace.get("theirs", name, opts=options)
            metadata = {"namespace": found.metadata.name, "name": "ours"}
            k8s.core.v1.ConfigMap("ours", metadata=metadata, opts=options)
            pulumi.export("labels", found.metadata.labels)

        return program

    made = project.up(inside(cluster.namespace))
    assert not made.failed, made.text
    assert made.outputs["labels"]["kubernetes.io/metadata.name"] == cluster.namespace
    assert cluster.get("configmap", "ours")
    assert project.up(inside(cluster.namespace)).steps == []
    gone = project.destroy()
    assert not gone.failed, gone.text
    assert not cluster.get("configmap", "ours")
    assert cluster.get("namespace", cluster.namespace)

    missing = project.preview(inside("nobody-has-this"))
    assert missing.failed
    assert "nobody-has-this" in missing.text
