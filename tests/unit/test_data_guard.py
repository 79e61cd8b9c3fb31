"""An `up` that would walk away from stored data is refused, whatever the stack."""

from __future__ import annotations

import re
from typing import Any

import pytest

from components.data_places import data_places
from components.settings import Stack, parse, with_server
from tools.common import Failure
from tools.engine.data_guard import refuse_moved_data


def settings(**more: Any) -> Stack:
    return with_server(parse({"cloud": "dev", **more}, secret_keys={"database"}))


def state(**more: Any) -> dict[str, Any]:
    outputs = {"dataPlaces": data_places(settings(**more), "one")}
    return {"resources": [{"type": "pulumi:pulumi:Stack", "outputs": outputs}]}


MOVES = {
    "another engine": {"database": {"engine": "mysql"}},
    "a file instead of a server": {"database": {"engine": "sqlite"}},
    "a database elsewhere": {"database": {"url": "postgresql://u:p@h/d"}},
    "artifacts elsewhere": {"artifacts": {"uri": "s3://bucket"}},
    "another namespace": {"namespace": "other"},
    "another storage class": {"cluster": {"storageClass": "fast"}},
    "another class for the database": {"database": {"volume": {"storageClass": "fast"}}},
    "another access mode": {"artifacts": {"volume": {"accessMode": "ReadWriteMany"}}},
}


