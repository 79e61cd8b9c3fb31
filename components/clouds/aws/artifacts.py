"""The artifact bucket on Amazon S3."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from ...contracts import THROUGH_THE_SERVER, ArtifactStore
from ...settings.artifacts import Transfer
from ...settings.aws import AwsArtifacts
from .provider import Account
from .roles import VERSION, allow, document

s3 = aws.s3

ABANDONED_DAYS = 7
"""After which the parts of an upload that was never finished go."""
OBJECT_ACTIONS = ("s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload")
"""What MLflow 3.17 calls on objects, be it the server or a job. Signing an address needs no right of its own:
its bearer may do what the signer may."""

BY_SIGNED_ADDRESS: Mapping[str, str] = dict.fromkeys(THROUGH_THE_SERVER, "true")


@dataclass(frozen=True, kw_only=True)
class ArtifactBucketArgs:
    """Inputs of :class:`ArtifactBucket`.

    :param protect: guard the bucket against deletion; without, it goes with everything in it.
    """

    settings: AwsArtifacts
    account: Account
    protect: bool


class ArtifactBucket(pulumi.ComponentResource):
    """A private, versioned bucket, or a folder of an existing one.

    Source: AWS, "Security best practices for Amazon S3".

    :ivar store: the contract.
    :ivar bucket: its name.
    :ivar policies: what a role needs that reads and writes artifacts, and nothing beside them.
    :ivar jobs_policies: what the role of jobs needs; empty unless they use the bucket themselves.
    """

    store: ArtifactStore
    bucket: pulumi.Output[str]
    policies: dict[str, pulumi.Output[str]]
    jobs_policies: dict[str, pulumi.Output[str]]

    def __init__(
        self, name: str, args: ArtifactBucketArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("mlflow:aws:ArtifactBucket", name, {}, opts)
        self._name, self._args = name, args
        self._child = pulumi.ResourceOptions(parent=self)
        existing, transfer = args.settings.existing, args.settings.transfer
        prefix = existing.prefix if existing else None
        if existing:
            found = s3.get_bucket_output(bucket=existing.name, opts=args.account.invoke)
            self.bucket, arn, region = found.bucket, found.arn, found.bucket_region
        else:
            made = self._bucket()
            self.bucket, arn, region = made.bucket, made.arn, pulumi.Output.from_input(args.account.region)
        self.policies = {"artifacts": _rights(arn, prefix)}
        if existing and existing.key:
            self.policies["key"] = _rights_on_key(existing.key)
        self.jobs_policies = self.policies if transfer is Transfer.DIRECT else {}
        self.store = self._store(transfer, prefix, region)
        self.register_outputs({"bucket": self.bucket})

    def _store(self, transfer: Transfer, prefix: str | None, region: pulumi.Output[str]) -> ArtifactStore:
        uri = pulumi.Output.concat("s3://", self.bucket, f"/{prefix}" if prefix else "")
        direct = transfer is Transfer.DIRECT
        client_env = {
            Transfer.PROXIED: THROUGH_THE_SERVER,
            Transfer.PRESIGNED: BY_SIGNED_ADDRESS,
            Transfer.DIRECT: {},
        }[transfer]
        return ArtifactStore(
            destination=uri,
            default_root=uri if direct else "mlflow-artifacts:/",
            client_env=client_env,
            # Signed addresses name the region; a client that guesses it signs for the wrong one.
            env={"AWS_DEFAULT_REGION": region},
            ready=[self],
        )

    def _bucket(self) -> aws.s3.Bucket:
        bucket = s3.Bucket(
            self._name,
            force_destroy=not self._args.protect,
            opts=pulumi.ResourceOptions(parent=self, protect=self._args.protect),
        )
        s3.BucketPublicAccessBlock(
            f"{self._name}-private",
            bucket=bucket.bucket,
            block_public_acls=True,
            block_public_policy=True,
            ignore_public_acls=True,
            restrict_public_buckets=True,
            opts=self._child,
        )
        s3.BucketOwnershipControls(
            f"{self._name}-ownership",
            bucket=bucket.bucket,
            rule=s3.BucketOwnershipControlsRuleArgs(object_ownership="BucketOwnerEnforced"),
            opts=self._child,
        )
        s3.BucketServerSideEncryptionConfiguration(
            f"{self._name}-encryption",
            bucket=bucket.bucket,
            rules=[
                s3.BucketServerSideEncryptionConfigurationRuleArgs(
                    apply_server_side_encryption_by_default=s3.BucketServerSideEncryptionConfigurationRuleApplyServerSideEncryptionByDefaultArgs(
                        sse_algorithm="AES256"
                    )
                )
            ],
            opts=self._child,
        )
        self._versions(bucket)
        s3.BucketPolicy(
            f"{self._name}-policy", bucket=bucket.bucket, policy=_tls_only(bucket.arn), opts=self._child
        )
        return bucket

    def _versions(self, bucket: aws.s3.Bucket) -> None:
        versioning = s3.BucketVersioning(
            f"{self._name}-versions",
            bucket=bucket.bucket,
            versioning_configuration=s3.BucketVersioningVersioningConfigurationArgs(status="Enabled"),
            opts=self._child,
        )
        everything = s3.BucketLifecycleConfigurationRuleFilterArgs(prefix="")
        s3.BucketLifecycleConfiguration(
            f"{self._name}-lifecycle",
            bucket=bucket.bucket,
            rules=[
                s3.BucketLifecycleConfigurationRuleArgs(
                    id="old-versions",
                    status="Enabled",
                    filter=everything,
                    noncurrent_version_expiration=s3.BucketLifecycleConfigurationRuleNoncurrentVersionExpirationArgs(
                        noncurrent_days=self._args.settings.keep_versions_days
                    ),
                    expiration=s3.BucketLifecycleConfigurationRuleExpirationArgs(
                        expired_object_delete_marker=True
                    ),
                ),
                s3.BucketLifecycleConfigurationRuleArgs(
                    id="abandoned-uploads",
                    status="Enabled",
                    filter=everything,
                    abort_incomplete_multipart_upload=s3.BucketLifecycleConfigurationRuleAbortIncompleteMultipartUploadArgs(
                        days_after_initiation=ABANDONED_DAYS
                    ),
                ),
            ],
            opts=pulumi.ResourceOptions(parent=self, depends_on=[versioning]),
        )


def _rights(arn: pulumi.Output[str], prefix: str | None) -> pulumi.Output[str]:
    """List, read, write and delete what is below the prefix (the whole bucket without one)."""
    below = f"/{prefix}/*" if prefix else "/*"
    condition = {"StringLike": {"s3:prefix": [prefix, f"{prefix}/*"]}} if prefix else None
    return document(
        allow(["s3:ListBucket"], [arn], condition),
        allow(OBJECT_ACTIONS, [pulumi.Output.concat(arn, below)]),
    )


def _rights_on_key(arn: str) -> pulumi.Output[str]:
    """What reading and writing objects takes of the key they are encrypted with, through S3 alone (S3 user
    guide, "Using server-side encryption with AWS KMS keys": permissions)."""
    through_s3 = {"StringLike": {"kms:ViaService": "s3.*.amazonaws.com*"}}
    return document(allow(["kms:GenerateDataKey", "kms:Decrypt"], [arn], through_s3))


def _tls_only(arn: pulumi.Output[str]) -> pulumi.Output[str]:
    """Whoever it is, never in the clear (S3 user guide, "Enforcing encryption of data in transit")."""
    return pulumi.Output.json_dumps(
        {
            "Version": VERSION,
            "Statement": [
                {
                    "Sid": "TlsOnly",
                    "Effect": "Deny",
                    "Principal": "*",
                    "Action": "s3:*",
                    "Resource": [arn, pulumi.Output.concat(arn, "/*")],
                    "Condition": {"Bool": {"aws:SecureTransport": "false"}},
                }
            ],
        }
    )
