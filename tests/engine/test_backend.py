"""A stack of the real engine whose state `make backend` keeps: in the bucket, its secrets under the key."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from botocore.exceptions import ClientError
from moto.server import ThreadedMotoServer

from tests.engine.conftest import Project
from tests.engine.test_stacks import password
from tools.backend.__main__ import remember
from tools.backend.aws import ensure
from tools.engine import verbs
from tools.engine.place import load, place_of

pytestmark = pytest.mark.engine


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    settings = {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_CONFIG_FILE": str(tmp_path / "none"),
        "NO_PROXY": host,
    }
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    yield
    server.stop()


def test_the_state_lies_in_the_bucket_and_no_secret_of_it_can_be_read_without_the_key(
    project: Project, aws: None, monkeypatch: pytest.MonkeyPatch
):
    backend = ensure("mlflow", {"aws:region": "eu-west-1"})
    s3 = boto3.client("s3", region_name="eu-west-1")
    bucket = backend.url.removeprefix("s3://").partition("?")[0]
    # The emulator speaks plain HTTP, which the policy refuses, and has no host name for each bucket.
    with pytest.raises(ClientError, match="403"):
        s3.head_object(Bucket=bucket, Key="any")
    s3.delete_bucket_policy(Bucket=bucket)
    monkeypatch.setenv("PULUMI_BACKEND_URL", f"{backend.url}&use_path_style=true")
    place = place_of("dev", project.root)
    remember(place, backend.secrets_provider)

    result = verbs.up("dev", project.root, password())
    plain = result.outputs["password"].value
    keys = [each["Key"] for each in s3.list_objects_v2(Bucket=bucket)["Contents"]]
    assert ".pulumi/stacks/mlflow/dev.json" in keys
    states = [s3.get_object(Bucket=bucket, Key=key)["Body"].read().decode() for key in keys]
    assert not any(plain in text for text in states)
    assert not (project.root / ".local/passphrase").exists()
    assert not (project.root / ".local/state").exists()
    assert load(place.tracked)["encryptedkey"], "others who may use the key work on the stack"

    assert verbs.up("dev", project.root, password()).outputs["password"].value == plain
    monkeypatch.setenv("FORCE", "dev")
    verbs.down("dev", project.root)
    assert s3.head_bucket(Bucket=bucket), "what holds the states of all stacks stays"
    assert ensure("mlflow", {"aws:region": "eu-west-1"}).made == ["TLS only"]
