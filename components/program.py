"""The whole program: settings → cloud → contracts → cluster → exports."""

from __future__ import annotations

import gc
from typing import Any

import pulumi

from . import clouds
from .jobs.jobs import Jobs, JobsArgs
from .jobs.pipelines import Pipelines, PipelinesArgs
from .jobs.services import Services, ServicesArgs
from .settings import Stack
from .tracking import Tracking, TrackingArgs


def build(settings: Stack) -> dict[str, Any]:
    """Declare every resource of the stack and return its exports."""
    # What is declared lives until the end: looking for garbage in it again and again took half of the time
    # of a thousand jobs, and made each dearer than one among few.
    gc.set_threshold(200_000, 50, 100)
    foundation = clouds.build(settings)
    protect = settings.protected(pulumi.get_stack())
    opts = pulumi.ResourceOptions(providers=[foundation.cluster.provider])
    tracking = Tracking(
        "mlflow", TrackingArgs(settings=settings, foundation=foundation, protect=protect), opts=opts
    )
    jobs: Jobs | None = None
    if settings.jobs:
        jobs = Jobs(
            "mlflow-jobs",
            JobsArgs(
                settings=settings.jobs,
                access=tracking.access,
                images=foundation.images,
                storage_class=foundation.cluster.storage_class,
                protect=protect,
                local_code=foundation.local_code,
            ),
            opts=opts,
        )
    if settings.services or settings.model_servers:
        Services(
            "mlflow-services",
            ServicesArgs(
                services=settings.services,
                model_servers=settings.model_servers,
                access=tracking.access,
                images=foundation.images,
                ingress=foundation.cluster.ingress,
                local_code=foundation.local_code,
            ),
            opts=opts,
        )
    if settings.pipelines:
        Pipelines(
            "mlflow-pipelines",
            PipelinesArgs(
                settings=settings.pipelines,
                access=tracking.access,
                images=foundation.images,
                templates=jobs.templates if jobs else {},
            ),
            opts=opts,
        )
    return tracking.exports
