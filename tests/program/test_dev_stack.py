"""Each setting reaches the object it is about, and what must not be set together is refused."""

from __future__ import annotations

import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, Union, get_args, get_origin

import pytest
import yaml
from pydantic import BaseModel

from components.settings.stack import Stack
from tests.program.conftest import CA_BUNDLE, CASES, POSTGRESQL_URL, Settings, plan, plan_of
from tests.program.reading import environment, name_of, pod_spec, server_environment
from tools.common import ROOT, Failure
from tools.offline import Mocked, Plan, run
from tools.offline.wire import plain

pytestmark = pytest.mark.program


def server(plan: Plan) -> dict[str, Any]:
    """The server's container."""
    return pod_spec(plan.one("Deployment"))["containers"][0]


def database(plan: Plan) -> dict[str, Any]:
    """The database server's container."""
    return pod_spec(plan.one("StatefulSet"))["containers"][0]


def claim(plan: Plan, name: str) -> dict[str, Any]:
    """The spec of a volume claim."""
    return plain(plan.one("PersistentVolumeClaim", name).inputs)["spec"]


def service(plan: Plan, name: str) -> dict[str, Any]:
    """The spec of a Service."""
    return plain(plan.one("Service", name).inputs)["spec"]


def hosts(plan: Plan) -> list[str]:
    return server_environment(plan)["MLFLOW_SERVER_ALLOWED_HOSTS"].split(",")


def auth_file(plan: Plan) -> str:
    (secret,) = [one for one in plan.of_type("Secret") if one.name.endswith("-auth")]
    return secret.inputs["stringData"].value["basic-auth.ini"]


def jobs_config(plan: Plan) -> dict[str, str]:
    return plan.one("ConfigMap", "client").inputs["data"]


def secret_env(plan: Plan) -> dict[str, Any]:
    (secret,) = [one for one in plan.of_type("Secret") if one.name == "extra-tokens"]
    return secret.inputs["stringData"].value


BASIC: dict[str, Any] = {"mode": "basic"}
S3: dict[str, Any] = {"uri": "s3://bucket/path"}
EXTRA = {"extra": {"tokens": {"API_TOKEN": {"secure": "planted-token"}}}}


def balancer(**settings: Any) -> Settings:
    return {"cluster": {"loadBalancer": True}, "auth": BASIC, "exposure": {"external": settings}}


class Row(NamedTuple):
    """A setting by its path, a stack that sets it, and what must then hold."""

    path: str
    settings: Settings
    holds: Callable[[Plan], Any]


