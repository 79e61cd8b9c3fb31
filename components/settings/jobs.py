"""Job templates: work that starts by hand, on a schedule or from a pipeline."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import AfterValidator, Field, StringConstraints

from .artifacts import AccessMode
from .base import DNS_LABEL, DnsLabel, Model, Quantity, Volume
from .cron import checked_schedule, checked_time_zone
from .workloads import Text, Workload

JobName = Annotated[str, StringConstraints(min_length=1, max_length=52, pattern=DNS_LABEL.pattern)]
"""A DNS label of at most 52 characters: the CronJob controller appends 11 for each Job, and 63 is the
limit. Source: Kubernetes, "CronJob"."""


class Concurrency(StrEnum):
    """What happens when a run is due while another one of the same job works."""

    ALLOW = "Allow"
    FORBID = "Forbid"
    REPLACE = "Replace"


class WorkspaceClaim(Volume):
    """A volume claim that outlives the runs; each has a folder of its own on it."""

    name: DnsLabel | None = None
    """Its name in the stack's namespace. Default: the job's name followed by -workspace."""
    access_mode: AccessMode = AccessMode.READ_WRITE_ONCE
    """ReadWriteOnce allows one run at a time; ReadWriteMany several."""
    keep_days: Annotated[int, Field(ge=0, le=3650)] = 7
    """Days after which the unchanged folder of an earlier run is removed, by the next run; 0 for never."""


def claim_name(job: str, claim: WorkspaceClaim) -> str:
    """The claim's name in the stack's namespace."""
    return claim.name or f"{job}-workspace"


class Workspace(Model):
    """A writable folder beside the code; its path is in the environment as WORKSPACE."""

    size: Quantity = "10Gi"
    """Without `claim`: the most that a run may write; it goes with its pod."""
    claim: WorkspaceClaim | None = None
    """A volume that outlives the pod: a second attempt finds what the first one wrote."""


class History(Model):
    """How long finished runs stay in the cluster, for their logs; MLflow keeps the runs themselves."""

    succeeded: Annotated[int, Field(ge=0, le=100)] = 3
    """How many that succeeded."""
    failed: Annotated[int, Field(ge=0, le=100)] = 3
    """How many that failed."""
    seconds: Annotated[int, Field(ge=60, le=30 * 86400)] = 3600
    """How long, at most."""


class Job(Workload):
    """A job template. Started by `make run JOB=…`, by its schedule, or by a pipeline."""

    entry_point: str | None = None
    """What runs: an entry point of the project's MLproject file, with `parameters`. Default: main, unless
    `module` or `command` is given."""
    parameters: dict[str, Text] = {}
    """Parameters of the entry point; a run may override them."""
    experiment: str | None = None
    """The experiment of its runs, made when missing. Default: the job's name."""
    workspace: Workspace = Workspace()
    """A writable folder beside the code."""
    schedule: Annotated[str, AfterValidator(checked_schedule)] | None = None
    """When it runs by itself: five fields of cron, or @hourly, @daily, @weekly, @monthly, @yearly."""
    time_zone: Annotated[str, AfterValidator(checked_time_zone)] | None = None
    """Time zone of the schedule, such as Europe/Berlin. Default: Etc/UTC."""
    suspended: bool = False
    """Say true to pause the schedule."""
    concurrency: Concurrency = Concurrency.FORBID
    """When a run is due while another works: Forbid (it is left out), Allow (both), Replace (the old one
    ends). Runs by hand are refused under Forbid."""
    retries: Annotated[int, Field(ge=0, le=20)] = 1
    """How often a failed run is tried again, as a new run; an eviction does not count."""
    deadline_seconds: Annotated[int, Field(ge=1)] = 86400
    """Seconds for all attempts together; then it is stopped and has failed. Default: a day."""
    history: History = History()
    """How long finished runs stay in the cluster."""

    @property
    def runs_entry_point(self) -> str | None:
        """The MLproject entry point that runs; None where a module or command does."""
        if self.entry_point:
            return self.entry_point
        return None if self.module or self.command else "main"


Jobs = dict[JobName, Job]
