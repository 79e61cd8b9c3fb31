"""`make validate` looks into the code that jobs name: real repositories, over TLS and over SSH."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from components.settings import parse
from tests.cluster.git_server import GitServer, Repository, SshServer, https_server, ssh_server, sshd
from tests.cluster.job_project import files
from tests.cluster.outside import Authority
from tools.validate import Finding, Subject, git
from tools.validate.sources import sources

pytestmark = pytest.mark.core

TOKEN, WRONG = "the-right-token-4711", "the-wrong-token-0815"
HOST = "127.0.0.1"
MORE = {
    "project/requirements.txt": "scikit-learn\n",
    "needs/MLproject": """
name: needs
entry_points:
  main:
    parameters:
      data: path
      alpha: {type: float, default: 0.1}
    command: "true"
""",
    "broken/MLproject": "entry_points: [main\n",
    "empty/README": "nothing\n",
}


@dataclass(frozen=True)
class World:
    """A repository behind two servers."""

    server: GitServer
    ssh: SshServer
    repository: Repository
    commit: str

    @property
    def git(self) -> dict[str, Any]:
        return {
            "repo": self.server.url(self.repository),
            "path": "project",
            "credentials": "right",
            "caBundle": self.server.authority.certificate,
        }

    @property
    def over_ssh(self) -> dict[str, Any]:
        return {"repo": self.ssh.url(self.repository), "path": "project", "credentials": "ssh"}

    @property
    def groups(self) -> dict[str, dict[str, str]]:
        other = self.ssh.known_hosts.split()[0] + " ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI" + "A" * 42 + "A\n"
        return {
            "right": {"GIT_TOKEN": TOKEN},
            "wrong": {"GIT_TOKEN": WRONG},
            "ssh": {"GIT_SSH_KEY": self.ssh.key, "GIT_KNOWN_HOSTS": self.ssh.known_hosts},
            "other-host": {"GIT_SSH_KEY": self.ssh.key, "GIT_KNOWN_HOSTS": other},
        }

    def found(self, jobs: Mapping[str, Any], **more: Any) -> list[Finding]:
        """What is found, and never a credential in it."""
        secrets = {name: {"git": values} for name, values in self.groups.items()}
        settings = parse(
            {"cloud": "dev", "jobs": jobs, "secrets": secrets, **more}, secret_keys={"secrets", "jobs"}
        )
        findings = list(sources(Subject("dev", settings, [], None, None, self.groups)))
        told = " ".join(f"{each.key} {each.text}" for each in findings)
        assert TOKEN not in told
        assert WRONG not in told
        assert "PRIVATE KEY" not in told
        assert not any("\n" in each.text for each in findings)
        return findings

    def one(self, job: Mapping[str, Any], **more: Any) -> Finding:
        """The only finding about a job ``train``."""
        (finding,) = self.found({"train": job}, **more)
        return finding


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("git")
    repository = Repository.make(folder, "churn")
    commit = repository.commit({**files(), **MORE}, tag="v1")
    repository.commit({"project/MLproject": "name: other\n"}, branch="feature/other")
    program = sshd()
    if program is None:
        pytest.fail("there is no OpenSSH server: install openssh-server")
    with (
        https_server(folder, HOST, Authority.make(folder / "authority"), TOKEN) as server,
        ssh_server(program, folder / "ssh", HOST) as ssh,
    ):
        yield World(server, ssh, repository, commit)


@pytest.mark.parametrize("ref", ["HEAD", "main", "v1", "refs/tags/v1", "a commit"])
def test_code_that_is_as_the_job_says_is_no_finding(world: World, ref: str) -> None:
    job = {
        "git": {**world.git, "ref": world.commit if ref == "a commit" else ref},
        "parameters": {"alpha": 0.3},
        "requirementsFile": "requirements.txt",
        "schedule": "@daily",
    }
    assert world.found({"train": job}) == []


def test_the_same_over_ssh_with_the_host_pinned(world: World) -> None:
    assert world.found({"train": {"git": world.over_ssh}}) == []


def test_a_host_with_another_key_than_the_pinned_one_is_refused(world: World) -> None:
    finding = world.one({"git": {**world.over_ssh, "credentials": "other-host"}})
    assert finding == Finding(
        "mlflow:jobs.train.git.credentials",
        "GIT_KNOWN_HOSTS of group other-host does not hold the key that the host shows",
    )


def test_a_wrong_token_is_told_by_its_group(world: World) -> None:
    finding = world.one({"git": {**world.git, "credentials": "wrong"}})
    assert finding == Finding(
        "mlflow:jobs.train.git.credentials", "the host refuses GIT_TOKEN of group wrong"
    )


def test_a_private_repository_without_credentials_asks_for_a_group(world: World) -> None:
    described = {key: value for key, value in world.git.items() if key != "credentials"}
    finding = world.one({"git": described})
    assert finding.key == "mlflow:jobs.train.git.credentials"
    assert finding.fails
    assert "GIT_TOKEN" in finding.text


def test_a_certificate_of_an_unknown_authority_is_not_trusted(world: World) -> None:
    described = {key: value for key, value in world.git.items() if key != "caBundle"}
    finding = world.one({"git": described})
    assert finding.key == "mlflow:jobs.train.git.caBundle"
    assert finding.fails


def test_a_repository_that_is_not_there_is_told_by_its_address(world: World) -> None:
    missing = {**world.over_ssh, "repo": world.over_ssh["repo"].replace("churn", "chrun")}
    finding = world.one({"git": missing})
    assert finding.key == "mlflow:jobs.train.git.repo"
    assert finding.fails


def test_a_host_that_does_not_answer_is_a_warning_since_the_cluster_may_see_it(world: World) -> None:
    finding = world.one({"git": {**world.git, "repo": "https://127.0.0.1:1/churn.git"}})
    assert finding.key == "mlflow:jobs.train.git.repo"
    assert not finding.fails
    assert "from this machine" in finding.text


def test_a_host_that_never_ends_its_answer_is_given_up(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    monkeypatch.setattr(git, "LIMIT", 1)
    with socket.create_server((HOST, 0)) as silent:
        address = f"https://{HOST}:{silent.getsockname()[1]}/churn.git"
        finding = world.one({"git": {**world.git, "repo": address}})
    assert finding.text.endswith("it did not answer within 1 s")
    left = subprocess.run(["pgrep", "-f", address], capture_output=True, check=False)
    assert left.stdout == b""


@pytest.mark.parametrize(
    ("job", "key", "text"),
    [
        ({"ref": "mian"}, "git.ref", "there is no branch or tag mian; did you mean main?"),
        ({"ref": "feature/otter"}, "git.ref", "did you mean feature/other?"),
        ({"ref": "0" * 40}, "git.ref", "cannot be fetched"),
        ({"path": "projekt"}, "git.path", "there is no folder projekt in HEAD"),
        ({"path": "empty"}, "git.path", "there is no empty/MLproject in HEAD; add one, or give module"),
        ({"path": "broken"}, "git", "broken/MLproject in HEAD is no MLproject file"),
        ({"entryPoint": "fial"}, "entryPoint", "has no entry point fial; did you mean fail?"),
        ({"ref": "feature/other"}, "entryPoint", "project/MLproject has no entry point main"),
        ({"parameters": {"alhpa": 1}}, "parameters.alhpa", "has no such parameter; did you mean alpha?"),
        (
            {"entryPoint": "fail", "parameters": {"alpha": 1}},
            "parameters.alpha",
            "entry point fail of project/MLproject has no such parameter; it has none",
        ),
        (
            {"requirementsFile": "requirement.txt"},
            "requirementsFile",
            "there is no file project/requirement.txt in HEAD",
        ),
        ({"path": "needs", "schedule": "@daily"}, "parameters.data", "is missing: entry point main needs it"),
    ],
)
def test_each_mistake_is_told_by_the_key_that_holds_it(
    world: World, job: dict[str, Any], key: str, text: str
) -> None:
    of_git = {name: job.pop(name) for name in ("ref", "path") if name in (job := dict(job))}
    finding = world.one({"git": {**world.git, **of_git}, **job})
    assert finding.key == f"mlflow:jobs.train.{key}"
    assert finding.fails
    assert text in finding.text


def test_a_parameter_without_default_may_be_left_to_whoever_starts_the_job(world: World) -> None:
    assert world.found({"train": {"git": {**world.git, "path": "needs"}}}) == []


def test_a_pipelines_parameters_are_checked_against_its_jobs_entry_point(world: World) -> None:
    jobs = {"train": {"git": {**world.git, "path": "needs"}}}
    stages = {"one": {"job": "train", "parameters": {"dta": "x"}}}
    found = {each.key for each in world.found(jobs, pipelines={"p": {"stages": stages}})}
    assert found == {"mlflow:pipelines.p.stages.one.parameters.dta", "mlflow:jobs.train.parameters.data"}


def test_services_are_looked_into_as_jobs_are(world: World) -> None:
    service = {"git": {**world.git, "ref": "mian"}, "module": "app"}
    (finding,) = world.found({}, services={"web": service})
    assert finding.key == "mlflow:services.web.git.ref"


def test_a_repository_is_asked_once_for_all_jobs_that_use_it(world: World) -> None:
    before = len(world.server.requests)
    jobs = {f"job-{n}": {"git": {**world.git, "path": "needs" if n % 2 else "project"}} for n in range(40)}
    assert world.found(jobs) == []
    alone = len(world.server.requests)
    world.found({"train": {"git": world.git}})
    assert alone - before <= (len(world.server.requests) - alone) + 4


def test_groups_that_cannot_be_decrypted_leave_a_warning(world: World) -> None:
    secrets = {"right": {"git": {"GIT_TOKEN": "[secret]"}}}
    settings = parse(
        {"cloud": "dev", "jobs": {"train": {"git": world.git}}, "secrets": secrets}, secret_keys={"secrets"}
    )
    (finding,) = sources(Subject("dev", settings, [], None, None))
    assert finding.key == "mlflow:jobs.train.git.credentials"
    assert not finding.fails


def test_code_of_this_machine_is_read_as_it_is_committed(
    world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("tools.validate.sources.ROOT", world.repository.checkout.parent)
    local = {"local": world.repository.checkout.name, "path": "project", "ref": "v1"}
    assert world.found({"train": {"git": local}}) == []
    finding = world.one({"git": local, "entryPoint": "mian"})
    assert (finding.key, finding.fails) == ("mlflow:jobs.train.entryPoint", True)
    assert "did you mean main?" in finding.text
    finding = world.one({"git": {**local, "ref": "v2"}})
    assert finding.key == "mlflow:jobs.train.git.local"


def test_code_in_an_image_or_a_volume_is_no_finding_and_is_said(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    jobs = {
        "baked": {"folder": "/opt/project", "image": "r.example.com/job:1"},
        "kept": {"volume": {"claim": "code"}},
    }
    assert world.found(jobs) == []
    told = capsys.readouterr().err
    assert "mlflow:jobs.baked: its code is in an image, which cannot be read here" in told
    assert "mlflow:jobs.kept: its code is in a volume, which cannot be read here" in told
