"""Artifacts on Blob Storage, with Azurite for Azure: a real MLflow server and real clients.

Command and environment are what the plan gives to the pods, with what AKS's webhook adds; names are Azure's
own. Entra checks the pods' tokens against the plan's federated credentials, and the account checks every
request against the plan's role assignments (``azure_world.py``). There is no key and no connection string.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from components.contracts import JOBS_ACCOUNT, SERVER_ACCOUNT
from components.settings.artifacts import Transfer
from tests.cluster.outside import Authority

from .azure_entra import Signer
from .azure_plan import ISSUER, azure_plan
from .azure_storage import AUDIENCE
from .azure_world import World, azure_world

PREFIX = "ml/flow"
SETTINGS: dict[Transfer, dict[str, Any]] = {
    Transfer.PROXIED: {},
    Transfer.PRESIGNED: {"artifacts": {"transfer": "presigned", "access": "public"}},
    Transfer.DIRECT: {
        "artifacts": {
            "existing": {"name": "data", "prefix": PREFIX},
            "account": "teamdata",
            "resourceGroup": "shared",
            "transfer": "direct",
        }
    },
}
SMALL_PARTS = {
    "MLFLOW_MULTIPART_UPLOAD_MINIMUM_FILE_SIZE": str(6 * 2**20),
    "MLFLOW_MULTIPART_UPLOAD_CHUNK_SIZE": str(6 * 2**20),
    # Where the server fails, the test shall say so soon.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
}
CLIENT = """
import hashlib, json, os, pathlib, tempfile
import mlflow
from mlflow import MlflowClient
experiment = mlflow.set_experiment("one")
folder = pathlib.Path(tempfile.mkdtemp())
files = {"small.txt": b"small", "deep/large.bin": os.urandom(20 * 2**20)}
for name, data in files.items():
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_bytes(data)
with mlflow.start_run() as run:
    mlflow.log_artifacts(folder, "model")
run_id = run.info.run_id
found = sorted(one.path for one in MlflowClient().list_artifacts(run_id, "model"))
back = pathlib.Path(mlflow.artifacts.download_artifacts(run_id=run_id, artifact_path="model"))
same = all((back / name).read_bytes() == data for name, data in files.items())
print(json.dumps({"run": run_id, "root": experiment.artifact_location, "found": found, "same": same}))
"""
LIST = """
import sys
from mlflow.store.artifact.azure_blob_artifact_repo import AzureBlobArtifactRepository
print("listed", AzureBlobArtifactRepository(sys.argv[1]).list_artifacts())
"""
WRITE = """
import pathlib, sys, tempfile
from mlflow.store.artifact.azure_blob_artifact_repo import AzureBlobArtifactRepository
file = pathlib.Path(tempfile.mkdtemp()) / "planted.txt"
file.write_text("planted")
AzureBlobArtifactRepository(sys.argv[1]).log_artifact(str(file))
print("written")
"""
TOKEN = """
from azure.identity import DefaultAzureCredential
print("given", DefaultAzureCredential().get_token("https://storage.azure.com/.default"))
"""
"""As MLflow asks for it, but without the storage SDK, which tries again for 90 s."""
SIGN = """
import sys
from mlflow.store.artifact.azure_blob_artifact_repo import AzureBlobArtifactRepository
made = AzureBlobArtifactRepository(sys.argv[1]).create_multipart_upload("x.bin", 2)
print("signed", made.credentials[0].url)
"""


@pytest.fixture(scope="module", params=list(SETTINGS))
def way(request: pytest.FixtureRequest) -> Transfer:
    return request.param


@pytest.fixture(scope="module")
def world(way: Transfer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp(f"azure-{way}")
    authority = Authority.make(folder / "authority")
    with azure_world(azure_plan(SETTINGS[way]), folder, Signer(ISSUER), authority) as made:
        yield made


@pytest.fixture(scope="module")
def url(world: World) -> Iterator[str]:
    with world.running() as address:
        yield address


@pytest.fixture(scope="module")
def logged(world: World, url: str) -> dict[str, Any]:
    """A run of a job's pod."""
    done = world.python(CLIENT, world.job(url) | SMALL_PARTS)
    assert done.returncode == 0, done.stderr[-3000:] + world.log.read_text()[-3000:]
    return json.loads(done.stdout.strip().splitlines()[-1])


