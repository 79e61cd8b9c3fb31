"""AWS: EKS, RDS, S3, ECR, and roles that pods take on. Here the parts are put together, and nowhere else."""

from __future__ import annotations

from typing import Any

import pulumi

from ...contracts import (
    DATABASE_ADMIN_ACCOUNT,
    JOBS_ACCOUNT,
    SERVER_ACCOUNT,
    Foundation,
    Identity,
    WorkloadIdentity,
)
from ...settings import artifacts_place, database_place
from ...settings.aws import AwsStack
from ...settings.database import Place
from .artifacts import ArtifactBucket, ArtifactBucketArgs
from .cluster import AwsCluster, connect
from .database import RdsDatabase, RdsDatabaseArgs
from .identity import WorkloadRole, WorkloadRoleArgs
from .images import ImageRegistry, ImageRegistryArgs
from .provider import Account, connect_account


def build(settings: AwsStack) -> Foundation:
    """The foundation on AWS.

    :raises SettingsError: when the settings do not fit what there is.
    """
    account = connect_account(settings)
    cluster = connect(settings, account)
    return _Builder(settings, account, cluster).foundation()


class _Builder:
    """What every part is made from."""

    def __init__(self, settings: AwsStack, account: Account, cluster: AwsCluster) -> None:
        self._settings, self._account, self._cluster = settings, account, cluster
        self._protect = settings.protected(pulumi.get_stack())
        self._on_aws = pulumi.ResourceOptions(providers=[account.provider])

    def foundation(self) -> Foundation:
        settings = self._settings
        registry = ImageRegistry(
            "mlflow", ImageRegistryArgs(settings=settings, account=self._account), opts=self._on_aws
        )
        database, bucket = self._database(), self._bucket()
        server = self._role(
            "mlflow-server-role",
            SERVER_ACCOUNT,
            (database.server_policies if database else {}) | (bucket.policies if bucket else {}),
        )
        jobs = self._role("mlflow-jobs-role", JOBS_ACCOUNT, bucket.jobs_policies if bucket else {})
        return Foundation(
            cluster=self._cluster.contract,
            images=registry.images,
            identity=WorkloadIdentity(server=server.identity, jobs=jobs.identity),
            database=database.contract(self._database_admin(database)) if database else None,
            artifacts=bucket.store if bucket else None,
            exports=self._exports(database, bucket)
            | {
                "repositories": registry.repositories,
                "roles": {"server": server.role_arn, "jobs": jobs.role_arn},
            },
            data_places={"aws:region": self._account.region},
        )

    def _database(self) -> RdsDatabase | None:
        if database_place(self._settings) is not Place.MANAGED:
            return None
        return RdsDatabase(
            "mlflow-database",
            RdsDatabaseArgs(
                settings=self._settings.database,
                groups=self._settings.secrets,
                account=self._account,
                cluster=self._cluster,
                protect=self._protect,
            ),
            opts=self._on_aws,
        )

    def _bucket(self) -> ArtifactBucket | None:
        if artifacts_place(self._settings) is not Place.MANAGED:
            return None
        return ArtifactBucket(
            "mlflow-artifacts",
            ArtifactBucketArgs(
                settings=self._settings.artifacts, account=self._account, protect=self._protect
            ),
            opts=self._on_aws,
        )

    def _database_admin(self, database: RdsDatabase) -> Identity:
        if not database.admin_policies:
            return Identity()
        role = self._role("mlflow-database-admin-role", DATABASE_ADMIN_ACCOUNT, database.admin_policies)
        return role.identity

    def _role(self, name: str, service_account: str, policies: dict[str, pulumi.Output[str]]) -> WorkloadRole:
        return WorkloadRole(
            name,
            WorkloadRoleArgs(
                mode=self._settings.aws.identity,
                account=self._account,
                cluster=self._cluster,
                namespace=self._settings.namespace,
                service_account=service_account,
                policies=policies,
            ),
            opts=self._on_aws,
        )

    def _exports(self, database: RdsDatabase | None, bucket: ArtifactBucket | None) -> dict[str, Any]:
        name, region = self._cluster.name, self._account.region
        return {
            "kubeconfig": self._cluster.kubeconfig,
            "clusterName": name,
            "kubeconfigCommand": pulumi.Output.concat(
                "aws eks update-kubeconfig --region ", region, " --name ", name
            ),
            "databaseEndpoint": database.endpoint if database else None,
            "bucket": bucket.bucket if bucket else None,
        }
