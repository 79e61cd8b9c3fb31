"""The pods that roll services: one that watches models, and one for each service with a schedule."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
import pulumi_kubernetes as kubernetes

from ..contracts import Images, Text, TrackingAccess
from ..settings.services import Service
from ..tracking.environment import POD_ENV
from ..tracking.labels import labels, selector
from ..tracking.pods import IMAGE_GID, IMAGE_UID, TMP, container_security, env_from, pod_security
from .names import SERVICE_LABEL
from .pod import LAUNCHER_FOLDER, authority_mounts, authority_volumes
from .rights import roller, token_volume
from .served import roll_seconds
from .template import failure_policy

apps = kubernetes.apps.v1
batch = kubernetes.batch.v1
core = kubernetes.core.v1
meta = kubernetes.meta.v1

WATCH = "model-watch"
"""Component label of the watch."""
ROLL = "service-roll"
"""Component label of what rolls a service on its schedule."""
MAIN = "main"
"""The container of a small pod."""
LATE_SECONDS = 600
"""A roll that could not start this long after it was due is left out."""
KEPT_SECONDS = 3600
"""How long a roll that has ended stays, for its log."""


@dataclass(frozen=True, kw_only=True)
class ModelWatchArgs:
    """Inputs of :class:`ModelWatch`.

    :param servers: names of the Deployments it may change.
    :param scripts: ConfigMap that holds what it runs.
    """

    servers: Sequence[str]
    access: TrackingAccess
    images: Images
    scripts: Text


class ModelWatch(pulumi.ComponentResource):
    """One pod that has each model server serve what its model's address leads to.

    While it is away, everything serves on as it is.
    """

    def __init__(self, name: str, args: ModelWatchArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("mlflow:jobs:ModelWatch", name, {}, opts)
        child = pulumi.ResourceOptions(parent=self)
        account, rights = roller(name, name, args.servers, args.access, child)
        command = ["python", "-m", "launcher.model_watch", *args.servers]
        pod = small_pod(account, command, args.access, args.images, args.scripts, signs_in=True)
        # Stacks without a server of their own may share a namespace: each has a watch.
        instance = {"app.kubernetes.io/instance": name}
        tags = {**labels(WATCH), **instance}
        apps.Deployment(
            f"{name}-deployment",
            metadata=meta.ObjectMetaArgs(name=name, namespace=args.access.namespace, labels=tags),
            spec=apps.DeploymentSpecArgs(
                replicas=1,
                revision_history_limit=3,
                selector=meta.LabelSelectorArgs(match_labels={**selector(WATCH), **instance}),
                # Two would undo nothing of each other's, but the old one may not know a new server.
                strategy=apps.DeploymentStrategyArgs(type="Recreate"),
                template=core.PodTemplateSpecArgs(
                    metadata=meta.ObjectMetaArgs(labels={**tags, **args.access.pod_labels}), spec=pod
                ),
            ),
            opts=pulumi.ResourceOptions(parent=self, depends_on=[*rights, *args.images.ready]),
        )
        self.register_outputs({})


@dataclass(frozen=True, kw_only=True)
class ScheduledRollArgs:
    """Inputs of :class:`ScheduledRoll`.

    :param service: its name in the cluster.
    :param scripts: ConfigMap that holds what it runs.
    """

    service: str
    settings: Service
    access: TrackingAccess
    images: Images
    scripts: Text


class ScheduledRoll(pulumi.ComponentResource):
    """A CronJob that gives a service new pods, which fetch its code anew."""

    def __init__(
        self, name: str, args: ScheduledRollArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("mlflow:jobs:ScheduledRoll", name, {}, opts)
        child = pulumi.ResourceOptions(parent=self)
        account, rights = roller(name, f"{args.service}-roll", [args.service], args.access, child)
        command = ["python", "-m", "launcher.rollout", args.service]
        pod = small_pod(account, command, args.access, args.images, args.scripts, signs_in=False)
        pod.restart_policy = "Never"
        tags = {**labels(ROLL), SERVICE_LABEL + "-roll": args.service}
        annotations = dict(args.access.job_annotations) or None
        batch.CronJob(
            name,
            # Names of jobs and services are of one kind, so this meets no job's.
            metadata=meta.ObjectMetaArgs(name=args.service, namespace=args.access.namespace, labels=tags),
            spec=batch.CronJobSpecArgs(
                schedule=args.settings.schedule or "",
                time_zone=args.settings.time_zone or "Etc/UTC",
                concurrency_policy="Forbid",
                starting_deadline_seconds=LATE_SECONDS,
                successful_jobs_history_limit=1,
                failed_jobs_history_limit=1,
                job_template=batch.JobTemplateSpecArgs(
                    metadata=meta.ObjectMetaArgs(labels=tags),
                    spec=batch.JobSpecArgs(
                        # A service that does not become ready would not the next time; but a roll whose
                        # own pod is evicted begins anew.
                        backoff_limit=0,
                        pod_failure_policy=failure_policy(MAIN, []),
                        ttl_seconds_after_finished=KEPT_SECONDS,
                        active_deadline_seconds=2 * roll_seconds(args.settings, 0),
                        template=core.PodTemplateSpecArgs(
                            metadata=meta.ObjectMetaArgs(labels=tags, annotations=annotations), spec=pod
                        ),
                    ),
                ),
            ),
            opts=pulumi.ResourceOptions(parent=self, depends_on=[*rights, *args.images.ready]),
        )
        self.register_outputs({})


def small_pod(
    account: pulumi.Output[str],
    command: list[str],
    access: TrackingAccess,
    images: Images,
    scripts: Text,
    *,
    signs_in: bool,
    env: Sequence[core.EnvVarArgs] = (),
) -> core.PodSpecArgs:
    """A small pod that talks to the API server as ``account``.

    :param signs_in: it also asks the tracking server.
    """
    token, mount = token_volume()
    # As values: a ConfigMap's name may be another one when this pod has a successor.
    told: Mapping[str, Text] = {**access.environment, **POD_ENV} if signs_in else POD_ENV
    secrets = [access.secret] if signs_in and access.secret is not None else []
    container = core.ContainerArgs(
        name=MAIN,
        image=images.job,
        image_pull_policy="IfNotPresent",
        command=command,
        working_dir="/",  # where the scripts' package is
        env=[core.EnvVarArgs(name=key, value=value) for key, value in told.items()] + list(env),
        env_from=env_from([], secrets, optional=True),
        volume_mounts=[
            core.VolumeMountArgs(name="launcher", mount_path=LAUNCHER_FOLDER, read_only=True),
            core.VolumeMountArgs(name="tmp", mount_path=TMP),
            mount,
            *(authority_mounts(access) if signs_in else []),
        ],
        security_context=container_security(),
        resources=core.ResourceRequirementsArgs(
            requests={"cpu": "10m", "memory": "48Mi"}, limits={"cpu": "500m", "memory": "128Mi"}
        ),
        termination_message_policy="FallbackToLogsOnError",
    )
    return core.PodSpecArgs(
        service_account_name=account,
        automount_service_account_token=False,
        enable_service_links=False,
        termination_grace_period_seconds=10,
        image_pull_secrets=[core.LocalObjectReferenceArgs(name=pull) for pull in images.pull_secrets],
        security_context=pod_security(IMAGE_UID, IMAGE_GID),
        containers=[container],
        volumes=[
            core.VolumeArgs(name="launcher", config_map=core.ConfigMapVolumeSourceArgs(name=scripts)),
            core.VolumeArgs(name="tmp", empty_dir=core.EmptyDirVolumeSourceArgs(size_limit="16Mi")),
            token,
            *(authority_volumes(access) if signs_in else []),
        ],
    )
