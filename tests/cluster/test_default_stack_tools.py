"""The verbs that use a running stack: train, logs, open, status."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cluster.quickstart import assert_complete, printed_run
from tests.cluster.stack import Stack, eventually


@pytest.mark.core
def test_train_runs_the_quickstart_as_a_pod_and_prints_its_run(postgresql: Stack) -> None:
    done = postgresql.train("--param", "alpha=0.3")
    assert_complete(postgresql, printed_run(postgresql, done.out), {"alpha": "0.3", "l1_ratio": "0.5"})
    job = re.findall(r"train-quickstart-[0-9a-f]{6}", done.told)[0]
    logs = postgresql.clone.verb("logs", postgresql.name, "--job", job)
    assert "registered quickstart-diabetes version" in logs.out
    # What the run made goes with its Job.
    postgresql.kubectl("delete", "job", job)

    def files() -> list[str]:
        return [each["metadata"]["name"] for each in postgresql.objects("configmaps")]

    eventually(lambda: job not in files(), 60, "the Job's files were not removed with it")


def test_a_project_that_fails_makes_train_fail_with_its_last_words(postgresql: Stack, tmp_path: Path) -> None:
    (tmp_path / "MLproject").write_text(
        "name: broken\nentry_points:\n  main:\n    command: python fail.py\n", encoding="utf-8"
    )
    (tmp_path / "fail.py").write_text("raise ValueError('the data is gone')\n")
    done = postgresql.train("--project", str(tmp_path), check=False)
    assert done.code == 1
    error = done.told[done.told.index("Error:") :]
    assert "exit code 1" in error
    assert "the data is gone" in error
    assert "make logs JOB=train-broken-" in error
    experiment = postgresql.api("experiments/get-by-name", experiment_name="broken")["experiment"]
    runs = postgresql.api("runs/search", {"experiment_ids": [experiment["experiment_id"]]})["runs"]
    assert [run["info"]["status"] for run in runs] == ["FAILED"]


def test_an_interrupted_train_ends_its_job_and_marks_its_run_killed(postgresql: Stack) -> None:
    clone = postgresql.clone
    with subprocess.Popen(
        [sys.executable, "-m", "tools.train", "--stack", postgresql.name],
        cwd=clone.root,
        env=clone.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        # Whatever runs in the background of a script inherits Ctrl-C as ignored; a person's shell does not.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:
        assert process.stdout is not None
        started = next(line for line in process.stdout if line.startswith("launcher: experiment"))
        process.send_signal(signal.SIGINT)  # Ctrl-C
        told = process.stdout.read()
    assert process.returncode == 130, told
    run = postgresql.api("runs/get", run_id=started.split()[-1])["run"]
    assert run["info"]["status"] == "KILLED"
    jobs = postgresql.objects("jobs", "--selector", "app.kubernetes.io/component=training")
    assert all(job["status"].get("active", 0) == 0 for job in jobs)


def test_status_logs_and_open_show_what_is_there(postgresql: Stack) -> None:
    status = postgresql.clone.verb("status", postgresql.name).out
    for text in ("MLflow 3.17.2", "health OK", postgresql.url, "postgresql, in-cluster", "mlflow-database-0"):
        assert text in status
    assert "Uvicorn running" in postgresql.clone.verb("logs", postgresql.name).out
    assert "done" in postgresql.clone.verb("logs", postgresql.name, "--part", "migration").out
    address = postgresql.clone.verb("open", postgresql.name, "--check").out.strip()
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+", address)
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", int(address.rpartition(":")[2]))) != 0, "the port stayed open"
