"""The writable folder beside the code: it goes with the pod, or it is a volume that outlives it."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
import pulumi_kubernetes as kubernetes

from ..contracts import Text
from ..settings.jobs import Workspace, claim_name
from ..tracking.volumes import volume_claim
from .names import JOB_LABEL

core = kubernetes.core.v1

PLACE = "/workspace"


@dataclass(frozen=True, kw_only=True)
class Mounted:
    """A workspace as a pod mounts it.

    :param keep_days: after how many days the folders of earlier runs go; 0 for never.
    """

    volume: core.VolumeArgs
    mount: core.VolumeMountArgs
    keep_days: int


def workspace_of(
    name: str,
    job: str,
    settings: Workspace,
    *,
    namespace: pulumi.Output[str],
    storage_class: Text | None,
    protect: bool,
    parent: pulumi.Resource,
) -> Mounted:
    """The workspace of a job; its claim, where it has one, is made as ``name``."""
    mount = core.VolumeMountArgs(name="workspace", mount_path=PLACE)
    claim = settings.claim
    if claim is None:
        empty = core.EmptyDirVolumeSourceArgs(size_limit=settings.size)
        return Mounted(volume=core.VolumeArgs(name="workspace", empty_dir=empty), mount=mount, keep_days=0)
    made = volume_claim(
        name,
        claim=claim_name(job, claim),
        size=claim.size,
        storage_class=claim.storage_class or storage_class,
        namespace=namespace,
        access_mode=claim.access_mode,
        more_labels={JOB_LABEL: job},
        opts=pulumi.ResourceOptions(parent=parent, protect=protect),
    )
    source = core.PersistentVolumeClaimVolumeSourceArgs(claim_name=made.metadata.name)
    volume = core.VolumeArgs(name="workspace", persistent_volume_claim=source)
    return Mounted(volume=volume, mount=mount, keep_days=claim.keep_days)
