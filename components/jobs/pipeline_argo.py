"""A pipeline in Argo Workflows: a WorkflowTemplate, and a CronWorkflow where it has a schedule.

Source: Argo Workflows, "Field Reference" and "Kubernetes Resources". Argo makes the stages' Jobs from what
the CronJobs hold as well, so that a stage is the same under both engines.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_kubernetes as kubernetes
from pulumi import _types

from ..contracts import Images, Text, TrackingAccess
from ..settings.jobs import Concurrency
from ..settings.pipelines import Pipeline, Stage
from ..tracking.pods import IMAGE_GID, IMAGE_UID, pod_security
from .names import MAIN, RUN_LABEL, STAGE_LABEL
from .pipeline import pipeline_account, pipeline_labels
from .rolling import small_pod
from .template import LATE_SECONDS, JobTemplate

core = kubernetes.core.v1
meta = kubernetes.meta.v1
rbac = kubernetes.rbac.v1

VERSION = "argoproj.io/v1alpha1"
RUN, RUN_UID = "{{workflow.name}}", "{{workflow.uid}}"
RUN_MARK = "\ue000"
"""Stands for RUN until the braces of users' own words are escaped: Argo would replace those as well."""
SUCCEEDED = "status.succeeded > 0"
FAILED = ",".join(f"status.conditions.{n}.type in (FailureTarget,Failed)" for n in range(3))
"""One of these is enough (workflow/executor/resource.go): the place in the list depends on what came before,
such as Suspended."""
REPORTS = rbac.PolicyRuleArgs(
    api_groups=["argoproj.io"], resources=["workflowtaskresults"], verbs=["create", "patch"]
)
"""What Argo's own process in each pod needs. Source: Argo Workflows, "Workflow RBAC"."""


@dataclass(frozen=True, kw_only=True)
class ArgoPipelineArgs:
    """Inputs of :class:`ArgoPipeline`.

    :param pipeline: its name in the cluster.
    :param scripts: ConfigMap that holds what rolls services and ends stages.
    :param templates: job's name → its template.
    """

    pipeline: str
    settings: Pipeline
    access: TrackingAccess
    images: Images
    scripts: Text
    templates: Mapping[str, JobTemplate]


