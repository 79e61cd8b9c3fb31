"""`make move` with MLflow's own stores: sqlite and a folder here, sqlite and an S3 bucket of moto's there.

The two scripts run as in the servers' pods, in a client environment with the same MLflow.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import boto3
import pytest
from moto.server import ThreadedMotoServer

from tools.common import Failure, run
from tools.jobs.here import client_environment
from tools.move import __main__ as move

SEED = """
import os, sys
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
store = SqlAlchemyStore(os.environ["MLFLOW_BACKEND_STORE_URI"], "mlflow-artifacts:/")
if sys.argv[1:] == ["full"]:
    from mlflow.entities import Metric, Param
    from mlflow.entities.webhook import WebhookAction, WebhookEntity, WebhookEvent
    from mlflow.store.model_registry.sqlalchemy_store import SqlAlchemyStore as Registry
    experiment = store.create_experiment("ä € 漢")
    run = store.create_run(experiment, "me", 1, [], "first")
    values = [Metric("loss", 1 / (n + 1.3), 1, n) for n in range(3000)]
    values += [Metric("nan", float("nan"), 1, 0), Metric("inf", float("inf"), 1, 0)]
    for start in range(0, len(values), 1000):
        store.log_batch(run.info.run_id, values[start:start + 1000], [], [])
    store.log_batch(run.info.run_id, [], [Param("text", "ä\\n€")], [])
    registry = Registry(os.environ["MLFLOW_BACKEND_STORE_URI"])
    registry.create_registered_model("model")
    registry.create_webhook(
        "hook", "https://8.8.8.8/hook",  # looked up, not called
        [WebhookEvent(WebhookEntity.REGISTERED_MODEL, WebhookAction.CREATED)],
        secret="hush",
    )
"""
HUSH = """
import os
from mlflow.store.model_registry.sqlalchemy_store import SqlAlchemyStore as Registry
registry = Registry(os.environ["MLFLOW_BACKEND_STORE_URI"])
(hook,) = registry.list_webhooks()
print("secret:", hook.secret)
"""
KEYS = {"a": "A" * 43 + "=", "b": "B" * 42 + "A="}
"""Fernet keys: each stack has its own."""


@dataclass
class Place:
    """A server's pod, as the scripts see it."""

    stack: str
    python: Path
    environment: dict[str, str]
    database: Path

    def command(self, *words: str) -> list[str]:
        start = words.index("--") + 2
        settings = [f"{key}={value}" for key, value in self.environment.items()]
        return ["env", *settings, str(self.python), "-W", "ignore", *words[start:]]

    def run(self, script: str, *words: str) -> str:
        return run(self.command("--", "python", "-c", script, *words))

    def sql(self, query: str) -> list[tuple]:
        with sqlite3.connect(self.database) as connection:
            return connection.execute(query).fetchall()


Places: TypeAlias = Any
"""Source and target, which stand where the verb expects what it found of a stack."""


@pytest.fixture(scope="module")
def python() -> Path:
    return client_environment() / "bin" / "python"


