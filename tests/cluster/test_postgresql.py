"""The default stack in full: PostgreSQL and a volume for artifacts, on real pods.

The tests share one stack, and each leaves it up and as it found it; the one that takes it down comes last.
"""

from __future__ import annotations

import base64
import re
import socket
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.clone import changed_nothing
from tests.cluster.experiments import Logged, assert_readable_from_another_pod, log_from_a_pod
from tests.cluster.stack import Stack, eventually, local_files

CLIENTS = 8
"""Concurrent clients during a roll."""
FAIL_LIMIT = 240
"""Seconds in which a server that cannot start must have failed `up`."""
POSTGRESQL = {"engine": "postgresql"}


@pytest.fixture(scope="module")
def logged(postgresql: Stack) -> Logged:
    return log_from_a_pod(postgresql, "from-a-pod")


@pytest.mark.core
def test_up_answers_on_the_node_port_and_reports_health(postgresql: Stack) -> None:
    assert postgresql.ask("/health").body == "OK"
    assert postgresql.ask("/version").body == "3.17.2"
    page = postgresql.ask("/")
    assert page.status == 200
    assert "<title>MLflow</title>" in page.body


@pytest.mark.core
def test_what_one_pod_logs_another_pod_reads_back(postgresql: Stack, logged: Logged) -> None:
    assert_readable_from_another_pod(postgresql, logged)


def _kill_server_pod(stack: Stack) -> None:
    name = stack.pod_of("server")["metadata"]["name"]
    stack.kubectl("delete", "pod", name, "--grace-period=0", "--force")


def _kill_server_process(stack: Stack) -> None:
    stack.execute("server", "python", "-c", "import os, signal; os.kill(1, signal.SIGTERM)", check=False)


def _kill_database_pod(stack: Stack) -> None:
    name = stack.pod_of("database")["metadata"]["name"]
    stack.kubectl("delete", "pod", name, "--grace-period=0", "--force")


def _kill_database_process(stack: Stack) -> None:
    # A backend that dies by SIGKILL makes PostgreSQL drop every session and recover from its log.
    sessions = "for p in /proc/[0-9]*; do grep -q 'postgres.*idle' $p/cmdline && kill -9 ${p#/proc/}; done"
    stack.execute("database", "sh", "-c", f"{sessions}; kill -QUIT 1", check=False)


@pytest.mark.core
@pytest.mark.parametrize(
    "kill", [_kill_server_pod, _kill_server_process, _kill_database_pod, _kill_database_process]
)
def test_nothing_logged_is_lost_when_it_is_killed(
    postgresql: Stack, logged: Logged, kill: Any, tell: Any
) -> None:
    component = "server" if "server" in kill.__name__ else "database"
    before = _incarnation(postgresql, component)
    kill(postgresql)
    eventually(lambda: _incarnation(postgresql, component) != before, 60, f"{kill.__name__} killed nothing")
    tell(f"    back after {postgresql.wait_until_answers():.1f} s")
    run = postgresql.api("runs/get", run_id=logged.run)["run"]
    assert run["info"]["status"] == "FINISHED"
    assert len(postgresql.api("metrics/get-history", run_id=logged.run, metric_key="loss")["metrics"]) == 3
    files = postgresql.api("artifacts/list", run_id=logged.run, path="data/deep/er")["files"]
    assert [file["file_size"] for file in files] == [2_000_000]
    found = postgresql.ask("/api/2.0/mlflow/registered-models/alias?name=from-a-pod&alias=live").json()
    assert found["model_version"]["run_id"] == logged.run


def _incarnation(stack: Stack, component: str) -> list[Any]:
    """What changes when a component's pod or container is made anew."""
    pods = stack.objects("pods", "--selector", f"app.kubernetes.io/component={component}")
    return sorted(
        (
            pod["metadata"]["uid"],
            sum(each["restartCount"] for each in pod["status"].get("containerStatuses", [])),
        )
        for pod in pods
        if not pod["metadata"].get("deletionTimestamp")
    )