ROWS = [
    Row("namespace", {"namespace": "team"}, lambda p: name_of(p.one("Namespace")) == "team"),
    Row("protect", {"protect": True}, lambda p: p.one("PersistentVolumeClaim", "database").protect),
    Row(
        "cluster.storageClass",
        {"cluster": {"storageClass": "fast"}},
        lambda p: [claim(p, name)["storageClassName"] for name in ("database", "artifacts")] == ["fast"] * 2,
    ),
    Row(
        "cluster.loadBalancer",
        balancer(allow=["203.0.113.0/24"]),
        lambda p: service(p, "external")["type"] == "LoadBalancer",
    ),
    Row(
        "images.server",
        {"images": {"server": "r.example/s:1"}},
        lambda p: server(p)["image"] == "r.example/s:1",
    ),
    Row(
        "images.job",
        {"images": {"job": "r.example/j:1"}},
        lambda p: plain(p.outputs)["images"]["job"] == "r.example/j:1",
    ),
    Row("database.place", {"database": {"place": "in-cluster"}}, lambda p: p.one("StatefulSet")),
    Row("database.engine", {"database": {"engine": "mysql"}}, lambda p: "/mysql:" in database(p)["image"]),
    Row(
        "database.url",
        {"database": {"url": POSTGRESQL_URL}},
        lambda p: (
            not p.of_type("StatefulSet")
            and "@db.example.com:5432/mlflow" in server_environment(p)["MLFLOW_BACKEND_STORE_URI"]
        ),
    ),
    Row(
        "database.caBundle",
        {"database": {"url": POSTGRESQL_URL, "caBundle": CA_BUNDLE}},
        lambda p: (
            all(
                CA_BUNDLE in one.inputs["data"].values()
                for one in p.of_type("ConfigMap")
                if "database-ca" in one.name
            )
            and "sslrootcert=/etc/mlflow/database-ca.pem" in server_environment(p)["MLFLOW_BACKEND_STORE_URI"]
        ),
    ),
    Row(
        "database.volume.size",
        {"database": {"volume": {"size": "77Gi"}}},
        lambda p: claim(p, "database")["resources"]["requests"]["storage"] == "77Gi",
    ),
    Row(
        "database.volume.storageClass",
        {"database": {"volume": {"storageClass": "fast"}}},
        lambda p: claim(p, "database")["storageClassName"] == "fast",
    ),
    Row(
        "database.resources.requests.cpu",
        {"database": {"resources": {"requests": {"cpu": "333m"}}}},
        lambda p: database(p)["resources"]["requests"] == {"cpu": "333m", "memory": "256Mi"},
    ),
    Row(
        "database.resources.requests.memory",
        {"database": {"resources": {"requests": {"memory": "333Mi"}}}},
        lambda p: database(p)["resources"]["requests"] == {"cpu": "100m", "memory": "333Mi"},
    ),
    Row(
        "database.resources.limits.cpu",
        {"database": {"resources": {"limits": {"cpu": "3"}}}},
        lambda p: database(p)["resources"]["limits"]["cpu"] == "3",
    ),
    Row(
        "database.resources.limits.memory",
        {"database": {"resources": {"limits": {"memory": "3Gi"}}}},
        lambda p: database(p)["resources"]["limits"]["memory"] == "3Gi",
    ),
    Row(
        "artifacts.place",
        {"artifacts": {"place": "in-cluster"}},
        lambda p: plain(p.outputs)["artifacts"]["place"] == "in-cluster",
    ),
    Row(
        "artifacts.uri",
        {"artifacts": S3},
        lambda p: (
            server_environment(p)["MLFLOW_ARTIFACTS_DESTINATION"] == "s3://bucket/path"
            and not [one for one in p.of_type("PersistentVolumeClaim") if "artifacts" in one.name]
        ),
    ),
    Row(
        "artifacts.credentials",
        CASES["artifacts on S3"],
        lambda p: server_environment(p)["AWS_SECRET_ACCESS_KEY"] == "planted-s3-secret",
    ),
    Row(
        "artifacts.endpoint",
        {"artifacts": S3 | {"endpoint": "https://minio.example.com"}},
        lambda p: server_environment(p)["MLFLOW_S3_ENDPOINT_URL"] == "https://minio.example.com",
    ),
    Row(
        "artifacts.region",
        {"artifacts": S3 | {"region": "eu-west-1"}},
        lambda p: server_environment(p)["AWS_DEFAULT_REGION"] == "eu-west-1",
    ),
    Row(
        "artifacts.caBundle",
        {"artifacts": S3 | {"endpoint": "https://minio.example.com", "caBundle": CA_BUNDLE}},
        lambda p: (
            server_environment(p)["AWS_CA_BUNDLE"]
            in [mount["mountPath"] for mount in server(p)["volumeMounts"]]
        ),
    ),
    Row(
        "artifacts.volume.size",
        {"artifacts": {"volume": {"size": "77Gi"}}},
        lambda p: claim(p, "artifacts")["resources"]["requests"]["storage"] == "77Gi",
    ),
    Row(
        "artifacts.volume.storageClass",
        {"artifacts": {"volume": {"storageClass": "fast"}}},
        lambda p: claim(p, "artifacts")["storageClassName"] == "fast",
    ),
    Row(
        "artifacts.volume.accessMode",
        {"artifacts": {"volume": {"accessMode": "ReadWriteMany"}}},
        lambda p: (
            claim(p, "artifacts")["accessModes"] == ["ReadWriteMany"]
            and "affinity" not in pod_spec(p.one("Deployment"))
        ),
    ),
    Row(
        "server.replicas",
        CASES["artifacts shared by replicas"],
        lambda p: p.one("Deployment").inputs["spec"]["replicas"] == 3,
    ),
    Row(
        "server.workers",
        {"server": {"workers": 3}},
        lambda p: (
            "--workers=3" in server(p)["command"] and server(p)["resources"]["requests"]["memory"] == "1920Mi"
        ),
    ),
    Row(
        "server.resources.requests.cpu",
        {"server": {"resources": {"requests": {"cpu": "333m"}}}},
        lambda p: server(p)["resources"]["requests"]["cpu"] == "333m",
    ),
    Row(
        "server.resources.requests.memory",
        {"server": {"resources": {"requests": {"memory": "777Mi"}}}},
        lambda p: server(p)["resources"]["requests"] == {"cpu": "250m", "memory": "777Mi"},
    ),
    Row(
        "server.resources.limits.cpu",
        {"server": {"resources": {"limits": {"cpu": "3"}}}},
        lambda p: server(p)["resources"]["limits"]["cpu"] == "3",
    ),
    Row(
        "server.resources.limits.memory",
        {"server": {"resources": {"limits": {"memory": "3Gi"}}}},
        lambda p: server(p)["resources"]["limits"]["memory"] == "3Gi",
    ),
    Row(
        "server.tmpSize",
        {"server": {"tmpSize": "7Gi"}},
        lambda p: (
            {"name": "tmp", "emptyDir": {"sizeLimit": "7Gi"}} in pod_spec(p.one("Deployment"))["volumes"]
        ),
    ),
    Row("server.env", {"server": {"env": {"TEAM": "a"}}}, lambda p: server_environment(p)["TEAM"] == "a"),
    Row(
        "server.secrets",
        {"secrets": EXTRA, "server": {"secrets": ["extra"]}},
        lambda p: server_environment(p)["API_TOKEN"] == "planted-token",
    ),
    Row("secrets", {"secrets": EXTRA}, lambda p: secret_env(p)["API_TOKEN"] == "planted-token"),
    Row("auth.mode", {"auth": BASIC}, lambda p: "--app-name=basic-auth" in server(p)["command"]),
    Row(
        "auth.adminUsername",
        {"auth": BASIC | {"adminUsername": "root.user"}},
        lambda p: (
            environment(p, p.one("Job"))["MLFLOW_AUTH_ADMIN_USERNAME"] == "root.user"
            and "admin_username = root.user" in auth_file(p)
        ),
    ),
    Row(
        "auth.defaultPermission",
        {"auth": BASIC | {"defaultPermission": "MANAGE"}},
        lambda p: "default_permission = MANAGE" in auth_file(p),
    ),
    Row(
        "exposure.nodePort.port",
        {"exposure": {"nodePort": {"port": 31234}}},
        lambda p: service(p, "node-port")["ports"][0]["nodePort"] == 31234,
    ),
    Row(
        "exposure.nodePort.hosts",
        {"exposure": {"nodePort": {"hosts": ["mlflow.test"]}}},
        lambda p: (
            {"mlflow.test", "mlflow.test:*"} <= set(hosts(p))
            and "http://mlflow.test:30500" in server_environment(p)["MLFLOW_SERVER_CORS_ALLOWED_ORIGINS"]
        ),
    ),
    Row(
        "logLevel.server",
        {"logLevel": {"server": "DEBUG"}},
        lambda p: server_environment(p)["MLFLOW_LOGGING_LEVEL"] == "DEBUG",
    ),
    Row(
        "logLevel.jobs",
        {"logLevel": {"jobs": "ERROR"}},
        lambda p: jobs_config(p)["MLFLOW_LOGGING_LEVEL"] == "ERROR",
    ),
    Row(
        "logLevel.launcher",
        {"logLevel": {"launcher": "ERROR"}},
        lambda p: jobs_config(p)["LAUNCHER_LOG_LEVEL"] == "ERROR",
    ),
    *(
        Row(
            f"exposure.{kind}.{key}",
            {
                "cluster": {"loadBalancer": True},
                "auth": BASIC,
                "exposure": {kind: {"host": "mlflow.example.com", "allow": ["198.51.100.0/24"]}},
            },
            lambda p, kind=kind: (
                service(p, kind)["loadBalancerSourceRanges"] == ["198.51.100.0/24"]
                and "mlflow.example.com" in hosts(p)
                and plain(p.outputs)[f"{kind}Url"] == "http://mlflow.example.com"
            ),
        )
        for kind in ("internal", "external")
        for key in ("host", "allow")
    ),
]

