"""A pipeline of Kubernetes' own objects: a CronJob whose pod starts the stages."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_kubernetes as kubernetes

from ..contracts import Images, Text, TrackingAccess
from ..settings.pipelines import Pipeline, Stage
from ..tracking.labels import labels
from .names import JOB_LABEL, PIPELINE_LABEL
from .rights import roller
from .rolling import MAIN, small_pod
from .template import LATE_SECONDS, NEVER, failure_policy, job_of_pod

batch = kubernetes.batch.v1
core = kubernetes.core.v1
meta = kubernetes.meta.v1
rbac = kubernetes.rbac.v1

PART = "pipeline"
"""Their component label."""
GRACE_SECONDS = 70
"""From SIGTERM to SIGKILL: the stages' own 45 s, and time to ask for their end and to see it."""
RESTARTS = 6
"""How often a pod that was killed, or whom nobody answered, gets a successor. Kubernetes' own default."""
FINAL = (1, 2, 78)
"""Exit codes after which another pod would find the same: a stage failed, or the description is wrong."""


@dataclass(frozen=True, kw_only=True)
class PlainPipelineArgs:
    """Inputs of :class:`PlainPipeline`.

    :param pipeline: its name in the cluster.
    :param scripts: ConfigMap that holds what its pod runs.
    """

    pipeline: str
    settings: Pipeline
    access: TrackingAccess
    images: Images
    scripts: Text


class PlainPipeline(pulumi.ComponentResource):
    """What starts the stages of a pipeline, and no run of it.

    :ivar cron_job: the template; ``kubectl create job --from=cronjob/<pipeline>`` starts a run as well.
    """

    cron_job: batch.CronJob

    def __init__(
        self, name: str, args: PlainPipelineArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("mlflow:jobs:PlainPipeline", name, {}, opts)
        child = pulumi.ResourceOptions(parent=self)
        account, rights = pipeline_account(name, args.pipeline, args.settings, args.access, child)
        self.cron_job = batch.CronJob(
            name,
            metadata=meta.ObjectMetaArgs(
                name=args.pipeline, namespace=args.access.namespace, labels=pipeline_labels(args.pipeline)
            ),
            spec=self._spec(args, account),
            opts=pulumi.ResourceOptions(parent=self, depends_on=[*rights, *args.images.ready]),
        )
        self.register_outputs({})

    def _spec(self, args: PlainPipelineArgs, account: pulumi.Output[str]) -> batch.CronJobSpecArgs:
        settings, tags = args.settings, pipeline_labels(args.pipeline)
        return batch.CronJobSpecArgs(
            schedule=settings.schedule or NEVER,
            time_zone=settings.time_zone or "Etc/UTC",
            suspend=settings.schedule is None or settings.suspended,
            concurrency_policy=settings.concurrency,
            starting_deadline_seconds=LATE_SECONDS,
            successful_jobs_history_limit=settings.history.succeeded,
            failed_jobs_history_limit=settings.history.failed,
            job_template=batch.JobTemplateSpecArgs(
                metadata=meta.ObjectMetaArgs(labels=tags), spec=_job(args, account)
            ),
        )


def _job(args: PlainPipelineArgs, account: pulumi.Output[str]) -> batch.JobSpecArgs:
    """What each run of the pipeline is."""
    settings = args.settings
    stages = {name: stage_of(stage) for name, stage in settings.stages.items()}
    # As words of the pod, not as a file: a run goes on as it began, whatever an `up` changes meanwhile.
    # Kubernetes would replace $(NAME) there already, and not only in the stage's own pod.
    written = json.dumps(stages).replace("$", "$$")
    command = ["python", "-m", "launcher.pipeline", args.pipeline, f"--stages={written}"]
    asks = any(stage.model_server for stage in settings.stages.values())
    pod = small_pod(account, command, args.access, args.images, args.scripts, signs_in=asks, env=job_of_pod())
    pod.restart_policy, pod.termination_grace_period_seconds = "Never", GRACE_SECONDS
    return batch.JobSpecArgs(
        backoff_limit=RESTARTS,
        active_deadline_seconds=settings.deadline_seconds,
        ttl_seconds_after_finished=settings.history.seconds,
        pod_replacement_policy="Failed",
        pod_failure_policy=failure_policy(MAIN, FINAL),
        template=core.PodTemplateSpecArgs(
            metadata=meta.ObjectMetaArgs(
                labels=pipeline_labels(args.pipeline), annotations=dict(args.access.job_annotations) or None
            ),
            spec=pod,
        ),
    )


def pipeline_account(
    name: str,
    pipeline: str,
    settings: Pipeline,
    access: TrackingAccess,
    opts: pulumi.ResourceOptions,
    also: tuple[rbac.PolicyRuleArgs, ...] = (),
) -> tuple[pulumi.Output[str], list[pulumi.Resource]]:
    """The account that starts the stages: it reads the templates of its jobs, makes Jobs, rolls its services.

    RBAC cannot say "only Jobs like these": whoever may make Jobs may run anything in the namespace. Nothing
    but the pipeline's own pod bears this account, and users' code never runs in that.

    :returns: the account's name, and what must be there before its pods work.
    """
    jobs = sorted({stage.job for stage in settings.stages.values() if stage.job})
    deployments = sorted({stage.deployment for stage in settings.stages.values() if stage.deployment})
    reads = [rbac.PolicyRuleArgs(api_groups=[""], resources=["pods", "events"], verbs=["list"])]
    if jobs:
        reads.append(
            rbac.PolicyRuleArgs(
                api_groups=["batch"], resources=["cronjobs"], resource_names=jobs, verbs=["get"]
            )
        )
    makes = ["create", "delete"] if jobs else []
    reads.append(rbac.PolicyRuleArgs(api_groups=["batch"], resources=["jobs"], verbs=["get", "list", *makes]))
    return roller(name, f"pipeline-{pipeline}", deployments, access, opts, also=[*reads, *also])


def stage_of(stage: Stage) -> dict[str, Any]:
    """A stage as the script takes it."""
    if stage.deployment:
        return {"deployment": stage.deployment, "after": stage.after}
    found = {
        "job": stage.job,
        "after": stage.after,
        "parameters": [f"{name}={value}" for name, value in stage.parameters.items()],
        "retries": stage.retries,
        "deadlineSeconds": stage.deadline_seconds,
    }
    return {key: value for key, value in found.items() if value is not None}


def pipeline_labels(pipeline: str) -> dict[str, str]:
    """Labels of what runs a pipeline and of its Jobs; the verbs find them by the same one as a job's."""
    return {**labels(PART), JOB_LABEL: pipeline, PIPELINE_LABEL: pipeline}
