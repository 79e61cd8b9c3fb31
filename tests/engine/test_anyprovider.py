"""The test-only plugin: a table of rules decides, and what no line covers fails."""

from __future__ import annotations

from typing import Any

import pulumi
import pytest

from tests.engine.anyprovider.rules import TABLES, Table, UnknownRuleError
from tests.engine.conftest import Program, Project


class Bucket(pulumi.CustomResource):
    address: pulumi.Output[str]

    def __init__(self, name: str, opts: pulumi.ResourceOptions | None = None, **inputs: Any) -> None:
        super().__init__("demo:index:Bucket", name, {"address": None, **inputs}, opts)


def bucket(**inputs: Any) -> Program:
    def program() -> None:
        made = Bucket("b", **inputs)
        pulumi.export("address", made.address)
        pulumi.export("account", pulumi.runtime.invoke("demo:index:getAccount", {}).value["account"])

    return program


@pytest.mark.engine
def test_rules_decide_what_is_computed_changed_in_place_replaced_or_refused(project: Project, demo: None):
    tags = {"team": "a"}
    missing = project.preview(bucket(tags=tags))
    assert missing.failed
    assert "region" in missing.text

    first = project.up(bucket(region="x", tags=tags))
    assert first.steps == [("create", "b")], first.text
    assert first.outputs["address"].startswith("demo://b/")
    assert first.outputs["account"] == "123456789012"

    in_place = project.up(bucket(region="x", tags={"team": "b"}))
    assert in_place.steps == [("update", "b")]
    assert in_place.outputs["address"] == first.outputs["address"]

    replaced = project.up(bucket(region="x", tags={"team": "b"}, versioning={"mode": "strict"}))
    assert replaced.steps == [("update", "b")], "a property that appears below an in-place line is in place"
    replaced = project.up(bucket(region="x", tags={"team": "b"}, versioning={"mode": "loose"}))
    assert ("create-replacement", "b") in replaced.steps
    assert replaced.outputs["address"] != first.outputs["address"]

    unlisted = project.preview(
        bucket(region="x", tags={"team": "b"}, versioning={"mode": "loose"}, colour="red")
    )
    assert unlisted.failed
    assert "colour changed, and no line of demo.csv" in unlisted.text


@pytest.mark.unit
@pytest.mark.parametrize("table", sorted(path.stem for path in TABLES.glob("*.csv")))
def test_every_line_of_every_table_has_a_source_and_known_rules(table: str):
    assert Table.load(table).lines


@pytest.mark.unit
@pytest.mark.parametrize(
    ("rules", "source", "complaint"),
    [("in-place", "", "no source"), ("in place", "s", "rules are"), ("in-place replaced", "s", "both")],
)
def test_a_table_with_a_careless_line_is_refused(rules: str, source: str, complaint: str):
    line = {"type": "t", "property": "p", "rules": rules, "value": "", "source": source}
    with pytest.raises(ValueError, match=complaint):
        Table([line], "careless")


@pytest.mark.unit
def test_an_unlisted_property_or_type_never_counts_as_in_place():
    table = Table.load("demo")
    with pytest.raises(UnknownRuleError, match="colour"):
        table.change("demo:index:Bucket", "colour")
    with pytest.raises(UnknownRuleError, match="tagsets"):
        table.change("demo:index:Bucket", "tagsets")
    with pytest.raises(UnknownRuleError, match="Queue"):
        table.change("demo:index:Queue", "name")
    assert table.change("demo:index:Bucket", "tags.team") == "in-place"
    assert table.change("demo:index:Bucket", "versioning.mode") == "replaced"