@pytest.mark.core
def test_what_was_logged_before_the_kills_another_pod_still_reads(postgresql: Stack, logged: Logged) -> None:
    postgresql.wait_until_answers()
    assert_readable_from_another_pod(postgresql, logged)


@pytest.mark.core
def test_an_unchanged_up_changes_nothing(postgresql: Stack) -> None:
    before = [(pod["metadata"]["uid"]) for pod in postgresql.objects("pods")]
    done = postgresql.up()
    assert changed_nothing(done), done.text
    assert [(pod["metadata"]["uid"]) for pod in postgresql.objects("pods")] == before


@pytest.mark.core
def test_a_changed_setting_rolls_without_a_failed_request_and_keeps_every_secret(postgresql: Stack) -> None:
    before, secrets = postgresql.pod_of("server"), _secrets(postgresql)
    postgresql.configure(database=POSTGRESQL, logLevel={"server": "WARNING"})
    with Load(postgresql) as load:
        postgresql.up()
        eventually(
            lambda: len(postgresql.objects("pods", "--selector", "app.kubernetes.io/component=server")) == 1,
            90,
            "the old pod did not end",
        )
    after = postgresql.pod_of("server")
    assert after["metadata"]["uid"] != before["metadata"]["uid"], "nothing rolled"
    assert load.failed == []
    assert min(load.counts) > 20, f"the load did not run: {load.counts}"
    # Every request that was answered is in the database.
    assert load.lost() == 0
    assert postgresql.execute("server", "printenv", "MLFLOW_LOGGING_LEVEL").strip() == "WARNING"
    assert _secrets(postgresql) == secrets


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
            time.sleep(0.02)

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


def _secrets(stack: Stack) -> dict[str, dict[str, str]]:
    """Every Secret of the stack with its values."""
    return {each["metadata"]["name"]: each["data"] for each in stack.objects("secrets")}


@pytest.mark.core
def test_a_server_that_cannot_start_fails_up_with_its_last_words_while_the_old_one_serves(
    postgresql: Stack, logged: Logged, tell: Any
) -> None:
    serving = postgresql.pod_of("server")["metadata"]["uid"]
    kept = {
        key: value for key, value in postgresql.clone.settings[postgresql.name].items() if key != "server"
    }
    # A real mistake: MLflow wants a leading slash. The migration passes, the server does not.
    postgresql.configure(**{**_own(kept), "server": {"env": {"MLFLOW_STATIC_PREFIX": "mlflow"}}})
    try:
        done = postgresql.up(check=False)
        tell(f"    failed after {done.seconds:.0f} s")
        assert done.code == 1
        assert done.seconds < FAIL_LIMIT
        assert "must begin with a" in done.told, done.told[-3000:]
        assert "What to do:" in done.told
        assert postgresql.ask("/health").status == 200
        assert postgresql.api("runs/get", run_id=logged.run)
        alive = [pod["metadata"]["uid"] for pod in postgresql.objects("pods") if _ready(pod)]
        assert serving in alive
    finally:
        postgresql.configure(**_own(kept))
        postgresql.up()
    assert changed_nothing(postgresql.up())


@pytest.mark.core
def test_an_image_that_does_not_fit_fails_up_and_the_old_server_serves(
    postgresql: Stack, logged: Logged, tell: Any
) -> None:
    kept = _own(postgresql.clone.settings[postgresql.name])
    # It exists and holds MLflow, but no database driver.
    job = postgresql.clone.local("images.json")["images"]["job"]["reference"]
    postgresql.configure(**{**kept, "images": {"server": job}})
    try:
        done = postgresql.up(check=False)
        tell(f"    failed after {done.seconds:.0f} s")
        assert done.code == 1
        assert done.seconds < FAIL_LIMIT
        assert "No module named 'psycopg2'" in done.told, done.told[-3000:]
        assert postgresql.api("runs/get", run_id=logged.run)
    finally:
        postgresql.configure(**kept)
        postgresql.up()


def _own(settings: dict[str, Any]) -> dict[str, Any]:
    """Settings without those that :meth:`Stack.configure` adds."""
    return {
        key: value
        for key, value in settings.items()
        if key not in ("cloud", "namespace", "protect", "exposure")
    }


