"""The artifact bucket on Cloud Storage."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
import pulumi_gcp as gcp

from ...contracts import THROUGH_THE_SERVER, ArtifactStore
from ...settings.artifacts import Transfer
from ...settings.gcp import GcpArtifacts
from .provider import Project

storage = gcp.storage

ABANDONED_DAYS = 7
"""After which the parts of an upload that was never finished go."""
DAY_SECONDS = 86400
OBJECT_USER = "roles/storage.objectUser"
"""List, read, write and delete objects; MLflow never asks for the bucket itself (facts/gcp.md, GCS)."""
METADATA_SECONDS = "30"
"""In a fresh pod GKE's metadata server may take a while to answer; after google-auth's 3 s MLflow would go on
as nobody (googleapis/google-auth-library-python#1261)."""


@dataclass(frozen=True, kw_only=True)
class ArtifactBucketArgs:
    """Inputs of :class:`ArtifactBucket`.

    :param server: member that always gets the rights.
    :param jobs: member that gets them when jobs use the bucket themselves.
    :param protect: guard the bucket against deletion; without, it goes with everything in it.
    """

    settings: GcpArtifacts
    project: Project
    server: pulumi.Input[str]
    jobs: pulumi.Input[str]
    protect: bool


class ArtifactBucket(pulumi.ComponentResource):
    """A private, versioned bucket, or a folder of an existing one.

    Source: Cloud Storage, "Best practices" and "Public access prevention".

    :ivar store: the contract.
    :ivar bucket: its name.
    """

    store: ArtifactStore
    bucket: pulumi.Output[str]

    def __init__(
        self, name: str, args: ArtifactBucketArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("mlflow:gcp:ArtifactBucket", name, {}, opts)
        self._name, self._args = name, args
        existing = args.settings.existing
        prefix = existing.prefix if existing else None
        self.bucket = pulumi.Output.from_input(existing.name) if existing else self._bucket().name
        direct = args.settings.transfer is Transfer.DIRECT
        self._grant("server", args.server)
        if direct:
            self._grant("jobs", args.jobs)
        uri = pulumi.Output.concat("gs://", self.bucket, f"/{prefix}" if prefix else "")
        client_env: Mapping[str, str] = (
            {"GCE_METADATA_TIMEOUT": METADATA_SECONDS} if direct else THROUGH_THE_SERVER
        )
        self.store = ArtifactStore(
            destination=uri,
            default_root=uri if direct else "mlflow-artifacts:/",
            client_env=client_env,
            env={"GCE_METADATA_TIMEOUT": METADATA_SECONDS, "GOOGLE_CLOUD_PROJECT": args.project.id},
            ready=[self],
        )
        self.register_outputs({"bucket": self.bucket})

    def _bucket(self) -> gcp.storage.Bucket:
        settings, protect = self._args.settings, self._args.protect
        return storage.Bucket(
            self._name,
            location=settings.location or self._args.project.region,
            uniform_bucket_level_access=True,
            public_access_prevention="enforced",
            versioning=storage.BucketVersioningArgs(enabled=True),
            soft_delete_policy=storage.BucketSoftDeletePolicyArgs(
                retention_duration_seconds=settings.soft_delete_days * DAY_SECONDS
            ),
            lifecycle_rules=[
                storage.BucketLifecycleRuleArgs(
                    action=storage.BucketLifecycleRuleActionArgs(type="Delete"),
                    condition=storage.BucketLifecycleRuleConditionArgs(
                        days_since_noncurrent_time=settings.keep_versions_days, with_state="ARCHIVED"
                    ),
                ),
                storage.BucketLifecycleRuleArgs(
                    action=storage.BucketLifecycleRuleActionArgs(type="AbortIncompleteMultipartUpload"),
                    condition=storage.BucketLifecycleRuleConditionArgs(age=ABANDONED_DAYS),
                ),
            ],
            force_destroy=not protect,
            opts=pulumi.ResourceOptions(
                parent=self, protect=protect, depends_on=self._args.project.apis.of("storage")
            ),
        )

    def _grant(self, who: str, member: pulumi.Input[str]) -> None:
        existing = self._args.settings.existing
        condition = None
        if existing and existing.prefix:
            condition = storage.BucketIAMMemberConditionArgs(
                title="This folder only", expression=below(existing.name, existing.prefix)
            )
        storage.BucketIAMMember(
            f"{self._name}-{who}",
            bucket=self.bucket,
            role=OBJECT_USER,
            member=member,
            condition=condition,
            opts=pulumi.ResourceOptions(parent=self),
        )


def below(bucket: str, prefix: str) -> str:
    """The condition of objects in a folder, and of listing them (Cloud Storage, "Use IAM Conditions on
    buckets")."""
    return (
        f'resource.name.startsWith("projects/_/buckets/{bucket}/objects/{prefix}/") || '
        f'api.getAttribute("storage.googleapis.com/objectListPrefix", "").startsWith("{prefix}/")'
    )
