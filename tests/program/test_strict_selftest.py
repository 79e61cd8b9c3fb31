"""The strict checks themselves: a correct program passes, and each planted mistake is caught.

The checks lean on modules of the SDK that are not public.  When an SDK update breaks one of them, a row
of this table fails instead of a mistake slipping through.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pulumi
import pulumi_kubernetes as k8s
import pulumi_random as random
import pytest

from tools.offline import Mocked, Preview, run, types
from tools.offline.plan import Plan
from tools.offline.runner import BlockingLookupError
from tools.offline.wire import UNKNOWN, Secret

pytestmark = pytest.mark.program

SAMPLE = Path(__file__).parent / "sample"
LABELS = {"app.kubernetes.io/name": "sample"}


def sample(program: Callable[[], Any] | None = None, preview: bool = False, **given: Any) -> Plan:
    return run("dev", root=SAMPLE, program=program, answers=Preview() if preview else Mocked(), **given)


@pytest.mark.parametrize("preview", [True, False], ids=["preview", "mocked"])
def test_a_correct_program_passes(preview: bool) -> None:
    plan = sample(preview=preview)
    assert plan.problems == []
    assert len(plan.resources) == 6


def config_map(name: str = "sample", **inputs: Any) -> k8s.core.v1.ConfigMap:
    return k8s.core.v1.ConfigMap(name, **inputs)


def deployment(container: Any = None, name: str = "sample", **spec: Any) -> k8s.apps.v1.Deployment:
    """A Deployment written with dicts, as a careless author would: the SDK checks nothing in them."""
    pod = {"containers": [{"name": "main", "image": "registry.example/app:1", **(container or {})}]}
    spec = {
        "selector": {"match_labels": LABELS},
        "template": {"metadata": {"labels": LABELS}, "spec": pod},
        **spec,
    }
    return k8s.apps.v1.Deployment(name, spec=spec)  # type: ignore[arg-type]


def password() -> random.RandomPassword:
    return random.RandomPassword("password", length=20)


def token() -> str:
    """The secret of the sample stack, read as if it were none."""
    return pulumi.Config().require("token")


def required_missing() -> None:
    k8s.apps.v1.Deployment("sample", spec={"template": {}})  # type: ignore[arg-type]


def raw_resource(kind: str, inputs: dict[str, Any]) -> pulumi.CustomResource:
    return pulumi.CustomResource(kind, "sample", inputs)


def component_shows(value: Any) -> None:
    component = pulumi.ComponentResource("sample:index:Leaky", "leaky")
    component.register_outputs({"value": value})


class Mistake(NamedTuple):
    name: str
    program: Callable[[], Any]
    expected: str


MISTAKES = [
    Mistake(
        "an unknown input of a resource",
        lambda: raw_resource("kubernetes:core/v1:ConfigMap", {"dataa": {"a": "b"}}),
        "inputs.dataa is not an input; did you mean data?",
    ),
    Mistake(
        "an unknown field of a nested object",
        lambda: deployment({"enviroment": []}),
        "containers[0].enviroment is not an input",
    ),
    Mistake("a misspelt field of a spec", lambda: deployment(replica=2), "did you mean replicas?"),
    Mistake("a missing required field", required_missing, "inputs.spec.selector is required"),
    Mistake(
        "a missing required field of a list's item",
        lambda: deployment({"ports": [{"name": "http"}]}),
        "ports[0].containerPort is required",
    ),
    Mistake(
        "a missing required input of a resource",
        lambda: raw_resource("random:index/randomPassword:RandomPassword", {}),
        "inputs.length is required",
    ),
    Mistake(
        "text for a whole number",
        lambda: deployment(replicas="2"),
        "spec.replicas is text, but must",
    ),
    Mistake("a fraction for a whole number", lambda: deployment(replicas=1.5), "spec.replicas is a number"),
    Mistake(
        "true for a whole number",
        lambda: deployment(replicas=True),
        "spec.replicas is true or false",
    ),
    Mistake(
        "text for true or false",
        lambda: deployment({"stdin": "false"}),
        "stdin is text, but must be true or false",
    ),
    Mistake(
        "a number for text",
        lambda: deployment({"env": [{"name": "PORT", "value": 5000}]}),
        "env[0].value is a whole number, but must be text",
    ),
    Mistake("text for a list", lambda: deployment({"args": "--port=1"}), "args is text, but must be a list"),
    Mistake(
        "an object for a list",
        lambda: raw_resource("kubernetes:core/v1:Service", {"spec": {"ports": {"port": 80}}}),
        "spec.ports is an object, but must be a list",
    ),
    Mistake(
        "a list for a map",
        lambda: raw_resource("kubernetes:core/v1:ConfigMap", {"data": ["a"]}),
        "inputs.data is a list, but must be a map",
    ),
    Mistake(
        "a number in a map of text",
        lambda: config_map(data={"PORT": 80}),
        "data.PORT is a whole number",
    ),
    Mistake(
        "text for an object",
        lambda: deployment({"security_context": "restricted"}),
        "securityContext is text, but must be an object",
    ),
    Mistake(
        "true where a number or text is allowed",
        lambda: k8s.core.v1.Service("sample", spec={"ports": [{"port": 80, "target_port": True}]}),
        "targetPort is true or false",
    ),
    Mistake(
        "a wrong constant",
        lambda: raw_resource("kubernetes:core/v1:ConfigMap", {"kind": "Configmap"}),
        "inputs.kind is text, but must be one of ConfigMap",
    ),
    Mistake(
        "a value outside an enum",
        lambda: k8s.core.v1.Service("sample", spec={"type": "NodePrt", "ports": [{"port": 80}]}),
        "spec.type is text, but must be one of",
    ),
    Mistake(
        "a mistyped value inside a secret",
        lambda: k8s.core.v1.Secret("sample", string_data={"PORT": 80}),  # type: ignore[arg-type]
        "inputs.stringData.PORT is a whole number",
    ),
    Mistake(
        "a mistyped value inside apply",
        lambda: config_map(data={"n": password().length.apply(lambda length: length + 1)}),
        "inputs.data.n is a whole number",
    ),
    Mistake("the same name twice", lambda: (config_map(), config_map()), "is registered 2 times"),
    Mistake(
        "the same object twice",
        lambda: (
            config_map("one", metadata={"name": "settings", "namespace": "mlflow"}),
            config_map("two", metadata={"name": "settings", "namespace": "mlflow"}),
        ),
        "mlflow/settings is described by 2 resources",
    ),
    Mistake(
        "an Output in an f-string",
        lambda: config_map(data={"name": f"{config_map('other').metadata.name}"}),
        "an Output or an object was turned into text",
    ),
    Mistake(
        "an Output in an f-string inside a secret",
        lambda: k8s.core.v1.Secret("sample", string_data={"uri": f"postgresql://{password().result}@db"}),
        "an Output or an object was turned into text",
    ),
    Mistake(
        "a resource in an f-string",
        lambda: config_map(data={"name": f"{config_map('other')}"}),
        "an Output or an object was turned into text",
    ),
    Mistake(
        "an Output in a resource's name",
        lambda: config_map(f"{config_map('other').metadata.name}"),
        "an Output or an object was turned into text",
    ),
    Mistake(
        "an Output in an f-string that is exported",
        lambda: pulumi.export("url", f"http://{config_map().metadata.name}"),
        "stack output: url holds",
    ),
    Mistake(
        "a type that no SDK describes",
        lambda: raw_resource("kubernetes:example.com/v1:Thing", {"spec": {}}),
        "no Args class",
    ),
    Mistake(
        "a type of a package without an SDK", lambda: raw_resource("other:index:Thing", {}), "no Args class"
    ),
    Mistake(
        "a secret setting in clear text",
        lambda: config_map(data={"TOKEN": token()}),
        "inputs.data.TOKEN shows a secret",
    ),
    Mistake("a secret setting in a name", lambda: config_map(token()), "name shows a secret"),
    Mistake("a secret setting exported", lambda: pulumi.export("t", token()), "output: t shows a secret"),
    Mistake(
        "a secret setting in a component's outputs",
        lambda: component_shows(token()),
        "outputs.value shows a secret",
    ),
    Mistake(
        "a generated password made public",
        lambda: config_map(data={"URI": pulumi.Output.unsecret(password().result).apply("p:{}@db".format)}),
        "inputs.data.URI shows a secret",
    ),
    Mistake("a secret in a log message", lambda: pulumi.log.warn(token()), "message: 0 shows a secret"),
    Mistake(
        "a name that the API server refuses",
        lambda: config_map(metadata={"name": "Server_Settings"}),
        "use lower-case letters",
    ),
    Mistake(
        "a label that the API server refuses",
        lambda: config_map(metadata={"labels": {"project": "two words"}}),
        "in a label use",
    ),
]


@pytest.mark.parametrize("mistake", MISTAKES, ids=[mistake.name for mistake in MISTAKES])
def test_a_planted_mistake_is_caught(mistake: Mistake) -> None:
    problems = sample(mistake.program).problems
    assert any(mistake.expected in problem for problem in problems), problems


def test_a_blocking_lookup_fails_and_names_the_call() -> None:
    def program() -> None:
        pulumi.runtime.invoke("aws:index/getRegion:getRegion", {})

    with pytest.raises(BlockingLookupError, match="aws:index/getRegion:getRegion") as refused:
        sample(program, preview=True)
    assert "ends in _output" in refused.value.hint


def test_a_lookup_stays_unknown_in_a_plan() -> None:
    def program() -> None:
        zones = pulumi.runtime.invoke_output("aws:index/getZones:getZones", {})
        config_map(data={"zone": zones.apply(lambda found: found["names"][0])})

    plan = sample(program, preview=True)
    assert plan.problems == []
    assert plan.one("ConfigMap").inputs["data"]["zone"] is UNKNOWN


def test_an_error_in_the_program_is_raised_as_it_is() -> None:
    def program() -> None:
        raise KeyError("the setting")

    with pytest.raises(KeyError, match="the setting"):
        sample(program)


def test_an_error_in_apply_fails_the_run() -> None:
    def program() -> None:
        pulumi.export("value", password().result.apply(lambda text: int(f"no number: {text}")))

    with pytest.raises(ValueError, match="no number"):
        sample(program)


def test_a_type_that_the_checks_do_not_understand_is_an_error() -> None:
    with pytest.raises(TypeError, match="do not understand"):
        list(types.mismatches("text", complex, "inputs.x"))


def test_options_are_recorded() -> None:
    def program() -> None:
        first = config_map("first")
        options = pulumi.ResourceOptions(
            protect=True,
            retain_on_delete=True,
            depends_on=[first],
            aliases=[pulumi.Alias(name="before")],
            delete_before_replace=True,
            ignore_changes=["data"],
            custom_timeouts=pulumi.CustomTimeouts(create="5m"),
        )
        config_map("second", opts=options)

    plan = sample(program)
    second = plan.one("ConfigMap", "second")
    assert (second.protect, second.retain_on_delete) == (True, True)
    assert second.depends_on == [plan.one("ConfigMap", "first").urn]
    assert second.options["aliases"] == ["before"]
    assert second.options["deleteBeforeReplace"] is True
    assert second.options["ignoreChanges"] == ["data"]
    assert second.options["customTimeouts"] == {"create": "5m"}


def test_a_generated_password_is_an_unknown_secret_in_a_plan() -> None:
    plan = sample(preview=True)
    assert plan.one("RandomPassword").outputs["result"] == Secret(UNKNOWN)
    assert plan.one("Secret").inputs["stringData"] == Secret(UNKNOWN)
    assert plan.one("Secret").to_json()["inputs"]["stringData"] == "[secret]"


def test_runs_do_not_see_each_other() -> None:
    first = sample(overrides={"replicas": 7})
    second = sample()
    assert first.one("Deployment").inputs["spec"]["replicas"] == 7
    assert second.one("Deployment").inputs["spec"]["replicas"] == 2
    assert [one.urn for one in first.resources] == [one.urn for one in second.resources]


@pytest.mark.parametrize("shown", ["c2VjcmV0IHdvcmRz", "secret words", "in secret words"])
def test_a_secret_is_found_in_every_form(shown: str) -> None:
    plan = sample(lambda: config_map(data={"a": shown}), overrides={"token": {"secure": "secret words"}})
    assert any("shows a secret" in problem for problem in plan.problems)


def test_the_password_of_an_address_is_a_secret_by_itself() -> None:
    address = {"token": {"secure": "postgresql://user:pa55word@db.example.com/mlflow"}}
    leaking = sample(lambda: config_map(data={"PGPASSWORD": "pa55word"}), overrides=address)
    assert any("PGPASSWORD shows a secret" in problem for problem in leaking.problems)
    harmless = sample(lambda: config_map(data={"PGHOST": "db.example.com"}), overrides=address)
    assert harmless.problems == []
