"""The resource group of the stack: one of its own, or one that is there already."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
from pulumi_azure_native import resources

from ...settings.azure import AzureStack
from .provider import Subscription


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where each part is made: passed to every component.

    :param group: name of the resource group.
    """

    subscription: Subscription
    group: pulumi.Output[str]

    @property
    def location(self) -> str:
        return self.subscription.location

    @property
    def tags(self) -> Mapping[str, str]:
        return self.subscription.tags


def resource_group(settings: AzureStack, subscription: Subscription) -> Place:
    """The place of the stack. A group of its own is guarded by what is in it: it goes last."""
    named = settings.azure.resource_group
    if named:
        found = resources.get_resource_group_output(resource_group_name=named, opts=subscription.invoke)
        return Place(subscription=subscription, group=found.name)
    made = resources.ResourceGroup(
        "mlflow",
        location=subscription.location,
        tags=dict(subscription.tags),
        opts=pulumi.ResourceOptions(
            provider=subscription.provider, protect=settings.protected(pulumi.get_stack())
        ),
    )
    return Place(subscription=subscription, group=made.name)
