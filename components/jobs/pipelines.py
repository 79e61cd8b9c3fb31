"""All pipelines of a stack, and the scripts they share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
import pulumi_kubernetes as kubernetes

from ..contracts import Images, TrackingAccess
from ..settings.pipelines import Pipeline, PipelineEngine
from ..tracking.labels import labels
from .names import PIPELINE_SCRIPTS, SCRIPTS
from .pipeline import PART, PlainPipeline, PlainPipelineArgs
from .pipeline_argo import ArgoPipeline, ArgoPipelineArgs
from .template import JobTemplate

core = kubernetes.core.v1
meta = kubernetes.meta.v1


@dataclass(frozen=True, kw_only=True)
class PipelinesArgs:
    """Inputs of :class:`Pipelines`.

    :param settings: pipeline's name → its settings.
    :param access: the tracking server that models are looked up in.
    :param templates: job's name → its template.
    """

    settings: Mapping[str, Pipeline]
    access: TrackingAccess
    images: Images
    templates: Mapping[str, JobTemplate]


class Pipelines(pulumi.ComponentResource):
    """Pipelines: what starts the stages of each, and no run."""

    def __init__(self, name: str, args: PipelinesArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("mlflow:jobs:Pipelines", name, {}, opts)
        child = pulumi.ResourceOptions(parent=self)
        scripts = core.ConfigMap(
            f"{name}-scripts",
            metadata=meta.ObjectMetaArgs(
                # Of a fixed name: a pipeline that works during an `up` still finds it for its next pod.
                name=f"{name}-scripts",
                namespace=args.access.namespace,
                labels=labels(PART),
            ),
            data={script: (SCRIPTS / script).read_text() for script in PIPELINE_SCRIPTS},
            opts=child,
        ).metadata.name
        for pipeline, settings in args.settings.items():
            if settings.engine is PipelineEngine.ARGO:
                ArgoPipeline(
                    f"{name}-{pipeline}",
                    ArgoPipelineArgs(
                        pipeline=pipeline,
                        settings=settings,
                        access=args.access,
                        images=args.images,
                        scripts=scripts,
                        templates=args.templates,
                    ),
                    opts=child,
                )
            else:
                PlainPipeline(
                    f"{name}-{pipeline}",
                    PlainPipelineArgs(
                        pipeline=pipeline,
                        settings=settings,
                        access=args.access,
                        images=args.images,
                        scripts=scripts,
                    ),
                    opts=child,
                )
        self.register_outputs({})
