"""`make validate`: what it concludes from what a cluster answers, and what it leaves behind."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from components.settings import parse
from tools.engine.place import Place
from tools.validate import ClusterAccess, Finding, Subject, network_policy
from tools.validate import __main__ as verb
from tools.validate.__main__ import tell
from tools.validate.classes import classes
from tools.validate.keys import key_of
from tools.validate.ports import ports

DEV = parse({"cloud": "dev"})
POLICY = {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "p"}}


@dataclass(frozen=True)
class FakeCluster(ClusterAccess):
    """A cluster that answers from a table and notes what was made and deleted.

    :ivar calls_end: how the caller's calls end, given whether the policy is there.
    :ivar answers: kind → objects.
    """

    command: tuple[str, ...] = ()
    calls_end: Callable[[bool], str] = lambda there: "closed" if there else "open"
    listener: dict[str, Any] = field(default_factory=dict)
    answers: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    made: list[str] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)

    def kubectl(self, *words: str, manifest: Any = None, limit: float = 0) -> str:  # noqa: ARG002
        if manifest:
            self.made.append(f"{manifest['kind']} {manifest['metadata']['name']}")
        if "delete" in words:
            self.deleted.append(words[2])
        if "logs" in words:
            return "\n".join([self.calls_end("NetworkPolicy nobody" in self.made)] * 3)
        return ""

    def objects(self, *words: str) -> list[dict[str, Any]]:
        if words[0] != "pods":
            return self.answers.get(words[0], [])
        status = {"phase": "Running", "podIP": "10.0.0.1", "containerStatuses": [{"restartCount": 0}]}
        return [{"metadata": {"name": "listener"}, "status": status | self.listener}]


def subject(cluster: ClusterAccess | None, *manifests: dict[str, Any], image: str | None = "i:1") -> Subject:
    return Subject("dev", parse({"cloud": "dev"}), manifests or (POLICY,), cluster, image)


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network_policy, "POLICY_LIMIT", 0.2)
    monkeypatch.setattr(network_policy, "START_LIMIT", 0.2)


def probed(cluster: FakeCluster) -> list[Finding]:
    found = list(network_policy.network_policy(subject(cluster)))
    namespaces = [name.split()[1] for name in cluster.made if name.startswith("Namespace")]
    assert cluster.deleted == namespaces != []
    return found


def test_a_cluster_that_shuts_a_pod_off_by_a_policy_enforces_them() -> None:
    cluster = FakeCluster()
    assert probed(cluster) == []
    assert cluster.made.index("Pod caller") < cluster.made.index("NetworkPolicy nobody")


def test_a_cluster_where_the_policy_changes_nothing_gets_one_warning() -> None:
    (finding,) = probed(FakeCluster(calls_end=lambda _: "open"))
    assert finding.key == "mlflow:cluster"
    assert "does not enforce network policies" in finding.text
    assert not finding.fails


@pytest.mark.parametrize(
    "cluster",
    [
        FakeCluster(calls_end=lambda _: "closed"),
        FakeCluster(listener={"phase": "Failed"}),
        FakeCluster(listener={"containerStatuses": [{"restartCount": 1}]}),
    ],
    ids=["no talk even without a policy", "the listener never ran", "the listener died"],
)
def test_silence_for_another_reason_is_not_taken_for_enforcement(cluster: FakeCluster) -> None:
    (finding,) = probed(cluster)
    assert "could not be found out" in finding.text


def test_ctrl_c_in_the_middle_leaves_no_namespace() -> None:
    def interrupt(_: bool) -> str:
        raise KeyboardInterrupt

    cluster = FakeCluster(calls_end=interrupt)
    with pytest.raises(KeyboardInterrupt):
        list(network_policy.network_policy(subject(cluster)))
    assert len(cluster.deleted) == 1


def test_what_a_killed_run_left_is_removed_by_the_next_and_a_run_beside_it_is_not() -> None:
    old = {"metadata": {"name": "mlflow-validate-old", "creationTimestamp": "2026-01-01T00:00:00Z"}}
    new = {"metadata": {"name": "mlflow-validate-new", "creationTimestamp": "2999-01-01T00:00:00Z"}}
    cluster = FakeCluster(answers={"namespaces": [old, new]})
    list(network_policy.network_policy(subject(cluster)))
    assert "mlflow-validate-old" in cluster.deleted
    assert "mlflow-validate-new" not in cluster.deleted


def test_without_an_image_or_a_policy_nothing_is_made() -> None:
    cluster = FakeCluster()
    (finding,) = network_policy.network_policy(subject(cluster, image=None))
    assert "once there is a server image" in finding.text
    claim = {"kind": "PersistentVolumeClaim", "metadata": {"name": "x"}, "spec": {}}
    assert list(network_policy.network_policy(subject(cluster, claim))) == []
    assert cluster.made == []


def claim(name: str, storage_class: str | None) -> dict[str, Any]:
    spec = {"storageClassName": storage_class} if storage_class else {}
    return {"kind": "PersistentVolumeClaim", "metadata": {"name": name}, "spec": spec}


def storage_class(name: str, **annotations: str) -> dict[str, Any]:
    return {"kind": "StorageClass", "metadata": {"name": name, "annotations": annotations}}


def test_a_class_that_is_not_there_fails_with_its_key_and_those_there_are() -> None:
    cluster = FakeCluster(answers={"storageclasses": [storage_class("slow")]})
    made = [claim("mlflow-database", "fast"), claim("mlflow-artifacts", None), claim("other", "slow")]
    found = {finding.key: finding.text for finding in classes(subject(cluster, *made))}
    assert found == {
        "mlflow:database.volume.storageClass": "the cluster has no storage class fast; it has: slow",
        "mlflow:cluster.storageClass": "the cluster has no default storage class; name one",
    }


def test_a_class_that_the_stack_makes_or_only_the_cloud_knows_is_none_too_few() -> None:
    cluster = FakeCluster()
    made = [claim("a", "encrypted"), claim("b", "[unknown]"), storage_class("encrypted")]
    assert list(classes(subject(cluster, *made))) == []


def test_an_ingress_class_that_is_not_there_fails() -> None:
    ingress = {"kind": "Ingress", "metadata": {"name": "i"}, "spec": {"ingressClassName": "alb"}}
    (finding,) = classes(subject(FakeCluster(), ingress))
    assert (finding.key, finding.fails) == ("mlflow:exposure.ingress.className", True)


def test_a_node_port_that_another_namespace_has_fails_and_the_stacks_own_does_not() -> None:
    def service(namespace: str, port: int) -> dict[str, Any]:
        metadata = {"name": "mlflow-server-node-port", "namespace": namespace}
        return {"kind": "Service", "metadata": metadata, "spec": {"ports": [{"port": 80, "nodePort": port}]}}

    cluster = FakeCluster(answers={"services": [service("other", 30500), service("mlflow", 30501)]})
    (finding,) = ports(subject(cluster, service("mlflow", 30500), service("mlflow", 30501)))
    assert finding.key == "mlflow:exposure.nodePort.port"
    assert finding.text == "30500 is taken by Service other/mlflow-server-node-port"


@pytest.mark.parametrize(
    ("kind", "name", "labels", "key"),
    [
        ("Service", "mlflow-server-node-port", {}, "mlflow:exposure.nodePort"),
        ("StatefulSet", "mlflow-database", {"app.kubernetes.io/component": "database"}, "mlflow:database"),
        ("CronJob", "quickstart", {"mlflow/job": "quickstart"}, "mlflow:jobs.quickstart"),
        ("Deployment", "mlflow-server", {"app.kubernetes.io/component": "server"}, "mlflow:server"),
    ],
)
def test_an_object_leads_back_to_its_setting(kind: str, name: str, labels: dict, key: str) -> None:
    assert key_of({"kind": kind, "metadata": {"name": name, "labels": labels}}, DEV) == key


def test_what_serves_or_runs_in_order_leads_back_to_its_section_and_a_workspace_to_its_claim() -> None:
    def key(kind: str, label: str, name: str = "one") -> str:
        served = {"modelServers": {"model": {"model": "models:/a@b"}}}
        metadata = {"name": name, "labels": {f"mlflow/{label}": name}}
        return key_of({"kind": kind, "metadata": metadata}, parse({"cloud": "dev", **served}))

    assert key("Deployment", "service") == "mlflow:services.one"
    assert key("Ingress", "service") == "mlflow:services.one"
    for kind in ("Deployment", "Service", "NetworkPolicy", "PodDisruptionBudget", "Ingress"):
        assert key(kind, "service", "model") == "mlflow:modelServers.model"
    assert key("CronJob", "service-roll") == "mlflow:services.one.schedule"
    assert key("CronJob", "pipeline") == "mlflow:pipelines.one"
    assert key("CronJob", "job") == "mlflow:jobs.one"
    assert key("PersistentVolumeClaim", "job") == "mlflow:jobs.one.workspace.claim"


@pytest.mark.parametrize("kind", ["ServiceAccount", "Role", "RoleBinding"])
@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("pipeline-nightly", "mlflow:pipelines.nightly"),
        ("web-roll", "mlflow:services.web.schedule"),
        ("mlflow-services-watch", "mlflow:modelServers"),
    ],
)
def test_rights_lead_back_to_what_wants_them(kind: str, name: str, key: str) -> None:
    labels = {"app.kubernetes.io/component": "service"}
    assert key_of({"kind": kind, "metadata": {"name": name, "labels": labels}}, DEV) == key


def test_the_watch_leads_back_to_model_servers_and_a_services_class_to_the_entrance() -> None:
    labels = {"app.kubernetes.io/component": "model-watch"}
    watch = {"kind": "Deployment", "metadata": {"name": "mlflow-services-watch", "labels": labels}}
    assert key_of(watch, DEV) == "mlflow:modelServers"
    labels = {"mlflow/service": "web"}
    ingress = {
        "kind": "Ingress", "metadata": {"name": "web", "labels": labels}, "spec": {"ingressClassName": "not"},
    }  # fmt: skip
    (finding,) = classes(Subject("dev", parse({"cloud": "dev"}), [ingress], FakeCluster(), None))
    assert finding.key == "mlflow:exposure.ingress.className"


def test_warnings_leave_the_exit_code_at_zero_and_what_fails_comes_first(
    capsys: pytest.CaptureFixture[str],
) -> None:
    warning, mistake = Finding("mlflow:a", "w", fails=False), Finding("mlflow:b", "m")
    assert tell("dev", [warning]) == 0
    assert tell("dev", [warning, mistake]) == 1
    shown = capsys.readouterr().err.rpartition("is sound")[2]
    assert shown.index("mlflow:b") < shown.index("mlflow:a")


def test_an_existing_cluster_that_cannot_be_reached_is_said_with_the_reason(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "Pulumi.yaml").write_text("name: mlflow\n")
    (tmp_path / "Pulumi.live.yaml").write_text("config: {mlflow:cloud: aws, aws:region: eu-west-1}\n")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(verb, "place_of", lambda stack: Place(tmp_path, stack))
    settings = parse({"cloud": "aws", "cluster": {"existing": "data-platform", "has": ["auto-mode"]}})
    assert verb.reach("live", settings) == (None, None, "aws is not installed")
