"""The Google Cloud project and region of the stack, and the one provider that reaches them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
import pulumi_gcp as gcp

from ...settings import artifacts_place, database_place
from ...settings.database import Place
from ...settings.errors import Problem, SettingsError
from ...settings.gcp import Builder, GcpStack
from ...settings.load import configured
from .apis import Apis, ApisArgs

CONFIG = "gcp"
READ = ("project", "region")
"""The keys below ``gcp:`` that are read. An explicit provider sees no others, so they are refused, not
lost."""
PROJECT_ID = re.compile(r"^([a-z0-9.-]+:)?[a-z][a-z0-9-]{4,28}[a-z0-9]$")
"""Resource Manager, "Creating and managing projects": 6 to 30 characters."""


@dataclass(frozen=True, kw_only=True)
class Project:
    """Where the stack's Google Cloud resources are made.

    :param provider: has project and region, and puts the labels on what has ``labels``.
    :param labels: what the provider puts on, for what names them otherwise (instances, nodes).
    """

    provider: gcp.Provider
    id: str
    region: str
    labels: Mapping[str, str]
    apis: Apis

    @property
    def invoke(self) -> pulumi.InvokeOptions:
        """Options of looking up what is there already, and whose API therefore is on."""
        return pulumi.InvokeOptions(provider=self.provider)

    def number(self) -> pulumi.Output[str]:
        """The project's number: by it, not by the id, principals of Workload Identity are named."""
        waiting = pulumi.InvokeOutputOptions(
            provider=self.provider, depends_on=self.apis.of("cloudresourcemanager")
        )
        return gcp.organizations.get_project_output(project_id=self.id, opts=waiting).number

    @property
    def workload_pool(self) -> str:
        """The Workload Identity pool of every GKE cluster in the project."""
        return f"{self.id}.svc.id.goog"


def connect_project(settings: GcpStack) -> Project:
    """The project that the stack's ``gcp:`` configuration names, with the APIs that the stack needs.

    :raises SettingsError: without a project, or with a key that would have no effect.
    """
    config = _config()
    labels = stack_labels(settings)
    provider = gcp.Provider(
        "gcp", project=config["project"], region=config["region"], default_labels=dict(labels)
    )
    managed = Place.MANAGED
    registry = not (settings.images.server and settings.images.job)
    builds = registry and settings.gcp.builder is Builder.CLOUD_BUILD
    apis = Apis(
        "mlflow-apis",
        ApisArgs(
            database=database_place(settings) is managed,
            private_services=needs_private_services(settings),
            bucket=artifacts_place(settings) is managed or builds,
            registry=registry,
            builds=builds,
            iap=settings.gcp.iap is not None,
        ),
        opts=pulumi.ResourceOptions(providers=[provider]),
    )
    return Project(
        provider=provider,
        id=config["project"],
        region=config["region"],
        labels=labels,
        apis=apis,
    )


def needs_private_services(settings: GcpStack) -> bool:
    """Whether the stack makes an instance in a network of its own; another has that access already."""
    makes = database_place(settings) is Place.MANAGED and settings.database.existing is None
    new = settings.new_cluster
    return makes and new is not None and new.subnet is None


def stack_labels(settings: GcpStack) -> dict[str, str]:
    """The labels on every resource that can have some: whose it is, and what the stack file adds."""
    own = {"pulumi-project": pulumi.get_project(), "pulumi-stack": pulumi.get_stack()}
    return {key: label_value(value) for key, value in own.items()} | settings.tags


def label_value(text: str) -> str:
    """``text`` as the value of a label: up to 63 of a-z, 0-9, _ and -."""
    return re.sub(r"[^a-z0-9_-]+", "-", text.lower())[:63]


def _config() -> dict[str, str]:
    values, _ = configured(CONFIG)
    problems = [
        Problem(
            f"gcp:{key}",
            f"has no effect here; known are {', '.join(READ)}, mlflow:tags for labels, and the environment "
            "variables of Google's SDKs for credentials",
        )
        for key in sorted(values.keys() - set(READ))
    ]
    if not values.get("project"):
        remedy = "is missing; say which, such as `pulumi config set gcp:project acme-ml`"
        problems.append(Problem("gcp:project", remedy))
    elif not PROJECT_ID.match(str(values["project"])):
        remedy = (
            f"{values['project']} is no project id: 6 to 30 of a-z, 0-9 and -, a letter first (not the name)"
        )
        problems.append(Problem("gcp:project", remedy))
    if not values.get("region"):
        remedy = "is missing; say where, such as `pulumi config set gcp:region europe-west1`"
        problems.append(Problem("gcp:region", remedy))
    if problems:
        raise SettingsError(problems, stack=pulumi.get_stack())
    return {name: str(values[name]) for name in READ}
