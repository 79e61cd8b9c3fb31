"""Services: code, or a registered model, that answers requests for as long as the stack is up."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import AfterValidator, Field, StringConstraints

from .base import DNS_LABEL, DnsLabel, HostName, Model
from .cron import checked_schedule, checked_time_zone
from .workloads import Pod, Workload

ServiceName = Annotated[str, StringConstraints(min_length=1, max_length=52, pattern=DNS_LABEL.pattern)]
"""A DNS label of at most 52 characters, as a job's: a service with a schedule has a CronJob of its name."""

REGISTERED = re.compile(r"^models:/(?P<name>[^/@]+)(?:@(?P<alias>[^/@]+)|/(?P<version>[0-9]+))$")
"""Source: MLflow, "Model Registry", URIs; stages and `latest` are left out: they are deprecated, or nobody
has said that the newest version may serve."""
OF_A_RUN = re.compile(r"^runs:/(?P<run>[0-9a-f]{32})/(?P<path>[^\s]+)$")


def _model(value: str) -> str:
    if not REGISTERED.match(value) and not OF_A_RUN.match(value):
        raise ValueError("must be models:/name@alias, models:/name/3 or runs:/id/path")
    return value


def _path(value: Any) -> Any:
    if not isinstance(value, str) or not re.match(r"^/[^\s#]*$", value):
        raise ValueError("must be a path such as /health")
    return value


class ServiceIngress(Model):
    """A host of its own at the stack's ingress controller (`exposure.ingress`), under the same ranges."""

    host: HostName
    """The name under which it is reached."""
    tls_secret: DnsLabel | None = None
    """Secret of type kubernetes.io/tls in the stack's namespace, with the certificate for `host`. Needed
    where `exposure.ingress.tlsSecret` is set; otherwise the controller's certificate must hold `host`."""
    anonymous: bool = False
    """Say true as well, where the stack has a sign-in: nobody is asked for a password here."""


class Serving(Model):
    """What services and model servers have in common."""

    replicas: Annotated[int, Field(ge=1, le=50)] = 1
    """Pods."""
    start_seconds: Annotated[int, Field(ge=10, le=3600)] = 120
    """Seconds in which a pod must be ready, what it installs and loads included."""
    drain_seconds: Annotated[int, Field(ge=0, le=3600)] = 30
    """How long a pod that is being replaced may finish the requests it has."""
    ingress: ServiceIngress | None = None
    """An entrance from outside the cluster. Without it, pods of the namespace reach it at http://<name>."""


class Service(Serving, Workload):
    """Code that answers requests: a Python module or a command that listens on `port`."""

    port: Annotated[int, Field(ge=1024, le=65535)] = 8000
    """Where it listens, on all addresses; it is in the environment as PORT. Others reach it on port 80."""
    ready_path: Annotated[str, AfterValidator(_path)] | None = None
    """Path that answers 200 once it can serve, such as /health. Default: the port being open is enough."""
    waits: bool = False
    """Say true where it needs what a pipeline makes first: `up` makes it without pods, and the first roll, by
    a pipeline's stage or by `schedule`, starts them."""
    schedule: Annotated[str, AfterValidator(checked_schedule)] | None = None
    """When it is rolled to the newest commit of `git.ref`, and to what else it reads at start, as five fields
    of cron or @daily and the like. Default: at each `make up` that changes it."""
    time_zone: Annotated[str, AfterValidator(checked_time_zone)] | None = None
    """Time zone of the schedule, such as Europe/Berlin. Default: Etc/UTC."""


class ModelServer(Serving, Pod):
    """A model of the registry behind MLflow's own scoring server (POST /invocations)."""

    drain_seconds: Annotated[int, Field(ge=0, le=3600)] = 60
    """How long a pod that is being replaced may finish the requests it has. Default: as long as MLflow's
    server takes for one."""  # MLFLOW_SCORING_SERVER_REQUEST_TIMEOUT, MLflow 3.17, environment_variables.py
    model: Annotated[str, AfterValidator(_model)]
    """What is served: models:/name@alias (followed when the alias moves), models:/name/3 or runs:/id/path."""
    install_requirements: bool = False
    """Say true to install at start what the model lists in its requirements.txt, on top of the image's
    packages. Otherwise nothing is installed, and no package index is asked."""


Services = dict[ServiceName, Service]
ModelServers = dict[ServiceName, ModelServer]
