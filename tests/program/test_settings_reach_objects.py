"""Each setting reaches the object it is about."""

from __future__ import annotations

import types
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, Union, get_args, get_origin

import pytest
from pydantic import BaseModel

from components.settings.dev import DevStack
from tests.program.conftest import CA_BUNDLE, CASES, POSTGRESQL_URL, PRIVATE, Settings, plan
from tests.program.reading import environment, name_of, pod_spec, server, server_environment
from tools.offline import Plan
from tools.offline.wire import plain

pytestmark = pytest.mark.program


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


TRAINS: Settings = {"jobs": {"train": {"git": {"repo": "https://git.example.com/a/b"}}}}
ROWS = [
    Row("namespace", {"namespace": "team"}, lambda p: name_of(p.one("Namespace")) == "team"),
    Row("existingNamespace", {"existingNamespace": True}, lambda p: p.one("Namespace").read),
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
        "cluster.internalLoadBalancer",
        CASES["load balancers"],
        lambda p: PRIVATE.items() <= p.one("Service", "internal").inputs["metadata"]["annotations"].items(),
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
            "--workers=3" in server(p)["command"] and server(p)["resources"]["requests"]["memory"] == "960Mi"
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
        "server.drainSeconds",
        {"server": {"drainSeconds": 42}},
        lambda p: (
            "--timeout-graceful-shutdown 42" in server_environment(p)["MLFLOW_UVICORN_OPTS"]
            and pod_spec(p.one("Deployment"))["terminationGracePeriodSeconds"] > 42
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
                "cluster": {"loadBalancer": True, "internalLoadBalancer": PRIVATE},
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
    *(
        Row(
            f"exposure.ingress.{key}",
            {
                "auth": BASIC,
                "exposure": {
                    "ingress": {
                        "host": "mlflow.example.com",
                        "className": "traefik",
                        "allow": ["198.51.100.0/24"],
                        "annotations": {"example.com/ranges": "198.51.100.0/24"},
                    }
                },
            },
            lambda p: (
                (made := plain(p.one("Ingress").inputs))["spec"]["ingressClassName"] == "traefik"
                and made["spec"]["rules"][0]["host"] == "mlflow.example.com"
                and made["metadata"]["annotations"]["example.com/ranges"] == "198.51.100.0/24"
                and "mlflow.example.com" in hosts(p)
                and plain(p.outputs)["url"] == "http://mlflow.example.com"
            ),
        )
        for key in ("host", "className", "annotations")
    ),
]

ROWS.append(
    # Each of a job's settings: tests/program/test_jobs.py.
    Row(
        "jobs",
        {"jobs": {"train": {"git": {"repo": "https://git.example.com/a/b"}}}},
        lambda p: p.one("CronJob", "mlflow-jobs-train"),
    )
)

SERVER = {"model": "models:/churn@live"}
EXPOSED = {**SERVER, "ingress": {"host": "churn.example.com", "anonymous": True}}
ROWS += [
    # Each of their settings: tests/program/test_pipelines.py.
    Row(
        "pipelines",
        {**TRAINS, "pipelines": {"daily": {"stages": {"train": {"job": "train"}}}}},
        lambda p: p.one("CronJob", "mlflow-pipelines-daily"),
    ),
    Row(
        "cluster.argoWorkflows",
        {
            **TRAINS,
            "cluster": {"argoWorkflows": True},
            "pipelines": {"daily": {"engine": "argo", "stages": {"train": {"job": "train"}}}},
        },
        lambda p: p.one("WorkflowTemplate", "mlflow-pipelines-daily"),
    ),
    # Each of their settings: tests/program/test_services.py.
    Row(
        "services",
        {"services": {"front": {"git": {"repo": "https://git.example.com/a/b"}, "module": "app"}}},
        lambda p: p.one("Deployment", "mlflow-services-front"),
    ),
    Row(
        "modelServers",
        {"modelServers": {"churn": SERVER}},
        lambda p: p.one("Deployment", "mlflow-services-churn"),
    ),
    *(
        Row(
            f"exposure.ingress.{key}",
            {
                "auth": BASIC,
                "exposure": {
                    "ingress": {
                        "api": "ingress",
                        "host": "mlflow.example.com",
                        "className": "traefik",
                        "tlsSecret": "mlflow-tls",
                        "allow": ["198.51.100.0/24"],
                        "annotations": {"example.com/ranges": "198.51.100.0/24"},
                    }
                },
            },
            lambda p: (
                plain(p.one("Ingress").inputs)["spec"]["tls"][0]["secretName"] == "mlflow-tls"
                and plain(p.outputs)["url"] == "https://mlflow.example.com"
            ),
        )
        for key in ("api", "tlsSecret")
    ),
    Row(
        "exposure.ingress.controllerNamespace",
        {
            "auth": BASIC,
            "modelServers": {"churn": EXPOSED},
            "exposure": {
                "ingress": {
                    "host": "mlflow.example.com",
                    "className": "traefik",
                    "controllerNamespace": "traefik-system",
                    "allow": ["198.51.100.0/24"],
                    "annotations": {"example.com/ranges": "198.51.100.0/24"},
                }
            },
        },
        lambda p: "traefik-system" in str(plain(p.one("NetworkPolicy", "services-churn").inputs)),
    ),
]

NOT_IN_MANIFESTS = {
    "cloud": "it chooses the model",
    "cluster.context": "which cluster is reached; the cluster tier covers it",
    "cluster.kubeconfig": "the same",
    "cluster.loader": "how images reach the nodes; `make images` reads it",
    "images.registry": "where `make images` pushes to",
    "exposure.nodePort.anonymous": "a confirmation: without it settings are refused",
    "exposure.internal.anonymous": "a confirmation: without it settings are refused",
    "exposure.internal.world": "the same",
    "exposure.external.anonymous": "the same",
    "exposure.external.world": "the same",
    "exposure.ingress.anonymous": "the same",
    "exposure.ingress.world": "the same",
    "exposure.ingress.allow": "its controller enforces it, by the annotations given",
    "exposure.ingress.internal": "the same",
    "exposure.internal.certificate": "a cloud's: refused on dev",
    "exposure.external.certificate": "the same",
    "exposure.ingress.certificate": "the same",
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
    known = set(paths(DevStack))
    assert known - NOT_IN_MANIFESTS.keys() == {row.path for row in ROWS}
    assert NOT_IN_MANIFESTS.keys() <= known


def paths(model: type[BaseModel], above: str = "") -> Iterator[str]:
    """The path of every setting that is no section."""
    for name, field in model.model_fields.items():
        path = f"{above}{field.alias or name}"
        kind: Any = field.annotation
        if get_origin(kind) in (Union, types.UnionType):
            kind = next(one for one in get_args(kind) if one is not type(None))
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from paths(kind, f"{path}.")
        else:
            yield path