@pytest.mark.core
def test_files_come_back_as_they_were(way: Transfer, world: World, logged: dict[str, Any]) -> None:
    assert logged["same"]
    assert logged["found"] == ["model/deep", "model/small.txt"]
    assert logged["root"].startswith(world.destination if way is Transfer.DIRECT else "mlflow-artifacts:/")
    kept = [name for name in world.blobs if logged["run"] in name]
    assert sorted(name.rpartition("/model/")[2] for name in kept) == ["deep/large.bin", "small.txt"]
    if way is Transfer.DIRECT:
        assert all(name.startswith(f"{PREFIX}/") for name in kept), kept


def test_only_who_the_way_of_transfer_says_reaches_the_account(
    way: Transfer, world: World, logged: dict[str, Any]
) -> None:
    ours = [one for one in world.storage.seen if logged["run"] in one.blob]
    server, jobs = world.object_id(SERVER_ACCOUNT), world.object_id(JOBS_ACCOUNT)
    assert {one.who for one in ours} == {jobs if way is Transfer.DIRECT else server}
    assert all(one.status < 300 for one in ours), ours
    signed = [one for one in ours if one.signed]
    if way is Transfer.PRESIGNED:
        assert len(signed) == 4, "20 MiB in parts of 6"
        assert {one.method for one in signed} == {"PUT"}
        assert all("comp=block&" in one.query for one in signed)
    else:
        assert signed == []


def test_nobody_asks_any_other_host_and_no_log_holds_a_token(world: World, logged: dict[str, Any]) -> None:
    assert world.network.strangers == []
    log = world.log.read_text()
    assert [word for word in ("eyJ", "sig=") if word in log] == []
    assert {resource for _, resource in world.entra.given} == {AUDIENCE}


def test_an_identity_gets_no_further_than_its_roles(
    way: Transfer, world: World, logged: dict[str, Any]
) -> None:
    """Jobs have rights of their own only where they transfer themselves, and then in the stack's folder."""
    pod = world.pod(JOBS_ACCOUNT)
    outside = world.destination.removesuffix(f"/{PREFIX}")
    listed = world.python(LIST, pod, f"{world.destination}/0")
    assert ("listed" in listed.stdout) == (way is Transfer.DIRECT), listed.stderr[-2000:]
    for script, place in ((LIST, f"{outside}/secret"), (WRITE, f"{outside}/secret")):
        done = world.python(script, pod, place)
        assert done.returncode != 0
        assert "AuthorizationPermissionMismatch" in done.stderr
    assert not [name for name in world.blobs if "planted" in name]


def test_addresses_are_signed_only_where_the_stack_says_so(way: Transfer, world: World, url: str) -> None:
    done = world.python(SIGN, world.pod(SERVER_ACCOUNT), f"{world.destination}/0")
    assert ("signed https://" in done.stdout) == (way is not Transfer.PROXIED), done.stderr[-2000:]
    if way is Transfer.PROXIED:
        assert "_UnsupportedMultipartUploadException" in done.stderr
        # A client that asks for them all the same is served through the server.
        wanted = {"MLFLOW_ENABLE_PROXY_MULTIPART_UPLOAD": "true"}
        done = world.python(CLIENT, world.job(url) | SMALL_PARTS | wanted)
        assert done.returncode == 0, done.stderr[-3000:]
        assert json.loads(done.stdout.strip().splitlines()[-1])["same"]
        assert not any(one.signed for one in world.storage.seen)


def test_an_entra_with_a_certificate_of_another_authority_is_told_nothing(
    world: World, tmp_path: Path
) -> None:
    other = Authority.make(tmp_path / "other").folder / "ca.crt"
    told = len(world.entra.given) + len(world.entra.refused)
    done = world.python(TOKEN, world.pod(SERVER_ACCOUNT) | {"REQUESTS_CA_BUNDLE": str(other)})
    assert done.returncode != 0
    assert "CERTIFICATE_VERIFY_FAILED" in done.stderr, done.stderr[-2000:]
    assert len(world.entra.given) + len(world.entra.refused) == told


@pytest.mark.parametrize(
    ("account", "really", "reason"),
    [
        (SERVER_ACCOUNT, "system:serviceaccount:mlflow:mlflow-jobs", "trusts nobody who is"),
        (SERVER_ACCOUNT, "system:serviceaccount:elsewhere:mlflow-server", "trusts nobody who is"),
        (JOBS_ACCOUNT, "system:serviceaccount:mlflow:mlflow-server", "trusts nobody who is"),
    ],
)
def test_a_pod_of_another_account_or_namespace_is_given_no_token(
    account: str, really: str, reason: str, world: World
) -> None:
    given = len(world.entra.given)
    done = world.python(TOKEN, world.pod(account, really=really))
    assert done.returncode != 0
    assert "AADSTS70021" in done.stderr, done.stderr[-2000:]
    assert reason in world.entra.refused[-1]
    assert len(world.entra.given) == given