@pytest.fixture(scope="module")
def seeds(python: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A database with content and an empty one, each of this MLflow's schema."""
    folder = tmp_path_factory.mktemp("seeds")
    made = {}
    for kind in ("full", "empty"):
        made[kind] = folder / f"{kind}.db"
        uri = f"sqlite:///{made[kind]}"
        environment = {"MLFLOW_BACKEND_STORE_URI": uri, "MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY": KEYS["a"]}
        Place(kind, python, environment, made[kind]).run(SEED, kind)
    return made


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def places(
    seeds: dict[str, Path], endpoint: str, python: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Places:
    """A source with rows and files, and an empty target."""
    for name, value in {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "y"}.items():
        monkeypatch.setenv(name, value)
    bucket = f"bucket-{os.urandom(4).hex()}"
    boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1").create_bucket(Bucket=bucket)
    volume = tmp_path / "volume"
    for name, content in FILES.items():
        (volume / name).parent.mkdir(parents=True, exist_ok=True)
        (volume / name).write_bytes(content)
    made = []
    for stack, kind, destination in (("a", "full", str(volume)), ("b", "empty", f"s3://{bucket}/mlflow")):
        database = tmp_path / f"{stack}.db"
        shutil.copy2(seeds[kind], database)
        environment = {
            "MLFLOW_BACKEND_STORE_URI": f"sqlite:///{database}",
            "MLFLOW_ARTIFACTS_DESTINATION": destination,
            "MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY": KEYS[stack],
            "MLFLOW_S3_ENDPOINT_URL": endpoint,
            "AWS_DEFAULT_REGION": "us-east-1",
        }
        made.append(Place(stack, python, environment, database))
    by_name = {place.stack: place for place in made}
    monkeypatch.setattr(move, "find", by_name.__getitem__)
    return made[0], made[1]


FILES = {
    "1/abc/artifacts/model/MLmodel": b"flavors: {}\n",
    "1/abc/artifacts/ä € 漢.txt": "ä".encode(),
    "1/abc/artifacts/empty": b"",
    "1/abc/artifacts/big.bin": os.urandom(12_000_000),
}
EVERYTHING = ["--from", "a", "--to", "b"]


def test_rows_and_files_arrive_as_they_were_and_a_second_move_is_refused(
    places: Places, capfd: pytest.CaptureFixture[str]
) -> None:
    source, target = places
    before = source.database.read_bytes()
    assert move.main(EVERYTHING) == 0
    for query in (
        "SELECT * FROM metrics ORDER BY 1,2,3,4",
        "SELECT * FROM params",
        "SELECT * FROM experiments",
    ):
        assert target.sql(query) == source.sql(query) != []
    assert target.run(HUSH).split()[-1] == "hush", "opened with one key, closed with the other"
    assert source.sql("SELECT secret FROM webhooks") != target.sql("SELECT secret FROM webhooks")
    assert move.names(target) == {name: len(content) for name, content in FILES.items()}
    assert source.database.read_bytes() == before
    told = capfd.readouterr().err
    assert "moved 2 experiments, 1 runs" in told
    assert "hush" not in told
    with pytest.raises(Failure, match="stack b is not empty"):
        move.main(EVERYTHING)


def test_files_come_back_out_of_an_object_store_and_what_has_arrived_is_not_sent_again(
    places: Places, capfd: pytest.CaptureFixture[str]
) -> None:
    source, target = places
    everything = move.names(source)
    half = dict(list(everything.items())[:3])
    move.copy_files(source, target, half)
    capfd.readouterr()
    move.copy_files(source, target, everything)
    assert "1 of 4 files" in capfd.readouterr().err
    volume = Path(source.environment["MLFLOW_ARTIFACTS_DESTINATION"])
    shutil.rmtree(volume)
    volume.mkdir()
    move.copy_files(target, source, everything)
    assert {name: (volume / name).read_bytes() for name in FILES} == FILES


def test_rows_that_break_off_leave_nothing(places: Places) -> None:
    source, target = places
    reads = move.command(source, "rows", "read")
    whole = subprocess.run(reads, check=True, capture_output=True).stdout
    for part in (whole[: len(whole) // 2], whole.rsplit(b'{"end"', 1)[0]):
        rows = target.database.with_suffix(".part")
        rows.write_bytes(part)
        with pytest.raises(Failure, match="ended early"):
            move.piped(["cat", str(rows)], move.command(target, "rows", "write"))
        assert target.sql("SELECT count(*) FROM runs") == [(0,)]
        assert target.sql("SELECT name FROM experiments") == [("Default",)]


def test_what_the_source_cannot_give_away_is_seen_before_anything_is_written(places: Places) -> None:
    source, target = places
    source.sql("UPDATE experiments SET artifact_location = 's3://theirs' WHERE experiment_id = 1")
    source.sql(
        "INSERT INTO secrets (secret_id, secret_name, encrypted_value, wrapped_dek, masked_value, provider, "
        "kek_version, created_at, last_updated_at) VALUES ('1', 'k', x'00', x'00', '{}', 'p', 1, 1, 1)"
    )
    with pytest.raises(Failure, match="1 experiments name their store"):
        move.main(EVERYTHING)
    assert target.sql("SELECT count(*) FROM runs") == [(0,)]
    assert move.names(target) == {}
    assert move.facts(source)["counts"]["secrets"] == 1
