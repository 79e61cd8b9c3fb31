"""Model servers over their life in a stack: what the watch changed is nobody else's, and no drift."""

from __future__ import annotations

import json
from typing import Any

import pytest

from components.contracts import Images, TrackingAccess
from components.jobs.model_server import ModelServer, ModelServerArgs
from components.jobs.scripts import model_watch
from components.jobs.scripts.kubernetes import USER_AGENT
from components.jobs.service import Service, ServiceArgs
from components.settings import services
from tests.engine.conftest import Cluster, Program, Project

pytestmark = pytest.mark.cluster


def servers(cluster: Cluster, stack: str, **described: dict[str, Any]) -> Program:
    """The product's own component; no pod of it is ever started here."""

    def program() -> None:
        opts = cluster.options()
        access = TrackingAccess(namespace=cluster.namespace, account="default", config_map="environment")
        images = Images(server="localhost/never-run:1", job="localhost/never-run:1", third_party={})
        for name, given in described.items():
            settings = services.ModelServer.model_validate({"model": "models:/churn@live", **given})
            args = ModelServerArgs(
                server=name, settings=settings, access=access, images=images, scripts="scripts"
            )
            ModelServer(f"{stack}-{name}", args, opts=opts)

    return program


def started(cluster: Cluster, name: str, version: str) -> dict[str, Any]:
    """What the watch does once there is a model, with its own words; a paused Deployment makes no pods."""
    cluster.kubectl("rollout", "pause", f"deployment/{name}")
    live = cluster.get("deployment", name)
    assert live
    patch = model_watch.change(live, lambda _model: version)
    assert patch
    cluster.kubectl("patch", "deployment", name, "--type=merge", "-p", json.dumps(patch))
    changed = cluster.get("deployment", name)
    assert changed
    assert model_watch.change(changed, lambda _model: version) is None
    return changed


def version_of(deployment: dict[str, Any]) -> str:
    return deployment["spec"]["template"]["metadata"]["annotations"][model_watch.VERSION]


@pytest.mark.core
def test_what_the_watch_started_is_no_change_for_an_up_nor_after_a_refresh(
    project: Project, cluster: Cluster
) -> None:
    program = servers(cluster, "same", churn={"replicas": 2})
    first = project.up(program)
    assert not first.failed, first.text
    live = cluster.get("deployment", "churn")
    assert live
    assert live["spec"]["replicas"] == 0
    started(cluster, "churn", "models:/churn/1")
    assert project.up(program).steps == []
    assert not project.refresh().failed
    again = project.up(program)
    assert not again.failed, again.text
    assert again.steps == []
    after = cluster.get("deployment", "churn")
    assert after
    assert (after["spec"]["replicas"], version_of(after)) == (2, "models:/churn/1")


@pytest.mark.core
def test_an_update_keeps_pods_and_version_and_tells_the_watch_what_is_wanted(
    project: Project, cluster: Cluster
) -> None:
    assert not project.up(servers(cluster, "kept", score={"replicas": 2})).failed
    before = started(cluster, "score", "models:/churn/1")
    changed = servers(cluster, "kept", score={"replicas": 3, "drainSeconds": 99})
    shown = project.preview(changed)
    assert not shown.failed, shown.text
    done = project.up(changed)
    assert not done.failed, done.text
    assert ("update", "kept-score-served-deployment") in done.steps
    after = cluster.get("deployment", "score")
    assert after
    assert after["metadata"]["uid"] == before["metadata"]["uid"]
    assert (after["spec"]["replicas"], version_of(after)) == (2, "models:/churn/1")
    assert after["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] == 5 + 99 + 10
    assert model_watch.change(after, lambda _model: "models:/churn/1") == {"spec": {"replicas": 3}}


def test_a_server_that_never_had_a_model_stays_without_pods_through_updates(
    project: Project, cluster: Cluster
) -> None:
    assert not project.up(servers(cluster, "none", empty={})).failed
    done = project.up(servers(cluster, "none", empty={"drainSeconds": 5, "replicas": 4}))
    assert not done.failed, done.text
    live = cluster.get("deployment", "empty")
    assert live
    assert live["spec"]["replicas"] == 0
    assert live["metadata"]["annotations"][model_watch.REPLICAS] == "4"


def test_a_removed_server_is_deleted_with_all_that_is_its_own(project: Project, cluster: Cluster) -> None:
    assert not project.up(servers(cluster, "fewer", keep={}, gone={"replicas": 2})).failed
    started(cluster, "gone", "models:/churn/1")
    removed = project.up(servers(cluster, "fewer", keep={}))
    assert not removed.failed, removed.text
    for kind in ("deployment", "service", "networkpolicy", "poddisruptionbudget"):
        assert cluster.get(kind, "gone") is None, kind
    assert cluster.get("deployment", "keep")


def code(cluster: Cluster, stack: str, **given: Any) -> Program:
    """The product's own component for code that serves; no pod of it is ever started here."""

    def program() -> None:
        access = TrackingAccess(namespace=cluster.namespace, account="default", config_map="environment")
        images = Images(server="localhost/never-run:1", job="localhost/never-run:1", third_party={})
        described = {"folder": "/tmp", "image": "localhost/never-run:1", "module": "app", **given}
        settings = services.Service.model_validate(described)
        args = ServiceArgs(
            service=stack,
            settings=settings,
            access=access,
            images=images,
            scripts="scripts",
            rolling_scripts="scripts",
        )
        Service(f"{stack}-service", args, opts=cluster.options())

    return program


def test_a_service_that_waits_no_longer_keeps_its_pods_and_is_scaled_by_hand_before_by_the_stack(
    project: Project, cluster: Cluster
) -> None:
    """docs/services.md says so: who started its pods owns their number, and Kubernetes tells it."""
    assert not project.up(code(cluster, "web", waits=True)).failed
    cluster.kubectl("rollout", "pause", "deployment/web")  # it makes no pods then
    owner = USER_AGENT.partition("/")[0]
    started = json.dumps({"spec": {"replicas": 1}})
    cluster.kubectl("patch", "deployment", "web", "--type=merge", f"--field-manager={owner}", "-p", started)
    still = project.up(code(cluster, "web"))
    assert not still.failed, still.text
    refused = project.up(code(cluster, "web", replicas=3))
    assert refused.failed
    assert ".spec.replicas" in refused.text
    assert owner in refused.text
    cluster.kubectl("scale", "deployment", "web", "--replicas=3")
    done = project.up(code(cluster, "web", replicas=3))
    assert not done.failed, done.text
    live = cluster.get("deployment", "web")
    assert live
    assert live["spec"]["replicas"] == 3
