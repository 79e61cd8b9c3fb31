"""Reads a plan as Kubernetes would: which pods there are, and what each finds in its environment."""

from __future__ import annotations

import json
from typing import Any

from tests.program.pod_security import Pod, pods_in
from tools.offline import Plan, Resource
from tools.offline.wire import plain, unwrap


def pods(plan: Plan) -> list[Pod]:
    """Every pod template of a plan."""
    return list(pods_in(plan.kubernetes_objects()))


def name_of(resource: Resource) -> str:
    """The name of the Kubernetes object, as the run made it up where the program leaves it open."""
    return unwrap(resource.outputs["metadata"])["name"]


def pod_spec(resource: Resource) -> dict[str, Any]:
    """The pod of a Deployment, StatefulSet or Job."""
    return plain(resource.inputs)["spec"]["template"]["spec"]


def server(plan: Plan) -> dict[str, Any]:
    """The tracking server's container."""
    return pod_spec(plan.one("Deployment", "mlflow-server"))["containers"][0]


def migration(plan: Plan) -> tuple[Resource, dict]:
    """What migrates the schema: the workload and its container, in a Job or first in the server's pod."""
    ((workload, container),) = [
        (workload, container)
        for workload in [*plan.of_type("Job"), *plan.of_type("Deployment")]
        for container in [*pod_spec(workload).get("initContainers", []), *pod_spec(workload)["containers"]]
        if container["name"] == "migrate"
    ]
    return workload, container


def environment(plan: Plan, resource: Resource, container: dict | None = None) -> dict[str, str]:
    """What a container of a workload finds in its environment, the first by default; secrets in plain text.

    :raises KeyError: when it names a ConfigMap or Secret that the plan does not make.
    """
    sources = {
        ("configMapRef", name_of(one)): one.inputs.get("data", {}) for one in plan.of_type("ConfigMap")
    } | {("secretRef", name_of(one)): unwrap(one.inputs["stringData"]) for one in plan.of_type("Secret")}
    chosen: dict = container or pod_spec(resource)["containers"][0]
    found: dict[str, str] = {}
    for source in chosen.get("envFrom", []):
        ((kind, reference),) = source.items()
        values = sources[kind, reference["name"]]
        found |= {key: str(unwrap(value)) for key, value in values.items()}
    return found | {entry["name"]: entry.get("value", "") for entry in chosen.get("env", [])}


def server_environment(plan: Plan) -> dict[str, str]:
    """The environment of the tracking server."""
    return environment(plan, plan.one("Deployment", "mlflow-server"))


def as_text(plan: Plan) -> str:
    """The whole plan as the JSON text that ``make plan OUT=`` writes."""
    return json.dumps(plan.to_json())