NOT_IN_MANIFESTS = {
    "cloud": "there is one so far",
    "cluster.context": "which cluster is reached; the cluster tier covers it",
    "cluster.kubeconfig": "the same",
    "cluster.loader": "how images reach the nodes; `make images` reads it",
    "images.registry": "where `make images` pushes to",
    "exposure.internal.anonymous": "a confirmation: without it settings are refused",
    "exposure.internal.world": "the same",
    "exposure.external.anonymous": "the same",
    "exposure.external.world": "the same",
}


@pytest.mark.parametrize("row", ROWS, ids=[row.path for row in ROWS])
def test_each_setting_reaches_its_object(row: Row) -> None:
    changed = plan(row.settings)
    assert changed.problems == []
    assert row.holds(changed)


DEFAULTS = {"database.place", "artifacts.place"}
"""Rows that spell a default out: dev has one other value, external, which other rows reach."""


@pytest.mark.parametrize("row", ROWS, ids=[row.path for row in ROWS])
def test_no_row_holds_by_itself(row: Row) -> None:
    """What a row checks does not hold on the plain stack, or the row would prove nothing."""
    try:
        held = row.holds(plan())
    except (KeyError, LookupError, ValueError):
        held = False
    assert bool(held) == (row.path in DEFAULTS)


def test_no_setting_is_left_out_of_the_table() -> None:
    paths = set(_paths(Stack, ""))
    assert paths - NOT_IN_MANIFESTS.keys() == {row.path for row in ROWS}
    assert NOT_IN_MANIFESTS.keys() <= paths


