"""The pod of a workload: its code, its environment, its image, its place. Jobs and services share it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pulumi_kubernetes as kubernetes

from ..contracts import CA_FOLDER, Images, Text, TrackingAccess
from ..settings.base import ResourceAmounts, Resources
from ..settings.workloads import Pod
from ..tracking.environment import POD_ENV
from ..tracking.pods import (
    IMAGE_GID,
    IMAGE_UID,
    TMP,
    container_security,
    env_from,
    pod_security,
)
from .source import Code

core = kubernetes.core.v1
meta = kubernetes.meta.v1

GRACE_SECONDS = 45
"""From SIGTERM to SIGKILL: what the launcher gives the code (20 s), and time to close its run."""
REQUESTS = ResourceAmounts(cpu="250m", memory="768Mi")
LIMITS = ResourceAmounts(cpu="2", memory="2Gi")
"""Two MLflow processes of 0.2 GB each, and the code itself."""
LAUNCHER_FOLDER = "/launcher"


@dataclass(frozen=True, kw_only=True)
class PodArgs:
    """What a pod is made of, beside the workload's settings.

    :param main: name of its container.
    :param command: what the container runs.
    :param launcher: ConfigMap that holds the launcher.
    :param env: environment beside the tracking server's and the workload's own; plain or from the pod.
    :param lasts: it is a Job's, whose attempts go on as the first one began. An `up` may meanwhile have
        replaced a ConfigMap or Secret, and a pod that names one that is gone waits for ever.
    """

    main: str
    command: Sequence[str]
    code: Code
    access: TrackingAccess
    images: Images
    launcher: Text
    env: Sequence[core.EnvVarArgs] = ()
    volumes: Sequence[core.VolumeArgs] = ()
    mounts: Sequence[core.VolumeMountArgs] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    lasts: bool = False


def image_of(workload: Pod, images: Images) -> Text:
    """The image a workload runs in."""
    return workload.image or images.job


def container_of(workload: Pod, args: PodArgs) -> core.ContainerArgs:
    """The main container; a service adds its port and probes."""
    plain = {
        **POD_ENV,
        # git refuses a checkout of another user's, and MLflow then says nothing of its commit.
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": "safe.directory",
        "GIT_CONFIG_VALUE_0": "*",
        **workload.env,
    }
    told: Mapping[str, Text] = {**args.access.environment, **plain} if args.lasts else plain
    config_maps = [] if args.lasts and args.access.environment else [args.access.config_map]
    groups = [name for group in workload.secrets for name in _secrets_of(args.access.groups[group])]
    secrets = [*([args.access.secret] if args.access.secret is not None else []), *groups]
    return core.ContainerArgs(
        name=args.main,
        image=image_of(workload, args.images),
        image_pull_policy="IfNotPresent",
        command=list(args.command),
        env=[*(core.EnvVarArgs(name=key, value=value) for key, value in told.items()), *args.env],
        env_from=env_from(config_maps, secrets, optional=True if args.lasts else None),
        volume_mounts=[
            core.VolumeMountArgs(name="tmp", mount_path=TMP),
            core.VolumeMountArgs(name="launcher", mount_path=LAUNCHER_FOLDER, read_only=True),
            *args.code.mounts,
            *authority_mounts(args.access),
            *args.mounts,
        ],
        security_context=container_security(),
        resources=requirements(workload),
        termination_message_policy="FallbackToLogsOnError",
    )


def pod_of(
    workload: Pod, args: PodArgs, container: core.ContainerArgs, *, restart_policy: str = "Always"
) -> core.PodSpecArgs:
    """The pod around ``container``."""
    return core.PodSpecArgs(
        restart_policy=restart_policy,
        service_account_name=args.access.account,
        automount_service_account_token=False,
        enable_service_links=False,
        termination_grace_period_seconds=GRACE_SECONDS,
        image_pull_secrets=[core.LocalObjectReferenceArgs(name=pull) for pull in args.images.pull_secrets],
        security_context=pod_security(IMAGE_UID, IMAGE_GID),
        node_selector=dict(workload.node_selector) or None,
        tolerations=[
            core.TolerationArgs(key=one.key, operator=one.operator, value=one.value, effect=one.effect)
            for one in workload.tolerations
        ]
        or None,
        init_containers=list(args.code.init_containers),
        containers=[container],
        volumes=[
            core.VolumeArgs(
                name="tmp", empty_dir=core.EmptyDirVolumeSourceArgs(size_limit=workload.tmp_size)
            ),
            core.VolumeArgs(name="launcher", config_map=core.ConfigMapVolumeSourceArgs(name=args.launcher)),
            *args.code.volumes,
            *authority_volumes(args.access),
            *args.volumes,
        ],
    )


def pod_labels(args: PodArgs) -> dict[str, str]:
    """Labels of the pod: its component's, and those of its identity in the cloud."""
    return {**args.labels, **args.access.pod_labels}


def requirements(workload: Pod) -> core.ResourceRequirementsArgs:
    """CPU, memory and GPUs. Of a request and a limit, one that is left out is as the other, else the default:
    a limit below its request is refused by Kubernetes."""
    asked, most = workload.resources.requests, workload.resources.limits
    full = Resources(
        requests=ResourceAmounts(
            cpu=asked.cpu or most.cpu or REQUESTS.cpu, memory=asked.memory or most.memory or REQUESTS.memory
        ),
        limits=ResourceAmounts(
            cpu=most.cpu or asked.cpu or LIMITS.cpu, memory=most.memory or asked.memory or LIMITS.memory
        ),
    )
    # Kubernetes wants an extended resource's request and limit alike.
    gpus = {workload.gpu_resource: str(workload.gpus)} if workload.gpus else {}
    return core.ResourceRequirementsArgs(
        requests={**full.requests.model_dump(), **gpus}, limits={**full.limits.model_dump(), **gpus}
    )


def authority_volumes(access: TrackingAccess) -> list[core.VolumeArgs]:
    """The certificates that the tracking server's is checked against, where it needs some of its own."""
    if access.authority is None:
        return []
    source = core.ConfigMapVolumeSourceArgs(name=access.authority, optional=True)
    return [core.VolumeArgs(name="tracking-ca", config_map=source)]


def authority_mounts(access: TrackingAccess) -> list[core.VolumeMountArgs]:
    """Where pods find them."""
    if access.authority is None:
        return []
    return [core.VolumeMountArgs(name="tracking-ca", mount_path=CA_FOLDER, read_only=True)]


def _secrets_of(group: Mapping[str, Text]) -> list[Text]:
    """The Secrets of a group, each once."""
    found: list[Text] = []
    for name in group.values():
        if not any(name is known for known in found):
            found.append(name)
    return found
