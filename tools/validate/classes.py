"""What the manifests name and the cluster must already have: storage classes and ingress classes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tools.common import Failure
from tools.offline import UNKNOWN_TEXT
from tools.validate import ClusterAccess, Finding, Subject, reason
from tools.validate.keys import key_of

DEFAULT = "storageclass.kubernetes.io/is-default-class"


def classes(subject: Subject) -> Iterator[Finding]:
    """A volume claim whose class is not there waits for ever, and an Ingress gets no address."""
    if subject.cluster is None:
        return
    try:
        yield from _classes(subject, subject.cluster)
    except Failure as failure:  # who has rights in one namespace only may not list them
        yield Finding("mlflow:cluster", f"classes could not be listed: {reason(failure)}", fails=False)


def _classes(subject: Subject, cluster: ClusterAccess) -> Iterator[Finding]:
    yield from _storage(subject, cluster)
    wanted = {each["spec"].get("ingressClassName") for each in subject.of_kind("Ingress")}
    if wanted:
        known = {each["metadata"]["name"] for each in cluster.objects("ingressclasses")}
        known |= {each["metadata"]["name"] for each in subject.of_kind("IngressClass")}
        for name in sorted(filter(None, wanted)):
            if UNKNOWN_TEXT not in name and name not in known:
                text = (
                    f"the cluster has no ingress class {name}; it has: {', '.join(sorted(known)) or 'none'}"
                )
                yield Finding("mlflow:exposure.ingress.className", text)


def _storage(subject: Subject, cluster: ClusterAccess) -> Iterator[Finding]:
    wanted = list(subject.of_kind("PersistentVolumeClaim"))
    if not wanted:
        return
    there = cluster.objects("storageclasses")
    known = {each["metadata"]["name"] for each in there}
    known |= {each["metadata"]["name"] for each in subject.of_kind("StorageClass")}
    default = any(_annotations(each).get(DEFAULT) == "true" for each in there)
    for claim in wanted:
        name = claim["spec"].get("storageClassName")
        if name is None and not default:
            yield Finding("mlflow:cluster.storageClass", "the cluster has no default storage class; name one")
        elif name and UNKNOWN_TEXT not in name and name not in known:
            text = f"the cluster has no storage class {name}; it has: {_listed(known)}"
            yield Finding(f"{key_of(claim, subject.settings)}.storageClass", text)


def _annotations(each: dict[str, Any]) -> dict[str, str]:
    return each["metadata"].get("annotations") or {}


def _listed(names: set[str]) -> str:
    return ", ".join(sorted(names)) or "none"