def _paths(model: type[BaseModel], above: str) -> Iterator[str]:
    """The path of every setting that is no section."""
    for name, field in model.model_fields.items():
        path = f"{above}{field.alias or name}"
        kind: Any = field.annotation
        if get_origin(kind) in (Union, types.UnionType):
            kind = next(one for one in get_args(kind) if one is not type(None))
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from _paths(kind, f"{path}.")
        else:
            yield path


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ({"database": {"engine": "sqlite"}, "server": {"replicas": 2}}, "mlflow:server.replicas"),
        ({"server": {"replicas": 2}}, "mlflow:server.replicas"),
        ({"server": {"env": {"MLFLOW_PORT": "1"}}}, "mlflow:server.env.MLFLOW_PORT"),
        ({"database": {"url": "postgresql://plain@text/db"}}, "mlflow:database.url"),
        ({"databse": {"engine": "mysql"}}, "mlflow:databse: is unknown; did you mean database?"),
        (
            {"cluster": {"loadBalancer": True}, "exposure": {"external": {"allow": ["203.0.113.0/24"]}}},
            "mlflow:auth.mode",
        ),
    ],
)
def test_a_refused_stack_creates_nothing_and_names_the_key(settings: Settings, key: str) -> None:
    with pytest.raises(Failure, match="nothing was changed") as refused:
        plan(settings)
    assert key in str(refused.value)


def test_the_schema_is_migrated_before_the_server_rolls(case: str) -> None:
    planned = plan_of(case)
    migration, deployment = planned.one("Job"), planned.one("Deployment")
    assert migration.urn in deployment.depends_on
    assert pod_spec(migration)["containers"][0]["image"] == server(planned)["image"]
    order = [one.urn for one in planned.resources]
    assert order.index(migration.urn) < order.index(deployment.urn)
    for stateful in planned.of_type("StatefulSet"):
        assert stateful.urn in migration.depends_on


