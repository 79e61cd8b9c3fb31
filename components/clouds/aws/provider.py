"""The AWS account and region of the stack, and the one provider that reaches them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_aws as aws

from ...settings.aws import AwsStack
from ...settings.errors import Problem, SettingsError
from ...settings.load import configured

CONFIG = "aws"
READ = ("region", "profile", "allowedAccountIds", "forbiddenAccountIds", "assumeRoles")
"""The keys below ``aws:`` that are read. An explicit provider sees no others: they are refused, not lost."""


@dataclass(frozen=True, kw_only=True)
class Account:
    """Where the stack's AWS resources are made.

    :param provider: has the region and puts the tags on every resource that can have some.
    :param id: the account's 12 digits.
    :param caller: ARN of who runs the program; of a role, that of its session.
    :param partition: the second part of every ARN: aws, aws-cn, aws-us-gov.
    :param tags: what the provider puts on; for what is made by others (load balancers, volumes, nodes).
    :param permission_boundary: bounds every role of the stack.
    :param credentials: how the aws CLI becomes who Pulumi is: its options and its environment.
    """

    provider: aws.Provider
    region: str
    id: pulumi.Output[str]
    caller: pulumi.Output[str]
    partition: pulumi.Output[str]
    tags: Mapping[str, str]
    permission_boundary: str | None
    credentials: tuple[list[str], dict[str, str]]

    @property
    def invoke(self) -> pulumi.InvokeOptions:
        """Options of a look-up."""
        return pulumi.InvokeOptions(provider=self.provider)


def connect_account(settings: AwsStack) -> Account:
    """The account that the stack's ``aws:`` configuration names.

    :raises SettingsError: when a key would have no effect. The region is checked with the settings.
    """
    config = _config()
    tags = stack_tags(settings)
    provider = aws.Provider(
        "aws",
        region=config["region"],
        profile=config.get("profile"),
        allowed_account_ids=config.get("allowedAccountIds"),
        forbidden_account_ids=config.get("forbiddenAccountIds"),
        assume_roles=[
            aws.ProviderAssumeRoleArgs(
                role_arn=role["roleArn"],
                session_name=role.get("sessionName"),
            )
            for role in config.get("assumeRoles") or []
        ]
        or None,
        default_tags=aws.ProviderDefaultTagsArgs(tags=tags),
    )
    lookup = pulumi.InvokeOptions(provider=provider)
    identity = aws.get_caller_identity_output(opts=lookup)
    return Account(
        provider=provider,
        region=config["region"],
        id=identity.account_id,
        caller=identity.arn,
        partition=aws.get_partition_output(opts=lookup).partition,
        tags=tags,
        permission_boundary=settings.aws.permission_boundary,
        credentials=_credentials(config),
    )


def stack_tags(settings: AwsStack) -> dict[str, str]:
    """The tags on every AWS resource: whose it is, and what the stack file adds."""
    own = {"pulumi-project": pulumi.get_project(), "pulumi-stack": pulumi.get_stack()}
    return own | settings.tags


def _config() -> dict[str, Any]:
    values, _ = configured(CONFIG)
    problems = [
        Problem(f"aws:{key}", f"has no effect here; known are {', '.join(READ)}, and mlflow:tags for tags")
        for key in sorted(values.keys() - set(READ))
    ]
    roles = values.get("assumeRoles") or []
    if len(roles) > 1 or any(not isinstance(role, dict) or "roleArn" not in role for role in roles):
        problems.append(
            Problem("aws:assumeRoles", "must be one role, as [{ roleArn: arn:aws:iam::…:role/… }]")
        )
    elif roles and "externalId" in roles[0]:
        # aws/aws-cli, issue 5942.
        problems.append(
            Problem(
                "aws:assumeRoles[0].externalId",
                "cannot be said by `aws eks get-token`, which signs in to Kubernetes; put role_arn and "
                "external_id into a profile, and name that in aws:profile instead of aws:assumeRoles",
            )
        )
    if problems:
        raise SettingsError(problems, stack=pulumi.get_stack())
    return values


def _credentials(config: Mapping[str, Any]) -> tuple[list[str], dict[str, str]]:
    roles = config.get("assumeRoles") or []
    profile = config.get("profile")
    return (
        [part for role in roles for part in ("--role-arn", role["roleArn"])],
        {"AWS_PROFILE": profile} if profile else {},
    )
