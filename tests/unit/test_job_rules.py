"""What jobs and services must not say beside each other, refused by its key before anything is made."""

from __future__ import annotations

from typing import Any

import pytest

from components.settings import SettingsError, parse

pytestmark = pytest.mark.unit
GIT = {"git": {"repo": "https://git.example.com/a.git"}}
KEPT = {**GIT, "workspace": {"claim": {}}}


def named(name: str) -> dict[str, Any]:
    return {**GIT, "workspace": {"claim": {"name": name}}}


def refused(**more: Any) -> list[str]:
    with pytest.raises(SettingsError) as error:
        parse({"cloud": "dev", **more}, secret_keys={"secrets"})
    return [str(problem) for problem in error.value.problems]


@pytest.mark.parametrize(
    ("jobs", "other"),
    [
        ({"a": KEPT, "b": named("a-workspace")}, "mlflow:jobs.a"),
        ({"b": named("mlflow-database")}, "the program"),
        ({"b": named("mlflow-artifacts")}, "the program"),
    ],
)
def test_a_claim_of_somebody_elses_name_is_refused(jobs: dict[str, Any], other: str) -> None:
    (problem,) = refused(jobs=jobs)
    assert problem.startswith(f"mlflow:jobs.b.workspace.claim.name: is that of {other} as well (")


@pytest.mark.parametrize("name", ["PATH", "HOME", "MLFLOW_TRACKING_USERNAME"])
def test_a_secret_group_sets_nothing_that_the_program_sets(name: str) -> None:
    groups = {"mine": {"one": {name: "planted"}}}
    problems = refused(jobs={"b": {**GIT, "secrets": ["mine"]}}, secrets=groups)
    (problem,) = [each for each in problems if each.startswith("mlflow:jobs.b.")]
    told = f"mlflow:jobs.b.secrets[0]: {name} of mlflow:secrets.mine.one is set by the program; "
    assert problem.startswith(told)
    assert "planted" not in problem


@pytest.mark.parametrize(
    ("section", "one"),
    [("services", {**GIT, "module": "app"}), ("modelServers", {"model": "models:/churn@champion"})],
)
def test_what_serves_begins_with_a_letter(section: str, one: dict[str, Any]) -> None:
    (problem,) = refused(**{section: {"3d": one}})
    assert problem == (
        f"mlflow:{section}.3d: must begin with a letter, for its Service bears its name; choose another"
    )
    parse({"cloud": "dev", section: {"d3": one}}, secret_keys=set())


def test_a_model_server_that_goes_may_finish_whatever_mlflow_takes_on() -> None:
    servers = {"m": {"model": "models:/churn@champion"}}
    found = parse({"cloud": "dev", "modelServers": servers}, secret_keys=set())
    # MLFLOW_SCORING_SERVER_REQUEST_TIMEOUT's default in MLflow 3.17, environment_variables.py.
    assert found.model_servers["m"].drain_seconds >= 60
