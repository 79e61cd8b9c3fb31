"""Pods that pass the restricted Pod Security standard, built in one place.

Source: Kubernetes, "Pod Security Standards", restricted; facts/workloads.md §8.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

import pulumi
import pulumi_kubernetes as kubernetes

from ..contracts import FileFromText, Text, VolumeMount
from ..settings.base import ResourceAmounts, Resources

core = kubernetes.core.v1
meta = kubernetes.meta.v1

IMAGE_UID = IMAGE_GID = 10001
"""User and group of our own images (their Dockerfiles' USER)."""
TMP = "/tmp"  # noqa: S108 - an emptyDir of the pod's own


@dataclass
class Mounts:
    """Volumes of a pod and where its containers see them."""

    volumes: list[core.VolumeArgs] = field(default_factory=list)
    mounts: list[core.VolumeMountArgs] = field(default_factory=list)

    def scratch(self, name: str, path: str, size: str, *, memory: bool = False) -> Mounts:
        """An empty directory at ``path``, of at most ``size``, on the node's disk or in memory."""
        source = core.EmptyDirVolumeSourceArgs(size_limit=size, medium="Memory" if memory else None)
        self.volumes.append(core.VolumeArgs(name=name, empty_dir=source))
        self.mounts.append(core.VolumeMountArgs(name=name, mount_path=path))
        return self

    def claim(self, name: str, mount: VolumeMount) -> Mounts:
        """A volume claim."""
        source = core.PersistentVolumeClaimVolumeSourceArgs(claim_name=mount.claim)
        self.volumes.append(core.VolumeArgs(name=name, persistent_volume_claim=source))
        self.mounts.append(core.VolumeMountArgs(name=name, mount_path=mount.path))
        return self

    def config_file(self, name: str, path: str, config_map: Text, key: str) -> Mounts:
        """One key of a ConfigMap as the file ``path``."""
        source = core.ConfigMapVolumeSourceArgs(name=config_map)
        self.volumes.append(core.VolumeArgs(name=name, config_map=source))
        self.mounts.append(core.VolumeMountArgs(name=name, mount_path=path, sub_path=key, read_only=True))
        return self

    def secret_file(self, name: str, path: str, secret: Text, key: str) -> Mounts:
        """One key of a Secret as the file ``path``, readable by the pod's group only."""
        source = core.SecretVolumeSourceArgs(secret_name=secret, default_mode=0o440)
        self.volumes.append(core.VolumeArgs(name=name, secret=source))
        self.mounts.append(core.VolumeMountArgs(name=name, mount_path=path, sub_path=key, read_only=True))
        return self

    def secret_folder(self, name: str, path: PurePosixPath, secret: Text) -> Mounts:
        """Every key of a Secret as a file in the folder ``path``, readable by the pod's group only."""
        source = core.SecretVolumeSourceArgs(secret_name=secret, default_mode=0o440)
        self.volumes.append(core.VolumeArgs(name=name, secret=source))
        self.mounts.append(core.VolumeMountArgs(name=name, mount_path=str(path), read_only=True))
        return self


def mount_texts(
    owner: str, files: Sequence[FileFromText], mounts: Mounts, namespace: Text, opts: pulumi.ResourceOptions
) -> None:
    """Keep each text in a ConfigMap (or Secret) and mount it."""
    for file in files:
        path = PurePosixPath(file.path)
        short = path.stem.replace("_", "-").replace(".", "-").lower()
        metadata = meta.ObjectMetaArgs(namespace=namespace)
        if file.secret:
            secret = core.Secret(
                f"{owner}-{short}", metadata=metadata, string_data={path.name: file.text}, opts=opts
            )
            mounts.secret_file(short, file.path, secret.metadata.name, path.name)
        else:
            config = core.ConfigMap(
                f"{owner}-{short}", metadata=metadata, data={path.name: file.text}, opts=opts
            )
            mounts.config_file(short, file.path, config.metadata.name, path.name)


def pod_security(uid: int, gid: int) -> core.PodSecurityContextArgs:
    """The pod half of the restricted standard."""
    return core.PodSecurityContextArgs(
        run_as_non_root=True,
        run_as_user=uid,
        run_as_group=gid,
        fs_group=gid,
        fs_group_change_policy="OnRootMismatch",
        seccomp_profile=core.SeccompProfileArgs(type="RuntimeDefault"),
    )


def container_security() -> core.SecurityContextArgs:
    """The container half of the restricted standard, with a read-only root file system."""
    return core.SecurityContextArgs(
        allow_privilege_escalation=False,
        read_only_root_filesystem=True,
        capabilities=core.CapabilitiesArgs(drop=["ALL"]),
    )


def resource_requirements(resources: Resources) -> core.ResourceRequirementsArgs:
    """Requests and limits as Kubernetes writes them; parts without a value are left out."""

    def amounts(part: ResourceAmounts) -> dict[str, str]:
        return {key: amount for key, amount in (("cpu", part.cpu), ("memory", part.memory)) if amount}

    return core.ResourceRequirementsArgs(
        requests=amounts(resources.requests), limits=amounts(resources.limits)
    )


def env_from(
    config_maps: Sequence[Text], secrets: Sequence[Text], *, optional: bool | None = None
) -> list[core.EnvFromSourceArgs]:
    """Every key of these ConfigMaps and Secrets as environment variables.

    :param optional: whether a pod starts without a Secret that is gone.
    """
    return [
        *(
            core.EnvFromSourceArgs(config_map_ref=core.ConfigMapEnvSourceArgs(name=name))
            for name in config_maps
        ),
        *(
            core.EnvFromSourceArgs(secret_ref=core.SecretEnvSourceArgs(name=name, optional=optional))
            for name in secrets
        ),
    ]
