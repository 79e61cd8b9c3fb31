"""State on Amazon Web Services: an S3 bucket, and a KMS key for the secrets in it.

Bucket: versioned, private, encrypted with the key, TLS only. Source: AWS, "Security best practices for Amazon
S3"; Pulumi, "Managing state and backend options" and "Secrets" (the URLs).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlencode

from tools.backend import PURPOSE, Backend, fitting_name
from tools.common import Failure

KEPT_DAYS = 365
"""Days for which an overwritten state can be brought back."""
PRIVATE = {
    "BlockPublicAcls": True,
    "IgnorePublicAcls": True,
    "BlockPublicPolicy": True,
    "RestrictPublicBuckets": True,
}
TLS_ONLY = "DenyWithoutTls"
NAME_LIMIT = 63
"""S3: bucket names have 3 to 63 characters."""


def ensure(project: str, config: Mapping[str, Any]) -> Backend:
    """Make what is missing of bucket and key, in the stack's region and the caller's account.

    :param config: the stack file's ``config``; ``aws:region`` and ``aws:profile`` are read.
    :raises Failure: without a region or credentials, or when the bucket is somebody else's.
    """
    import boto3  # late and only here: no other verb needs it

    region = config.get("aws:region")
    if not region:
        raise Failure("the stack names no region", "set aws:region in the stack file")
    made: list[str] = []
    profile = config.get("aws:profile")
    # The engine opens both by itself, and would take whatever account the shell is in.
    where = urlencode({"region": region} | ({"profile": profile} if profile else {}))
    with _understandable():
        session = boto3.Session(region_name=region, profile_name=profile)
        caller = session.client("sts").get_caller_identity()
        bucket = _Bucket(session.client("s3"), bucket_name(project, caller["Account"], region), caller)
        bucket.make(project, region, made)
        bucket.protect(_key(session.client("kms"), project, made), made)
    return Backend(
        url=f"s3://{bucket.name}?{where}",
        secrets_provider=f"awskms://{_alias(project)}?{where}",
        made=made,
    )


def bucket_name(project: str, account: str, region: str) -> str:
    """A name that no other project, account or region of ours has; a long project is cut and told apart."""
    return fitting_name(project, f"-state-{account}-{region}", NAME_LIMIT)


def _alias(project: str) -> str:
    return f"alias/{re.sub(r'[^A-Za-z0-9/_-]', '-', project)}-state"


def _key(kms: Any, project: str, made: list[str]) -> str:
    """The ARN of the key behind the alias, both made when missing, rotated every year."""
    from botocore.exceptions import ClientError

    alias = _alias(project)
    try:
        key = kms.describe_key(KeyId=alias)["KeyMetadata"]
    except ClientError as error:
        if error.response["Error"]["Code"] != "NotFoundException":
            raise
        key = _nameless_key(kms, project) or _new_key(kms, project, made)
        kms.create_alias(AliasName=alias, TargetKeyId=key["KeyId"])
        made.append(f"alias {alias}")
    if key["KeyState"] != "Enabled":
        raise Failure(
            f"the key behind {alias} is {key['KeyState']}: secrets in the state cannot be read",
            f"bring it back: aws kms cancel-key-deletion --key-id {key['KeyId']}, then aws kms enable-key",
        )
    if not kms.get_key_rotation_status(KeyId=key["KeyId"])["KeyRotationEnabled"]:
        kms.enable_key_rotation(KeyId=key["KeyId"])
        made.append("yearly rotation of the key")
    return key["Arn"]


def _new_key(kms: Any, project: str, made: list[str]) -> dict[str, Any]:
    made.append("KMS key")
    return kms.create_key(
        Description=f"Secrets in the Pulumi state of {project}",
        # The second is what docs/aws-policy.json lets its holder use, as on everything a stack makes.
        Tags=[
            {"TagKey": project, "TagValue": PURPOSE},
            {"TagKey": "pulumi-project", "TagValue": project},
        ],
    )["KeyMetadata"]


def _nameless_key(kms: Any, project: str) -> dict[str, Any] | None:
    """A key that a run made which was ended before it could name it.

    A key whose own policy keeps the caller out is somebody else's.
    """
    from botocore.exceptions import ClientError

    aliases = kms.get_paginator("list_aliases").paginate()
    named = {alias.get("TargetKeyId") for page in aliases for alias in page["Aliases"]}
    for page in kms.get_paginator("list_keys").paginate():
        for each in page["Keys"]:
            if each["KeyId"] in named:
                continue
            try:
                listed = kms.list_resource_tags(KeyId=each["KeyId"])["Tags"]
            except ClientError as error:
                if error.response["Error"]["Code"] == "AccessDeniedException":
                    continue
                raise
            if {"TagKey": project, "TagValue": PURPOSE} not in listed:
                continue
            key = kms.describe_key(KeyId=each["KeyId"])["KeyMetadata"]
            if key["KeyState"] == "Enabled":
                return key
    return None


class _Bucket:
    """The bucket, asked for and changed only as the caller's account's own."""

    def __init__(self, s3: Any, name: str, caller: Mapping[str, Any]) -> None:
        self.s3, self.name = s3, name
        self.partition = caller["Arn"].split(":")[1]
        self.own = {"Bucket": name, "ExpectedBucketOwner": caller["Account"]}

    def make(self, project: str, region: str, made: list[str]) -> None:
        """:raises Failure: when somebody else has it, or it serves another purpose."""
        if self._asked("head_bucket", missing=("404", "NoSuchBucket")) is None:
            self._create(region)
            made.append(f"bucket {self.name}")
        answer = self._asked("get_bucket_tagging", missing=("NoSuchTagSet",)) or {}
        tags = {tag["Key"]: tag["Value"] for tag in answer.get("TagSet", [])}
        if tags.get(project) == PURPOSE:
            return
        # Without our mark it may still be a bucket whose making was interrupted: then nothing is in it.
        if self.s3.list_objects_v2(**self.own, MaxKeys=1)["KeyCount"]:
            raise Failure(
                f"bucket {self.name} is in your account, but holds what `make backend` did not put there",
                f"if it holds this project's states, tag it: {project}={PURPOSE}; else empty or rename it",
            )
        tags[project] = PURPOSE
        listed = [{"Key": key, "Value": value} for key, value in tags.items()]
        self.s3.put_bucket_tagging(**self.own, Tagging={"TagSet": listed})

    def _create(self, region: str) -> None:
        from botocore.exceptions import ClientError

        # us-east-1 is the one region that must not be named (S3, CreateBucket).
        place = {} if region == "us-east-1" else {
            "CreateBucketConfiguration": {"LocationConstraint": region}
        }  # fmt: skip
        try:
            self.s3.create_bucket(Bucket=self.name, ObjectOwnership="BucketOwnerEnforced", **place)
        except ClientError as error:
            if error.response["Error"]["Code"] in ("BucketAlreadyExists", "OperationAborted"):
                raise self._not_ours() from None
            raise

    def protect(self, key: str, made: list[str]) -> None:
        """Bring each safeguard to what it must be, and nothing that is right already."""
        if self.s3.get_bucket_versioning(**self.own).get("Status") != "Enabled":
            self.s3.put_bucket_versioning(**self.own, VersioningConfiguration={"Status": "Enabled"})
            made.append("versioning")
        public = self._asked("get_public_access_block", missing=("NoSuchPublicAccessBlockConfiguration",))
        if not public or public["PublicAccessBlockConfiguration"] != PRIVATE:
            self.s3.put_public_access_block(**self.own, PublicAccessBlockConfiguration=PRIVATE)
            made.append("no public access")
        if not self._encrypted_with_a_key():
            rule = {
                "ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key},
                "BucketKeyEnabled": True,
            }
            self.s3.put_bucket_encryption(**self.own, ServerSideEncryptionConfiguration={"Rules": [rule]})
            made.append("encryption with the key")
        self._tls_only(made)
        if (
            self._asked("get_bucket_lifecycle_configuration", missing=("NoSuchLifecycleConfiguration",))
            is None
        ):
            self._keep_old_versions()
            made.append(f"old versions kept for {KEPT_DAYS} days")

    def _encrypted_with_a_key(self) -> bool:
        found = self._asked(
            "get_bucket_encryption", missing=("ServerSideEncryptionConfigurationNotFoundError",)
        )
        rules = found["ServerSideEncryptionConfiguration"]["Rules"] if found else []
        return any(
            rule.get("ApplyServerSideEncryptionByDefault", {}).get("SSEAlgorithm") == "aws:kms"
            for rule in rules
        )

    def _tls_only(self, made: list[str]) -> None:
        """Our statement among those of the bucket's policy that others may have added."""
        found = self._asked("get_bucket_policy", missing=("NoSuchBucketPolicy",))
        policy = json.loads(found["Policy"]) if found else {"Version": "2012-10-17", "Statement": []}
        arn = f"arn:{self.partition}:s3:::{self.name}"
        statement = {
            "Sid": TLS_ONLY,
            "Effect": "Deny",
            "Principal": "*",
            "Action": "s3:*",
            "Resource": [arn, f"{arn}/*"],
            "Condition": {"Bool": {"aws:SecureTransport": "false"}},
        }
        if statement in policy["Statement"]:
            return
        others = [each for each in policy["Statement"] if each.get("Sid") != TLS_ONLY]
        self.s3.put_bucket_policy(
            **self.own, Policy=json.dumps({**policy, "Statement": [*others, statement]})
        )
        made.append("TLS only")

    def _keep_old_versions(self) -> None:
        rule = {
            "ID": "old-versions",
            "Status": "Enabled",
            "Filter": {"Prefix": ""},
            "NoncurrentVersionExpiration": {"NoncurrentDays": KEPT_DAYS},
            "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 7},
        }
        self.s3.put_bucket_lifecycle_configuration(**self.own, LifecycleConfiguration={"Rules": [rule]})

    def _asked(self, call: str, missing: tuple[str, ...] = ()) -> dict[str, Any] | None:
        """What a question about the bucket answers; None for the codes that say it is not there."""
        from botocore.exceptions import ClientError

        try:
            return getattr(self.s3, call)(**self.own)
        except ClientError as error:
            if error.response["Error"]["Code"] in missing:
                return None
            if call == "head_bucket" and error.response["Error"]["Code"] in ("403", "301", "AccessDenied"):
                raise self._not_ours() from None
            raise

    def _not_ours(self) -> Failure:
        return Failure(
            f"bucket {self.name} belongs to another account, or you may not see it",
            "check which account you are in (aws sts get-caller-identity) and that it may use s3:ListBucket",
        )


@contextmanager
def _understandable() -> Iterator[None]:
    """Turn what boto3 raises into a line that says what to do."""
    from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, ProfileNotFound

    try:
        yield
    except (NoCredentialsError, ProfileNotFound) as error:
        raise Failure(f"no AWS credentials: {error}", "aws configure sso, or set AWS_PROFILE") from None
    except ClientError as error:
        said = error.response["Error"]
        raise Failure(
            f"AWS refused {error.operation_name}: {said.get('Message') or said['Code']}",
            "the rights that it needs are in docs/aws-policy.json and docs/aws-policy-network.json",
        ) from None
    except BotoCoreError as error:
        raise Failure(f"AWS did not answer: {error}", "check the network and aws:region") from None
