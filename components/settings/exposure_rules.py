"""What entrances must not say together, on every stack; see ``rules.py`` for how a rule works."""

from __future__ import annotations

import re
from collections.abc import Iterator

from .errors import Problem
from .exposure import EntranceApi, Exposure, Ingress
from .rules import rule
from .stack import Cloud

INGRESS = "mlflow:exposure.ingress"


@rule
def ranges_of_another_controller(exposure: Exposure) -> Iterator[Problem]:
    """Kubernetes has no field for an Ingress's source ranges: each controller has an annotation of its own.

    Ranges that nothing enforces would be a promise in the stack file that nobody keeps.
    """
    ingress = exposure.ingress
    if ingress is None or not ingress.class_name or not ingress.allow or _gateway(ingress):
        return
    if not ingress.open_to_world and not _annotated(ingress):
        yield Problem(
            f"{INGRESS}.allow",
            f"is not enforced by itself for controller {ingress.class_name}; give the same ranges in its own "
            f"annotation, in {INGRESS}.annotations (ingress-nginx: "
            "nginx.ingress.kubernetes.io/whitelist-source-range)",
        )


def _annotated(ingress: Ingress) -> bool:
    """Whether one annotation lists exactly the ranges of ``allow``."""
    return any(
        {part for part in re.split(r"[,\s]+", value) if part} == set(ingress.allow)
        for value in ingress.annotations.values()
    )


def _gateway(ingress: Ingress) -> bool:
    """Whether it is a Gateway, whose load balancer keeps the ranges."""
    return ingress.api is EntranceApi.GATEWAY


@rule
def where_a_gateway_can_be(exposure: Exposure, cloud: Cloud) -> Iterator[Problem]:
    ingress = exposure.ingress
    if ingress is None:
        return
    if _gateway(ingress) and cloud not in (Cloud.AZURE, Cloud.GCP):
        yield Problem(f"{INGRESS}.api", "gateway only fits Azure and Google Cloud so far; use ingress")
    if ingress.tls_secret and not ingress.class_name:
        yield Problem(
            f"{INGRESS}.tlsSecret",
            f"only fits a controller that {INGRESS}.className names; the cloud's own takes its certificate "
            f"from {INGRESS}.certificate",
        )


@rule
def private_ingress_of_another_controller(exposure: Exposure) -> Iterator[Problem]:
    ingress = exposure.ingress
    if ingress and ingress.class_name and ingress.internal and not _gateway(ingress):
        yield Problem(
            f"{INGRESS}.internal",
            f"only fits the cloud's own class; whether controller {ingress.class_name} is private is its own "
            f"matter. Remove it, and list who may connect in {INGRESS}.allow",
        )


@rule
def certificate_of_another_controller(exposure: Exposure) -> Iterator[Problem]:
    ingress = exposure.ingress
    if ingress and ingress.class_name and ingress.certificate:
        yield Problem(
            f"{INGRESS}.certificate",
            f"only fits the cloud's own class; give controller {ingress.class_name} its certificate in "
            f"{INGRESS}.tlsSecret, or in the controller itself",
        )


@rule
def private_entrances_are_not_the_world(exposure: Exposure) -> Iterator[Problem]:
    inside = {"internal": exposure.internal}
    if exposure.ingress and exposure.ingress.internal:
        inside["ingress"] = exposure.ingress
    for kind, entrance in inside.items():
        if entrance and entrance.open_to_world:
            yield Problem(
                f"mlflow:exposure.{kind}.allow",
                "is the whole world, in a private network; leave it out for everybody there, or narrow it",
            )
