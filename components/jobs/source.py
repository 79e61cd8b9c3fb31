"""Where a pod's code comes from: git-sync, an archive of a checkout, the image, or a volume.

Source: git-sync's documentation (v4.7.1); facts/workloads.md §1.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
import pulumi_kubernetes as kubernetes

from ..contracts import CodeArchive, Images, Text, TrackingAccess
from ..settings.job_rules import KNOWN_HOSTS, SSH_KEY, TOKEN
from ..settings.workloads import Git, Workload
from ..third_party import GIT_SYNC
from ..tracking.labels import labels
from ..tracking.pods import TMP, container_security
from .names import ARCHIVE, ARCHIVE_VOLUME, COMMIT, FETCH

core = kubernetes.core.v1
meta = kubernetes.meta.v1

CODE = "/code"
LINK = f"{CODE}/current"
"""git-sync's published link; the folder it leads to bears the commit's name."""
VOLUME = "/volume"
SIZE = "10Gi"
"""The most that a checkout may take of its node's disk."""
SECRETS = "/etc/git-secret"
CA_FILE = "/etc/git-ca/ca.pem"
SYNC_LIMIT = "10m"
GONE_MAY_BE = True
"""What a pod mounts here may have been replaced by an `up` since its Job began. A pod that must have it waits
for ever; without it the init container fails and says what it lacks."""


@dataclass(frozen=True, kw_only=True)
class Code:
    """The code of a pod, as its main container finds it.

    :param place: folder, or git-sync's link to it.
    :param folder: the project's folder in it.
    :param init_containers: what brings it there.
    """

    place: str
    folder: str = ""
    init_containers: Sequence[core.ContainerArgs] = ()
    volumes: Sequence[core.VolumeArgs] = ()
    mounts: Sequence[core.VolumeMountArgs] = ()


@dataclass(frozen=True, kw_only=True)
class SourceArgs:
    """What :func:`code_of` needs beside the workload.

    :param image: of the main container.
    """

    access: TrackingAccess
    images: Images
    image: Text
    local_code: Mapping[tuple[str, str, str], CodeArchive]


def code_of(name: str, workload: Workload, args: SourceArgs, opts: pulumi.ResourceOptions) -> Code:
    """The code of a workload; ConfigMaps it needs are made as ``name``-…"""
    if workload.git and workload.git.local is not None:
        return _archive(name, workload.git, args, opts)
    if workload.git:
        return _git_sync(name, workload.git, args, opts)
    if workload.volume:
        claim = core.PersistentVolumeClaimVolumeSourceArgs(claim_name=workload.volume.claim, read_only=True)
        return Code(
            place=VOLUME,
            folder=workload.volume.path,
            volumes=[core.VolumeArgs(name="code", persistent_volume_claim=claim)],
            mounts=[core.VolumeMountArgs(name="code", mount_path=VOLUME, read_only=True)],
        )
    assert workload.folder is not None, "the settings require a source"  # noqa: S101
    return Code(place=workload.folder)


def _git_sync(name: str, git: Git, args: SourceArgs, opts: pulumi.ResourceOptions) -> Code:
    volumes = [
        _checkout(),
        # Apart from the job's own: git keeps the credentials it was given in there while it works.
        core.VolumeArgs(name="git-tmp", empty_dir=core.EmptyDirVolumeSourceArgs(size_limit="64Mi")),
    ]
    mounts = [
        core.VolumeMountArgs(name="code", mount_path=CODE),
        core.VolumeMountArgs(name="git-tmp", mount_path=TMP),
    ]
    env = {"HOME": TMP}
    if git.credentials:
        volumes.append(_secret_files(git, args.access.groups[git.credentials]))
        mounts.append(core.VolumeMountArgs(name="git-secret", mount_path=SECRETS, read_only=True))
    if git.ca_bundle:
        config = core.ConfigMap(
            f"{name}-git-ca",
            metadata=meta.ObjectMetaArgs(namespace=args.access.namespace, labels=labels("job")),
            data={"ca.pem": git.ca_bundle},
            opts=opts,
        )
        source = core.ConfigMapVolumeSourceArgs(name=config.metadata.name, optional=GONE_MAY_BE)
        volumes.append(core.VolumeArgs(name="git-ca", config_map=source))
        mounts.append(
            core.VolumeMountArgs(name="git-ca", mount_path=CA_FILE, sub_path="ca.pem", read_only=True)
        )
        env["GIT_SSL_CAINFO"] = CA_FILE
    container = core.ContainerArgs(
        name=FETCH,
        image=args.images.third_party[GIT_SYNC.name],
        image_pull_policy="IfNotPresent",
        args=git_sync_flags(git),
        env=[core.EnvVarArgs(name=key, value=value) for key, value in env.items()],
        volume_mounts=mounts,
        security_context=_as(GIT_SYNC.uid, GIT_SYNC.gid),
        resources=_small("512Mi"),
        termination_message_policy="FallbackToLogsOnError",
    )
    return Code(
        place=LINK,
        folder=git.path,
        init_containers=[container],
        volumes=volumes,
        mounts=[core.VolumeMountArgs(name="code", mount_path=CODE)],
    )


