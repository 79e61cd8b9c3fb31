"""What ``make plan`` and ``make render`` write, tried on the sample program."""

from __future__ import annotations

import json
import random
import re
import shlex
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pulumi
import pulumi_kubernetes as k8s
import pytest
import yaml

from tools import plan as plan_verb
from tools import render
from tools.common import ROOT, Failure
from tools.offline import Mocked, Plan, Secret, config, run
from tools.offline.answers import SENTINEL
from tools.offline.rendered import Rendered, random_values

pytestmark = pytest.mark.program

SAMPLE = Path(__file__).parent / "sample"


def rendered(*, fresh: bool = False, program: Callable[[], Any] | None = None) -> Plan:
    return run("dev", root=SAMPLE, answers=Rendered(fresh=fresh), program=program)


def test_the_plan_is_json_of_the_promised_form() -> None:
    written = json.loads(json.dumps(plan_verb.offline("dev", root=SAMPLE).to_json()))
    assert written.keys() == {"stack", "resources", "outputs"}
    keys = {"urn", "type", "name", "parent", "component", "inputs", "dependsOn", "protect", "retainOnDelete"}
    assert all(resource.keys() == keys for resource in written["resources"])
    deployment = next(one for one in written["resources"] if one["type"].endswith(":Deployment"))
    assert deployment["urn"] == (
        "urn:pulumi:dev::sample::sample:index:Server$kubernetes:apps/v1:Deployment::sample-server"
    )
    assert deployment["protect"] is True
    assert deployment["inputs"]["spec"]["replicas"] == 2
    assert {urn.rpartition("::")[2] for urn in deployment["dependsOn"]} == {
        "sample-secret",
        "sample-settings",
    }
    assert written["outputs"]["token"] == "[secret]"


def test_a_plan_goes_into_the_file_that_out_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    planned = run("dev", root=SAMPLE)
    monkeypatch.setattr(plan_verb, "offline", lambda _: planned)
    out = tmp_path / "new" / "plan.json"
    words = ["make", "--dry-run", "plan", f"OUT={out}"]
    printed = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    (command,) = (line for line in printed.splitlines() if "tools.plan " in line)
    assert plan_verb.main(shlex.split(command.partition("tools.plan ")[2])) == len(planned.problems) == 0
    assert json.loads(out.read_text()) == planned.to_json()


def test_what_only_the_cluster_knows_is_unknown_in_a_plan() -> None:
    written = json.dumps(run("dev", root=SAMPLE).to_json())
    assert SENTINEL not in written
    assert SENTINEL in json.dumps(run("dev", root=SAMPLE, answers=Mocked()).to_json())
    assert json.loads(written)["outputs"]["address"] == "[unknown]"


def test_two_plans_are_the_same() -> None:
    first, second = (json.dumps(run("dev", root=SAMPLE).to_json()) for _ in range(2))
    assert first == second


def test_the_table_names_each_resource(capsys: pytest.CaptureFixture[str]) -> None:
    plan = run("dev", root=SAMPLE)
    plan_verb.show(plan)
    printed = capsys.readouterr().out
    assert all(resource.name in printed for resource in plan.resources)
    assert "protected" in printed
    assert "after sample-server" in printed
    assert re.search(r"^address\s+\[unknown\]", printed, re.MULTILINE)


def test_rendered_objects_are_named_and_refer_to_each_other() -> None:
    objects = {one.content["kind"]: one.content for one in render.manifests(rendered())}
    container = objects["Deployment"]["spec"]["template"]["spec"]["containers"][0]
    assert container["envFrom"][0]["secretRef"]["name"] == objects["Secret"]["metadata"]["name"]
    assert container["envFrom"][1]["configMapRef"]["name"] == objects["ConfigMap"]["metadata"]["name"]
    assert re.fullmatch(r"sample-server-[0-9a-f]{8}", objects["Deployment"]["metadata"]["name"])


def test_secrets_are_hidden_unless_asked_for(tmp_path: Path) -> None:
    plan = rendered()
    hidden = [one.content for one in render.manifests(plan) if one.content["kind"] == "Secret"]
    assert set(hidden[0]["stringData"].values()) == {"[secret]"}
    shown = [
        one.content for one in render.manifests(plan, show_secrets=True) if one.content["kind"] == "Secret"
    ]
    password = shown[0]["stringData"]["PASSWORD"]
    assert len(password) == 24
    assert shown[0]["stringData"]["URI"] == f"postgresql://app:{password}@db/app"
    render.write(tmp_path / "out", render.manifests(plan, show_secrets=True), private=True)
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in (tmp_path / "out").iterdir())


def test_passwords_are_drawn_anew_only_when_they_are_shown() -> None:
    def password(fresh: bool) -> Any:
        return rendered(fresh=fresh).one("RandomPassword").outputs["result"]

    assert password(False) == password(False)
    assert password(True) != password(True)


def test_the_files_sort_in_the_order_of_creation(tmp_path: Path) -> None:
    objects = render.manifests(rendered())
    render.write(tmp_path, objects, private=False)
    kinds = [yaml.safe_load(path.read_text())["kind"] for path in sorted(tmp_path.iterdir())]
    assert kinds.index("Deployment") > max(kinds.index("Secret"), kinds.index("ConfigMap"))
    assert kinds.index("Service") > kinds.index("Deployment")


