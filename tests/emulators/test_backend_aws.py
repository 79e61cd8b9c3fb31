"""`make backend` against moto's server, and a stack on the real engine whose state it keeps."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import boto3
import pytest
import requests
from botocore.awsrequest import AWSResponse
from moto.server import ThreadedMotoServer

from tools.backend import PURPOSE
from tools.backend.__main__ import remember
from tools.backend.aws import NAME_LIMIT, bucket_name, ensure
from tools.common import Failure
from tools.engine.place import Place, load

REGION = "eu-west-1"
CONFIG = {"aws:region": REGION}
EMPTY = SimpleNamespace(stream=list)
ACCOUNT = "123456789012"
BUCKET = f"mlflow-state-{ACCOUNT}-{REGION}"


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    running = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    running.start()
    host, port = running.get_host_and_port()
    yield f"http://{host}:{port}"
    running.stop()


@pytest.fixture
def aws(server: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """An empty account, in which every call lands."""
    requests.post(f"{server}/moto-api/reset", timeout=10).raise_for_status()
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_ENDPOINT_URL", server)
    return server


def client(service: str) -> Any:
    return boto3.client(service, region_name=REGION)


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, dict[str, Any]]]:
    """Every call to AWS from now on: its name and the headers of its request."""
    calls: list[tuple[str, dict[str, Any]]] = []
    original = boto3.Session.client

    def watching(self: Any, *args: Any, **more: Any) -> Any:
        made = original(self, *args, **more)
        made.meta.events.register(
            "before-call", lambda model, params, **_: calls.append((model.name, dict(params["headers"])))
        )
        return made

    monkeypatch.setattr(boto3.Session, "client", watching)
    return calls


def test_bucket_and_key_are_private_versioned_encrypted_and_take_tls_only(aws: str) -> None:
    backend = ensure("mlflow", CONFIG)
    assert backend.url == f"s3://{BUCKET}?region={REGION}"
    assert backend.secrets_provider == f"awskms://alias/mlflow-state?region={REGION}"
    s3, kms = client("s3"), client("kms")
    assert s3.get_bucket_versioning(Bucket=BUCKET)["Status"] == "Enabled"
    public = s3.get_public_access_block(Bucket=BUCKET)["PublicAccessBlockConfiguration"]
    assert len(public) == 4
    assert all(public.values())
    owners = s3.get_bucket_ownership_controls(Bucket=BUCKET)["OwnershipControls"]["Rules"]
    assert owners == [{"ObjectOwnership": "BucketOwnerEnforced"}]
    key = kms.describe_key(KeyId="alias/mlflow-state")["KeyMetadata"]
    rule = s3.get_bucket_encryption(Bucket=BUCKET)["ServerSideEncryptionConfiguration"]["Rules"][0]
    assert rule["ApplyServerSideEncryptionByDefault"] == {
        "SSEAlgorithm": "aws:kms",
        "KMSMasterKeyID": key["Arn"],
    }
    tags = kms.list_resource_tags(KeyId=key["KeyId"])["Tags"]
    assert {"TagKey": "pulumi-project", "TagValue": "mlflow"} in tags, "docs/aws-policy.json asks for it"
    assert kms.get_key_rotation_status(KeyId=key["KeyId"])["KeyRotationEnabled"]
    (statement,) = json.loads(s3.get_bucket_policy(Bucket=BUCKET)["Policy"])["Statement"]
    assert (statement["Effect"], statement["Principal"], statement["Action"]) == ("Deny", "*", "s3:*")
    assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
    assert statement["Resource"] == [f"arn:aws:s3:::{BUCKET}", f"arn:aws:s3:::{BUCKET}/*"]
    (expiry,) = s3.get_bucket_lifecycle_configuration(Bucket=BUCKET)["Rules"]
    assert expiry["NoncurrentVersionExpiration"]["NoncurrentDays"] == 365
    assert "Expiration" not in expiry, "a state in use must never expire"


def test_a_second_run_changes_nothing(aws: str, watched: list[tuple[str, dict[str, Any]]]) -> None:
    first = ensure("mlflow", CONFIG)
    assert first.made
    watched.clear()
    again = ensure("mlflow", CONFIG)
    assert again.made == []
    assert (again.url, again.secrets_provider) == (first.url, first.secrets_provider)
    assert watched
    assert [name for name, _ in watched if not name.startswith(("Get", "Head", "List", "Describe"))] == []
    assert len(client("kms").list_keys()["Keys"]) == 1


def test_what_somebody_took_away_is_put_back_and_what_they_added_stays(aws: str) -> None:
    ensure("mlflow", CONFIG)
    s3 = client("s3")
    theirs = {
        "Sid": "Theirs", "Effect": "Allow", "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{BUCKET}/*",
        "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"},
    }  # fmt: skip
    policy = {"Version": "2012-10-17", "Statement": [theirs]}
    s3.put_bucket_policy(Bucket=BUCKET, Policy=json.dumps(policy))
    s3.delete_public_access_block(Bucket=BUCKET)
    s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Suspended"})
    assert ensure("mlflow", CONFIG).made == ["versioning", "no public access", "TLS only"]
    statements = json.loads(s3.get_bucket_policy(Bucket=BUCKET)["Policy"])["Statement"]
    assert [each["Sid"] for each in statements] == ["Theirs", "DenyWithoutTls"]


def test_a_run_that_was_ended_in_between_leaves_no_second_key_and_its_empty_bucket_is_taken_over(
    aws: str,
) -> None:
    tags = [{"TagKey": "mlflow", "TagValue": PURPOSE}]
    key = client("kms").create_key(Tags=tags)["KeyMetadata"]["KeyId"]
    client("s3").create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
    ensure("mlflow", CONFIG)
    assert [each["KeyId"] for each in client("kms").list_keys()["Keys"]] == [key]
    assert client("s3").get_bucket_versioning(Bucket=BUCKET)["Status"] == "Enabled"


def test_a_key_whose_policy_keeps_the_caller_out_is_passed_over(
    aws: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    strict = client("kms").create_key()["KeyMetadata"]["KeyId"]
    asked: list[str] = []
    original = boto3.Session.client

    def refusing(self: Any, *args: Any, **more: Any) -> Any:
        made = original(self, *args, **more)

        def refuse(params: dict[str, Any], **_: Any) -> tuple[Any, dict[str, Any]] | None:
            if strict not in str(params["body"]):
                return None
            asked.append(strict)
            said = {"Error": {"Code": "AccessDeniedException", "Message": "no"}, "ResponseMetadata": {}}
            return AWSResponse("", 400, {}, EMPTY), said

        made.meta.events.register("before-call.kms", refuse)
        return made

    monkeypatch.setattr(boto3.Session, "client", refusing)
    assert "KMS key" in ensure("mlflow", CONFIG).made
    assert asked, "it was looked at"


def test_a_profile_of_the_stack_is_in_both_addresses(aws: str, tmp_path: Path) -> None:
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws" / "config").write_text("[profile team a]\nregion = eu-west-1\n")
    (tmp_path / ".aws" / "credentials").write_text(
        "[team a]\naws_access_key_id = a\naws_secret_access_key = b\n"
    )
    backend = ensure("mlflow", CONFIG | {"aws:profile": "team a"})
    assert backend.url.endswith(f"?region={REGION}&profile=team+a")
    assert backend.secrets_provider.endswith(f"?region={REGION}&profile=team+a")


def test_a_bucket_of_another_purpose_is_refused_and_left_as_it_is(aws: str) -> None:
    s3 = client("s3")
    s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
    s3.put_object(Bucket=BUCKET, Key="theirs", Body=b"x")
    with pytest.raises(Failure, match="holds what `make backend` did not put there"):
        ensure("mlflow", CONFIG)
    assert "Status" not in s3.get_bucket_versioning(Bucket=BUCKET)


def test_every_call_about_the_bucket_says_whose_it_must_be(
    aws: str, watched: list[tuple[str, dict[str, Any]]]
) -> None:
    ensure("mlflow", CONFIG)
    about = [(name, headers) for name, headers in watched if "Bucket" in name or "Object" in name]
    without = [name for name, headers in about if headers.get("x-amz-expected-bucket-owner") != ACCOUNT]
    assert len(about) > 10
    assert without == ["CreateBucket"], "which fails by itself where the name is taken"


def test_a_bucket_of_another_account_is_refused_before_anything_is_made(
    aws: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # moto lets any account see any bucket; AWS answers so.
    original = boto3.Session.client

    def refusing(self: Any, *args: Any, **more: Any) -> Any:
        made = original(self, *args, **more)
        made.meta.events.register(
            "before-send.s3.HeadBucket", lambda request, **_: AWSResponse(request.url, 403, {}, EMPTY)
        )
        return made

    monkeypatch.setattr(boto3.Session, "client", refusing)
    with pytest.raises(Failure, match="belongs to another account"):
        ensure("mlflow", CONFIG)
    assert client("kms").list_keys()["Keys"] == []


def test_a_key_that_is_to_be_deleted_is_refused_with_the_way_back(aws: str) -> None:
    ensure("mlflow", CONFIG)
    key = client("kms").describe_key(KeyId="alias/mlflow-state")["KeyMetadata"]["KeyId"]
    client("kms").schedule_key_deletion(KeyId=key, PendingWindowInDays=7)
    with pytest.raises(Failure, match="PendingDeletion") as refused:
        ensure("mlflow", CONFIG)
    assert "cancel-key-deletion" in refused.value.hint


def test_without_region_or_credentials_it_says_what_to_do(aws: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Failure) as refused:
        ensure("mlflow", {})
    assert "aws:region" in refused.value.hint
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(Failure, match="no AWS credentials"):
        ensure("mlflow", CONFIG)


@pytest.mark.parametrize("project", ["mlflow", "a", "p" * 100, "My_Project.x", "trailing-" * 9])
def test_bucket_names_are_valid_and_differ_for_every_project(project: str) -> None:
    name = bucket_name(project, ACCOUNT, "ap-southeast-1")
    assert 3 <= len(name) <= NAME_LIMIT
    assert name.strip("-") == name
    assert set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")
    assert name != bucket_name(project + uuid4().hex, ACCOUNT, "ap-southeast-1")


def test_the_tracked_file_names_the_key_once_and_no_other_way_to_encrypt_is_overwritten(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = Place(tmp_path, "aws")
    place.tracked.write_text("# ours\nconfig:\n  mlflow:cloud: aws")
    for _ in range(2):
        remember(place, "awskms://alias/x")
    assert (
        place.tracked.read_text()
        == "# ours\nconfig:\n  mlflow:cloud: aws\nsecretsprovider: awskms://alias/x\n"
    )
    place.tracked.write_text("encryptionsalt: v1:x\nconfig: {}\n")
    remember(place, "awskms://alias/x")
    assert "secretsprovider" not in load(place.tracked)
    assert "change-secrets-provider" in capsys.readouterr().err
