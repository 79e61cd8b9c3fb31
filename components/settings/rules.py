"""What settings must not say together.

A rule names the sections it reads as its parameters, so that it still runs when another section is
broken: every mistake is reported at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, get_type_hints
from urllib.parse import parse_qs, urlsplit

from .. import reserved
from ..database_engines import Engine, engine_of
from .artifacts import AccessMode, Artifacts, Scheme
from .cluster import DevCluster, Images
from .database import Database, Place
from .errors import Problem
from .exposure import Exposure, LoadBalancer
from .server import JOBS_USER, Auth, AuthMode, Server
from .stack import Cloud, Groups, place_of

Rule = Callable[..., Iterator[Problem]]
RULES: list[Rule] = []

UNREADABLE = "[secret]"
"""What a secret holds when a plan runs offline, without the key to decrypt it."""


def rule(check: Rule) -> Rule:
    """Register a rule."""
    RULES.append(check)
    return check


def broken_rules(sections: dict[str, object]) -> Iterator[Problem]:
    """The problems of every rule whose sections are all there, and are of the kind it names."""
    for check in RULES:
        wanted = get_type_hints(check)
        wanted.pop("return", None)
        if all(name in sections and _fits(sections[name], kind) for name, kind in wanted.items()):
            yield from check(**{name: sections[name] for name in wanted})


def _fits(section: object, kind: Any) -> bool:
    return isinstance(section, kind) if isinstance(kind, type) else True


@rule
def own_namespace(namespace: str, existing_namespace: bool) -> Iterator[Problem]:
    if namespace.startswith("kube-"):
        yield Problem("mlflow:namespace", f"{namespace} is Kubernetes' own; choose another")
    elif namespace == "default" and not existing_namespace:
        yield Problem(
            "mlflow:namespace",
            "default is Kubernetes' own, and `make down` would delete it; choose another",
        )


@rule
def database_url(database: Database, cloud: Cloud) -> Iterator[Problem]:
    place = place_of(database, cloud)
    if place is Place.EXTERNAL and database.url is None:
        yield Problem("mlflow:database.url", "is missing; an external database needs it, as secret config")
    if place is not Place.EXTERNAL and database.url is not None:
        yield Problem("mlflow:database.url", f"is set, but mlflow:database.place is {place}; remove one")
    if place is not Place.EXTERNAL and database.ca_bundle is not None:
        yield Problem("mlflow:database.caBundle", "only fits an external database (`url`); remove it")
    if place is Place.MANAGED and cloud is Cloud.DEV:
        yield Problem("mlflow:database.place", "managed needs a cloud; dev has in-cluster or external")
    if database.engine is Engine.SQLITE and place is not Place.IN_CLUSTER:
        yield Problem(
            "mlflow:database.engine", f"sqlite is a file in the cluster; {place} needs postgresql or mysql"
        )


@rule
def database_url_content(database: Database) -> Iterator[Problem]:
    key = "mlflow:database.url"
    url = database.url.reveal() if database.url else UNREADABLE
    if url == UNREADABLE:
        return
    parts = urlsplit(url)
    engine = engine_of(url)
    if engine is None or not parts.hostname or not parts.path.strip("/"):
        yield Problem(
            key, "must be postgresql:// or mysql://user:password@host:port/database (value not shown)"
        )
        return
    if engine is not database.engine:
        yield Problem(
            "mlflow:database.engine", f"is {database.engine}, but the url is {engine}; set it to {engine}"
        )
    query = parse_qs(parts.query)
    if query.get("sslmode", ["verify-full"]) != ["verify-full"]:
        yield Problem(key, "must not weaken TLS: leave sslmode out or say verify-full")
    for name in query:
        if name != "sslmode" and name.startswith("ssl"):
            yield Problem(
                key, f"must not set {name}: TLS is always checked; give mlflow:database.caBundle instead"
            )


@rule
def database_capacity(server: Server, database: Database) -> Iterator[Problem]:
    if server.replicas > 1 and database.engine is Engine.SQLITE:
        yield Problem(
            "mlflow:server.replicas",
            f"is {server.replicas}, but sqlite allows 1 writer; use 1, or mlflow:database.engine postgresql",
        )
    if (server.workers or 1) > 1 and database.engine is Engine.SQLITE:
        yield Problem("mlflow:server.workers", f"is {server.workers}, but sqlite allows 1 writer; use 1")


@rule
def artifact_place(artifacts: Artifacts, cloud: Cloud) -> Iterator[Problem]:
    place = place_of(artifacts, cloud)
    if place is Place.EXTERNAL and artifacts.uri is None:
        yield Problem(
            "mlflow:artifacts.uri", "is missing; an external store needs it, such as s3://bucket/path"
        )
    if place is not Place.EXTERNAL:
        for key in ("uri", "credentials", "endpoint", "region", "ca_bundle"):
            if getattr(artifacts, key) is not None:
                name = {"ca_bundle": "caBundle"}.get(key, key)
                yield Problem(
                    f"mlflow:artifacts.{name}", f"only fits an external store, but place is {place}"
                )
    if place is Place.MANAGED and cloud is Cloud.DEV:
        yield Problem("mlflow:artifacts.place", "managed needs a cloud; dev has in-cluster or external")
    if artifacts.scheme is not Scheme.S3:
        for key, value in (("endpoint", artifacts.endpoint), ("region", artifacts.region)):
            if value is not None and artifacts.uri is not None:
                yield Problem(f"mlflow:artifacts.{key}", "only fits s3://")


@rule
def artifact_replicas(server: Server, artifacts: Artifacts, cloud: Cloud) -> Iterator[Problem]:
    place = place_of(artifacts, cloud)
    once = artifacts.volume.access_mode is AccessMode.READ_WRITE_ONCE
    if server.replicas > 1 and place is Place.IN_CLUSTER and once:
        yield Problem(
            "mlflow:server.replicas",
            f"is {server.replicas}, but the artifact volume is ReadWriteOnce; use 1, or "
            "mlflow:artifacts.volume.accessMode ReadWriteMany, or mlflow:artifacts.uri",
        )


CREDENTIALS: dict[Scheme, tuple[frozenset[str], ...]] = {
    Scheme.S3: (frozenset({"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}),),
    Scheme.GCS: (frozenset({"GOOGLE_CREDENTIALS"}),),
    Scheme.AZURE: (
        frozenset({"AZURE_STORAGE_CONNECTION_STRING"}),
        frozenset({"AZURE_STORAGE_ACCESS_KEY"}),
        frozenset({"AZURE_TENANT_ID", "AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET"}),
    ),
}
"""The keys that a credentials group must hold, one of the sets. Source: the SDKs' default chains and
MLflow's azure_blob_artifact_repo; GOOGLE_CREDENTIALS is the JSON text, mounted as a file."""


