"""Settings: what is refused, with which key path, and that all mistakes come at once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from components import reserved
from components.settings import Problem, SettingsError, parse, with_server
from components.settings.base import quantity_bytes
from components.settings.schema import settings_page, stack_schema
from components.settings.stacks import STACKS

ROOT = Path(__file__).resolve().parents[2]
DEV = {"cloud": "dev"}
LB = {"cluster": {"loadBalancer": True}}
LONG = "a" * 40


def problems_of(values: dict[str, Any]) -> list[Problem]:
    try:
        parse(values)
    except SettingsError as refused:
        return refused.problems
    return []


def external(**more: Any) -> dict[str, Any]:
    return {**LB, "exposure": {"external": more}}


# What a stack file says (beside `cloud: dev`) → the key path and a word the error must hold.
BAD: list[tuple[str, dict[str, Any], str, str]] = [
    ("an unknown section", {"databse": {}}, "mlflow:databse", "did you mean database?"),
    ("an unknown key", {"database": {"engin": "mysql"}}, "mlflow:database.engin", "did you mean engine?"),
    ("a snake_case key", {"server": {"tmp_size": "1Gi"}}, "mlflow:server.tmp_size", "did you mean tmpSize?"),
    (
        "an unknown key deep down",
        {"database": {"volume": {"sze": "1Gi"}}},
        "mlflow:database.volume.sze",
        "size",
    ),
    ("an unknown engine", {"database": {"engine": "oracle"}}, "mlflow:database.engine", "postgresql"),
    ("a misspelt engine", {"database": {"engine": "postgres"}}, "mlflow:database.engine", "did you mean"),
    ("an unknown place", {"database": {"place": "cloud"}}, "mlflow:database.place", "in-cluster"),
    ("managed on dev", {"database": {"place": "managed"}}, "mlflow:database.place", "needs a cloud"),
    ("external without url", {"database": {"place": "external"}}, "mlflow:database.url", "missing"),
    (
        "sqlite elsewhere",
        {"database": {"place": "external", "engine": "sqlite"}},
        "mlflow:database.engine",
        "file",
    ),
    ("a CA without url", {"database": {"caBundle": "x"}}, "mlflow:database.caBundle", "external"),
    ("a bad size", {"database": {"volume": {"size": "10GB"}}}, "mlflow:database.volume.size", "pattern"),
    (
        "a bad class",
        {"database": {"volume": {"storageClass": "A_B"}}},
        "mlflow:database.volume.storageClass",
        "A_B",
    ),
    (
        "a bad memory",
        {"database": {"resources": {"limits": {"memory": "1 GB"}}}},
        "mlflow:database.resources.limits.memory",
        "1 GB",
    ),
    (
        "a bad cpu",
        {"server": {"resources": {"requests": {"cpu": "lots"}}}},
        "mlflow:server.resources.requests.cpu",
        "lots",
    ),
    ("no replicas", {"server": {"replicas": 0}}, "mlflow:server.replicas", "greater"),
    ("too many replicas", {"server": {"replicas": 500}}, "mlflow:server.replicas", "less"),
    ("replicas as a word", {"server": {"replicas": "two"}}, "mlflow:server.replicas", "integer"),
    ("no workers", {"server": {"workers": 0}}, "mlflow:server.workers", "greater"),
    (
        "two writers on sqlite",
        {"database": {"engine": "sqlite"}, "server": {"replicas": 2}},
        "mlflow:server.replicas",
        "sqlite",
    ),
    (
        "two workers on sqlite",
        {"database": {"engine": "sqlite"}, "server": {"workers": 2}},
        "mlflow:server.workers",
        "sqlite",
    ),
    ("two replicas on one volume", {"server": {"replicas": 2}}, "mlflow:server.replicas", "ReadWriteOnce"),
    (
        "a bad access mode",
        {"artifacts": {"volume": {"accessMode": "Shared"}}},
        "mlflow:artifacts.volume.accessMode",
        "ReadWriteMany",
    ),
    ("an unknown store", {"artifacts": {"uri": "ftp://x/y"}}, "mlflow:artifacts.uri", "s3://"),
    ("a store without bucket", {"artifacts": {"uri": "s3:///x"}}, "mlflow:artifacts.uri", "bucket"),
    (
        "credentials in the uri",
        {"artifacts": {"uri": "s3://k:s@bucket/x"}},
        "mlflow:artifacts.uri",
        "credentials",
    ),
    (
        "an Azure uri without account",
        {"artifacts": {"uri": "wasbs://c/x"}},
        "mlflow:artifacts.uri",
        "wasbs://",
    ),
    (
        "an external store without uri",
        {"artifacts": {"place": "external"}},
        "mlflow:artifacts.uri",
        "missing",
    ),
    (
        "managed artifacts on dev",
        {"artifacts": {"place": "managed"}},
        "mlflow:artifacts.place",
        "needs a cloud",
    ),
    (
        "an endpoint without TLS",
        {"artifacts": {"uri": "s3://b", "endpoint": "http://minio:9000"}},
        "mlflow:artifacts.endpoint",
        "https",
    ),
    (
        "an endpoint for Google",
        {"artifacts": {"uri": "gs://b", "endpoint": "https://x"}},
        "mlflow:artifacts.endpoint",
        "s3://",
    ),
    ("a region for a volume", {"artifacts": {"region": "eu"}}, "mlflow:artifacts.region", "external"),
    (
        "a missing credentials group",
        {"artifacts": {"uri": "s3://b", "credentials": "store"}},
        "mlflow:artifacts.credentials",
        "make secret GROUP=store",
    ),
    ("a missing server group", {"server": {"secrets": ["extra"]}}, "mlflow:server.secrets[0]", "none yet"),
    (
        "a variable of the program",
        {"server": {"env": {"MLFLOW_HOST": "x"}}},
        "mlflow:server.env.MLFLOW_HOST",
        "mlflow:exposure",
    ),
    ("a bad variable name", {"server": {"env": {"1X": "x"}}}, "mlflow:server.env.1X", "valid name"),
    ("a bad log level", {"logLevel": {"server": "LOUD"}}, "mlflow:logLevel.server", "DEBUG"),
    (
        "an unknown part to log",
        {"logLevel": {"sever": "INFO"}},
        "mlflow:logLevel.sever",
        "did you mean server?",
    ),
    ("an unknown sign-in", {"auth": {"mode": "ldap"}}, "mlflow:auth.mode", "basic"),
    ("a bad permission", {"auth": {"defaultPermission": "OWN"}}, "mlflow:auth.defaultPermission", "MANAGE"),
    ("a bad admin name", {"auth": {"adminUsername": "a b"}}, "mlflow:auth.adminUsername", "pattern"),
    (
        "the jobs' user as admin",
        {"auth": {"mode": "basic", "adminUsername": "jobs"}},
        "mlflow:auth.adminUsername",
        "jobs",
    ),
    ("Kubernetes' own namespace", {"namespace": "default"}, "mlflow:namespace", "choose another"),
    (
        "Kubernetes' own namespace as an existing one",
        {"namespace": "kube-system", "existingNamespace": True},
        "mlflow:namespace",
        "choose another",
    ),
    (
        "an ingress whose controller does not know the ranges",
        {
            "auth": {"mode": "basic"},
            "exposure": {"ingress": {"host": "x.example", "className": "nginx", "allow": ["203.0.113.0/24"]}},
        },
        "mlflow:exposure.ingress.allow",
        "mlflow:exposure.ingress.annotations",
    ),
    ("a bad namespace", {"namespace": "My_NS"}, "mlflow:namespace", "My_NS"),
    ("a namespace too long", {"namespace": "a" * 64}, "mlflow:namespace", "63"),
    (
        "a port out of range",
        {"exposure": {"nodePort": {"port": 80}}},
        "mlflow:exposure.nodePort.port",
        "30000",
    ),
    (
        "a host with a scheme",
        {"exposure": {"nodePort": {"hosts": ["http://x"]}}},
        "mlflow:exposure.nodePort.hosts[0]",
        "scheme",
    ),
    (
        "a wildcard host",
        {"exposure": {"nodePort": {"hosts": ["*"]}}},
        "mlflow:exposure.nodePort.hosts[0]",
        "host",
    ),
    (
        "a load balancer the cluster lacks",
        {"exposure": {"external": {"allow": ["203.0.113.0/24"], "anonymous": True}}},
        "mlflow:exposure.external",
        "loadBalancer: true",
    ),
    (
        "an internal load balancer that might be public",
        {**LB, "exposure": {"internal": {}}},
        "mlflow:exposure.internal",
        "internalLoadBalancer",
    ),
    (
        "a node port of a named cluster without sign-in",
        {"cluster": {"context": "x", "loader": "kind"}, "exposure": {"nodePort": {}}},
        "mlflow:exposure.nodePort",
        "anonymous",
    ),
    (
        "a static prefix",
        {"server": {"env": {"MLFLOW_STATIC_PREFIX": "/x"}}},
        "mlflow:server.env.MLFLOW_STATIC_PREFIX",
        "root",
    ),
    (
        "two groups that make one Secret",
        {"secrets": {"a": {"b-c": {"X": "1"}}, "a-b": {"c": {"Y": "1"}}}},
        "mlflow:secrets.a-b.c",
        "rename",
    ),
    ("an external entrance without ranges", external(), "mlflow:exposure.external.allow", "missing"),
    ("an open entrance without sign-in", external(allow=["203.0.113.0/24"]), "mlflow:auth.mode", "anonymous"),
    (
        "the world without sign-in",
        external(allow=["0.0.0.0/0"], anonymous=True, world=True),
        "mlflow:exposure.external.allow",
        "auth.mode basic",
    ),
    (
        "the world in two halves",
        external(allow=["0.0.0.0/1", "128.0.0.0/1"], anonymous=True),
        "mlflow:exposure.external.allow",
        "world",
    ),
    (
        "the world of IPv6",
        external(allow=["::/0"], anonymous=True),
        "mlflow:exposure.external.allow",
        "world",
    ),
    (
        "the world said once",
        {**external(allow=["0.0.0.0/0"]), "auth": {"mode": "basic"}},
        "mlflow:exposure.external.allow",
        "world: true",
    ),
    (
        "a range with host bits",
        external(allow=["203.0.113.7/24"]),
        "mlflow:exposure.external.allow[0]",
        "host bits",
    ),
    (
        "an internal world",
        {**LB, "exposure": {"internal": {"world": True}}},
        "mlflow:exposure.internal.world",
        "remove",
    ),
    ("a context without loader", {"cluster": {"context": "minikube"}}, "mlflow:cluster.loader", "minikube"),
    ("a loader without context", {"cluster": {"loader": "kind"}}, "mlflow:cluster.loader", "context"),
    ("an unknown loader", {"cluster": {"context": "x", "loader": "scp"}}, "mlflow:cluster.loader", "k3d"),
    (
        "an image without tag",
        {"images": {"server": "registry.example.com/mlflow"}},
        "mlflow:images.server",
        "tag",
    ),
    ("the latest image", {"images": {"job": "mlflow:latest"}}, "mlflow:images.job", "latest"),
    ("a number for a section", {"database": 3}, "mlflow:database", "3"),
    (
        "a plain secret url",
        {"database": {"url": "postgresql://u:p@h/d"}},
        "mlflow:database.url",
        "plain text",
    ),
    ("a plain secret group", {"secrets": {"a": {"b": {"C": "x"}}}}, "mlflow:secrets.a.b.C", "plain text"),
    ("a bad group name", {"secrets": {"A_B": {"b": {"C": "x"}}}}, "mlflow:secrets.A_B", "valid name"),
    (
        "a secret of the program",
        {"secrets": {"a": {"b": {"MLFLOW_BACKEND_STORE_URI": "x"}}}},
        "mlflow:secrets.a.b.MLFLOW_BACKEND_STORE_URI",
        "mlflow:database",
    ),
    (
        "a group name too long",
        {"secrets": {LONG: {LONG: {"C": "x"}}}},
        f"mlflow:secrets.{LONG}.{LONG}",
        "exceed",
    ),
]


@pytest.mark.parametrize(("values", "key", "word"), [case[1:] for case in BAD], ids=[case[0] for case in BAD])
def test_bad_settings_are_refused_with_their_key_path(values: dict[str, Any], key: str, word: str) -> None:
    with pytest.raises(SettingsError) as refused:
        parse({**DEV, **values})
    messages = [problem.message for problem in refused.value.problems if problem.key == key]
    assert messages, f"{key} is not among {refused.value.problems}"
    assert any(word in message for message in messages), messages


def test_every_mistake_is_reported_at_once_even_between_sections_that_are_sound() -> None:
    with pytest.raises(SettingsError) as refused:
        parse(
            {
                "cloud": "dev",
                "databse": {},
                "server": {"replicas": 2, "env": {"MLFLOW_PORT": "1"}},
                "auth": {"mode": "x"},
                "namespace": "-",
            }
        )
    assert [problem.key for problem in refused.value.problems] == [
        "mlflow:auth.mode",
        "mlflow:databse",
        "mlflow:namespace",
        "mlflow:server.env.MLFLOW_PORT",
        "mlflow:server.replicas",
    ]
    assert "5 mistakes" in str(refused.value)


def test_a_missing_cloud_names_the_choices() -> None:
    with pytest.raises(SettingsError, match="mlflow:cloud: is missing; allowed: dev"):
        parse({})


SECRET_URLS = {
    "weak TLS": ("postgresql://u:hunter2@h/d?sslmode=require", "verify-full"),
    "TLS off for MySQL": ("mysql://u:hunter2@h/d?ssl_disabled=true", "ssl_disabled"),
    "own CA in the url": ("postgresql://u:hunter2@h/d?sslrootcert=/x", "caBundle"),
    "another database": ("oracle://u:hunter2@h/d", "postgresql://"),
    "no database name": ("postgresql://u:hunter2@h", "postgresql://"),
    "no host": ("postgresql:///d", "postgresql://"),
}


@pytest.mark.parametrize(("url", "word"), SECRET_URLS.values(), ids=SECRET_URLS.keys())
def test_a_bad_database_url_is_refused_without_being_shown(url: str, word: str) -> None:
    engine = "mysql" if url.startswith("mysql") else "postgresql"
    with pytest.raises(SettingsError) as refused:
        parse({**DEV, "database": {"url": url, "engine": engine}}, secret_keys={"database"})
    assert "mlflow:database.url" in str(refused.value)
    assert word in str(refused.value)
    assert "hunter2" not in str(refused.value)


def test_a_url_of_another_engine_names_the_setting_to_change() -> None:
    with pytest.raises(SettingsError, match=r"mlflow:database\.engine: is postgresql, but the url is mysql"):
        parse({**DEV, "database": {"url": "mysql://u:p@h/d"}}, secret_keys={"database"})


def test_a_wrong_value_inside_a_secret_section_is_not_shown() -> None:
    with pytest.raises(SettingsError) as refused:
        parse({**DEV, "database": {"url": ["hunter2"]}}, secret_keys={"database"})
    assert "hunter2" not in str(refused.value)


def test_credentials_must_hold_what_the_store_needs() -> None:
    values = {
        **DEV,
        "artifacts": {"uri": "s3://b", "credentials": "store"},
        "secrets": {"store": {"keys": {"AWS_ACCESS_KEY_ID": "x"}}},
    }
    with pytest.raises(SettingsError, match="AWS_SECRET_ACCESS_KEY"):
        parse(values, secret_keys={"secrets"})


def test_the_same_variable_from_two_sources_is_refused() -> None:
    values = {
        **DEV,
        "server": {"env": {"TOKEN": "x"}, "secrets": ["a"]},
        "secrets": {"a": {"b": {"TOKEN": "y"}}},
    }
    with pytest.raises(
        SettingsError, match=r"mlflow:secrets\.a\.b\.TOKEN: is also set in mlflow:server\.env"
    ):
        parse(values, secret_keys={"secrets"})


def test_an_external_entrance_without_sign_in_opens_only_when_said_so_and_for_ranges() -> None:
    values = {**DEV, **external(allow=["203.0.113.0/24"], anonymous=True)}
    assert with_server(parse(values)).exposure.external is not None


def test_an_external_entrance_opens_to_the_world_with_sign_in_when_said_twice() -> None:
    values = {**DEV, **external(allow=["0.0.0.0/0"], world=True), "auth": {"mode": "basic"}}
    assert with_server(parse(values)).exposure.external is not None


def test_several_replicas_are_fine_with_a_shared_store() -> None:
    values = {**DEV, "server": {"replicas": 3}, "artifacts": {"uri": "s3://b"}}
    assert with_server(parse(values)).server.replicas == 3


@pytest.mark.parametrize(("stack", "guarded"), [("dev", False), ("prod", True), ("dev2", True)])
def test_every_stack_not_named_dev_is_guarded_by_default(stack: str, *, guarded: bool) -> None:
    assert parse(DEV).protected(stack) is guarded
    assert parse({**DEV, "protect": True}).protected("dev") is True
    assert parse({**DEV, "protect": False}).protected(stack) is False


def test_a_plain_secret_beside_an_encrypted_one_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "Pulumi.dev.yaml"
    written = {"GOOD": {"secure": "v1:cipher"}, "BAD": "hunter2"}
    file.write_text(yaml.safe_dump({"config": {"mlflow:secrets": {"a": {"b": written}}}}))
    decrypted = {**DEV, "secrets": {"a": {"b": {"GOOD": "x", "BAD": "hunter2"}}}}
    with pytest.raises(
        SettingsError, match=r"mlflow:secrets\.a\.b\.BAD: is a secret in plain text"
    ) as refused:
        parse(decrypted, secret_keys={"secrets"}, file=file)
    assert "GOOD" not in str(refused.value)


def test_settings_are_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        with_server(parse(DEV)).server.replicas = 2


def test_secrets_never_print_themselves() -> None:
    stack = parse({**DEV, "secrets": {"a": {"b": {"C": "hunter2"}}}}, secret_keys={"secrets"})
    assert "hunter2" not in repr(stack)
    assert "hunter2" not in stack.model_dump_json()


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=8),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    )
)
def test_no_input_whatever_ends_in_anything_but_settings_or_a_refusal(value: Any) -> None:
    for key in ("database", "secrets", "server", "exposure", "cloud"):
        assert all(problem.key.startswith("mlflow:") for problem in problems_of({**DEV, key: value}))


@pytest.mark.parametrize(("text", "size"), [("10Gi", 10 * 2**30), ("1500M", 1.5e9), ("7", 7)])
def test_quantities_are_bytes(text: str, size: float) -> None:
    assert quantity_bytes(text) == size


def test_every_reserved_variable_says_what_to_do_instead() -> None:
    assert all(len(text) > 8 for text in reserved.RESERVED.values())


def test_the_json_schema_is_fresh() -> None:
    on_disk = json.loads((ROOT / "docs/stack.schema.json").read_text())
    assert on_disk == stack_schema(), "run `make docs`"


def test_the_settings_page_is_fresh_and_names_every_key() -> None:
    page = (ROOT / "docs/settings.md").read_text()
    assert page == settings_page(), "run `make docs`"
    for key in (
        "mlflow:database.url",
        "mlflow:exposure.external.allow",
        "mlflow:server.resources.limits.memory",
    ):
        assert f"`{key}`" in page


@pytest.mark.parametrize("file", sorted(ROOT.glob("Pulumi.*.yaml")), ids=lambda path: path.name)
def test_stack_files_of_the_repository_pass_their_own_schema(file: Path) -> None:
    from jsonschema import Draft202012Validator

    text = file.read_text()
    assert text.startswith("# yaml-language-server: $schema=docs/stack.schema.json")
    Draft202012Validator(stack_schema()).validate(yaml.safe_load(text))


def test_the_json_schema_refuses_a_misspelt_key_and_lets_other_providers_pass() -> None:
    from jsonschema import Draft202012Validator

    check = Draft202012Validator(stack_schema())
    assert check.is_valid({"config": {"mlflow:cloud": "dev", "aws:region": "eu-west-1"}})
    assert not check.is_valid({"config": {"mlflow:cloud": "dev", "mlflow:databse": {}}})
    assert not check.is_valid({"config": {"mlflow:cloud": "dev", "mlflow:database": {"url": "plain"}}})


def test_the_project_file_declares_the_type_of_every_key_that_can_have_a_default() -> None:
    """The CLI requires each declared key that has no default; `protect` depends on the stack's name."""
    declared = yaml.safe_load((ROOT / "Pulumi.yaml").read_text())["config"]
    models = [
        {f"mlflow:{field.alias or name}": field for name, field in model.model_fields.items()}
        for model in STACKS.values()
    ]
    # A key that only some clouds have cannot have a default here: it would be set on the others as well.
    everywhere = set.intersection(*(set(fields) for fields in models))
    assert declared.keys() == everywhere - {"mlflow:protect"}
    fields = models[0]
    for key, entry in declared.items():
        section = key not in ("mlflow:cloud", "mlflow:namespace")
        assert entry["type"] == ("object" if section else "string"), key
        assert ("default" in entry) is not fields[key].is_required(), key
