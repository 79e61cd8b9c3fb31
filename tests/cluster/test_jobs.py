"""Job templates on real pods, with code from a real Git server on this machine."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cluster.clone import Clone, Done, changed_nothing
from tests.cluster.git_server import GitServer, Repository, https_server, ssh_server, sshd
from tests.cluster.job_project import WHEEL, files
from tests.cluster.outside import Authority
from tests.cluster.stack import POSTGRESQL, Stack, Stage, eventually
from tests.needs import host_address

TOKEN = "the-right-token-4711"
WRONG = "the-wrong-token-0815"
OTHER_KEY = "AAAAC3NzaC1lZDI1NTE5AAAAIJ0vMBJ0EPXxCG2MhhqxAqC5vzlyPSTmnDmlLEiGUZGN"
"""A host's key, of type ed25519, that is not the server's."""
OF_SUBMODULE = "import mlflow; from shared.value import VALUE; mlflow.set_tag('words', VALUE)"
GRACE = 45
"""Seconds from SIGTERM to SIGKILL (components/jobs/pod.py)."""
RUN = re.compile(r"/#/experiments/(\d+)/runs/([0-9a-f]{32})$")


@dataclass(frozen=True)
class Jobs:
    """The stack with its jobs, and the repository that they run from.

    :ivar first: commit of the tag ``v1``; ``second``: of the branch ``main``; ``other``: of another branch.
    """

    stack: Stack
    settings: dict[str, Any]
    server: GitServer
    first: str
    second: str
    other: str

    def run(self, job: str, *words: str, check: bool = True) -> Done:
        return self.stack.clone.verb("run", self.stack.name, "--job", job, *words, check=check)

    def finished(self, done: Done) -> dict[str, Any]:
        """The run that `make run` printed the address of."""
        found = RUN.search(done.out.strip().splitlines()[-1])
        assert found, done.text
        return self.stack.api("runs/get", run_id=found[2])["run"]

    def runs(self, job: str) -> list[dict[str, Any]]:
        """The runs of a job, newest first."""
        name = "jobs" if job in ("train", "module") else job
        experiment = self.stack.ask(f"/api/2.0/mlflow/experiments/get-by-name?experiment_name={name}")
        if experiment.status == 404:
            return []
        query = {
            "experiment_ids": [experiment.json()["experiment"]["experiment_id"]],
            "filter": f"tags.`job.name` = '{job}'",
            "order_by": ["attributes.start_time DESC"],
        }
        return self.stack.api("runs/search", query).get("runs", [])

    def start(self, job: str) -> str:
        """Start a job and leave; its newest run's id once its code waits."""
        before = {run["info"]["run_id"] for run in self.runs(job)}
        self.run(job, "--detach")
        return self.waits(job, before)

    def waits(self, job: str, before: set[str]) -> str:
        """The id of a run that is not one of ``before`` and whose code waits."""

        def found() -> str | None:
            for run in self.runs(job):
                if run["info"]["run_id"] not in before and "waits" in tags(run):
                    return run["info"]["run_id"]
            return None

        return eventually(found, 120, f"{job} does not wait")

    def pod(self, job: str) -> str:
        """The pod of a job that works."""
        selector = f"mlflow/job={job}"
        pods = self.stack.objects("pods", "--selector", selector, "--field-selector", "status.phase=Running")
        living = [each for each in pods if not each["metadata"].get("deletionTimestamp")]
        assert len(living) == 1, [each["metadata"]["name"] for each in living]
        return living[0]["metadata"]["name"]

    def status(self, run: str) -> str:
        return self.stack.api("runs/get", run_id=run)["run"]["info"]["status"]


def tags(run: dict[str, Any]) -> dict[str, str]:
    return {tag["key"]: tag["value"] for tag in run["data"].get("tags", [])}