def _ready(pod: dict[str, Any]) -> bool:
    states = pod["status"].get("containerStatuses", [])
    return bool(states) and all(state["ready"] for state in states)


@pytest.mark.core
def test_only_hosts_under_which_it_is_exposed_are_answered(postgresql: Stack) -> None:
    search = "/api/2.0/mlflow/experiments/get?experiment_id=0"
    space = postgresql.namespace
    own = [
        "mlflow-server",
        f"mlflow-server.{space}.svc",
        f"mlflow-server.{space}.svc.cluster.local:80",
        "localhost:9",
    ]
    for host in own:
        assert postgresql.ask(search, headers={"Host": host}).status == 200, host
    for host in ["evil.example.com", "mlflow", "10.0.0.1", "mlflow-server.other.svc", f"{space}.example.com"]:
        assert postgresql.ask(search, headers={"Host": host}).status == 403, host


def test_a_post_from_the_user_interface_passes_and_one_from_elsewhere_does_not(postgresql: Stack) -> None:
    create = "/ajax-api/2.0/mlflow/experiments/search"
    own = postgresql.ask(create, {"max_results": 1}, headers={"Origin": postgresql.url})
    assert own.status == 200
    foreign = postgresql.ask(create, {"max_results": 1}, headers={"Origin": "https://evil.example.com"})
    assert foreign.status == 403


@pytest.mark.core
@pytest.mark.parametrize(("component", "uid"), [("server", "10001"), ("database", "999")])
def test_a_pod_is_unprivileged_in_fact(postgresql: Stack, component: str, uid: str) -> None:
    assert postgresql.execute(component, "id", "-u").strip() == uid
    for path in ("/x", "/etc/x", "/usr/bin/x"):
        assert "Read-only file system" in postgresql.execute(component, "touch", path, check=False)
    status = postgresql.execute(component, "cat", "/proc/1/status")
    fields = dict(re.findall(r"^(\w+):\s+(\S+)", status, re.MULTILINE))
    assert int(fields["CapEff"], 16) == int(fields["CapBnd"], 16) == 0
    assert fields["NoNewPrivs"] == "1"
    assert fields["Seccomp"] == "2"  # a filter
    gone = postgresql.execute(component, "ls", "/var/run/secrets/kubernetes.io", check=False)
    assert "No such file" in gone, "a token of the ServiceAccount is mounted"


@pytest.mark.parametrize("component", ["server", "database"])
def test_no_service_address_is_injected_into_a_pod(postgresql: Stack, component: str) -> None:
    environment = postgresql.execute(component, "env")
    assert not re.findall(r"^MLFLOW\w*_(?:PORT|SERVICE_HOST)\b.*", environment, re.MULTILINE)


def test_the_namespace_refuses_a_privileged_pod(postgresql: Stack) -> None:
    words = ["run", "bad", "--image=x", "--restart=Never", "--privileged"]
    assert "violates PodSecurity" in postgresql.kubectl(*words, check=False)


@pytest.mark.core
def test_train_runs_the_quickstart_as_a_pod_and_prints_its_run(postgresql: Stack) -> None:
    done = postgresql.train("--param", "alpha=0.3")
    assert_quickstart(postgresql, done.out, {"alpha": "0.3", "l1_ratio": "0.5"})
    job = re.findall(r"train-quickstart-[0-9a-f]{6}", done.told)[0]
    logs = postgresql.clone.verb("logs", postgresql.name, "--job", job)
    assert "registered quickstart-diabetes version" in logs.out
    owner = postgresql.objects("configmaps", "--field-selector", f"metadata.name={job}")[0]
    assert owner["metadata"]["ownerReferences"][0]["kind"] == "Job"
    postgresql.kubectl("delete", "job", job)
    names = lambda: [each["metadata"]["name"] for each in postgresql.objects("configmaps")]  # noqa: E731
    eventually(lambda: job not in names(), 30, "the Job's files were not removed with it")


