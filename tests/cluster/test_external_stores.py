"""A database and an object store outside the namespace, both behind TLS of an authority of their own."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.experiments import assert_readable_from_another_pod, log_from_a_pod
from tests.cluster.outside import BUCKET, Authority, ObjectStore, object_store, postgresql
from tests.cluster.stack import Stack, Stage
from tests.needs import host_address

pytestmark = pytest.mark.core
SECRET_KEY = "not-a-real-key-0123456789"


@dataclass(frozen=True)
class Outside:
    """The stack and its two stores."""

    stack: Stack
    settings: dict[str, Any]
    store: ObjectStore
    query: Callable[[str], str]
    log: Path


@pytest.fixture(scope="module")
def stores(outside: Stack, stage: Stage, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outside]:
    folder = tmp_path_factory.mktemp("outside")
    host = host_address(outside.clone.local("cluster.json"))
    authority = Authority.make(folder / "authority")
    with (
        postgresql(outside, authority) as (url, query),
        object_store(host, authority, folder / "moto.log") as store,
    ):
        settings = {
            "database": {"engine": "postgresql", "caBundle": authority.certificate},
            "artifacts": {
                "uri": f"s3://{BUCKET}/tracking",
                "credentials": "store",
                "endpoint": store.endpoint,
                "region": "eu-central-1",
                "caBundle": authority.certificate,
            },
        }
        stage.clear()  # the node has room for one
        outside.configure(**settings)
        outside.clone.verb("secret", outside.name, "--key", "mlflow:database.url", stdin=url)
        for key, value in (("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE"), ("AWS_SECRET_ACCESS_KEY", SECRET_KEY)):
            words = ["--group", "store", "--name", "s3", "--key", key]
            outside.clone.verb("secret", outside.name, *words, stdin=value)
        yield Outside(outside, settings, store, query, folder / "moto.log")
        stage.clear()  # before its stores go


@pytest.fixture
def elsewhere(stores: Outside, stage: Stage) -> Outside:
    """The stack, up, with both stores."""
    stage.show(stores.stack, stores.settings)
    return stores


def test_runs_go_to_the_database_and_artifacts_to_the_store_and_come_back(elsewhere: Outside) -> None:
    stack = elsewhere.stack
    logged = log_from_a_pod(stack, "elsewhere")
    assert_readable_from_another_pod(stack, logged)
    assert f"{logged.run}|FINISHED" in elsewhere.query("SELECT run_uuid, status FROM runs")
    keys = elsewhere.store.keys()
    assert any(key.startswith("tracking/") and key.endswith("data/deep/er/blob.bin") for key in keys), keys
    assert stack.objects("statefulsets") == []
    assert stack.objects("persistentvolumeclaims") == []


SIGNED = """
import os, sys
open("/tmp/ca.pem", "w").write(sys.argv[1])
small = str(6 * 2**20)
os.environ |= {
    "MLFLOW_ENABLE_PROXY_MULTIPART_UPLOAD": sys.argv[2],
    "MLFLOW_ENABLE_PROXY_MULTIPART_DOWNLOAD": sys.argv[2],
    "MLFLOW_MULTIPART_UPLOAD_MINIMUM_FILE_SIZE": small, "MLFLOW_MULTIPART_DOWNLOAD_MINIMUM_FILE_SIZE": small,
    "MLFLOW_MULTIPART_UPLOAD_CHUNK_SIZE": small, "MLFLOW_MULTIPART_DOWNLOAD_CHUNK_SIZE": small,
    "REQUESTS_CA_BUNDLE": "/tmp/ca.pem",
}
import hashlib, json, mlflow
data = os.urandom(20 * 2**20)
open("/tmp/large.bin", "wb").write(data)
mlflow.set_experiment("transfers")
with mlflow.start_run() as run:
    mlflow.log_artifact("/tmp/large.bin")
where = {"run_id": run.info.run_id, "artifact_path": "large.bin", "dst_path": "/tmp/back"}
back = mlflow.artifacts.download_artifacts(**where)
same = hashlib.sha256(open(back, "rb").read()).digest() == hashlib.sha256(data).digest()
print(json.dumps({"run": run.info.run_id, "same": same}))
"""


def _signed_requests(log: str, run: str) -> list[str]:
    """Method and path of the requests for a run's file that a client made with a signed address."""
    lines = [line for line in log.splitlines() if run in line and "X-Amz-Signature=" in line]
    # The log colours a partial answer (206), so that its request does not stand right behind the quote.
    return [found[0] for line in lines if (found := re.search(r"(GET|PUT) /[^&]+", line))]


@pytest.mark.parametrize("signed", ["true", "false"])
def test_large_files_bypass_the_server_by_signed_addresses_only_where_clients_are_told_so(
    elsewhere: Outside, signed: str
) -> None:
    authority = elsewhere.store.authority.certificate
    told = elsewhere.stack.python(SIGNED, authority, signed)
    assert told["same"]
    requests = _signed_requests(elsewhere.log.read_text(), told["run"])
    parts = [line for line in requests if line.startswith("PUT ") and "partNumber=" in line]
    fetched = [line for line in requests if line.startswith("GET ")]
    if signed == "true":
        assert len(parts) == 4, requests  # 20 MiB in parts of 6
        assert fetched, requests
    else:
        assert requests == []


def test_every_session_with_the_database_is_encrypted(elsewhere: Outside) -> None:
    sessions = elsewhere.query(
        "SELECT ssl FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE client_addr IS NOT NULL"
    )
    assert set(sessions.split()) == {"t"}


def test_a_database_with_a_certificate_of_another_authority_is_refused(
    elsewhere: Outside, tmp_path: Path
) -> None:
    # The server's own URI, with the one file replaced that says whom to trust.
    other = Authority.make(tmp_path / "other").certificate
    script = (
        "import os, sys, sqlalchemy as s; open('/tmp/other.pem', 'w').write(sys.argv[1]);"
        "uri = s.make_url(os.environ['MLFLOW_BACKEND_STORE_URI']);"
        "s.create_engine(uri).connect(); print('own authority: connected');"
        "uri = uri.update_query_dict({'sslrootcert': '/tmp/other.pem'});"
        "s.create_engine(uri).connect(); print('other authority: connected')"
    )
    told = elsewhere.stack.execute("server", "python", "-c", script, other, check=False)
    assert "own authority: connected" in told
    assert "other authority: connected" not in told
    assert "certificate verify failed" in told


def test_a_store_with_a_certificate_of_another_authority_is_refused(
    elsewhere: Outside, stage: Stage, tmp_path: Path
) -> None:
    stack, settings = elsewhere.stack, elsewhere.settings
    logged = log_from_a_pod(stack, "before-the-change")
    wrong = {**settings["artifacts"], "caBundle": Authority.make(tmp_path / "other").certificate}
    keys = len(elsewhere.store.keys())
    stage.show(stack, {**settings, "artifacts": wrong})
    path = f"/api/2.0/mlflow/artifacts/list?run_id={logged.run}&path=data"
    assert stack.ask(path, limit=60).status == 500
    assert "CERTIFICATE_VERIFY_FAILED" in stack.clone.verb("logs", stack.name).out
    assert len(elsewhere.store.keys()) == keys
    stage.show(stack, settings)
    assert_readable_from_another_pod(stack, logged)
