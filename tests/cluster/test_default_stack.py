"""The default stack's life on real pods: PostgreSQL, artifacts on a volume."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from tests.cluster.clone import changed_nothing
from tests.cluster.experiments import Logged, assert_readable_from_another_pod
from tests.cluster.stack import POSTGRESQL, Stack, Stage, eventually

pytestmark = pytest.mark.core
CLIENTS = 8
"""Concurrent clients during a roll."""


def test_up_answers_on_the_node_port_and_reports_health(postgresql: Stack) -> None:
    assert postgresql.ask("/health").body == "OK"
    assert postgresql.ask("/version").body == "3.17.2"
    page = postgresql.ask("/")
    assert page.status == 200
    assert "<title>MLflow</title>" in page.body


def test_what_one_pod_logs_another_pod_reads_back(postgresql: Stack, logged: Logged) -> None:
    assert_readable_from_another_pod(postgresql, logged)


def server_pod(stack: Stack) -> None:
    stack.kill_pod("server")


def server_process(stack: Stack) -> None:
    stack.execute("server", "python", "-c", "import os, signal; os.kill(1, signal.SIGTERM)", check=False)


def database_pod(stack: Stack) -> None:
    stack.kill_pod("database")


def database_process(stack: Stack) -> None:
    # Sessions die by SIGKILL, which PostgreSQL takes for a crash; then all of it without a checkpoint.
    # The brackets keep the pattern from finding this very shell.
    session = "grep -q '[p]ostgres: .*idle' $p/cmdline"
    sessions = f"for p in /proc/[0-9]*; do {session} && kill -9 ${{p#/proc/}}; done"
    stack.execute("database", "sh", "-c", f"{sessions}; kill -QUIT 1", check=False)


@pytest.mark.parametrize("kill", [server_pod, server_process, database_pod, database_process])
def test_nothing_logged_is_lost_when_it_is_killed(
    postgresql: Stack, logged: Logged, kill: Callable[[Stack], None], tell: Callable[[str], None]
) -> None:
    took = postgresql.killed(kill.__name__.partition("_")[0], kill)
    tell(f"    killed the {kill.__name__}; back after {took:.1f} s")
    postgresql.wait_until_answers()
    run = postgresql.api("runs/get", run_id=logged.run)["run"]
    assert run["info"]["status"] == "FINISHED"
    assert len(postgresql.api("metrics/get-history", run_id=logged.run, metric_key="loss")["metrics"]) == 3
    files = postgresql.api("artifacts/list", run_id=logged.run, path="data/deep/er")["files"]
    assert [file["file_size"] for file in files] == [2_000_000]
    alias = f"/api/2.0/mlflow/registered-models/alias?name={logged.experiment}&alias=live"
    assert postgresql.ask(alias).json()["model_version"]["run_id"] == logged.run


def test_what_was_logged_before_the_kills_another_pod_still_reads(postgresql: Stack, logged: Logged) -> None:
    assert_readable_from_another_pod(postgresql, logged)


def test_an_unchanged_up_changes_nothing(postgresql: Stack) -> None:
    before = [pod["metadata"]["uid"] for pod in postgresql.objects("pods")]
    done = postgresql.up()
    assert changed_nothing(done), done.text
    assert [pod["metadata"]["uid"] for pod in postgresql.objects("pods")] == before


def test_a_changed_setting_rolls_without_a_failed_request_and_keeps_every_secret(
    postgresql: Stack, stage: Stage, tell: Callable[[str], None]
) -> None:
    before, secrets = postgresql.pod_of("server"), postgresql.secrets()
    stage.changed()
    postgresql.configure(**POSTGRESQL, logLevel={"server": "WARNING"})
    with Load(postgresql) as load:
        postgresql.up()
        eventually(
            lambda: len(postgresql.objects("pods", "--selector", "app.kubernetes.io/component=server")) == 1,
            90,
            "the old pod did not end",
        )
    tell(
        f"    {2 * sum(load.counts)} requests of {CLIENTS} clients during the roll, {len(load.failed)} failed"
    )
    assert postgresql.pod_of("server")["metadata"]["uid"] != before["metadata"]["uid"], "nothing rolled"
    assert load.failed == []
    assert min(load.counts) > 20, f"the load did not run: {load.counts}"
    assert load.lost() == 0
    assert postgresql.execute("server", "printenv", "MLFLOW_LOGGING_LEVEL").strip() == "WARNING"
    assert postgresql.secrets() == secrets


class Load:
    """Clients that log a metric and search runs, each request on a connection of its own, until the end."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.failed: list[str] = []
        self.counts = [0] * CLIENTS
        self.stop = threading.Event()
        made = stack.api("experiments/create", {"name": f"load-{time.monotonic_ns()}"})
        self.experiment = made["experiment_id"]
        created = [stack.api("runs/create", {"experiment_id": self.experiment}) for _ in range(CLIENTS)]
        self.runs = [each["run"]["info"]["run_id"] for each in created]
        self.threads = [threading.Thread(target=self._client, args=(number,)) for number in range(CLIENTS)]

    def _client(self, number: int) -> None:
        run = self.runs[number]
        while not self.stop.is_set():
            step = self.counts[number]
            metric = {"run_id": run, "key": "n", "value": step, "timestamp": step, "step": step}
            wrote = self.stack.ask("/api/2.0/mlflow/runs/log-metric", metric)
            read = self.stack.ask("/api/2.0/mlflow/runs/search", {"experiment_ids": [self.experiment]})
            for answer in (wrote, read):
                if answer.status != 200:
                    self.failed.append(f"{answer.status} {answer.body[:200]}")
            self.counts[number] += 1
            time.sleep(0.05)  # the clients share two cores with the server

    def lost(self) -> int:
        """Answered writes that are not in the database."""
        found = 0
        for run in self.runs:
            history = self.stack.api("metrics/get-history", run_id=run, metric_key="n", max_results=25000)
            found += len(history["metrics"])
        return sum(self.counts) - found

    def __enter__(self) -> Load:
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        for thread in self.threads:
            thread.join(60)
