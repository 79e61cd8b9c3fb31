"""What job templates must not say. Each check names the key and what to write instead."""

from __future__ import annotations

from collections.abc import Iterator

from .. import reserved
from .artifacts import AccessMode
from .errors import Problem
from .jobs import Concurrency, Job, Jobs, claim_name
from .rules import UNREADABLE, no_group, rule
from .stack import Cloud, Groups
from .workloads import Git, Pod, Workload

TOKEN = "GIT_TOKEN"  # noqa: S105 - the name of one
SSH_KEY, KNOWN_HOSTS = "GIT_SSH_KEY", "GIT_KNOWN_HOSTS"
"""Keys of a secret group that opens a private repository."""
OWN_CLAIMS: tuple[str, ...] = ("mlflow-database", "mlflow-artifacts")
"""Volume claims of the tracking server."""


@rule
def job_sources(jobs: Jobs, cloud: Cloud) -> Iterator[Problem]:
    for key, job in _each(jobs):
        yield from source_problems(key, job, cloud)
        yield from command_problems(key, job)
        yield from _entry_point(key, job)


@rule
def job_secrets(jobs: Jobs, secrets: Groups) -> Iterator[Problem]:
    for key, job in _each(jobs):
        yield from secret_problems(key, job, secrets)


@rule
def job_environment(jobs: Jobs) -> Iterator[Problem]:
    for key, job in _each(jobs):
        yield from environment_problems(key, job)


@rule
def job_images(jobs: Jobs) -> Iterator[Problem]:
    for key, job in _each(jobs):
        yield from image_problems(key, job)


@rule
def job_schedules(jobs: Jobs) -> Iterator[Problem]:
    for key, job in _each(jobs):
        if job.schedule is None:
            for name, given in (("timeZone", job.time_zone), ("suspended", job.suspended)):
                if given:
                    yield Problem(f"{key}.{name}", "only fits a job with a schedule; remove it")


@rule
def job_workspaces(jobs: Jobs) -> Iterator[Problem]:
    claims: dict[str, str] = dict.fromkeys(OWN_CLAIMS, "the program")
    for key, job in _each(jobs):
        claim = job.workspace.claim
        if claim is None:
            continue
        if claim.access_mode is AccessMode.READ_WRITE_ONCE and job.concurrency is not Concurrency.FORBID:
            yield Problem(
                f"{key}.concurrency",
                f"is {job.concurrency}, but the workspace is ReadWriteOnce; use Forbid, or "
                f"{key}.workspace.claim.accessMode ReadWriteMany (a claim that is there is made anew, empty)",
            )
        name = claim_name(key.rpartition(".")[2], claim)
        other = claims.setdefault(name, key)
        if other != key:
            text = f"is that of {other} as well ({name}); choose another"
            yield Problem(f"{key}.workspace.claim.name", text)


def source_problems(key: str, workload: Workload, cloud: Cloud) -> Iterator[Problem]:
    """What is wrong with where the code comes from.

    :param key: path of the workload's section.
    """
    given = [name for name in ("git", "folder", "volume") if getattr(workload, name) is not None]
    if not given:
        yield Problem(key, "has no code; give git (a repository), folder (in its image) or volume")
    if len(given) > 1:
        yield Problem(key, f"has {' and '.join(given)}; code comes from one of them")
    if workload.folder and not workload.image:
        yield Problem(f"{key}.image", f"is missing; name the image that holds {workload.folder}")
    if workload.git:
        yield from _git(f"{key}.git", workload.git, cloud)


def _git(key: str, git: Git, cloud: Cloud) -> Iterator[Problem]:
    if (git.repo is None) == (git.local is None):
        yield Problem(f"{key}.repo", "is missing" if git.repo is None else "and local exclude each other")
    if git.holds_credentials:
        yield Problem(
            f"{key}.repo", "must hold no credentials (value not shown); name a group in credentials"
        )
    if git.local is not None:
        if cloud is not Cloud.DEV:
            yield Problem(f"{key}.local", "only fits a dev stack; push the code and set repo")
        for name in ("credentials", "ca_bundle"):
            if getattr(git, name):
                yield Problem(f"{key}.{'caBundle' if name == 'ca_bundle' else name}", "only fits a repo")
    if git.over_ssh:
        if git.credentials is None:
            yield Problem(f"{key}.credentials", f"is missing; SSH needs a group with {SSH_KEY}")
        if git.ca_bundle:
            yield Problem(f"{key}.caBundle", "only fits https://; SSH hosts are known by GIT_KNOWN_HOSTS")