@pytest.fixture(scope="module")
def jobs(clone: Clone, stage: Stage, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Jobs]:
    host = host_address(clone.local("cluster.json"))
    folder = tmp_path_factory.mktemp("git")
    repository = Repository.make(folder, "churn")
    first = repository.commit(files(), tag="v1")
    shared = Repository.make(folder, "shared")
    shared.commit({"value.py": "VALUE = 'of a submodule'\n"})
    repository.hold(shared, "project/shared")
    second = repository.commit({"project/marker.py": "VALUE = 'second'\n"})
    other = repository.commit({"project/marker.py": "VALUE = 'other'\n"}, branch="feature/other")
    stack = Stack(clone, "pytest-jobs", 30516)
    program = sshd()
    if program is None:
        pytest.fail("there is no OpenSSH server: install openssh-server")
    with (
        https_server(folder, host, Authority.make(folder / "authority"), TOKEN) as server,
        ssh_server(program, folder / "ssh", host) as ssh,
    ):
        settings = {**POSTGRESQL, "jobs": described(server.url(repository), server, ssh.url(repository))}
        stack.configure(**POSTGRESQL)
        for group, key, value in (
            ("git", "GIT_TOKEN", TOKEN),
            ("wrong", "GIT_TOKEN", WRONG),
            ("ssh", "GIT_SSH_KEY", ssh.key),
            ("ssh", "GIT_KNOWN_HOSTS", ssh.known_hosts),
            ("other-host", "GIT_SSH_KEY", ssh.key),
            ("other-host", "GIT_KNOWN_HOSTS", f"{ssh.known_hosts.rpartition(' ')[0]} {OTHER_KEY}"),
        ):
            words = ["--group", group, "--name", key.lower().replace("_", "-"), "--key", key]
            clone.verb("secret", stack.name, *words, stdin=value)
        stage.show(stack, settings)
        yield Jobs(stack, settings, server, first, second, other)
        stage.clear()  # before the server of its code goes


def described(https: str, server: GitServer, ssh: str) -> dict[str, Any]:
    """mlflow:jobs of these tests."""
    git = {
        "repo": https,
        "path": "project",
        "credentials": "git",
        "caBundle": server.authority.certificate,
        "ref": "main",
    }
    small = {"resources": {"requests": {"cpu": "100m", "memory": "400Mi"}, "limits": {"cpu": "2"}}}
    return {
        "train": {"git": git, "experiment": "jobs", **small},
        "module": {
            "git": git,
            "experiment": "jobs",
            "module": "module",
            "arguments": ["a", 0.5],
            **small,
        },
        "over-ssh": {
            "git": {"repo": ssh, "path": "project", "credentials": "ssh"},
            "module": "module",
            **small,
        },
        "other-host": {
            "git": {"repo": ssh, "path": "project", "credentials": "other-host"},
            "module": "module",
            "retries": 0,
            **small,
        },
        "submodule": {
            "git": git,
            "command": ["python", "-c", OF_SUBMODULE],
            **small,
        },
        "writes": {
            "git": git,
            "command": ["cp", "-r", ".", "/workspace/shared"],
            "workspace": {"claim": {"name": "shared", "size": "1Gi"}},
            **small,
        },
        "reads": {
            "volume": {"claim": "shared", "path": "shared"},
            "command": ["sh", "-c", "! touch here && python module.py from a volume"],
            **small,
        },
        "wrong": {"git": {**git, "credentials": "wrong"}, "retries": 0, **small},
        "fail": {"git": git, "entryPoint": "fail", **small},
        "slow": {
            "git": git,
            "entryPoint": "slow",
            "workspace": {"claim": {"size": "1Gi"}},
            **small,
        },
        "evicted": {"git": git, "entryPoint": "slow", "retries": 0, **small},
        "overdue": {"git": git, "entryPoint": "slow", "deadlineSeconds": 40, **small},
        "replaced": {"git": git, "entryPoint": "slow", "retries": 0, "concurrency": "Replace", **small},
        "installs": {"git": git, "module": "uses_tiny", "requirements": [f"./{WHEEL}"], **small},
    }


@pytest.mark.core
def test_a_branch_a_tag_and_a_commit_run_what_they_name_and_a_parameter_overrides(jobs: Jobs) -> None:
    seen = {}
    for ref, commit in ((None, jobs.second), ("v1", jobs.first), (jobs.other, jobs.other)):
        words = ["--ref", ref] if ref else []
        run = jobs.finished(jobs.run("train", *words, "--param", "alpha=0.7"))
        assert run["info"]["status"] == "FINISHED"
        assert tags(run)["mlflow.source.git.commit"] == commit
        assert {param["key"]: param["value"] for param in run["data"]["params"]} == {"alpha": "0.7"}
        assert [metric["value"] for metric in run["data"]["metrics"]] == [0.7]
        seen[ref] = tags(run)
    assert [each["marker"] for each in seen.values()] == ["second", "first", "other"]
    told = seen[None]
    assert told["job.name"] == "train"
    assert told["job.trigger"] == "manual"
    assert told["job.attempt"] == "1"
    assert "job.replaces" not in told
    assert re.fullmatch(r"train-[0-9a-f]{6}", told["job.run"])
    image = jobs.stack.clone.local("images.json")["images"]["job"]["reference"]
    assert told["job.image"] == image
    assert all("200" in line or "401" in line for line in jobs.server.requests)