def assert_quickstart(
    stack: Stack, out: str, params: dict[str, str], user: tuple[str, str] | None = None
) -> dict[str, Any]:
    """The printed URL leads to a finished run with all that the quickstart promises; the run's info."""
    url = out.strip().splitlines()[-1]
    base, experiment, run_id = re.fullmatch(r"(.*)/#/experiments/(\d+)/runs/([0-9a-f]{32})", url).groups()  # type: ignore[union-attr]
    assert base == stack.url
    answer = stack.ask(f"/api/2.0/mlflow/runs/get?run_id={run_id}", user=user)
    assert answer.status == 200, answer.body
    run = answer.json()["run"]
    assert run["info"]["status"] == "FINISHED"
    assert run["info"]["experiment_id"] == experiment
    found = {each["key"]: each["value"] for each in run["data"]["params"]}
    assert params.items() <= found.items()
    metrics = {each["key"]: each["value"] for each in run["data"]["metrics"]}
    assert {"training_r2_score", "test_rmse", "test_r2"} <= metrics.keys()  # autolog's and its own
    assert 0.3 < metrics["test_r2"] < 0.7
    listed = stack.ask(f"/api/2.0/mlflow/artifacts/list?run_id={run_id}&path=report", user=user).json()
    names = {Path(each["path"]).name for each in listed["files"]}
    assert names == {"coefficients.csv", "predictions.csv", "predictions.png", "summary.json"}
    alias = "/api/2.0/mlflow/registered-models/alias?name=quickstart-diabetes&alias=candidate"
    assert stack.ask(alias, user=user).json()["model_version"]["run_id"] == run_id
    tags = {each["key"]: each["value"] for each in run["data"]["tags"]}
    assert tags["mlflow.source.name"] == "examples/quickstart"
    assert re.fullmatch("[0-9a-f]{40}", tags["mlflow.source.git.commit"])
    return run["info"]


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
    run = postgresql.api("runs/search", {"experiment_ids": [_experiment(postgresql, "broken")]})["runs"][0]
    assert run["info"]["status"] == "FAILED"


def _experiment(stack: Stack, name: str) -> str:
    return stack.api("experiments/get-by-name", experiment_name=name)["experiment"]["experiment_id"]


def test_status_logs_and_open_show_what_is_there(postgresql: Stack) -> None:
    status = postgresql.clone.verb("status", postgresql.name).out
    for text in ("MLflow 3.17.2", "health OK", postgresql.url, "postgresql, in-cluster", "mlflow-database-0"):
        assert text in status
    assert "Uvicorn running" in postgresql.clone.verb("logs", postgresql.name, "--tail", "500").out + _warned(
        postgresql
    )
    address = postgresql.clone.verb("open", postgresql.name, "--check").out.strip()
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+", address)
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", int(address.rpartition(":")[2]))) != 0, "the port stayed open"


def _warned(stack: Stack) -> str:
    """Above INFO uvicorn does not greet; then the log may be empty."""
    return "Uvicorn running" if "logLevel" in stack.clone.settings[stack.name] else ""


