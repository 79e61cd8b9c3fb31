"""An `up` that would walk away from stored data is refused, whatever the stack."""

from __future__ import annotations

from typing import Any

import pytest

from components.data_places import data_places
from components.settings import Stack, parse
from tools.common import Failure
from tools.engine.data_guard import refuse_moved_data


def settings(**more: Any) -> Stack:
    return parse({"cloud": "dev", **more}, secret_keys={"database"})


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
