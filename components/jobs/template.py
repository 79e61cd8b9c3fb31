"""A job template: a CronJob, suspended unless it has a schedule."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pulumi
import pulumi_kubernetes as kubernetes

from ..contracts import CodeArchive, Images, Text, TrackingAccess
from ..settings.jobs import Concurrency, Job
from ..tracking.labels import labels
from .names import EXPERIMENT, JOB_LABEL, LAUNCHER, MAIN, MISDESCRIBED
from .pod import LAUNCHER_FOLDER, PodArgs, container_of, image_of, pod_labels, pod_of
from .source import Code, SourceArgs, code_of
from .workspace import PLACE, Mounted, workspace_of

batch = kubernetes.batch.v1
core = kubernetes.core.v1
meta = kubernetes.meta.v1

NEVER = "0 0 1 1 *"
"""The schedule of a template without one: the field is required, and it is suspended."""
LATE_SECONDS = 600
"""A run that could not start this long after it was due is left out."""


@dataclass(frozen=True, kw_only=True)
class JobTemplateArgs:
    """Inputs of :class:`JobTemplate`.

    :param job: its name in the cluster.
    :param launcher: ConfigMap that holds the launcher.
    :param storage_class: of a workspace that names none.
    :param protect: guard the workspace's claim against deletion.
    """

    job: str
    settings: Job
    access: TrackingAccess
    images: Images
    launcher: Text
    storage_class: Text | None = None
    protect: bool = False
    local_code: Mapping[tuple[str, str, str], CodeArchive] = field(default_factory=dict)


class JobTemplate(pulumi.ComponentResource):
    """Everything a run of this job needs, and no run.

    Its Jobs belong to the CronJob and not to the stack, so that none that Kubernetes has removed is missed.

    :ivar cron_job: the template; ``kubectl create job --from=cronjob/<job>`` starts a run as well.
    :ivar job: what each run is, and ``concurrency`` how many, for engines that make Jobs themselves.
    """

    cron_job: batch.CronJob
    job: batch.JobTemplateSpecArgs
    concurrency: Concurrency

    def __init__(self, name: str, args: JobTemplateArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("mlflow:jobs:JobTemplate", name, {}, opts)
        settings = args.settings
        source = SourceArgs(
            access=args.access,
            images=args.images,
            image=image_of(settings, args.images),
            local_code=args.local_code,
        )
        code = code_of(name, settings, source, pulumi.ResourceOptions(parent=self))
        workspace = workspace_of(
            f"{name}-workspace",
            args.job,
            settings.workspace,
            namespace=pulumi.Output.from_input(args.access.namespace),
            storage_class=args.storage_class,
            protect=args.protect,
            parent=self,
        )
        self.job = batch.JobTemplateSpecArgs(
            metadata=meta.ObjectMetaArgs(labels=job_labels(args.job)), spec=job_spec(args, code, workspace)
        )
        self.concurrency = settings.concurrency
        self.cron_job = batch.CronJob(
            name,
            metadata=meta.ObjectMetaArgs(
                name=args.job,
                namespace=args.access.namespace,
                labels=job_labels(args.job),
                annotations={EXPERIMENT: settings.experiment or args.job},
            ),
            spec=self._spec(args),
            opts=pulumi.ResourceOptions(parent=self, depends_on=list(args.images.ready)),
        )
        self.register_outputs({})

    def _spec(self, args: JobTemplateArgs) -> batch.CronJobSpecArgs:
        settings = args.settings
        return batch.CronJobSpecArgs(
            schedule=settings.schedule or NEVER,
            time_zone=settings.time_zone or "Etc/UTC",
            suspend=settings.schedule is None or settings.suspended,
            concurrency_policy=settings.concurrency,
            starting_deadline_seconds=LATE_SECONDS,
            successful_jobs_history_limit=settings.history.succeeded,
            failed_jobs_history_limit=settings.history.failed,
            job_template=self.job,
        )


def job_spec(args: JobTemplateArgs, code: Code, workspace: Mounted) -> batch.JobSpecArgs:
    """What each run of the template is."""
    settings = args.settings
    pod = PodArgs(
        main=MAIN,
        command=launcher_command(args.job, settings, code, workspace, needs(settings, args.access)),
        code=code,
        access=args.access,
        images=args.images,
        launcher=args.launcher,
        env=_who_it_is(args.job, image_of(settings, args.images)),
        volumes=[workspace.volume],
        mounts=[workspace.mount],
        labels=job_labels(args.job),
        lasts=True,
    )
    return batch.JobSpecArgs(
        backoff_limit=settings.retries,
        active_deadline_seconds=settings.deadline_seconds,
        ttl_seconds_after_finished=settings.history.seconds,
        # A new attempt starts once the old pod has really ended, so that two never share a workspace.
        pod_replacement_policy="Failed",
        # What cannot start as it is described fails at once.
        pod_failure_policy=failure_policy(MAIN, [MISDESCRIBED]),
        template=core.PodTemplateSpecArgs(
            metadata=meta.ObjectMetaArgs(
                labels=pod_labels(pod), annotations=dict(pod.access.job_annotations) or None
            ),
            spec=pod_of(settings, pod, container_of(settings, pod), restart_policy="Never"),
        ),
    )


def failure_policy(container: str, final: Sequence[int]) -> batch.PodFailurePolicyArgs:
    """Which ends of a pod are no failed attempt like others: an evicted pod, or one whose node goes, has a
    successor that counts as no retry.

    :param final: exit codes of the container after which the Job has failed.
    """
    exits = batch.PodFailurePolicyOnExitCodesRequirementArgs(
        container_name=container, operator="In", values=list(final)
    )
    moved = batch.PodFailurePolicyOnPodConditionsPatternArgs(type="DisruptionTarget", status="True")
    return batch.PodFailurePolicyArgs(
        rules=[
            *([batch.PodFailurePolicyRuleArgs(action="FailJob", on_exit_codes=exits)] if final else []),
            batch.PodFailurePolicyRuleArgs(action="Ignore", on_pod_conditions=[moved]),
        ]
    )


def needs(settings: Job, access: TrackingAccess) -> list[str]:
    """Variables that come from Secrets, and without which a run would not be what it is described as."""
    return sorted({key for group in settings.secrets for key in access.groups[group]})


def launcher_command(
    job: str, settings: Job, code: Code, workspace: Mounted, needed: Sequence[str] = ()
) -> list[str]:
    """The launcher with what it is to run. Words that a run adds before ``--`` override earlier ones."""
    command = ["python", f"{LAUNCHER_FOLDER}/{LAUNCHER.name}", code.place]
    command += [f"--path={code.folder}"] if code.folder else []
    command += [f"--experiment={settings.experiment or job}", f"--workspace={PLACE}"]
    command += [f"--keep-days={workspace.keep_days}"] if workspace.keep_days else []
    command += [f"--needs={name}" for name in needed]
    command += [f"--requirement={requirement}" for requirement in settings.requirements]
    if settings.requirements_file:
        command.append(f"--requirements-file={settings.requirements_file}")
    if settings.module:
        return [*command, f"--module={settings.module}", "--", *settings.arguments]
    if settings.command:
        return [*command, "--command", "--", *settings.command]
    command.append(f"--entry-point={settings.runs_entry_point}")
    return [*command, *(f"--param={name}={value}" for name, value in settings.parameters.items())]


def _who_it_is(job: str, image: Text) -> list[core.EnvVarArgs]:
    """What the launcher tags its run with."""
    return [
        core.EnvVarArgs(name="JOB_NAME", value=job),
        core.EnvVarArgs(name="JOB_IMAGE", value=image),
        *job_of_pod(),
    ]


def job_of_pod() -> list[core.EnvVarArgs]:
    """Name and uid of the Job that a pod belongs to."""

    def label(name: str) -> core.EnvVarSourceArgs:
        path = f"metadata.labels['batch.kubernetes.io/{name}']"
        return core.EnvVarSourceArgs(field_ref=core.ObjectFieldSelectorArgs(field_path=path))

    return [
        core.EnvVarArgs(name="JOB_RUN", value_from=label("job-name")),
        core.EnvVarArgs(name="JOB_UID", value_from=label("controller-uid")),
    ]


def job_labels(job: str) -> dict[str, str]:
    """Labels of a template, its Jobs and their pods; the verbs find them by these."""
    return {**labels("job"), JOB_LABEL: job}
