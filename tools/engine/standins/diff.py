"""What changes between two versions of an object's inputs, and which changes mean a new object.

The list of properties follows the official provider (pulumi-kubernetes, provider/pkg/provider/diff.go at v4):
those that Kubernetes does not let change, and the data of ConfigMaps and Secrets, so that pods which
name them roll.
"""

from __future__ import annotations

from typing import Any

from tools.engine.standins.plugin import UNKNOWN

Path = tuple[str | int, ...]

REPLACE_UNREADY = 'metadata.annotations["pulumi.com/replaceUnready"]'
"""Named as the reason when a Job that did not complete is replaced."""
AUTONAMED = "pulumi.com/autonamed"

_SELECTOR = ("spec.selector",)
REPLACES: dict[tuple[str, str], tuple[str, ...]] = {
    ("apps", "DaemonSet"): _SELECTOR,
    ("apps", "Deployment"): _SELECTOR,
    ("apps", "StatefulSet"): (
        "spec.podManagementPolicy",
        "spec.revisionHistoryLimit",
        "spec.selector",
        "spec.serviceName",
        "spec.volumeClaimTemplates",
    ),
    ("batch", "Job"): ("spec.completions", "spec.parallelism", "spec.selector", "spec.template"),
    ("", "PersistentVolumeClaim"): (
        "spec.accessModes",
        "spec.selector",
        "spec.storageClassName",
        "spec.volumeName",
    ),
    ("", "Pod"): ("spec",),
    ("", "ResourceQuota"): ("spec.scopes",),
    ("", "Secret"): ("type",),
    ("", "Service"): ("spec.clusterIP",),
    ("rbac.authorization.k8s.io", "ClusterRoleBinding"): ("roleRef",),
    ("rbac.authorization.k8s.io", "RoleBinding"): ("roleRef",),
    ("storage.k8s.io", "StorageClass"): ("parameters", "provisioner"),
}
DATA = {"ConfigMap": ("data", "binaryData"), "Secret": ("type", "data", "stringData")}
POD_IN_PLACE = ("spec.activeDeadlineSeconds", "spec.tolerations")
"""What may change on a running pod, apart from images, which the official provider replaces on as well."""


def group_of(api_version: str) -> str:
    return api_version.rpartition("/")[0]


def replacing(manifest: dict[str, Any], *, mutable: frozenset[str]) -> tuple[str, ...]:
    """Property paths whose change replaces this object.

    :param mutable: those of ``ConfigMap`` and ``Secret`` that the provider was told to update in place.
    """
    kind, group = manifest["kind"], group_of(manifest["apiVersion"])
    paths = ("metadata.name", "metadata.namespace", *REPLACES.get((group, kind), ()))
    if kind in DATA and (kind not in mutable or manifest.get("immutable") is True):
        paths += DATA[kind]
    return paths


def changes(old: object, new: object, path: Path = ()) -> dict[Path, str]:
    """Where two values differ: path to ``add``, ``delete`` or ``update``."""
    if isinstance(old, dict) and isinstance(new, dict):
        found: dict[Path, str] = {}
        for key in [*old, *(key for key in new if key not in old)]:
            found |= _one(old, new, key, path)
        return found
    if isinstance(old, list) and isinstance(new, list) and UNKNOWN not in new:
        found = {}
        for index in range(max(len(old), len(new))):
            found |= _one(dict(enumerate(old)), dict(enumerate(new)), index, path)
        return found
    return {} if old == new and type(old) is type(new) else {path: "update"}


def _one(old: dict[Any, Any], new: dict[Any, Any], key: str | int, path: Path) -> dict[Path, str]:
    before, after = old.get(key), new.get(key)
    if before is None and after is None:
        return {}
    if before is None:
        return {(*path, key): "add"}
    if after is None:
        return {(*path, key): "delete"}
    return changes(before, after, (*path, key))


def covers(listed: str, path: Path) -> bool:
    """Whether a change at ``path`` is a change of the listed property (the property, a part, or a parent)."""
    words = tuple(listed.split("."))
    names = tuple(str(part) for part in path)
    shorter = min(len(words), len(names))
    return words[:shorter] == names[:shorter]


def replaces(manifest: dict[str, Any], path: Path, *, mutable: frozenset[str]) -> bool:
    if manifest["kind"] == "Pod" and any(covers(listed, path) for listed in POD_IN_PLACE):
        return False
    return any(covers(listed, path) for listed in replacing(manifest, mutable=mutable))


def property_path(path: Path) -> str:
    """A path as the engine writes it, e.g. ``spec.containers[0].image`` or ``metadata.labels["a.b/c"]``."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        elif part.replace("_", "").isalnum():
            text += f".{part}" if text else part
        else:
            text += f'["{part}"]'
    return text


def is_autonamed(manifest: dict[str, Any]) -> bool:
    annotations = (manifest.get("metadata") or {}).get("annotations") or {}
    return annotations.get(AUTONAMED) == "true"
