"""A plan shows nothing that is not known: what only the cluster can tell stays unknown in it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.program.conftest import plan, plan_of
from tests.program.reading import as_text
from tools.offline import Resource
from tools.offline.answers import SENTINEL, SENTINEL_NUMBER
from tools.offline.wire import SECRET_TEXT, UNKNOWN_TEXT, leaves, plain

pytestmark = pytest.mark.program


def test_the_preview_pass_finds_no_mistake(case: str) -> None:
    assert plan_of(case, preview=True).problems == []


def test_no_made_up_value_reaches_a_plan(case: str) -> None:
    assert SENTINEL in as_text(plan_of(case)), "the sentinel is planted where everything is made up"
    planned = as_text(plan_of(case, preview=True))
    assert SENTINEL not in planned
    assert str(SENTINEL_NUMBER) not in planned


def test_both_passes_register_the_same_resources(case: str) -> None:
    """A resource made inside ``apply`` would be missing where the value is unknown."""
    mocked, preview = plan_of(case), plan_of(case, preview=True)
    assert {one.urn for one in mocked.resources} == {one.urn for one in preview.resources}
    assert mocked.outputs.keys() == preview.outputs.keys()
    for one in preview.resources:
        twin = next(other for other in mocked.resources if other.urn == one.urn)
        assert (one.protect, one.retain_on_delete, waits(one)) == (
            twin.protect,
            twin.retain_on_delete,
            waits(twin),
        )


def waits(one: Resource) -> list[str]:
    """What a resource waits for, but for the API that answered a look-up: an unknown answer forgets it."""
    return [urn for urn in one.depends_on if "$gcp:projects/service:Service::" not in urn]


def test_what_depends_on_a_made_up_value_is_unknown_in_the_plan(case: str) -> None:
    mocked, preview = plan_of(case), plan_of(case, preview=True)
    for one in mocked.resources:
        twin = next(other for other in preview.resources if other.urn == one.urn)
        _compare(plain(one.inputs), plain(twin.inputs), one.name)


def _compare(known: Any, planned: Any, where: str) -> None:
    """Equal, or unknown or secret in the plan; and never known there where it was made up."""
    if planned in (UNKNOWN_TEXT, SECRET_TEXT):
        return
    if isinstance(known, dict) and isinstance(planned, dict):
        assert known.keys() == planned.keys(), where
        for key, value in known.items():
            _compare(value, planned[key], f"{where}.{key}")
    elif isinstance(known, list) and isinstance(planned, list):
        assert len(known) == len(planned), where
        for index, value in enumerate(known):
            _compare(value, planned[index], f"{where}[{index}]")
    else:
        assert known == planned, where


def test_names_given_in_settings_are_known_in_the_plan() -> None:
    planned = plan({"namespace": "team-b"}, preview=True)
    namespaces = {
        one.inputs["metadata"]["namespace"]
        for one in planned.resources
        if "namespace" in one.inputs.get("metadata", {})
    }
    assert namespaces == {"team-b"}


def test_a_load_balancers_address_is_unknown() -> None:
    outputs = plain(plan_of("load balancers", preview=True).outputs)
    assert outputs["internalUrl"] == UNKNOWN_TEXT
    assert outputs["externalUrl"] == "http://mlflow.example.com"
    assert outputs["adminPassword"] == SECRET_TEXT


@pytest.mark.parametrize("engine", ["postgresql", "mysql"])
def test_a_stack_whose_secrets_cannot_be_read_is_planned_all_the_same(engine: str) -> None:
    """``make plan`` has no key: encrypted values reach the program as ``[secret]``."""
    settings = {
        "database": {"engine": engine, "url": {"secure": SECRET_TEXT}},
        "artifacts": {"uri": "s3://bucket", "credentials": "store"},
        "secrets": {
            "store": {
                "keys": {
                    "AWS_ACCESS_KEY_ID": {"secure": SECRET_TEXT},
                    "AWS_SECRET_ACCESS_KEY": {"secure": SECRET_TEXT},
                }
            }
        },
    }
    planned = plan(settings, preview=True)
    assert planned.problems == []
    for secret in planned.of_type("Secret"):
        assert all(is_secret for _, leaf, is_secret in leaves(secret.inputs["stringData"]) if leaf)