def test_a_module_gets_its_arguments_and_its_run_the_same_tags(jobs: Jobs) -> None:
    run = jobs.finished(jobs.run("module"))
    assert run["info"]["status"] == "FINISHED"
    told = tags(run)
    assert told["words"] == "a 0.5"
    assert told["mlflow.source.git.commit"] == jobs.second
    assert (told["job.name"], told["job.trigger"]) == ("module", "manual")


def test_a_repository_is_reached_by_ssh_with_its_host_checked(jobs: Jobs) -> None:
    run = jobs.finished(jobs.run("over-ssh"))
    assert tags(run)["mlflow.source.git.commit"] == jobs.second


def test_a_host_that_shows_another_key_than_the_pinned_one_gets_no_code_run(jobs: Jobs) -> None:
    done = jobs.run("other-host", check=False)
    assert done.code == 1
    error = done.told[done.told.index("Error:") :]
    assert "its code could not be fetched" in error
    assert "Host key verification failed" in error
    assert jobs.runs("other-host") == []


def test_a_private_submodule_beside_the_repository_comes_along(jobs: Jobs) -> None:
    run = jobs.finished(jobs.run("submodule"))
    assert tags(run)["words"] == "of a submodule"
    assert tags(run)["mlflow.source.git.commit"] == jobs.second


def test_code_on_a_volume_runs_from_there_and_cannot_be_written_to(jobs: Jobs) -> None:
    jobs.run("writes")
    run = jobs.finished(jobs.run("reads"))
    assert run["info"]["status"] == "FINISHED"
    assert tags(run)["words"] == "from a volume"
    assert "mlflow.source.git.commit" not in tags(run)


@pytest.mark.core
def test_a_wrong_credential_is_told_clearly_and_no_secret_is_in_any_log(jobs: Jobs) -> None:
    done = jobs.run("wrong", check=False)
    assert done.code == 1
    error = done.told[done.told.index("Error:") :]
    assert "its code could not be fetched" in error
    assert "Authentication failed" in error
    assert jobs.runs("wrong") == []
    logs = jobs.stack.clone.verb("logs", jobs.stack.name, "--job", "wrong").text
    assert "Authentication failed" in logs
    everything = jobs.stack.kubectl("get", "pods,jobs,cronjobs,events,configmaps", "-o", "json")
    for text in (done.text, logs, everything):
        for secret in (TOKEN, WRONG, "PRIVATE KEY"):
            assert secret not in text


def test_a_ref_that_is_not_there_is_told_clearly(jobs: Jobs) -> None:
    done = jobs.run("wrong", "--ref", "no-such-branch", check=False)
    assert done.code == 1
    other = jobs.run("train", "--ref", "no-such-branch", check=False)
    assert "couldn't find remote ref no-such-branch" in other.told[other.told.index("Error:") :]


@pytest.mark.core
def test_a_failing_entry_point_fails_the_job_after_its_retry_each_a_run_of_its_own(jobs: Jobs) -> None:
    done = jobs.run("fail", check=False)
    assert done.code == 1
    assert "the data is gone" in done.told[done.told.index("Error:") :]
    assert "2 attempts" in done.told
    second, first = jobs.runs("fail")
    assert [run["info"]["status"] for run in (first, second)] == ["FAILED", "FAILED"]
    assert [tags(run)["job.attempt"] for run in (first, second)] == ["1", "2"]
    assert tags(second)["job.replaces"] == first["info"]["run_id"]
    assert tags(second)["job.uid"] == tags(first)["job.uid"]


def test_a_misspelt_parameter_fails_at_once_and_names_the_real_ones(jobs: Jobs) -> None:
    before = len(jobs.runs("train"))
    done = jobs.run("train", "--param", "alhpa=1", check=False)
    assert done.code == 1
    assert "has no parameter alhpa; it has: alpha" in done.told
    assert "PodFailurePolicy" in done.told, "it was tried again"
    assert len(jobs.runs("train")) == before


def test_requirements_are_installed_on_top_of_the_images(jobs: Jobs) -> None:
    assert tags(jobs.finished(jobs.run("installs")))["tiny"] == "installed"