@rule
def artifact_credentials(artifacts: Artifacts, secrets: Groups) -> Iterator[Problem]:
    group = artifacts.credentials
    if group is None:
        return
    if group not in secrets:
        yield no_group("mlflow:artifacts.credentials", group, secrets)
        return
    if artifacts.scheme is None:
        return
    have = {key for secret in secrets[group].values() for key in secret}
    choices = CREDENTIALS[artifacts.scheme]
    if not any(choice <= have for choice in choices):
        wanted = " or ".join(" + ".join(sorted(choice)) for choice in choices)
        yield Problem(
            "mlflow:artifacts.credentials",
            f"group {group} needs {wanted}; add each with `make secret GROUP={group} NAME=store KEY=…`",
        )


@rule
def server_secrets(server: Server, secrets: Groups) -> Iterator[Problem]:
    for index, group in enumerate(server.secrets):
        if group not in secrets:
            yield no_group(f"mlflow:server.secrets[{index}]", group, secrets)


@rule
def one_value_per_name(server: Server, secrets: Groups) -> Iterator[Problem]:
    seen = dict.fromkeys(server.env, "mlflow:server.env")
    for group in server.secrets:
        for name, secret in secrets.get(group, {}).items():
            for key in secret:
                place = f"mlflow:secrets.{group}.{name}"
                if key in seen:
                    yield Problem(
                        f"{place}.{key}", f"is also set in {seen[key]}; the server needs one of them"
                    )
                seen[key] = place


@rule
def reserved_environment(server: Server) -> Iterator[Problem]:
    for name in server.env:
        if (instead := reserved.instead_of(name)) is not None:
            yield Problem(f"mlflow:server.env.{name}", f"is set by the program; {instead}")


@rule
def reserved_secrets(secrets: Groups) -> Iterator[Problem]:
    made: dict[str, str] = {}
    for group, named in secrets.items():
        for name, secret in named.items():
            other = made.setdefault(f"{group}-{name}", f"{group}.{name}")
            if other != f"{group}.{name}":
                yield Problem(
                    f"mlflow:secrets.{group}.{name}", f"and {other} would be one Secret; rename one of them"
                )
            if len(f"{group}-{name}") > 63:
                yield Problem(
                    f"mlflow:secrets.{group}.{name}", "group and name together exceed 62 characters"
                )
            for key in secret:
                if (instead := reserved.instead_of(key)) is not None:
                    yield Problem(f"mlflow:secrets.{group}.{name}.{key}", f"is set by the program; {instead}")


@rule
def admin_is_not_the_jobs_user(auth: Auth) -> Iterator[Problem]:
    if auth.admin_username == JOBS_USER:
        yield Problem(
            "mlflow:auth.adminUsername", f"{JOBS_USER} is the user that jobs sign in as; choose another"
        )