class TestSignIn:
    """The same stack, switched to sign-in."""

    @pytest.fixture(scope="class")
    def signed(self, postgresql: Stack) -> tuple[Stack, tuple[str, str], tuple[str, str]]:
        """The stack with basic sign-in; its admin's and its jobs' user."""
        kept = _own(postgresql.clone.settings[postgresql.name])
        postgresql.configure(**{**kept, "auth": {"mode": "basic"}})
        postgresql.up()
        values: dict[str, str] = {}
        for data in _secrets(postgresql).values():
            values |= {key: base64.b64decode(value).decode() for key, value in data.items()}
        admin = ("admin", values["MLFLOW_AUTH_ADMIN_PASSWORD"])
        return postgresql, admin, (values["MLFLOW_TRACKING_USERNAME"], values["MLFLOW_TRACKING_PASSWORD"])

    @pytest.mark.core
    def test_probes_pass_and_nobody_enters_without_a_password(self, signed: Any) -> None:
        stack, admin, jobs = signed
        assert _ready(stack.pod_of("server"))
        assert stack.ask("/health").status == 200
        search = "/api/2.0/mlflow/experiments/get?experiment_id=0"
        assert stack.ask(search).status == 401
        assert stack.ask(search, user=("admin", "wrong")).status == 401
        assert stack.ask(search, user=("admin", "password1234")).status == 401
        assert stack.ask(search, user=admin).status == 200
        assert stack.ask(search, user=jobs).status == 200

    @pytest.mark.core
    def test_users_survive_the_death_of_the_server(self, signed: Any) -> None:
        stack, admin, jobs = signed
        made = {"username": "mona", "password": "a-long-password-of-mona"}
        assert stack.ask("/api/2.0/mlflow/users/create", made, user=admin).status == 200
        _kill_server_pod(stack)
        stack.wait_until_answers("/health")
        search = "/api/2.0/mlflow/experiments/get?experiment_id=0"
        for user in (admin, jobs, ("mona", made["password"])):
            assert stack.ask(search, user=user).status == 200, user[0]

    @pytest.mark.core
    def test_jobs_and_clients_outside_sign_in_and_share_their_experiment(self, signed: Any) -> None:
        stack, admin, _ = signed
        # A run of the admin's is nobody else's: jobs may read, not write.
        done = stack.train(
            "--from", "here", "--project", str(_renamed(stack, "outside")), "--param", "alpha=0.2"
        )
        assert_quickstart_params(stack, done.out, admin)
        again = stack.train("--project", str(_renamed(stack, "outside")))
        first, second = (out.strip().splitlines()[-1].split("/runs/")[0] for out in (done.out, again.out))
        assert first == second

    def test_the_printed_command_shows_the_admins_password(self, signed: Any) -> None:
        stack, admin, _ = signed
        status = stack.clone.verb("status", stack.name).out
        assert "user admin" in status
        assert f"pulumi stack output adminPassword --show-secrets --stack {stack.name}" in status
        assert admin[1] not in status


def _renamed(stack: Stack, name: str) -> Path:
    """The quickstart under another experiment's name."""
    source = stack.clone.root / "examples" / "quickstart"
    folder = source.parent / name
    folder.mkdir(exist_ok=True)
    for path in source.iterdir():
        text = path.read_text().replace("quickstart-diabetes", f"{name}-diabetes")
        (folder / path.name).write_text(text.replace("name: quickstart", f"name: {name}"))
    return folder


def assert_quickstart_params(stack: Stack, out: str, user: tuple[str, str]) -> None:
    """The run behind the printed URL finished, and belongs to the user of jobs."""
    run_id = out.strip().splitlines()[-1].rpartition("/")[2]
    run = stack.ask(f"/api/2.0/mlflow/runs/get?run_id={run_id}", user=user).json()["run"]
    assert run["info"]["status"] == "FINISHED"
    assert {"key": "alpha", "value": "0.2"} in run["data"]["params"]


@pytest.mark.core
def test_down_leaves_nothing_and_up_works_again(postgresql: Stack, tell: Any) -> None:
    stack = postgresql
    postgresql.configure(database=POSTGRESQL)
    assert stack.clone.git("status", "--porcelain") == "", "up or another verb wrote into tracked files"
    refused = stack.clone.verb("down", stack.name, check=False)
    assert refused.code == 1
    assert "PersistentVolumeClaim" in refused.told  # it says what would be lost
    assert stack.ask("/health").status == 200
    stack.down()
    assert "NotFound" in stack.kubectl("get", "namespace", stack.namespace, check=False)
    volumes = stack.objects("persistentvolumes")
    assert [v for v in volumes if v["spec"].get("claimRef", {}).get("namespace") == stack.namespace] == []
    assert stack.ask("/health", limit=3).status == 0
    left = [path for path in local_files(stack) if "/history/" not in path and "/backups/" not in path]
    assert left == []
    assert stack.clone.git("status", "--porcelain") == ""
    stack.up()
    assert stack.ask("/health").status == 200
    again = log_from_a_pod(stack, "after-down")
    assert stack.api("runs/get", run_id=again.run)["run"]["info"]["status"] == "FINISHED"
