"""Artifacts on S3, with moto for AWS: a real MLflow server and a real client.

Their environment is what the plan gives to the server's pod and to jobs; only the store's address and, for
who may use it, the credentials are added. moto judges no rights: those are the plan's tests.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest

from tests.program.aws_cases import PLAIN
from tests.program.conftest import plan
from tests.program.reading import server_environment

from .serving import FILES, free_port, run_through, running

pytestmark = pytest.mark.engine

PREFIX = "ml/flow"
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "AKIAEXAMPLE", "AWS_SECRET_ACCESS_KEY": "not-a-real-key"}
ALONE = {"AWS_EC2_METADATA_DISABLED": "true"}
PARTS = {
    "MLFLOW_MULTIPART_UPLOAD_MINIMUM_FILE_SIZE": str(6 * 2**20),
    "MLFLOW_MULTIPART_UPLOAD_CHUNK_SIZE": str(6 * 2**20),
    "MLFLOW_MULTIPART_DOWNLOAD_MINIMUM_FILE_SIZE": str(6 * 2**20),
    "MLFLOW_MULTIPART_DOWNLOAD_CHUNK_SIZE": str(6 * 2**20),
}


@dataclass(frozen=True)
class Store:
    """A store, and what it says of each request."""

    url: str
    log: Path

    @property
    def client(self) -> Any:
        return boto3.client(
            "s3", endpoint_url=self.url, region_name="us-east-1",
            aws_access_key_id="test", aws_secret_access_key="test",
        )  # fmt: skip

    def keys(self, bucket: str) -> list[str]:
        return [each["Key"] for each in self.client.list_objects_v2(Bucket=bucket).get("Contents", [])]

    def signed(self) -> set[str]:
        """Methods of requests that came by a signed address."""
        lines = [line for line in self.log.read_text().splitlines() if "X-Amz-Signature=" in line]
        return {method for method in ("GET", "PUT") if any(f"{method} /" in line for line in lines)}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    port, log = free_port(), tmp_path / "moto.log"
    words = [Path(sys.executable).parent / "moto_server", "-H", "127.0.0.1", "-p", str(port)]
    url = f"http://127.0.0.1:{port}"
    with running(words, {"PATH": os.defpath}, f"{url}/moto-api/", log):
        yield Store(url, log)


@pytest.mark.parametrize("transfer", ["proxied", "presigned", "direct"])
def test_runs_keep_their_files_below_the_prefix_by_the_way_that_the_stack_says(
    transfer: str, store: Store, tmp_path: Path
) -> None:
    artifacts = {"existing": {"name": "team-data", "prefix": PREFIX}, "transfer": transfer}
    planned = plan(PLAIN | {"artifacts": artifacts}, stack="aws")
    bucket = server_environment(planned)["MLFLOW_ARTIFACTS_DESTINATION"].split("/")[2]
    store.client.create_bucket(Bucket=bucket)
    address = {"AWS_ENDPOINT_URL_S3": store.url}
    region = server_environment(planned)["AWS_DEFAULT_REGION"]
    server = ALONE | CREDENTIALS | address | {"AWS_DEFAULT_REGION": region} | PARTS
    job = ALONE | PARTS
    if transfer == "direct":
        job |= CREDENTIALS | address
    answer = run_through(planned, tmp_path, server, job)
    assert answer["found"] == sorted(f"model/{name}" for name in FILES)
    assert answer["size"] == FILES["large.bin"]
    root = f"s3://{bucket}/{PREFIX}/" if transfer == "direct" else "mlflow-artifacts:/"
    assert answer["root"].startswith(root)
    assert store.signed() == ({"GET", "PUT"} if transfer == "presigned" else set())
    kept = store.keys(bucket)
    assert len(kept) == len(FILES)
    assert all(name.startswith(f"{PREFIX}/") for name in kept), kept