def command_problems(key: str, workload: Workload) -> Iterator[Problem]:
    """What is wrong with what runs."""
    if workload.module and workload.command:
        yield Problem(f"{key}.command", "is set beside module; one thing runs")
    if workload.arguments and not workload.module:
        yield Problem(f"{key}.arguments", "only fits a module; a command holds its own words")
    if workload.requirements and workload.requirements_file:
        yield Problem(f"{key}.requirementsFile", "is set beside requirements; use one of them")


def _entry_point(key: str, job: Job) -> Iterator[Problem]:
    other = "module" if job.module else "command" if job.command else None
    if other and job.entry_point:
        yield Problem(f"{key}.entryPoint", f"is set beside {other}; one thing runs")
    if other and job.parameters:
        yield Problem(f"{key}.parameters", f"only fit an entry point; a {other} takes words instead")
    for name in job.parameters:
        if not name or name.startswith("-") or "=" in name:
            yield Problem(f"{key}.parameters.{name}", "is no parameter's name")


def secret_problems(key: str, workload: Pod, secrets: Groups) -> Iterator[Problem]:
    """Groups that are not there, values that two places set, credentials that open nothing."""
    seen = dict.fromkeys(workload.env, f"{key}.env")
    for index, group in enumerate(workload.secrets):
        if group not in secrets:
            yield no_group(f"{key}.secrets[{index}]", group, secrets)
        for name, values in secrets.get(group, {}).items():
            for each in values:
                place = f"mlflow:secrets.{group}.{name}"
                if each in seen:
                    yield Problem(f"{key}.secrets[{index}]", f"{each} is set there and in {seen[each]}")
                if (instead := reserved.instead_of_in_jobs(each)) is not None:
                    yield Problem(
                        f"{key}.secrets[{index}]", f"{each} of {place} is set by the program; {instead}"
                    )
                seen[each] = place
    git = workload.git if isinstance(workload, Workload) else None
    if git and git.credentials:
        yield from _git_credentials(f"{key}.git.credentials", git, secrets)


def _git_credentials(key: str, git: Git, secrets: Groups) -> Iterator[Problem]:
    group = git.credentials or ""
    if group not in secrets:
        yield no_group(key, group, secrets)
        return
    values = {name: value for secret in secrets[group].values() for name, value in secret.items()}
    wanted = (SSH_KEY, KNOWN_HOSTS) if git.over_ssh else (TOKEN,)
    for name in wanted:
        if name not in values:
            yield Problem(key, f"group {group} lacks {name}; `make secret GROUP={group} NAME=git KEY={name}`")
    private = values.get(SSH_KEY)
    readable = private is not None and private.reveal() != UNREADABLE
    if git.over_ssh and private and readable and "PRIVATE KEY-----" not in private.reveal():
        yield Problem(key, f"{SSH_KEY} of group {group} is no private key (value not shown)")


def environment_problems(key: str, workload: Pod) -> Iterator[Problem]:
    """Variables that belong to the program."""
    for name in workload.env:
        if (instead := reserved.instead_of_in_jobs(name)) is not None:
            yield Problem(f"{key}.env.{name}", f"is set by the program; {instead}")


def image_problems(key: str, workload: Pod) -> Iterator[Problem]:
    """An image that may be another one tomorrow."""
    last = workload.image.rpartition("/")[2] if workload.image else ":x"
    if "@sha256:" not in last and (":" not in last or last.endswith(":latest")):
        yield Problem(f"{key}.image", "needs a fixed tag or a digest; latest is refused")


def _each(jobs: Jobs) -> Iterator[tuple[str, Job]]:
    for name, job in jobs.items():
        yield f"mlflow:jobs.{name}", job