@pytest.mark.core
def test_a_killed_pods_workspace_is_found_by_the_next_attempt_and_no_second_run_is_let_in(jobs: Jobs) -> None:
    first = jobs.start("slow")
    refused = jobs.run("slow", check=False)
    assert refused.code == 1
    assert "slow is already running, as Job slow-" in refused.told
    assert "mlflow:jobs.slow.concurrency is Forbid" in refused.told
    jobs.stack.kubectl("delete", "pod", jobs.pod("slow"), "--grace-period=0", "--force")
    eventually(lambda: len(jobs.runs("slow")) == 2, 120, "there was no second attempt")
    second = jobs.runs("slow")[0]
    eventually(
        lambda: jobs.status(second["info"]["run_id"]) == "FINISHED", 60, "the second attempt did not end"
    )
    second = jobs.runs("slow")[0]
    assert tags(second)["found"] == "True"
    assert tags(second)["job.attempt"] == "2"
    assert tags(second)["job.replaces"] == first
    assert jobs.status(first) == "KILLED"
    (job,) = jobs.stack.objects("jobs", "--selector", "mlflow/job=slow")
    eventually(
        lambda: (
            jobs.stack.objects("jobs", "--selector", "mlflow/job=slow")[0]["status"].get("succeeded") == 1
        ),
        60,
        f"{job['metadata']['name']} did not succeed",
    )


@pytest.mark.core
def test_an_evicted_pods_run_is_killed_within_its_grace_and_tried_again_without_a_retry_left(
    jobs: Jobs, tell: Callable[[str], None]
) -> None:
    first = jobs.start("evicted")
    pod = jobs.pod("evicted")
    eviction = {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": pod, "namespace": jobs.stack.namespace},
    }
    start = time.monotonic()
    path = f"/api/v1/namespaces/{jobs.stack.namespace}/pods/{pod}/eviction"
    jobs.stack.kubectl("create", "--raw", path, "-f", "-", stdin=json.dumps(eviction))
    eventually(lambda: jobs.status(first) == "KILLED", GRACE, "the evicted pod's run is not KILLED")
    tell(f"    evicted: its run KILLED after {time.monotonic() - start:.1f} s")
    second = jobs.waits("evicted", {first})
    assert tags(jobs.runs("evicted")[0])["job.replaces"] == first
    start = time.monotonic()
    jobs.stack.clone.verb("stop", jobs.stack.name, "--job", "evicted")
    assert jobs.status(second) == "KILLED"
    tell(f"    make stop took {time.monotonic() - start:.1f} s")
    assert time.monotonic() - start < GRACE
    assert jobs.stack.objects("jobs", "--selector", "mlflow/job=evicted") == []


def test_a_run_that_is_over_its_deadline_is_killed(jobs: Jobs) -> None:
    done = jobs.run("overdue", check=False)
    assert done.code == 1
    assert "it took longer than its 40 s" in done.told[done.told.index("Error:") :]
    (run,) = jobs.runs("overdue")
    eventually(lambda: jobs.status(run["info"]["run_id"]) == "KILLED", GRACE, "its run is not KILLED")


def test_under_replace_a_second_run_ends_the_first(jobs: Jobs) -> None:
    first = jobs.start("replaced")
    second = jobs.start("replaced")
    assert jobs.status(first) == "KILLED"
    assert "job.replaces" not in tags(jobs.runs("replaced")[0]), "another Job is no other attempt"
    jobs.stack.clone.verb("stop", jobs.stack.name, "--job", "replaced")
    assert jobs.status(second) == "KILLED"


def test_jobs_lists_templates_results_and_links(jobs: Jobs) -> None:
    if not jobs.runs("train"):
        jobs.run("train")
    table = jobs.stack.clone.verb("jobs", jobs.stack.name).out
    (line,) = [line for line in table.splitlines() if line.startswith("train ")]
    newest = jobs.runs("train")[0]
    assert newest["info"]["run_id"] in line
    assert newest["info"]["status"] in line
    assert tags(newest)["mlflow.source.git.commit"][:12] in line
    assert "by hand" in line
    assert [line for line in table.splitlines() if line.startswith("slow ")]


def test_logs_shows_every_container_of_the_newest_run(jobs: Jobs) -> None:
    jobs.run("module")
    logs = jobs.stack.clone.verb("logs", jobs.stack.name, "--job", "module").out
    assert jobs.second in logs, "the init container's log is missing"
    assert re.search(r"launcher: experiment \d+ run [0-9a-f]{32}", logs)


