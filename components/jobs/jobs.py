"""All job templates of a stack, and the launcher they share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import pulumi
import pulumi_kubernetes as kubernetes

from ..contracts import CodeArchive, Images, Text, TrackingAccess
from ..settings.jobs import Job
from ..tracking.labels import labels
from .names import LAUNCHER
from .template import JobTemplate, JobTemplateArgs

core = kubernetes.core.v1
meta = kubernetes.meta.v1


@dataclass(frozen=True, kw_only=True)
class JobsArgs:
    """Inputs of :class:`Jobs`.

    :param settings: job's name → its settings.
    :param access: the tracking server that the runs go to.
    :param storage_class: of workspaces that name none.
    :param protect: guard workspaces against deletion.
    :param local_code: (checkout, ref, folder in it) → its files, on a development machine.
    """

    settings: Mapping[str, Job]
    access: TrackingAccess
    images: Images
    storage_class: Text | None = None
    protect: bool = False
    local_code: Mapping[tuple[str, str, str], CodeArchive] = field(default_factory=dict)


class Jobs(pulumi.ComponentResource):
    """Job templates.

    :ivar templates: job's name → its template.
    :ivar launcher: name of the ConfigMap that holds the launcher.
    """

    templates: Mapping[str, JobTemplate]
    launcher: pulumi.Output[str]

    def __init__(self, name: str, args: JobsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("mlflow:jobs:Jobs", name, {}, opts)
        launcher = core.ConfigMap(
            f"{name}-launcher",
            metadata=meta.ObjectMetaArgs(
                # Of a fixed name: a Job that works during an `up` still finds it for its next attempt.
                name=f"{name}-launcher",
                namespace=args.access.namespace,
                labels=labels("job"),
            ),
            data={LAUNCHER.name: LAUNCHER.read_text()},
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.launcher = launcher.metadata.name
        self.templates = {
            job: JobTemplate(
                f"{name}-{job}",
                JobTemplateArgs(
                    job=job,
                    settings=settings,
                    access=args.access,
                    images=args.images,
                    launcher=self.launcher,
                    storage_class=args.storage_class,
                    protect=args.protect,
                    local_code=args.local_code,
                ),
                opts=pulumi.ResourceOptions(parent=self),
            )
            for job, settings in args.settings.items()
        }
        self.register_outputs({})
