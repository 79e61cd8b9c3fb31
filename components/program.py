"""The whole program: settings → cloud → contracts → cluster → exports."""

from __future__ import annotations

import gc
from typing import Any

import pulumi

from . import clouds
from .clouds.names import stack_name
from .contracts import Foundation, TrackingAccess
from .data_places import data_places
from .jobs.jobs import Jobs, JobsArgs
from .jobs.pipelines import Pipelines, PipelinesArgs
from .jobs.services import Services, ServicesArgs
from .settings import AnyStack
from .settings.existing import ExistingStack
from .tracking import Tracking, TrackingArgs
from .tracking.existing import ExistingServer, ExistingServerArgs


def build(settings: AnyStack) -> dict[str, Any]:
    """Declare every resource of the stack and return its exports."""
    # What is declared lives until the end: looking for garbage in it again and again took half of the time
    # of a thousand jobs, and made each dearer than one among few.
    gc.set_threshold(200_000, 50, 100)
    foundation = clouds.build(settings)
    opts = pulumi.ResourceOptions(providers=[foundation.cluster.provider])
    if isinstance(settings, ExistingStack):
        # Named after the stack: several may share a namespace.
        name = stack_name()
        server: Tracking | ExistingServer = _existing(name, settings, foundation, opts)
    else:
        name = "mlflow"
        protect = settings.protected(pulumi.get_stack())
        server = Tracking(
            name, TrackingArgs(settings=settings, foundation=foundation, protect=protect), opts=opts
        )
    workloads(name, settings, foundation, server.access, opts)
    return {**server.exports, "jobsPods": _pods(server.access, foundation)}


def _pods(access: TrackingAccess, foundation: Foundation) -> dict[str, Any]:
    """What a pod of `make train` shares with those of jobs, beside its account and environment."""
    return {
        "labels": dict(access.pod_labels),
        "annotations": dict(access.job_annotations),
        "authority": access.authority,
        "pullSecrets": list(foundation.images.pull_secrets),
    }


def workloads(
    name: str,
    settings: AnyStack,
    foundation: Foundation,
    access: TrackingAccess,
    opts: pulumi.ResourceOptions,
) -> None:
    """What runs beside a tracking server, whoever made that."""
    jobs: Jobs | None = None
    if settings.jobs:
        jobs = Jobs(
            f"{name}-jobs",
            JobsArgs(
                settings=settings.jobs,
                access=access,
                images=foundation.images,
                storage_class=foundation.cluster.storage_class,
                protect=settings.protected(pulumi.get_stack()),
                local_code=foundation.local_code,
            ),
            opts=opts,
        )
    if settings.services or settings.model_servers:
        Services(
            f"{name}-services",
            ServicesArgs(
                services=settings.services,
                model_servers=settings.model_servers,
                access=access,
                images=foundation.images,
                ingress=foundation.cluster.ingress,
                local_code=foundation.local_code,
            ),
            opts=opts,
        )
    if settings.pipelines:
        Pipelines(
            f"{name}-pipelines",
            PipelinesArgs(
                settings=settings.pipelines,
                access=access,
                images=foundation.images,
                templates=jobs.templates if jobs else {},
            ),
            opts=opts,
        )


def _existing(
    name: str, settings: ExistingStack, foundation: Foundation, opts: pulumi.ResourceOptions
) -> ExistingServer:
    tracking = settings.tracking
    made = ExistingServer(
        name,
        ExistingServerArgs(
            url=tracking.url,
            stack=tracking.stack,
            web_url=tracking.web_url,
            namespace=tracking.namespace,
            service_account=tracking.service_account,
            groups=settings.secrets,
            credentials=tracking.credentials,
            ca_bundle=tracking.ca_bundle,
            log_level=settings.log_level,
        ),
        opts=opts,
    )
    made.exports["images"] = {"job": foundation.images.job}
    made.exports["dataPlaces"] = data_places(settings, foundation.cluster.identity)
    return made
