"""What services and model servers must not say. Each check names the key and what to write instead."""

from __future__ import annotations

from collections.abc import Iterator

from .errors import Problem
from .exposure import EntranceApi, Exposure, Ingress
from .job_rules import (
    command_problems,
    environment_problems,
    image_problems,
    secret_problems,
    source_problems,
)
from .rules import rule
from .server import Auth, AuthMode
from .services import ModelServer, ModelServers, Service, Services, Serving
from .stack import Cloud, Groups

SERVED: dict[str, str] = {
    "PORT": "use port",
    "MODEL_URI": "use model",
}
"""Variables of services beside those of jobs → what to do instead."""


@rule
def service_sources(services: Services, cloud: Cloud) -> Iterator[Problem]:
    for key, service in _services(services):
        yield from source_problems(key, service, cloud)
        yield from command_problems(key, service)
        if not service.module and not service.command:
            yield Problem(key, "says nothing to run; give module or command")


@rule
def service_pods(services: Services, model_servers: ModelServers, secrets: Groups) -> Iterator[Problem]:
    for key, one in _all(services, model_servers):
        yield from secret_problems(key, one, secrets)
        yield from environment_problems(key, one)
        yield from image_problems(key, one)
        for name in one.env:
            if name in SERVED:
                yield Problem(f"{key}.env.{name}", f"is set by the program; {SERVED[name]}")


@rule
def service_schedules(services: Services) -> Iterator[Problem]:
    for key, service in _services(services):
        if service.schedule is None and service.time_zone:
            yield Problem(f"{key}.timeZone", "only fits a service with a schedule; remove it")
        if service.schedule and service.git and service.git.local is not None:
            yield Problem(
                f"{key}.schedule",
                "would start the same commit again: code of this machine changes with `make up` only",
            )


@rule
def service_names(services: Services, model_servers: ModelServers) -> Iterator[Problem]:
    for key, _ in _all(services, model_servers):
        name = key.rpartition(".")[2]
        if name[0].isdigit():  # RFC 1035, as Kubernetes before 1.36 wants of a Service
            yield Problem(key, "must begin with a letter, for its Service bears its name; choose another")
        if name == "mlflow" or name.startswith("mlflow-"):
            yield Problem(
                key, "would be named as the program's own Services are; choose another than mlflow-…"
            )


@rule
def controller_of_the_cloud(exposure: Exposure) -> Iterator[Problem]:
    ingress = exposure.ingress
    if ingress and ingress.controller_namespace and not ingress.class_name:
        yield Problem(
            "mlflow:exposure.ingress.controllerNamespace",
            "only fits a controller that className names; the cloud's own is no pod of the cluster",
        )


@rule
def entrances_of_others(
    services: Services,
    model_servers: ModelServers,
    tracking: object,  # noqa: ARG001 - a stack for a tracking server that is there already
) -> Iterator[Problem]:
    for key, one in _all(services, model_servers):
        if one.ingress:
            yield Problem(f"{key}.ingress", "needs the entrance of a stack with a tracking server; remove it")


@rule
def service_entrances(
    services: Services, model_servers: ModelServers, exposure: Exposure, auth: Auth, cloud: Cloud
) -> Iterator[Problem]:
    """The entrance is the server's own (ranges, class, certificate); what it lacks is the sign-in."""
    ingress, hosts = exposure.ingress, {}
    if ingress and ingress.host:
        hosts[ingress.host] = "mlflow:exposure.ingress"
    for key, one in _all(services, model_servers):
        if one.ingress is None:
            continue
        key = f"{key}.ingress"
        if ingress is None:
            yield Problem(key, "needs an ingress controller; describe it in mlflow:exposure.ingress")
            continue
        other = hosts.setdefault(one.ingress.host, key)
        if other != key:
            yield Problem(f"{key}.host", f"is that of {other} as well; choose another")
        yield from _controller(key, one, ingress, cloud)
        if isinstance(one, Service) and one.ready_path is None:
            yield Problem(
                key.removesuffix("ingress") + "readyPath", "is missing; load balancers ask it who is ready"
            )
        yield from _without_sign_in(key, one, exposure, auth)


def _controller(key: str, one: Serving, ingress: Ingress, cloud: Cloud) -> Iterator[Problem]:
    if ingress.api is EntranceApi.GATEWAY:
        yield Problem(
            key, "needs an Ingress; mlflow:exposure.ingress.api gateway is for the server alone so far"
        )
    if cloud is Cloud.GCP and not ingress.class_name:
        yield Problem(
            key,
            "needs another controller than GKE's own, whose address and certificate are for one host; "
            "name one in mlflow:exposure.ingress.className",
        )
    secret = one.ingress.tls_secret if one.ingress else None
    if ingress.tls_secret and not secret:
        yield Problem(
            f"{key}.tlsSecret",
            "is missing: the server's entrance is https, by a certificate for its own host; name the Secret "
            "with one for this host",
        )
    if secret and not ingress.class_name:
        yield Problem(
            f"{key}.tlsSecret", "only fits a controller that mlflow:exposure.ingress.className names"
        )


def _without_sign_in(key: str, one: Serving, exposure: Exposure, auth: Auth) -> Iterator[Problem]:
    assert one.ingress is not None and exposure.ingress is not None  # noqa: PT018, S101
    if auth.mode is not AuthMode.NONE and not one.ingress.anonymous:
        yield Problem(
            f"{key}.anonymous",
            f"is missing: mlflow:auth.mode {auth.mode} guards the tracking server only, and whoever reaches "
            "this host is answered; say true if that is meant, or remove the ingress",
        )
    if not exposure.ingress.internal and exposure.ingress.open_to_world:
        yield Problem(
            key, "lets in the whole world without sign-in; narrow mlflow:exposure.ingress.allow, or remove it"
        )


def _services(services: Services) -> Iterator[tuple[str, Service]]:
    for name, service in services.items():
        yield f"mlflow:services.{name}", service


def _all(services: Services, model_servers: ModelServers) -> Iterator[tuple[str, Service | ModelServer]]:
    yield from _services(services)
    for name, server in model_servers.items():
        yield f"mlflow:modelServers.{name}", server