def git_sync_flags(git: Git) -> list[str]:
    """Flags, not environment: a misspelt variable is ignored, a misspelt flag stops the pod."""
    assert git.repo is not None, "the settings require it"  # noqa: S101
    flags = [
        f"--repo={git.repo}",
        f"--ref={git.ref}",
        f"--depth={git.depth}",
        f"--submodules={git.submodules}",
        f"--root={CODE}",
        f"--link={LINK}",
        "--one-time",  # else a commit as ref would make it wait for ever
        "--group-write",  # the job runs as another user of the same group
        "--git-gc=off",
        f"--sync-timeout={SYNC_LIMIT}",
    ]
    if git.credentials and git.over_ssh:
        flags += [f"--ssh-key-file={SECRETS}/ssh", f"--ssh-known-hosts-file={SECRETS}/known_hosts"]
    elif git.credentials:
        flags += [f"--username={git.username}", f"--password-file={SECRETS}/token"]
    return flags


def _secret_files(git: Git, group: Mapping[str, Text]) -> core.VolumeArgs:
    """The credentials as files of the init container only, readable by the pod's group."""
    files = {SSH_KEY: "ssh", KNOWN_HOSTS: "known_hosts"} if git.over_ssh else {TOKEN: "token"}
    sources = [
        core.VolumeProjectionArgs(
            secret=core.SecretProjectionArgs(
                name=group[key], items=[core.KeyToPathArgs(key=key, path=path)], optional=GONE_MAY_BE
            )
        )
        for key, path in files.items()
    ]
    projected = core.ProjectedVolumeSourceArgs(default_mode=0o440, sources=sources)
    return core.VolumeArgs(name="git-secret", projected=projected)


def _archive(name: str, git: Git, args: SourceArgs, opts: pulumi.ResourceOptions) -> Code:
    """A commit of a checkout on this machine, laid out as git-sync would."""
    code = args.local_code[git.archive_key]
    config = core.ConfigMap(
        f"{name}-code",
        metadata=meta.ObjectMetaArgs(namespace=args.access.namespace, labels=labels("job")),
        binary_data={ARCHIVE: base64.b64encode(code.tar_gz).decode()},
        opts=opts,
    )
    target = f"{CODE}/.worktrees/${COMMIT}"
    script = (
        f"mkdir -p {target} && tar -xzf /archive/{ARCHIVE} -C {target} && ln -s .worktrees/${COMMIT} {LINK}"
    )
    container = core.ContainerArgs(
        name=FETCH,
        image=args.image,
        image_pull_policy="IfNotPresent",
        command=["sh", "-c", script],
        env=[core.EnvVarArgs(name=COMMIT, value=code.commit)],
        volume_mounts=[
            core.VolumeMountArgs(name="code", mount_path=CODE),
            core.VolumeMountArgs(name=ARCHIVE_VOLUME, mount_path="/archive", read_only=True),
        ],
        security_context=container_security(),
        resources=_small("128Mi"),
        termination_message_policy="FallbackToLogsOnError",
    )
    archive = core.ConfigMapVolumeSourceArgs(name=config.metadata.name, optional=GONE_MAY_BE)
    return Code(
        place=LINK,
        folder=git.path,
        init_containers=[container],
        volumes=[_checkout(), core.VolumeArgs(name=ARCHIVE_VOLUME, config_map=archive)],
        mounts=[core.VolumeMountArgs(name="code", mount_path=CODE)],
    )


def _checkout() -> core.VolumeArgs:
    """A folder of the pod's own: git-sync empties it first, so it is never a volume that others use."""
    return core.VolumeArgs(name="code", empty_dir=core.EmptyDirVolumeSourceArgs(size_limit=SIZE))


def _as(uid: int, gid: int) -> core.SecurityContextArgs:
    """git-sync's own user: SSH wants one that the image's /etc/passwd names."""
    context = container_security()
    context.run_as_user, context.run_as_group = uid, gid
    return context


def _small(memory: str) -> core.ResourceRequirementsArgs:
    return core.ResourceRequirementsArgs(
        requests={"cpu": "50m", "memory": "64Mi"}, limits={"cpu": "1", "memory": memory}
    )
