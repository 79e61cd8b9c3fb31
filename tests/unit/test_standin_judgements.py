"""What the kubernetes stand-in decides without a cluster: differences, drift, readiness, trouble."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tools.engine.standins import diff, drift, ready
from tools.engine.standins.configuration import Configuration, same_cluster
from tools.engine.standins.kubectl import FIELD_MANAGER
from tools.engine.standins.objects import check_token, clean, identifier
from tools.engine.standins.plugin import UNKNOWN, ProviderError, decode, encode, secret
from tools.engine.standins.random import make_string

NOTHING: frozenset[str] = frozenset()


def obj(api_version: str, kind: str, **fields: Any) -> dict[str, Any]:
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": "x"}, **fields}


REPLACING = [
    ("apps/v1", "Deployment", "spec.selector.matchLabels.app", True),
    ("apps/v1", "Deployment", "spec.template.spec.containers[0].image", False),
    ("apps/v1", "StatefulSet", "spec.serviceName", True),
    ("apps/v1", "StatefulSet", "spec.volumeClaimTemplates[0].spec.resources.requests.storage", True),
    ("apps/v1", "StatefulSet", "spec.template.spec.containers[0].image", False),
    ("batch/v1", "Job", "spec.template.spec.containers[0].image", True),
    ("batch/v1", "Job", "spec.ttlSecondsAfterFinished", False),
    ("batch/v1", "CronJob", "spec.jobTemplate.spec.template.spec.containers[0].image", False),
    ("v1", "ConfigMap", "data.key", True),
    ("v1", "Secret", "stringData.key", True),
    ("v1", "PersistentVolumeClaim", "spec.storageClassName", True),
    ("v1", "PersistentVolumeClaim", "spec.resources.requests.storage", False),
    ("v1", "Service", "spec.clusterIP", True),
    ("v1", "Service", "spec.ports[0].port", False),
    ("v1", "Pod", "spec.containers[0].image", True),
    ("v1", "Pod", "spec.tolerations[0].key", False),
    ("rbac.authorization.k8s.io/v1", "RoleBinding", "roleRef.name", True),
    ("example.com/v1", "Widget", "spec.size", False),
    ("example.com/v1", "Widget", "metadata.name", True),
    ("v1", "ServiceAccount", "metadata.labels.a", False),
]


@pytest.mark.parametrize(("api_version", "kind", "path", "expected"), REPLACING)
def test_the_properties_that_replace_an_object_are_the_official_ones(
    api_version: str, kind: str, path: str, expected: bool
):
    parts = tuple(
        int(part) if part.isdigit() else part for part in path.replace("[", ".").replace("]", "").split(".")
    )
    assert diff.property_path(parts) == path
    assert diff.replaces(obj(api_version, kind), parts, mutable=NOTHING) is expected


def test_a_mutable_config_map_changes_in_place_unless_it_says_that_it_is_immutable():
    mutable = frozenset({"ConfigMap"})
    plain, fixed = obj("v1", "ConfigMap"), obj("v1", "ConfigMap", immutable=True)
    assert not diff.replaces(plain, ("data", "k"), mutable=mutable)
    assert diff.replaces(fixed, ("data", "k"), mutable=mutable)


def test_differences_are_found_at_their_exact_paths():
    old = {"a": 1, "list": [{"n": 1}, {"n": 2}], "gone": "x", "same": {"k": None}}
    new = {"a": 2, "list": [{"n": 1}, {"n": 3}, {"n": 4}], "new": "y", "same": {}}
    found = {diff.property_path(path): change for path, change in diff.changes(old, new).items()}
    assert found == {"a": "update", "list[1].n": "update", "list[2]": "add", "gone": "delete", "new": "add"}


def test_true_is_not_one_and_an_unknown_value_is_a_change():
    assert diff.changes({"a": 1}, {"a": True}) == {("a",): "update"}
    assert diff.changes({"a": "v"}, {"a": UNKNOWN}) == {("a",): "update"}


def test_labels_with_dots_are_written_as_the_engine_writes_them():
    assert diff.property_path(("metadata", "labels", "app.kubernetes.io/name")) == (
        'metadata.labels["app.kubernetes.io/name"]'
    )


def test_defaults_other_peoples_fields_and_the_servers_spelling_are_no_drift():
    inputs = {"spec": {"cpu": "1000m", "containers": [{"name": "a", "image": "i"}]}}
    live = {
        "spec": {
            "cpu": "1",
            "added": True,
            "containers": [{"name": "a", "image": "i", "pullPolicy": "Always"}],
        },
        "status": {"phase": "x"},
    }
    later = {**live, "status": {"phase": "y"}, "metadata": {"annotations": {"theirs": "1"}}}
    assert drift.seen(inputs, live, later) == inputs
    assert drift.refreshed(live, later, inputs) == live


def test_real_drift_is_seen_where_it_is():
    inputs = {
        "spec": {"replicas": 1, "containers": [{"name": "a", "image": "i"}, {"name": "b", "image": "j"}]}
    }
    before = inputs
    live = {
        "spec": {
            "replicas": 3,
            "containers": [{"name": "b", "image": "changed"}, {"name": "a", "image": "i"}],
        }
    }
    seen = drift.seen(inputs, before, live)
    assert seen["spec"]["replicas"] == 3
    assert seen["spec"]["containers"] == [{"name": "a", "image": "i"}, {"name": "b", "image": "changed"}]
    removed = {"spec": {"containers": before["spec"]["containers"]}}
    assert "replicas" not in drift.seen(inputs, before, removed)["spec"]


def test_string_data_of_a_secret_is_compared_with_what_the_server_made_of_it():
    inputs = obj("v1", "Secret", stringData={"k": "value"})
    applied = obj("v1", "Secret", data={"k": "dmFsdWU="})
    changed = obj("v1", "Secret", data={"k": "b3RoZXI="})
    assert drift.seen(inputs, applied, applied) == inputs
    assert drift.seen(inputs, applied, changed)["stringData"] == {"k": "other"}


def test_an_ignored_field_is_left_out_only_while_somebody_else_owns_it():
    inputs = {"spec": {"replicas": 1, "paused": False}}

    def live(manager: str) -> dict[str, Any]:
        owned = {"f:spec": {"f:replicas": {}}}
        return {
            "metadata": {"managedFields": [{"manager": manager, "fieldsV1": owned, "subresource": "scale"}]}
        }

    assert drift.without_others_fields(inputs, live("autoscaler"), ["spec.replicas"]) == {
        "spec": {"paused": False}
    }
    assert drift.without_others_fields(inputs, live(FIELD_MANAGER), ["spec.replicas"]) == inputs
    assert drift.without_others_fields(inputs, None, ["spec.replicas"]) == inputs


def status(generation: int = 1, **fields: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": "d", "generation": generation},
        "spec": {"replicas": 2},
        "status": {"observedGeneration": generation, **fields},
    }


@pytest.mark.parametrize(
    ("fields", "state"),
    [
        ({"replicas": 2, "updatedReplicas": 2, "availableReplicas": 2}, "ready"),
        ({"replicas": 2, "updatedReplicas": 1, "availableReplicas": 2}, "waiting"),
        ({"replicas": 3, "updatedReplicas": 2, "availableReplicas": 3}, "waiting"),
        ({"replicas": 2, "updatedReplicas": 2, "availableReplicas": 1}, "waiting"),
        ({"observedGeneration": 0, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 2}, "waiting"),
        (
            {
                "conditions": [
                    {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}
                ]
            },
            "failed",
        ),
    ],
)
def test_a_deployment_is_ready_when_all_its_new_pods_are_and_no_old_one_is_left(
    fields: dict[str, Any], state: str
):
    assert ready.deployment(status(**fields)).state == state


@pytest.mark.parametrize(
    ("condition", "state"),
    [
        ("Complete", "ready"),
        ("Failed", "failed"),
        ("FailureTarget", "failed"),
        ("SuccessCriteriaMet", "waiting"),
    ],
)
def test_a_job_is_ready_when_it_is_complete_and_failed_whatever_made_it_fail(condition: str, state: str):
    made = {"metadata": {}, "spec": {}, "status": {"conditions": [{"type": condition, "status": "True"}]}}
    assert ready.job(made).state == state


def crashing(restarts: int, reason: str = "CrashLoopBackOff") -> dict[str, Any]:
    container = {
        "name": "main",
        "restartCount": restarts,
        "state": {"waiting": {"reason": reason, "message": "m"}},
        "lastState": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}},
    }
    return {"metadata": {"name": "p"}, "status": {"containerStatuses": [container]}}


def test_a_container_may_crash_twice_and_a_missing_image_has_its_own_limit():
    assert ready.trouble(crashing(2)) is None
    found = ready.trouble(crashing(3))
    assert found
    assert found.limit == 0
    assert "137, OOMKilled" in str(found)
    pulled = ready.trouble(crashing(0, "ImagePullBackOff"))
    assert pulled
    assert pulled.limit == 60
    assert ready.trouble({"metadata": {"name": "p"}, "status": {"phase": "Running"}}) is None


def test_values_travel_to_the_engine_and_back_with_secrets_unwrapped():
    sent = encode({"n": 3, "f": 1.5, "s": secret({"k": "v"}), "l": [1, None], "b": True})
    assert decode(sent) == {"n": 3, "f": 1.5, "s": {"k": "v"}, "l": [1, None], "b": True}
    assert isinstance(decode(sent)["n"], int)
    assert clean({"__defaults": [], "a": None, "b": {"c": None, "d": 1}}) == {"b": {"d": 1}}


def test_what_the_stand_in_cannot_do_is_refused():
    fine = obj("v1", "Pod")
    assert check_token("kubernetes:core/v1:Pod", fine) == []
    assert check_token("kubernetes:core/v1:PodPatch", fine)
    assert check_token("kubernetes:helm.sh/v3:Release", {"chart": "x"})
    assert check_token("kubernetes:core/v1:Pod", obj("v1", "Pod", metadata={"generateName": "x-"}))


def test_an_objects_id_is_its_namespace_and_name():
    assert identifier({"metadata": {"name": "n", "namespace": "s"}}) == "s/n"
    assert identifier({"metadata": {"name": "n"}}) == "n"


def test_two_kubeconfigs_for_the_same_server_are_the_same_cluster(tmp_path: Path):
    def kubeconfig(server: str, token: str) -> str:
        return (
            f"{{current-context: c, contexts: [{{name: c, context: {{cluster: k, user: u}}}}], "
            f"clusters: [{{name: k, cluster: {{server: '{server}'}}}}], "
            f"users: [{{name: u, user: {{token: {token}}}}}]}}"
        )

    first, second = kubeconfig("https://a", "1"), kubeconfig("https://a", "2")
    other = kubeconfig("https://b", "1")
    assert same_cluster({"kubeconfig": first}, {"kubeconfig": second})
    assert not same_cluster({"kubeconfig": first}, {"kubeconfig": other})
    assert same_cluster({"kubeconfig": first, "clusterIdentifier": "i"}, {"clusterIdentifier": "i"})
    (tmp_path / "a").write_text(first)
    (tmp_path / "b").write_text(other)
    by_path = [{"kubeconfig": str(tmp_path / name)} for name in ("a", "b", "gone")]
    assert same_cluster(by_path[0], {"kubeconfig": second})
    assert not same_cluster(by_path[0], by_path[1])
    assert same_cluster(by_path[2], by_path[1])


def test_a_provider_option_that_is_not_known_or_no_cluster_at_all_is_refused():
    assert Configuration({"kubeconfig": "/k", "namespace": "n"}).mistakes() == []
    assert [
        key for key, _ in Configuration({"kubeconfig": "/k", "renderYamlToDirectory": "d"}).mistakes()
    ] == ["renderYamlToDirectory"]
    assert [key for key, _ in Configuration({}).mistakes()] == ["kubeconfig"]
    assert Configuration({"context": "c", "enableServerSideApply": "false"}).mistakes()


def test_a_random_string_keeps_its_promises():
    text = make_string({"length": 40, "minNumeric": 5, "special": False, "upper": False})
    assert len(text) == 40
    assert sum(char.isdigit() for char in text) >= 5
    assert text.isalnum()
    assert text == text.lower()
    with pytest.raises(ProviderError, match="minimums"):
        make_string({"length": 2, "minNumeric": 5})
    with pytest.raises(ProviderError, match="no character"):
        make_string({"length": 2, "lower": False, "upper": False, "numeric": False, "special": False})
