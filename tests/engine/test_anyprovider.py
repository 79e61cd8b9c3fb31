"""The test-only plugin: a table of rules decides, and what no line covers fails."""

from __future__ import annotations

import json
from typing import Any

import pulumi
import pytest

from tests.engine.anyprovider.plugin import DRIFT, FAIL, LINGERING
from tests.engine.anyprovider.rules import TABLES, Line, Table, UnknownRuleError
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


class Store(pulumi.CustomResource):
    arn: pulumi.Output[str]
    names: pulumi.Output[list[str]]

    def __init__(self, name: str, opts: pulumi.ResourceOptions | None = None, **inputs: Any) -> None:
        super().__init__("demo:index:Store", name, {"arn": None, "names": None, **inputs}, opts)


def store(team: str = "a", *, force: bool = False, key: str = "hidden-value", kept: bool = True) -> Program:
    """A store in an account whose provider tags everything, and a look-up of what it is."""

    def program() -> None:
        class Provider(pulumi.ProviderResource):
            def __init__(self) -> None:
                super().__init__("demo", "account", {"defaultTags": {"tags": {"team": team}}})

        provider = Provider()
        if not kept:
            return
        made = Store(
            "s",
            pulumi.ResourceOptions(provider=provider),
            forceDestroy=force,
            tags={"own": "1"},
            key=pulumi.Output.secret(key),
        )
        found = pulumi.runtime.invoke_output(
            "demo:index:getStore", {"wanted": made.arn}, pulumi.InvokeOptions(provider=provider)
        )
        pulumi.export("found", found.apply(lambda result: result["arn"]))
        pulumi.export("names", made.names)

    return program


@pytest.mark.engine
def test_identifiers_shapes_default_tags_and_look_ups_are_as_a_cloud_gives_them(project: Project, demo: None):
    previewed = project.preview(store())
    assert previewed.planned == [("create", "s")], previewed.text
    first = project.up(store())
    assert not first.failed, first.text
    made = project.state()["s"]
    assert made["id"] == "arn:demo:s"
    assert made["outputs"]["policy"]["version"] == 1
    assert first.outputs == {"found": "arn:arn:demo:s", "names": [made["inputs"]["policy"]["text"]]}
    assert made["inputs"]["tagsAll"] == {"team": "a", "own": "1"}
    assert project.up(store()).steps == []

    retagged = project.up(store(team="b"))
    assert retagged.steps == [("update", "s")], retagged.text
    assert project.state()["s"]["inputs"]["tagsAll"] == {"team": "b", "own": "1"}
    for path in (project.root / ".local/state").rglob("*.json*"):
        assert "hidden-value" not in path.read_text(), path


@pytest.mark.engine
def test_what_holds_something_or_is_guarded_cannot_be_deleted(project: Project, demo: None):
    assert not project.up(store()).failed
    refused = project.destroy()
    assert refused.failed
    assert "not empty" in refused.text
    assert "s" in project.state()
    assert project.up(store(force=True)).steps == [("update", "s")]
    assert not project.destroy().failed
    assert project.state() == {}


@pytest.mark.engine
def test_failures_and_what_somebody_else_changed_can_be_planned(
    project: Project, demo: None, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv(FAIL, "demo:index:Bucket")
    failed = project.up(bucket(region="x", tags={"team": "a"}))
    assert "the quota is used up" in failed.text
    assert project.state() == {}
    monkeypatch.delenv(FAIL)
    assert not project.up(bucket(region="x", tags={"team": "a"})).failed

    monkeypatch.setenv(DRIFT, json.dumps({"demo:index:Bucket": {"tags": {"team": "z"}}}))
    project.refresh()
    assert project.state()["b"]["inputs"]["tags"] == {"team": "z"}
    monkeypatch.delenv(DRIFT)
    assert project.up(bucket(region="x", tags={"team": "a"})).steps == [("update", "b")]


@pytest.mark.unit
@pytest.mark.parametrize("table", sorted(path.stem for path in TABLES.glob("*.csv")))
def test_every_line_of_every_table_has_a_source_and_known_rules(table: str):
    assert Table.load(table).lines


@pytest.mark.unit
@pytest.mark.parametrize(
    ("rules", "source", "complaint"),
    [
        ("in-place", "", "no source"),
        ("in place", "s", "rules are"),
        ("in-place replaced", "s", "both in-place and replaced"),
    ],
)
def test_a_table_with_a_careless_line_is_refused(rules: str, source: str, complaint: str):
    line = {"types": "t", "properties": "p", "rules": rules, "value": "", "source": source}
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


@pytest.mark.engine
def test_a_deleted_resource_keeps_its_name_where_a_line_says_so_and_a_copied_one_is_no_made_up_one(
    project: Project, demo: None, monkeypatch: pytest.MonkeyPatch
):
    def vault(**inputs: Any) -> Program:
        return lambda: (pulumi.CustomResource("demo:index:Vault", "v", inputs), None)[1]

    monkeypatch.setenv(LINGERING, str(project.root / "lingering"))
    first = project.up(vault())
    assert not first.failed, first.text
    made_up = project.state()["v"]["inputs"]["vaultName"]
    assert len(made_up) == len("v") + 8
    assert project.state()["v"]["inputs"]["child"] == "v"
    assert not project.destroy().failed
    again = project.up(vault(vaultName=made_up))
    assert f"keeps its name: demo:index:Vault {made_up}" in again.text
    assert not project.up(vault()).failed
    replaced = project.preview(vault(vaultName="another"))
    assert ("create-replacement", "v") in replaced.planned


def test_a_made_up_word_of_digits_stays_a_word() -> None:
    """Of eight hexadecimal digits one in a hundred reads as an infinite number."""
    line = Line("a:b:C", "id", frozenset({"computed"}), "{fresh}", "test")
    assert line.filled({"fresh": "12e45678"}) == "12e45678"
    named = Line("a:b:C", "name", frozenset({"computed"}), "{number}{fresh}", "test")
    assert named.filled({"fresh": "e45678", "number": 12}) == "12e45678"
    listed = Line("a:b:C", "list", frozenset({"computed"}), '["{fresh}"]', "test")
    assert listed.filled({"fresh": "12e45678"}) == ["12e45678"]
    assert Line("a:b:C", "count", frozenset({"computed"}), "3", "test").filled({}) == 3
