"""Objects as the engine and kubectl know them: inputs cleaned, named, told apart."""

from __future__ import annotations

import copy
from typing import Any

from tools.engine.standins.kubectl import Object
from tools.engine.standins.plugin import UNKNOWN, Properties

CLUSTER_SCOPED = {
    "Namespace", "PersistentVolume", "Node", "ClusterRole", "ClusterRoleBinding", "StorageClass",
    "PriorityClass", "CustomResourceDefinition", "IngressClass", "RuntimeClass", "CSIDriver", "APIService",
    "GatewayClass", "ValidatingWebhookConfiguration", "MutatingWebhookConfiguration",
    "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding",
}  # fmt: skip


PATCH_FORCE = "pulumi.com/patchForce"


def token_of(urn: str) -> str:
    return urn.split("::")[2].split("$")[-1]


def kind_of(urn: str) -> Object:
    """The ``apiVersion`` and ``kind`` of a resource: ``kubernetes:core/v1:Namespace`` is v1 and Namespace."""
    _, version, kind = token_of(urn).split(":")
    return {"apiVersion": version.removeprefix("core/"), "kind": kind}


def clean(properties: Properties) -> Object:
    """Inputs without the engine's own keys and without nulls, which kubectl would take as values."""
    return {
        key: _without_nulls(value)
        for key, value in properties.items()
        if not key.startswith("__") and key != "id" and value is not None
    }


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    return [_without_nulls(item) for item in value] if isinstance(value, list) else value


def check_token(token: str, news: Object) -> list[str]:
    """Reasons to refuse a resource type or inputs that this stand-in cannot serve."""
    kind = token.rsplit(":", 1)[1]
    if not news.get("apiVersion") or not news.get("kind") or kind.endswith(("Patch", "List")):
        return [f"the stand-in for kubernetes has no {token}; it needs the official provider plugin"]
    if (news.get("metadata") or {}) != UNKNOWN and (news.get("metadata") or {}).get("generateName"):
        return ["generateName is not supported; leave the name out and it is made up"]
    return []


def identifier(manifest: Object) -> str:
    """The resource's id: ``namespace/name``, or the name of what lies in no namespace."""
    metadata = manifest["metadata"]
    return "/".join(part for part in (metadata.get("namespace"), metadata["name"]) if part)


def forces(inputs: Object) -> bool:
    return (inputs["metadata"].get("annotations") or {}).get(PATCH_FORCE) == "true"


def outputs_of(live: Object) -> Object:
    live = copy.deepcopy(live)
    live["metadata"].pop("managedFields", None)
    return live
