"""Where tokens come from: one source per cloud. SDKs are imported only when a URI asks for theirs."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol

from .errors import NotAllowedError, NoTokenError

AZURE_SCOPE = "https://ossrdbms-aad.database.windows.net/.default"
"""Azure Database for PostgreSQL and MySQL in the public cloud. Source: Microsoft Learn, "Connect with
managed identity to Azure Database for PostgreSQL"."""


class TokenSource(Protocol):
    """Gives a password for each new connection."""

    def token(self, *, host: str, port: int, user: str) -> str:
        """A password that the database accepts for a few minutes.

        :raises NoTokenError: when the cloud gives none.
        """
        ...

    def check(self, user: str) -> str:
        """What to check, in one line, when the database refused a token for ``user``."""
        ...


@dataclass(frozen=True)
class AwsTokens:
    """Amazon RDS and Aurora: a request signed with the pod's credentials, made without a call.

    Source: Amazon RDS User Guide, "IAM database authentication"; the token lives 15 minutes and is looked
    at only when a connection is made.
    """

    region: str

    def token(self, *, host: str, port: int, user: str) -> str:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            return rds_client(self.region).generate_db_auth_token(
                DBHostname=host, Port=port, DBUsername=user, Region=self.region
            )
        except (BotoCoreError, ClientError) as error:
            raise NoTokenError(
                f"no AWS token for database user {user}: {_one_line(error)} (check the pod's role: the "
                "ServiceAccount's Pod Identity association, or its eks.amazonaws.com/role-arn and the trust)"
            ) from None

    def check(self, user: str) -> str:
        role = os.environ.get("AWS_ROLE_ARN", "the pod's role")
        return (
            f"a token of {role}, region {self.region}, was refused for {user}: check rds-db:connect on "
            f"dbuser:RESOURCE_ID/{user}, that {user} signs in by IAM, and that the host is the real endpoint"
        )


@lru_cache
def rds_client(region: str) -> Any:
    """One client per process: MLflow's several engines share it, and with it the refreshed credentials."""
    import boto3

    return boto3.Session().client("rds", region_name=region)


@dataclass(frozen=True)
class AzureTokens:
    """Azure Database for PostgreSQL and MySQL: an Entra token of the pod's workload identity.

    azure-identity keeps a token until shortly before it ends.
    """

    scope: str

    def token(self, *, host: str, port: int, user: str) -> str:
        del host, port  # the token says who the pod is, not where it goes
        from azure.core.exceptions import AzureError

        try:
            return azure_credential().get_token(self.scope).token
        except (AzureError, ValueError) as error:
            raise NoTokenError(
                f"no Entra token for database user {user}: {_one_line(error)} (check the pod's label "
                "azure.workload.identity/use, the ServiceAccount's client id and the federated credential)"
            ) from None

    def check(self, user: str) -> str:
        client = os.environ.get("AZURE_CLIENT_ID", "unknown")
        return (
            f"an Entra token of client id {client} was refused for {user}: check that {user} was made for "
            "this identity (object ids count, not names; a recreated identity is another one)"
        )


@lru_cache
def azure_credential() -> Any:
    """One credential per process. Only workload identity: a stray AZURE_CLIENT_SECRET must not win."""
    from azure.identity import WorkloadIdentityCredential

    return WorkloadIdentityCredential()


def token_source(name: str | None, *, region: str | None, scope: str | None) -> TokenSource:
    """The source that a URI asks for.

    :raises NotAllowedError: when there is none of that name, or it lacks what it needs.
    """
    if name == "azure":
        return AzureTokens(scope or AZURE_SCOPE)
    if name != "aws":
        raise NotAllowedError(f"token_source is {name} in the database URI; it may be aws or azure")
    region = region or _region(os.environ)
    if not region:
        raise NotAllowedError("token_source=aws needs token_region in the database URI, or AWS_REGION")
    return AwsTokens(region)


def _region(environment: Mapping[str, str]) -> str | None:
    return environment.get("AWS_REGION") or environment.get("AWS_DEFAULT_REGION")


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:400]
