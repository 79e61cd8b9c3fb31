"""The Azure subscription and location of the stack, and the one provider that reaches them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
import pulumi_azure_native as azure_native
from pulumi_azure_native import authorization

from ...settings.azure import AzureStack
from ...settings.errors import Problem, SettingsError
from ...settings.load import configured

CONFIG = "azure-native"
READ = ("location", "subscriptionId", "tenantId")
"""The keys below ``azure-native:`` that are read. An explicit provider sees no others, so they are refused,
not lost."""
ID = re.compile(r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")


@dataclass(frozen=True, kw_only=True)
class Subscription:
    """Where the stack's Azure resources are made.

    :param id: of the subscription, without ``/subscriptions/``.
    :param tenant: of Entra, to which the subscription belongs.
    :param tags: for every resource that can have some: the provider puts none on.
    """

    provider: azure_native.Provider
    location: str
    id: pulumi.Output[str]
    tenant: pulumi.Output[str]
    tags: Mapping[str, str]

    @property
    def invoke(self) -> pulumi.InvokeOutputOptions:
        """Options of a look-up."""
        return pulumi.InvokeOutputOptions(provider=self.provider)


def connect_subscription(settings: AzureStack) -> Subscription:
    """The subscription that the stack's ``azure-native:`` configuration, or the caller's sign-in, names.

    :raises SettingsError: for a key that would have no effect, or what is in another subscription. The
        location is checked with the settings.
    """
    config = _config(settings)
    provider = azure_native.Provider(
        "azure",
        location=config["location"],
        subscription_id=config.get("subscriptionId"),
        tenant_id=config.get("tenantId"),
    )
    caller = authorization.get_client_config_output(opts=pulumi.InvokeOutputOptions(provider=provider))
    return Subscription(
        provider=provider,
        location=config["location"],
        id=caller.subscription_id,
        tenant=caller.tenant_id,
        tags=stack_tags(settings),
    )


def stack_tags(settings: AzureStack) -> dict[str, str]:
    """The tags on every resource: whose it is, and what the stack file adds."""
    own = {"pulumi-project": pulumi.get_project(), "pulumi-stack": pulumi.get_stack()}
    return own | settings.tags


def _config(settings: AzureStack) -> dict[str, str]:
    values, _ = configured(CONFIG)
    problems = [
        Problem(
            f"azure-native:{key}",
            f"has no effect here; known are {', '.join(READ)}, mlflow:tags for tags, and ARM_… environment "
            "variables or `az login` for credentials",
        )
        for key in sorted(values.keys() - set(READ))
    ]
    problems += [
        Problem(f"azure-native:{key}", f"{values[key]} is no id: small letters, 8-4-4-4-12, not a name")
        for key in ("subscriptionId", "tenantId")
        if values.get(key) and not ID.match(str(values[key]))
    ]
    own, administrator = values.get("subscriptionId"), settings.database.administrator
    if own and administrator and f"/subscriptions/{own}/" not in administrator:
        problems.append(
            Problem(
                "mlflow:database.administrator",
                f"is in another subscription than the stack's ({own}); name an identity in that one",
            )
        )
    if problems:
        raise SettingsError(problems, stack=pulumi.get_stack())
    return {name: str(value) for name, value in values.items()}