def test_a_changed_database_or_image_runs_the_migration_again() -> None:
    """The Job takes what it needs from objects whose generated names change with their content."""
    migration = plan().one("Job")
    other = plan({"images": {"server": "r.example/s:2"}}).one("Job")
    assert plain(migration.inputs) != plain(other.inputs)
    assert "name" not in migration.inputs["metadata"]
    for kind in ("ConfigMap", "Secret"):
        assert all("name" not in one.inputs["metadata"] for one in plan().of_type(kind))


def test_an_update_needs_no_downtime_except_where_the_database_is_a_file(case: str) -> None:
    strategy = plan_of(case).one("Deployment").inputs["spec"]["strategy"]
    if "sqlite" in case:
        assert strategy == {"type": "Recreate"}
    else:
        assert strategy["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}


def test_pods_that_share_a_volume_of_one_node_stay_on_it() -> None:
    affinity = pod_spec(plan_of("postgresql").one("Deployment"))["affinity"]["podAffinity"]
    (term,) = affinity["requiredDuringSchedulingIgnoredDuringExecution"]
    assert term["topologyKey"] == "kubernetes.io/hostname"
    assert "affinity" not in pod_spec(plan_of("artifacts on S3").one("Deployment"))


def test_services_do_not_wait_with_the_slow_awaiter(case: str) -> None:
    for one in plan_of(case).of_type("Service"):
        assert one.inputs["metadata"]["annotations"]["pulumi.com/waitFor"].startswith("jsonpath=")


def test_nothing_skips_the_wait_that_holds_on_delete_too(case: str) -> None:
    for kind in ("Deployment", "Namespace", "Job", "StatefulSet"):
        for one in plan_of(case).of_type(kind):
            annotations = one.inputs.get("metadata", {}).get("annotations", {})
            assert "pulumi.com/skipAwait" not in annotations, one.name


def test_everything_is_reached_through_the_stacks_own_provider(case: str) -> None:
    planned = plan_of(case)
    provider = planned.one("kubernetes")
    for one in planned.resources:
        if one.is_kubernetes_object:
            assert one.provider.startswith(f"{provider.urn}::"), one.name


def test_every_resource_belongs_to_a_component_and_is_named_after_it(case: str) -> None:
    planned = plan_of(case)
    parents = {one.urn: one for one in planned.resources}
    for one in planned.resources:
        assert one.parent in parents or one.type.startswith("pulumi:providers:") or one.component, one.name
    assert all(one.type.startswith("mlflow:") for one in planned.resources if one.component)


def test_what_holds_data_is_protected_on_every_stack_but_dev(tmp_path: Path) -> None:
    (tmp_path / "Pulumi.yaml").write_text((ROOT / "Pulumi.yaml").read_text())
    settings = yaml.safe_load((ROOT / "Pulumi.dev.yaml").read_text())
    (tmp_path / "Pulumi.team.yaml").write_text(yaml.safe_dump(settings))
    (tmp_path / "__main__.py").symlink_to(ROOT / "__main__.py")
    team = {one.name for one in run("team", root=tmp_path, answers=Mocked()).resources if one.protect}
    assert {"mlflow-database-volume", "mlflow-artifacts-volume", "mlflow-database-password"} <= team
    assert not [one.name for one in plan().resources if one.protect]


def test_the_exports_are_what_a_person_needs_next() -> None:
    outputs = plain(plan_of("basic sign-in").outputs)
    assert outputs["inClusterUrl"] == "http://mlflow-server.mlflow.svc.cluster.local"
    assert outputs["adminUsername"] == "admin"
    assert outputs["adminPassword"] == "[secret]"
    assert any(line.startswith("export MLFLOW_TRACKING_URI=") for line in outputs["clientEnvironment"])
    assert "adminPassword" not in plan().outputs
