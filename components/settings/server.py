"""The tracking server, its sign-in and its logs."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from .base import DnsLabel, EnvironmentName, Model, Quantity, Resources


class LogLevel(StrEnum):
    """Log levels of Python."""

    DEBUG = "DEBUG"
    INFO = "INFO"
    WARNING = "WARNING"
    ERROR = "ERROR"
    CRITICAL = "CRITICAL"


class JobLogLevels(Model):
    """How much the parts of a job write to its log."""

    jobs: LogLevel = LogLevel.INFO
    """MLflow inside jobs."""
    launcher: LogLevel = LogLevel.INFO
    """The launcher that starts jobs and pipeline stages."""


class LogLevels(JobLogLevels):
    """How much each part writes to its log."""

    server: LogLevel = LogLevel.INFO
    """The tracking server."""


class Server(Model):
    """The tracking server's Deployment."""

    replicas: Annotated[int, Field(ge=1, le=50)] = 1
    """Pods. More than one needs a database other than sqlite and artifacts that pods can share."""
    workers: Annotated[int, Field(ge=1, le=32)] | None = None
    """Processes per pod. Default: 2, with sqlite 1."""
    resources: Resources = Resources()
    """CPU and memory; default: requests 250m CPU and 320Mi per worker, limits 2 CPU and 768Mi per worker."""
    tmp_size: Quantity = "10Gi"
    """Scratch space: every artifact sent through the server is spooled here in full."""
    drain_seconds: Annotated[int, Field(ge=0, le=3600)] = 300
    """How long a pod that is being replaced may finish the requests it has, such as a large upload."""
    env: dict[EnvironmentName, str] = {}
    """More environment variables. Names the program sets itself are refused; secrets belong in a group."""
    secrets: list[DnsLabel] = []
    """Secret groups whose values become environment variables of the server."""


JOBS_USER = "jobs"
"""The user that jobs sign in as; it may read everything and owns what it makes."""


class AuthMode(StrEnum):
    """How people sign in."""

    NONE = "none"
    BASIC = "basic"


class Permission(StrEnum):
    """MLflow's permissions, least first."""

    NO_PERMISSIONS = "NO_PERMISSIONS"
    READ = "READ"
    USE = "USE"
    EDIT = "EDIT"
    MANAGE = "MANAGE"


class Auth(Model):
    """Sign-in."""

    mode: AuthMode = AuthMode.NONE
    """none, or basic: users and passwords kept in the tracking database."""
    admin_username: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._@-]{0,127}$")] = "admin"
    """The first user; its password is generated (`pulumi stack output adminPassword --show-secrets`)."""
    default_permission: Permission = Permission.READ
    """What a signed-in user may do with experiments and models of others."""