def test_an_earlier_rendering_is_replaced_but_nothing_else(tmp_path: Path) -> None:
    stale = tmp_path / "099-secret-old.yaml"
    stale.write_text("kind: Secret")
    render.write(tmp_path, render.manifests(rendered()), private=False)
    assert not stale.exists()
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(Failure, match=r"notes\.txt"):
        render.write(tmp_path, render.manifests(rendered()), private=False)


def test_a_providers_namespace_and_pulumis_annotations_are_settled_in_the_rendering() -> None:
    def program() -> None:
        provider = k8s.Provider("cluster", namespace="team")
        options = pulumi.ResourceOptions(provider=provider)
        annotations = {"pulumi.com/waitFor": "jsonpath={.spec}", "example.com/owner": "me"}
        k8s.core.v1.ConfigMap("settings", metadata={"annotations": annotations}, opts=options)
        k8s.core.v1.Namespace("team", metadata={"name": "team"}, opts=options)

    first, second = (one.content for one in render.manifests(rendered(program=program)))
    assert first["metadata"] == {"name": "team"}
    assert second["metadata"]["namespace"] == "team"
    assert second["metadata"]["annotations"] == {"example.com/owner": "me"}


def test_random_values_keep_to_their_inputs() -> None:
    inputs = {"length": 30, "special": False, "upper": False, "minNumeric": 12}
    drawn = random_values("random:index/randomPassword:RandomPassword", inputs, random.Random(1))["result"]
    assert re.fullmatch("[a-z0-9]{30}", drawn)
    assert sum(character.isdigit() for character in drawn) >= 12
    identity = random_values("random:index/randomId:RandomId", {"byteLength": 4}, random.Random(1))
    assert int(identity["hex"], 16) == int(identity["dec"])
    with pytest.raises(Failure, match="randomShuffle"):
        random_values("random:index/randomShuffle:RandomShuffle", {}, random.Random(1))


def stack(folder: Path, text: str, project: str = "name: sample\nruntime: python\n") -> Path:
    (folder / "Pulumi.yaml").write_text(project)
    (folder / "Pulumi.dev.yaml").write_text(text)
    return folder


def test_settings_reach_the_program_as_the_cli_hands_them_over(tmp_path: Path) -> None:
    text = """
        config:
          sample:flag: true
          sample:count: 3
          sample:word: yes
          sample:day: 2026-01-02
          aws:region: eu-west-1
          sample:nested: {b: [1, {x: true}], a: {secure: cipher}}
          sample:plain: {secure: cipher}
        """
    project = "name: sample\nruntime: python\nconfig:\n  level: info\n  size: {type: integer, default: 4}\n"
    given = config.load(stack(tmp_path, text, project), "dev")
    assert given.values == {
        "sample:level": "info",
        "sample:size": "4",
        "sample:flag": "true",
        "sample:count": "3",
        "sample:word": "yes",
        "sample:day": "2026-01-02",
        "aws:region": "eu-west-1",
        "sample:nested": '{"b":[1,{"x":true}],"a":"[secret]"}',
        "sample:plain": "[secret]",
    }
    assert given.secret_keys == {"sample:nested", "sample:plain"}


def test_overrides_replace_a_key_and_none_takes_it_away(tmp_path: Path) -> None:
    folder = stack(tmp_path, "config: {sample:a: {secure: x}, sample:b: 1, sample:c: 2}")
    given = config.load(
        folder, "dev", {"a": "plain", "b": None, "sample:d": {"pass": {"secure": "hunter22"}}}
    )
    assert given.values == {"sample:a": "plain", "sample:c": "2", "sample:d": '{"pass":"hunter22"}'}
    assert given.secret_keys == {"sample:d"}
    assert "hunter22" in given.secret_texts


def test_what_a_checkout_keeps_beside_tracked_files_is_read_only_on_request(tmp_path: Path) -> None:
    folder = stack(tmp_path, "config: {sample:a: {x: 1}}")
    (folder / ".local" / "stacks").mkdir(parents=True)
    (folder / ".local" / "stacks" / "Pulumi.dev.yaml").write_text("config: {sample:a: {y: {secure: c}}}")
    assert config.load(folder, "dev").values == {"sample:a": '{"x":1}'}
    assert config.load(folder, "dev", local=True).values == {"sample:a": '{"x":1,"y":"[secret]"}'}


@pytest.mark.parametrize(
    ("stack_name", "text", "project", "expected"),
    [
        ("nowhere", "", "name: sample\n", "there is no Pulumi.nowhere.yaml"),
        ("dev", "config: [", "name: sample\n", "Pulumi.dev.yaml is not valid YAML"),
        ("dev", "environment: [shared]", "name: sample\n", "imports an environment"),
        ("dev", "", "name: sample\nconfig: {region: {type: string}}\n", "lacks sample:region"),
        ("dev", "", "name: sample\nconfig: {a: {type: string, optional: true}}\n", "a with optional"),
        ("dev", "config: {a: x}", "name: sample\nconfig: {a: {type: integer}}\n", "sample:a must be of type"),
    ],
)
def test_settings_that_cannot_be_read_are_refused(
    tmp_path: Path, stack_name: str, text: str, project: str, expected: str
) -> None:
    with pytest.raises(Failure, match=re.escape(expected)):
        config.load(stack(tmp_path, text, project), stack_name)


def test_secret_outputs_open_on_request() -> None:
    plan = run("dev", root=SAMPLE, overrides={"token": {"secure": "t0ps3cret"}})
    assert plan.outputs["token"] == Secret("t0ps3cret")
    assert plan.value("token") == "t0ps3cret"
    assert plan.problems == []
