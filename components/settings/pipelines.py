"""Pipelines: jobs, services and model servers, each started once those it follows are done."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import AfterValidator, Field

from .base import DnsLabel, Model
from .cron import checked_schedule, checked_time_zone
from .jobs import Concurrency, History, JobName
from .workloads import Text


class PipelineEngine(StrEnum):
    """What runs a pipeline's stages in order."""

    PLAIN = "plain"
    ARGO = "argo"


class Stage(Model):
    """One of `job`, `service` and `modelServer`."""

    job: DnsLabel | None = None
    """A job of mlflow:jobs: it runs, with its own image, resources and retries."""
    service: DnsLabel | None = None
    """A service of mlflow:services: it is rolled to the newest commit, or started, and waited for."""
    model_server: DnsLabel | None = None
    """A model server of mlflow:modelServers: it is rolled to the version its model's address leads to now, or
    started, and waited for."""
    after: list[DnsLabel] = []
    """The stages that must have succeeded first. Default: none; stages that wait for the same ones work at
    the same time."""
    parameters: dict[str, Text] = {}
    """Of a job: parameters of its entry point, over the job's own."""
    retries: Annotated[int, Field(ge=0, le=20)] | None = None
    """Of a job, here. Default: the job's own."""
    deadline_seconds: Annotated[int, Field(ge=1)] | None = None
    """Of a job, here. Default: the job's own."""

    @property
    def deployment(self) -> str | None:
        """What is rolled; None where a job runs."""
        return self.service or self.model_server


class Pipeline(Model):
    """Stages with an order. Started by `make run JOB=…` or by its schedule."""

    stages: dict[DnsLabel, Stage]
    """Stages by name."""
    engine: PipelineEngine = PipelineEngine.PLAIN
    """plain: a small pod of its own starts them. argo: Argo Workflows does, where the cluster has it."""
    schedule: Annotated[str, AfterValidator(checked_schedule)] | None = None
    """When it runs by itself: five fields of cron, or @hourly, @daily, @weekly, @monthly, @yearly."""
    time_zone: Annotated[str, AfterValidator(checked_time_zone)] | None = None
    """Time zone of the schedule, such as Europe/Berlin. Default: Etc/UTC."""
    suspended: bool = False
    """Say true to pause the schedule."""
    concurrency: Concurrency = Concurrency.FORBID
    """When a run is due while another works: Forbid (it is left out), Allow (both), Replace (the old one
    ends). Runs by hand are refused under Forbid. Each job keeps its own rule as well."""
    deadline_seconds: Annotated[int, Field(ge=1)] = 172800
    """Seconds for all stages together; then what works is stopped and it has failed. Default: two days."""
    history: History = History()
    """How long finished runs stay in the cluster, with their stages' Jobs."""


Pipelines = dict[JobName, Pipeline]