@pytest.mark.parametrize("change", MOVES.values(), ids=MOVES.keys())
def test_a_change_that_leaves_the_data_behind_is_refused_with_its_key(
    change: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FORCE", raising=False)
    with pytest.raises(Failure, match=r"mlflow:[a-zA-Z.]+: \S+ → \S+") as refused:
        refuse_moved_data("dev", settings(**change), state(), "one")
    assert "FORCE=dev make up" in refused.value.hint


def test_naming_the_stack_lets_the_change_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE", "dev")
    refuse_moved_data("dev", settings(database={"engine": "mysql"}), state(), "one")


def test_naming_another_stack_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE", "prod")
    with pytest.raises(Failure):
        refuse_moved_data("dev", settings(database={"engine": "mysql"}), state(), "one")


def test_other_changes_and_a_first_up_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FORCE", raising=False)
    refuse_moved_data("dev", settings(logLevel={"server": "DEBUG"}), state(), "one")
    refuse_moved_data("dev", settings(database={"volume": {"size": "20Gi"}}), state(), "one")
    refuse_moved_data("dev", settings(), {}, "one")
    refuse_moved_data("dev", settings(), {"resources": [{"type": "pulumi:pulumi:Stack"}]}, "one")


def test_another_cluster_under_the_same_name_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FORCE", raising=False)
    with pytest.raises(Failure, match="mlflow:cluster: one → two"):
        refuse_moved_data("dev", settings(), state(), "two")


ON_A_CLOUD = {
    "another name": ({"database": {"name": "other"}}, {}, "database.name: mlflow → other"),
    "another service": (
        {"database": {"existing": {"instance": "b", "finished": True}}},
        {},
        "database.existing: made by the stack → b",
    ),
    "another bucket": (
        {"artifacts": {"existing": {"name": "other-bucket"}}},
        {},
        "artifacts.existing: made by the stack → other-bucket/",
    ),
    "another region": ({}, {"aws:region": "us-east-1"}, "aws:region: eu-west-1 → us-east-1"),
}


@pytest.mark.parametrize(("change", "others", "told"), ON_A_CLOUD.values(), ids=ON_A_CLOUD.keys())
def test_what_only_a_cloud_has_is_compared_too(
    change: dict[str, Any], others: dict[str, str], told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FORCE", raising=False)
    region = {"aws:region": "eu-west-1"}
    outputs = {"dataPlaces": data_places(parse({"cloud": "aws"}), None) | region}
    before = {"resources": [{"type": "pulumi:pulumi:Stack", "outputs": outputs}]}
    refuse_moved_data("aws", parse({"cloud": "aws"}), before, None, region)
    with pytest.raises(Failure, match=re.escape(told)):
        refuse_moved_data("aws", parse({"cloud": "aws", **change}), before, None, region | others)


ON_GOOGLE = {
    "a password instead of an identity": ({"database": {"signIn": "password"}}, "database.signIn"),
    "the proxy's account": ({"gcp": {"proxy": "deployment"}}, "gcp.proxy"),
    "another continent": ({"artifacts": {"location": "eu"}}, "artifacts.location"),
}


@pytest.mark.parametrize(("change", "key"), ON_GOOGLE.values(), ids=ON_GOOGLE.keys())
def test_what_google_would_make_anew_or_give_to_another_user_is_refused(
    change: dict[str, Any], key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FORCE", raising=False)
    outputs = {"dataPlaces": data_places(parse({"cloud": "gcp"}), None)}
    before = {"resources": [{"type": "pulumi:pulumi:Stack", "outputs": outputs}]}
    with pytest.raises(Failure, match=rf"mlflow:{key}: \S+ → \S+"):
        refuse_moved_data("gcp", parse({"cloud": "gcp", **change}), before, None)


def test_a_location_that_is_the_stacks_region_already_is_no_move(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FORCE", raising=False)
    region = {"gcp:region": "europe-west1"}

    def goes(first: dict[str, Any], then: dict[str, Any]) -> None:
        outputs = {"dataPlaces": data_places(parse({"cloud": "gcp", **first}), None) | region}
        before = {"resources": [{"type": "pulumi:pulumi:Stack", "outputs": outputs}]}
        refuse_moved_data("gcp", parse({"cloud": "gcp", **then}), before, None, region)

    here, elsewhere = ({"artifacts": {"location": place}} for place in ("europe-west1", "europe-west4"))
    goes({}, here)
    goes(here, {})
    with pytest.raises(Failure, match=r"artifacts\.location: europe-west1 → europe-west4"):
        goes({}, elsewhere)


NEEDED: dict[str, dict[str, Any]] = {
    "aws": {},
    "azure": {"cluster": {"create": {"adminGroups": ["11111111-2222-3333-4444-555555555555"]}}},
    "gcp": {},
}
PASSWORD = {"signIn": "password"}
OTHER_USERS = {
    "another name on AWS": ("aws", {}, {"user": "ml"}, "user: mlflow → ml"),
    "another name on Azure": ("azure", PASSWORD, PASSWORD | {"user": "ml"}, "user: mlflow → ml"),
    "another name on Google": ("gcp", PASSWORD, PASSWORD | {"user": "ml"}, "user: mlflow → ml"),
    "an identity on Google": ("gcp", PASSWORD, {"signIn": "identity"}, "signIn: password → identity"),
}


@pytest.mark.parametrize(("cloud", "first", "then", "told"), OTHER_USERS.values(), ids=OTHER_USERS.keys())
def test_another_user_is_refused_for_postgresql_whose_tables_have_owners_and_passes_for_mysql(
    cloud: str, first: dict[str, Any], then: dict[str, Any], told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FORCE", raising=False)
    for engine in ("postgresql", "mysql"):
        one, other = (
            parse({**NEEDED[cloud], "cloud": cloud, "database": {"engine": engine, **each}})
            for each in (first, then)
        )
        outputs = {"dataPlaces": data_places(one, None)}
        before = {"resources": [{"type": "pulumi:pulumi:Stack", "outputs": outputs}]}
        if engine == "mysql":
            refuse_moved_data(cloud, other, before, None)
            continue
        with pytest.raises(Failure, match=re.escape(f"mlflow:database.{told}")):
            refuse_moved_data(cloud, other, before, None)


def test_a_standby_is_refused_for_a_mysql_server_on_azure_that_is_there_and_passes_for_postgresql(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("FORCE", raising=False)
    for engine in ("postgresql", "mysql"):
        one, other = (
            parse({**NEEDED["azure"], "cloud": "azure", "database": {"engine": engine, **PASSWORD, **each}})
            for each in ({}, {"highAvailability": True})
        )
        before = {
            "resources": [{"type": "pulumi:pulumi:Stack", "outputs": {"dataPlaces": data_places(one, None)}}]
        }
        if engine == "postgresql":
            refuse_moved_data("azure", other, before, None)
            continue
        with pytest.raises(Failure, match=r"mlflow:database\.highAvailability: False → True"):
            refuse_moved_data("azure", other, before, None)


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"compute": "autopilot"}, "mlflow:cluster.create.compute"),
        ({"network": "10.80.0.0/16"}, "mlflow:cluster.create.network"),
        ({"subnet": {"name": "a", "pods": "p", "services": "s"}}, "mlflow:cluster.create.network"),
    ],
)
def test_what_replaces_a_google_cluster_is_refused(
    change: dict[str, Any], key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FORCE", raising=False)
    has = {"has": ["private-services-access"]} if "subnet" in change else {}
    outputs = {"dataPlaces": data_places(parse({"cloud": "gcp"}), None)}
    before = {"resources": [{"type": "pulumi:pulumi:Stack", "outputs": outputs}]}
    refuse_moved_data("gcp", parse({"cloud": "gcp", "cluster": {"create": {}}}), before, None)
    with pytest.raises(Failure, match=key):
        refuse_moved_data("gcp", parse({"cloud": "gcp", "cluster": {"create": change, **has}}), before, None)


def test_another_cluster_is_refused_where_data_is_kept_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FORCE", raising=False)
    inside = {"cloud": "aws", "database": {"place": "in-cluster"}}
    has = ["auto-mode"]
    outputs = {"dataPlaces": data_places(parse({**inside, "cluster": {"existing": "a", "has": has}}), None)}
    before = {"resources": [{"type": "pulumi:pulumi:Stack", "outputs": outputs}]}
    with pytest.raises(Failure, match=r"mlflow:cluster\.existing: a → b"):
        refuse_moved_data("aws", parse({**inside, "cluster": {"existing": "b", "has": has}}), before, None)


def test_giving_the_namespace_to_somebody_else_is_refused_since_its_volumes_would_go_with_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("FORCE", raising=False)
    outputs = {"dataPlaces": data_places(parse({"cloud": "dev"}), None)}
    before = {"resources": [{"type": "pulumi:pulumi:Stack", "outputs": outputs}]}
    with pytest.raises(Failure, match="mlflow:existingNamespace: false → true"):
        refuse_moved_data("dev", parse({"cloud": "dev", "existingNamespace": True}), before, None)


def with_claim(**claim: Any) -> dict[str, Any]:
    job = {"git": {"repo": "https://git.example.com/a.git"}, "workspace": {"claim": claim}}
    return {"jobs": {"train": job}}


WORKSPACES = {
    "another access mode": (
        with_claim(accessMode="ReadWriteMany"),
        "mlflow:jobs.train.workspace.claim.accessMode: ReadWriteOnce → ReadWriteMany",
    ),
    "another class": (
        with_claim(storageClass="fast"),
        "mlflow:jobs.train.workspace.claim.storageClass: default → fast",
    ),
    "another name": (
        with_claim(name="other"),
        "mlflow:jobs.train.workspace.claim.name: train-workspace → other",
    ),
    "the job is gone": ({}, "mlflow:jobs.train.workspace.claim.name: train-workspace → removed"),
    "it goes with the pod": (
        {"jobs": {"train": {"git": {"repo": "https://git.example.com/a.git"}}}},
        "mlflow:jobs.train.workspace.claim.name: train-workspace → removed",
    ),
}
TEAM = {"cloud": "existing", "tracking": {"url": "http://mlflow.example.com", "namespace": "a"}}


@pytest.mark.parametrize("base", [{"cloud": "dev"}, TEAM], ids=["a stack with a server", "jobs only"])
@pytest.mark.parametrize(("change", "told"), WORKSPACES.values(), ids=WORKSPACES.keys())
def test_a_workspace_that_would_be_made_anew_or_deleted_is_refused(
    base: dict[str, Any], change: dict[str, Any], told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FORCE", raising=False)
    outputs = {"dataPlaces": data_places(parse({**base, **with_claim()}), None)}
    before = {"resources": [{"type": "pulumi:pulumi:Stack", "outputs": outputs}]}
    refuse_moved_data("one", parse({**base, **with_claim(size="20Gi", keepDays=1)}), before, None)
    with pytest.raises(Failure, match=re.escape(told)):
        refuse_moved_data("one", parse({**base, **change}), before, None)


def test_the_first_up_after_workspaces_are_noted_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FORCE", raising=False)
    refuse_moved_data("dev", settings(**with_claim()), state(), "one")