class ArgoPipeline(pulumi.ComponentResource):
    """What Argo Workflows starts the stages of a pipeline from, and no run of it."""

    def __init__(self, name: str, args: ArgoPipelineArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("mlflow:jobs:ArgoPipeline", name, {}, opts)
        self._name, self._args = name, args
        child = pulumi.ResourceOptions(parent=self)
        account, rights = pipeline_account(
            name, args.pipeline, args.settings, args.access, child, also=(REPORTS,)
        )
        ready = [*rights, *args.images.ready]
        template = self._object("WorkflowTemplate", self._workflow(account), ready)
        if args.settings.schedule:
            self._object("CronWorkflow", self._schedule(args.settings.schedule), [template])
        self.register_outputs({})

    def _object(self, kind: str, spec: Mapping[str, Any], after: list[pulumi.Resource]) -> pulumi.Resource:
        return kubernetes.apiextensions.CustomResource(
            f"{self._name}-{kind.lower()}",
            api_version=VERSION,
            kind=kind,
            metadata=meta.ObjectMetaArgs(
                name=self._args.pipeline,
                namespace=self._args.access.namespace,
                labels=pipeline_labels(self._args.pipeline),
            ),
            spec=spec,
            opts=pulumi.ResourceOptions(parent=self, depends_on=after),
        )

    def _schedule(self, schedule: str) -> dict[str, Any]:
        settings = self._args.settings
        return {
            "schedules": [schedule],
            "timezone": settings.time_zone or "Etc/UTC",
            "suspend": settings.suspended,
            "concurrencyPolicy": str(settings.concurrency),
            "startingDeadlineSeconds": LATE_SECONDS,
            "successfulJobsHistoryLimit": settings.history.succeeded,
            "failedJobsHistoryLimit": settings.history.failed,
            "workflowSpec": {"workflowTemplateRef": {"name": self._args.pipeline}},
        }

    def _workflow(self, account: pulumi.Output[str]) -> dict[str, Any]:
        settings = self._args.settings
        order = [
            {"name": name, "template": f"stage-{name}", "dependencies": stage.after}
            for name, stage in settings.stages.items()
        ]
        end = self._script(account, ["launcher.pipeline", self._args.pipeline], signs_in=False)
        return {
            "entrypoint": "pipeline",
            "onExit": "end",
            "serviceAccountName": account,
            "automountServiceAccountToken": True,
            "activeDeadlineSeconds": settings.deadline_seconds,
            "ttlStrategy": {"secondsAfterCompletion": settings.history.seconds},
            "workflowMetadata": {"labels": pipeline_labels(self._args.pipeline)},
            # A pod that waits for a stage and is moved away fails the workflow.
            "podMetadata": {
                "labels": pipeline_labels(self._args.pipeline),
                "annotations": dict(self._args.access.job_annotations),
            },
            "imagePullSecrets": [{"name": pull} for pull in self._args.images.pull_secrets],
            "securityContext": as_json(pod_security(IMAGE_UID, IMAGE_GID)),
            "templates": [
                {"name": "pipeline", "dag": {"tasks": order}},
                *(self._stage(account, name, stage) for name, stage in settings.stages.items()),
                # However a workflow ends, Argo itself leaves the Jobs that still work alone.
                {"name": "end", **end},
            ],
        }

    def _stage(self, account: pulumi.Output[str], name: str, stage: Stage) -> dict[str, Any]:
        """The template of one stage."""
        if stage.deployment:
            command = ["launcher.rollout", stage.deployment]
            script = self._script(account, command, signs_in=stage.model_server is not None)
            return {"name": f"stage-{name}", **script}
        job = self._args.templates[stage.job or ""]
        found: dict[str, Any] = {
            "name": f"stage-{name}",
            "resource": {
                "action": "create",
                "setOwnerReference": True,
                "manifest": self._manifest(name, stage, job),
                "successCondition": SUCCEEDED,
                "failureCondition": FAILED,
            },
        }
        if job.concurrency is not Concurrency.ALLOW:
            found["synchronization"] = {"mutexes": [{"name": stage.job}]}
        return found

    def _manifest(self, name: str, stage: Stage, job: JobTemplate) -> pulumi.Output[str]:
        """The Job of a stage, as text in which Argo finds its own words only."""
        made = as_json(job.job)
        labels = {RUN_LABEL: RUN_MARK, STAGE_LABEL: name}
        spec = made["spec"]
        # It goes with its workflow.
        spec.pop("ttlSecondsAfterFinished", None)
        for field, value in (
            ("backoffLimit", stage.retries),
            ("activeDeadlineSeconds", stage.deadline_seconds),
        ):
            if value is not None:
                spec[field] = value
        spec["template"]["metadata"]["labels"] |= labels
        main = next(each for each in spec["template"]["spec"]["containers"] if each["name"] == MAIN)
        main["env"].append({"name": "JOB_TRIGGER", "value": f"pipeline/{self._args.pipeline}"})
        main["command"] += [f"--param={each}={value}" for each, value in stage.parameters.items()]
        metadata = {"name": f"{RUN_MARK}-{name}", "labels": {**made["metadata"]["labels"], **labels}}
        whole = {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": spec}
        return pulumi.Output.json_dumps(whole).apply(_for_argo)

    def _script(self, account: pulumi.Output[str], command: list[str], *, signs_in: bool) -> dict[str, Any]:
        """A template whose container runs one of our scripts."""
        args = self._args
        run = [core.EnvVarArgs(name="JOB_RUN", value=RUN), core.EnvVarArgs(name="JOB_UID", value=RUN_UID)]
        command = ["python", "-m", *command]
        pod = as_json(
            small_pod(account, command, args.access, args.images, args.scripts, signs_in=signs_in, env=run)
        )
        (container,) = pod["containers"]
        return {"container": {**container, "name": ""}, "volumes": pod["volumes"]}


def as_json(value: Any) -> Any:
    """Pulumi's arguments as the JSON they stand for; Outputs in it stay what they are."""
    if isinstance(value, Mapping):
        return {key: as_json(each) for key, each in value.items() if each is not None}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [as_json(each) for each in value]
    if value is None or isinstance(value, str | int | float | pulumi.Output):
        return value
    # Not by rule: it is downwardAPI.
    names = _types.input_type_py_to_pulumi_names(type(value))
    return {names[key]: as_json(each) for key, each in vars(value).items() if each is not None}


def _for_argo(text: str) -> str:
    """Argo replaces whatever stands in double braces; in users' words JSON writes them another way."""
    return text.replace("{{", r"\u007b\u007b").replace(r"\ue000", RUN)
