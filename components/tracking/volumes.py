"""Volume claims, each of a fixed name and a resource of its own, so that it can be protected."""

from __future__ import annotations

from collections.abc import Mapping

import pulumi
import pulumi_kubernetes as kubernetes

from ..contracts import Text
from .labels import labels

core = kubernetes.core.v1
meta = kubernetes.meta.v1


def volume_claim(
    name: str,
    *,
    claim: str,
    size: str,
    storage_class: Text | None,
    namespace: pulumi.Output[str],
    access_mode: str = "ReadWriteOnce",
    more_labels: Mapping[str, str] | None = None,
    opts: pulumi.ResourceOptions,
) -> core.PersistentVolumeClaim:
    """A volume claim of a fixed name; ``protect`` comes with ``opts``."""
    return core.PersistentVolumeClaim(
        name,
        metadata=meta.ObjectMetaArgs(
            name=claim,
            namespace=namespace,
            labels={**labels("volume"), **(more_labels or {})},
        ),
        spec=core.PersistentVolumeClaimSpecArgs(
            access_modes=[access_mode],
            storage_class_name=storage_class,
            resources=core.VolumeResourceRequirementsArgs(requests={"storage": size}),
        ),
        opts=opts,
    )