def test_a_run_that_nobody_follows_any_more_goes_on(jobs: Jobs) -> None:
    clone = jobs.stack.clone
    before = {run["info"]["run_id"] for run in jobs.runs("evicted")}
    with subprocess.Popen(
        [sys.executable, "-m", "tools.run", "--stack", jobs.stack.name, "--job", "evicted"],
        cwd=clone.root,
        env=clone.environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        # A script in the background ignores Ctrl-C, and its children inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:
        try:
            run = jobs.waits("evicted", before)
            process.send_signal(signal.SIGINT)
            _, told = process.communicate(timeout=20)
        finally:
            process.kill()  # or leaving the block would wait for it
    assert process.returncode == 130
    assert "goes on" in told
    assert jobs.status(run) == "RUNNING"
    clone.verb("stop", jobs.stack.name, "--job", "evicted")
    assert jobs.status(run) == "KILLED"


def test_finished_and_removed_jobs_are_no_drift(jobs: Jobs) -> None:
    jobs.run("module")
    jobs.stack.kubectl("delete", "jobs", "--selector", "mlflow/job=module")
    jobs.stack.clone.verb("refresh", jobs.stack.name)
    assert changed_nothing(jobs.stack.up())


@pytest.mark.core
def test_code_of_this_machine_runs_at_its_commit_and_not_before_it_is_committed(
    jobs: Jobs, stage: Stage
) -> None:
    clone = jobs.stack.clone
    settings = {**jobs.settings, "jobs": {**jobs.settings["jobs"], "local": local()}}
    (clone.root / "own").mkdir(exist_ok=True)
    for name, text in files().items():
        path = clone.root / "own" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    clone.commit("a project of one's own")
    stage.show(jobs.stack, settings)
    marker = clone.root / "own" / "project" / "marker.py"
    marker.write_text("VALUE = 'mine'\n")
    refused = jobs.run("local", check=False)
    assert refused.code == 1
    (line,) = [line for line in refused.told.splitlines() if line.startswith("Error:")]
    assert "own/project/marker.py is not committed" in line
    clone.commit("mine")
    run = jobs.finished(jobs.run("local"))
    assert tags(run)["marker"] == "mine"
    assert tags(run)["mlflow.source.git.commit"] == clone.git("rev-parse", "HEAD").strip()
    stage.changed()


def local() -> dict[str, Any]:
    return {"git": {"local": ".", "path": "own/project"}}


def test_an_image_of_a_project_runs_its_commit_and_packages_without_any_git(jobs: Jobs, stage: Stage) -> None:
    clone = jobs.stack.clone
    folder = clone.root / "baked"
    folder.mkdir(exist_ok=True)
    for name, text in files().items():
        path = folder / name.removeprefix("project/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    (folder / "requirements.txt").write_text(f"./{WHEEL}\n")
    refused = clone.verb("image", jobs.stack.name, "--project", "baked", check=False)
    assert "is not committed" in refused.told
    clone.commit("a project to bake")
    baked = clone.git("rev-parse", "HEAD").strip()
    told = clone.verb("image", jobs.stack.name, "--project", "baked").out
    job = {**yaml.safe_load(told), "module": "uses_tiny"}
    assert job["folder"] == "/opt/project"
    stage.show(jobs.stack, {**jobs.settings, "jobs": {**jobs.settings["jobs"], "baked": job}})
    run = jobs.finished(jobs.run("baked"))
    assert tags(run)["tiny"] == "installed"
    assert tags(run)["mlflow.source.git.commit"] == baked
    assert tags(run)["job.image"] == job["image"]
    refused = jobs.run("baked", "--ref", "main", check=False)
    assert "comes with its image or volume" in refused.told


@pytest.mark.core
def test_a_schedule_fires_and_a_removed_job_is_deleted(jobs: Jobs, stage: Stage) -> None:
    ticking = {**jobs.settings["jobs"]["module"], "schedule": "* * * * *", "timeZone": "Europe/Berlin"}
    ticking["experiment"] = "ticking"
    stage.show(jobs.stack, {**jobs.settings, "jobs": {**jobs.settings["jobs"], "ticking": ticking}})
    eventually(
        lambda: [run for run in jobs.runs("ticking") if run["info"]["status"] == "FINISHED"],
        150,
        "the schedule did not fire",
    )
    told = tags(jobs.runs("ticking")[-1])
    assert told["job.trigger"] == "schedule"
    assert told["mlflow.source.git.commit"] == jobs.second
    stage.show(jobs.stack, jobs.settings)
    assert not [one for one in jobs.stack.objects("cronjobs") if one["metadata"]["name"] == "ticking"]


def test_the_real_git_sync_stands_in_every_template_where_it_can_be_pulled(clone: Clone) -> None:
    """What runs here is a stand-in only because nothing can be pulled; it says so itself."""
    image = clone.local("images.json")["images"]["git-sync"]
    if image["substitute"]:
        assert "substitute" in image["reference"]
        assert "Not git-sync" in (Path("images") / "substitutes" / "git-sync" / "git-sync.py").read_text()
    else:
        assert image["reference"] == "registry.k8s.io/git-sync/git-sync:v4.7.1"