@rule
def public_entrances(exposure: Exposure, auth: Auth) -> Iterator[Problem]:
    if exposure.external:
        yield from _public_entrance("mlflow:exposure.external", exposure.external, auth)
    ingress = exposure.ingress
    if ingress and not ingress.host:
        yield Problem("mlflow:exposure.ingress.host", "is missing; an Ingress routes by host name")
    if ingress and not ingress.internal:
        yield from _public_entrance("mlflow:exposure.ingress", ingress, auth)


def _public_entrance(key: str, entrance: LoadBalancer, auth: Auth) -> Iterator[Problem]:
    if not entrance.allow:
        yield Problem(f"{key}.allow", "is missing; list who may connect, such as [203.0.113.0/24]")
    if auth.mode is AuthMode.NONE:
        if entrance.open_to_world:
            yield Problem(
                f"{key}.allow", "is the whole world and there is no sign-in; set mlflow:auth.mode basic"
            )
        elif entrance.allow and not entrance.anonymous:
            yield Problem(
                "mlflow:auth.mode",
                f"is none, which an external entrance refuses; set basic, or {key}.anonymous: true",
            )
    elif entrance.open_to_world and not entrance.world:
        yield Problem(f"{key}.allow", f"is the whole world; narrow it, or say {key}.world: true as well")


@rule
def internal_entrance(exposure: Exposure) -> Iterator[Problem]:
    if exposure.internal and exposure.internal.world:
        yield Problem("mlflow:exposure.internal.world", "makes no sense inside a private network; remove it")


@rule
def entrance_needs_load_balancer(exposure: Exposure, cluster: DevCluster) -> Iterator[Problem]:
    if exposure.external and not cluster.load_balancer:
        yield Problem(
            "mlflow:exposure.external",
            "needs a cluster that hands out load balancers; use mlflow:exposure.nodePort, "
            "or set mlflow:cluster.loadBalancer: true where yours does",
        )
    if exposure.internal and not cluster.internal_load_balancer:
        yield Problem(
            "mlflow:exposure.internal",
            "needs mlflow:cluster.internalLoadBalancer: the annotations that make a load balancer private "
            "on this cluster; without them many clusters would give it a public address",
        )


@rule
def dev_has_no_cloud_entrance(exposure: Exposure, cluster: DevCluster) -> Iterator[Problem]:  # noqa: ARG001
    for kind in ("internal", "external"):
        entrance = getattr(exposure, kind)
        if entrance and entrance.certificate:
            yield Problem(f"mlflow:exposure.{kind}.certificate", "is a cloud's; dev has none, remove it")
    if exposure.ingress and not exposure.ingress.class_name:
        yield Problem(
            "mlflow:exposure.ingress.className", "is missing; name an IngressClass that the cluster has"
        )
    if exposure.ingress and exposure.ingress.certificate:
        yield Problem("mlflow:exposure.ingress.certificate", "is a cloud's; dev has none, remove it")


@rule
def node_port_of_a_named_cluster(exposure: Exposure, auth: Auth, cluster: DevCluster) -> Iterator[Problem]:
    port = exposure.node_port
    if port and cluster.context and auth.mode is AuthMode.NONE and not port.anonymous:
        yield Problem(
            "mlflow:exposure.nodePort",
            "lets in without sign-in whoever reaches the nodes; set mlflow:auth.mode basic, "
            "or mlflow:exposure.nodePort.anonymous: true",
        )


@rule
def images_reach_the_nodes(cluster: DevCluster, images: Images) -> Iterator[Problem]:
    ready = images.registry or (images.server and images.job)
    if cluster.context and not cluster.loader and not ready:
        yield Problem(
            "mlflow:cluster.loader",
            f"is missing: how do images reach context {cluster.context}? Set it to kind, minikube, k3d or "
            "docker-desktop, or set mlflow:images.registry",
        )
    if not cluster.context:
        for name in ("loader", "kubeconfig"):
            if getattr(cluster, name):
                yield Problem(
                    f"mlflow:cluster.{name}", "only fits a context that mlflow:cluster.context names"
                )


@rule
def image_references(images: Images) -> Iterator[Problem]:
    for name in ("server", "job"):
        reference = getattr(images, name)
        last = reference.rpartition("/")[2] if reference else ":x"
        if "@sha256:" not in last and (":" not in last or last.endswith(":latest")):
            yield Problem(f"mlflow:images.{name}", "needs a fixed tag or a digest; latest is refused")


def no_group(key: str, group: str, secrets: Groups) -> Problem:
    """A secret group that is named and not there."""
    have = ", ".join(sorted(secrets)) or "none yet"
    return Problem(
        key, f"there is no secret group {group} (have: {have}); `make secret GROUP={group} NAME=… KEY=…`"
    )
