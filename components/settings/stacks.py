"""The table of stack models, one per cloud."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

from .aws import AwsStack
from .azure import AzureStack
from .database import Place
from .dev import DevStack
from .existing import ExistingStack
from .gcp import GcpStack
from .stack import Cloud, place_of

Stack: TypeAlias = DevStack | AwsStack | GcpStack | AzureStack
"""Settings of a stack with a tracking server. What all have can be read from any of them."""

AnyStack: TypeAlias = Stack | ExistingStack
"""A stack's settings."""

STACKS: Mapping[Cloud, type[AnyStack]] = {
    Cloud.DEV: DevStack,
    Cloud.AWS: AwsStack,
    Cloud.GCP: GcpStack,
    Cloud.AZURE: AzureStack,
    Cloud.EXISTING: ExistingStack,
}


def stack_model(values: Mapping[str, Any]) -> type[AnyStack]:
    """The model for raw values; dev's where they name no cloud there is, which it then refuses."""
    try:
        return STACKS[Cloud(values.get("cloud"))]
    except ValueError:
        return DevStack


def with_server(settings: AnyStack) -> Stack:
    """The settings of a stack that is known to have a tracking server of its own.

    :raises TypeError: when it has none.
    """
    if isinstance(settings, ExistingStack):
        raise TypeError("this stack has no tracking server of its own")
    return settings


def database_place(settings: Stack) -> Place:
    """Who runs the database, with the default resolved."""
    return place_of(settings.database, settings.cloud)


def artifacts_place(settings: Stack) -> Place:
    """Who runs the artifact store, with the default resolved."""
    return place_of(settings.artifacts, settings.cloud)
