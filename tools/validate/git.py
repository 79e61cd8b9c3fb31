"""A repository looked into from here, with a job's own credentials and nothing of the caller's.

What git is given lies in a folder that goes afterwards, readable by its owner only: no credential is ever
part of a command line, an address or a message.
"""

from __future__ import annotations

import difflib
import os
import re
import shlex
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from components.settings.job_rules import KNOWN_HOSTS, SSH_KEY, TOKEN
from components.settings.workloads import Git
from tools.common import Failure
from tools.validate import Finding

LIMIT = 30
"""Seconds for one answer of a Git host."""
COMMIT = re.compile(r"^[0-9a-f]{40}$")
ASKPASS = '#!/bin/sh\ncase "$1" in Username*) cat "$0.user" ;; *) cat "$0.token" ;; esac\n'
"""git calls it with its question. Source: gitcredentials(7), "Requesting credentials"."""


class GitError(Exception):
    """git said no; the text is what it wrote, in one line."""


class Unreachable(GitError):  # noqa: N818 - what a person sees
    """No answer at all: it may be this machine's network."""


UNREACHABLE = re.compile(
    r"Could not resolve host|Failed to connect|Couldn't connect|Connection (refused|timed out|closed)|"
    r"Network is unreachable|No route to host|did not answer|transfer speed|Operation timed out"
)
REFUSED = re.compile(
    r"Authentication failed|could not read (Username|Password)|Permission denied|error: 40[13]|"
    r"terminal prompts disabled|unable to read askpass"
)
UNKNOWN_HOST = re.compile(r"Host key verification failed|host key is known")
CERTIFICATE = re.compile(r"certificate|SSL|TLS")
ADVICE = re.compile(
    r"Could not read from remote|Please make sure you have|^and the repository exists|^@|^hint:"
)
"""What git and ssh say around the reason."""


@dataclass(frozen=True)
class Repository:
    """Files of one commit: of a bare repository that fetches what it is asked for, or of a checkout here.

    :ivar commit: what git calls it there.
    """

    folder: Path
    commit: str
    env: Mapping[str, str] = field(default_factory=dict)

    def kind(self, path: str) -> str | None:
        """``blob`` for a file, ``tree`` for a folder, None for what is not there."""
        try:
            return self._git("cat-file", "-t", f"{self.commit}:{path}").strip()
        except Unreachable:
            raise
        except GitError:
            return None

    def text(self, path: str) -> str:
        """:raises GitError: when it cannot be read."""
        return self._git("show", f"{self.commit}:{path}")

    def _git(self, *words: str) -> str:
        return git(["-C", str(self.folder), *words], self.env or os.environ)


@contextmanager
def opened(key: str, described: Git, group: Mapping[str, str]) -> Iterator[Repository | Finding]:
    """Reach a repository and find its ref: its files, else what is wrong.

    :param key: path of the settings' git section.
    :param group: the secret group's values that ``credentials`` names.
    """
    with TemporaryDirectory(prefix="mlflow-validate-") as made:
        place = Path(made)
        env = _environment(place, described, group)
        try:
            refs = _refs(described, env)
            yield _found(key, described, refs, place, env)
        except GitError as error:
            yield _judged(key, described, error)


def git(words: list[str], env: Mapping[str, str]) -> str:
    """Run git; its helpers (ssh, git-remote-https) end with it.

    :raises GitError: when it fails, or does not answer in time.
    :raises Failure: when there is no git.
    """
    try:
        process = subprocess.Popen(
            ["git", *words], env=dict(env), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True, errors="replace", start_new_session=True,
        )  # fmt: skip
    except FileNotFoundError:
        raise Failure("git is not installed", "put git on PATH") from None
    with process:
        try:
            out, told = process.communicate(timeout=LIMIT)
        except BaseException as stopped:
            os.killpg(process.pid, signal.SIGKILL)
            if isinstance(stopped, subprocess.TimeoutExpired):
                raise Unreachable(f"it did not answer within {LIMIT} s") from None
            raise
    if process.returncode:
        lines = [line.strip() for line in told.splitlines() if line.strip() and not ADVICE.search(line)]
        text = "; ".join(line.removeprefix("fatal: ").removeprefix("remote: ") for line in lines[-3:])
        raise (Unreachable if UNREACHABLE.search(told) else GitError)(text or "it said nothing")
    return out


def _environment(place: Path, described: Git, group: Mapping[str, str]) -> dict[str, str]:
    """What git runs with: the job's credentials and trust; of the caller's settings, proxies alone."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("GIT_") and k != "SSH_AUTH_SOCK"}
    env = {
        **kept,
        "HOME": str(place),
        "LC_ALL": "C",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ASKPASS": "false",
        "GIT_HTTP_LOW_SPEED_LIMIT": "1",
        "GIT_HTTP_LOW_SPEED_TIME": str(LIMIT),
    }
    if described.ca_bundle:
        env["GIT_SSL_CAINFO"] = _kept(place / "ca.pem", described.ca_bundle)
    if described.credentials and described.over_ssh:
        options = {
            "IdentityFile": _kept(place / "key", group[SSH_KEY]),
            "IdentitiesOnly": "yes",
            "IdentityAgent": "none",
            "UserKnownHostsFile": _kept(place / "hosts", group[KNOWN_HOSTS]),
            "GlobalKnownHostsFile": os.devnull,
            "StrictHostKeyChecking": "yes",
            "BatchMode": "yes",
            "ConnectTimeout": str(LIMIT // 2),
        }
        words = ["ssh", "-F", os.devnull, *(f"-o{name}={value}" for name, value in options.items())]
        env["GIT_SSH_COMMAND"] = shlex.join(words)
    elif described.credentials:
        env["GIT_ASKPASS"] = _kept(place / "ask", ASKPASS, mode=0o700)
        _kept(place / "ask.user", described.username)
        _kept(place / "ask.token", group[TOKEN])
    return env


def _kept(path: Path, text: str, mode: int = 0o600) -> str:
    path.touch(mode=mode)
    path.write_text(text)
    return str(path)


def _refs(described: Git, env: Mapping[str, str]) -> dict[str, str]:
    """Full name of a ref → commit, as the host tells them."""
    listed = git(["ls-remote", described.repo or ""], env)
    return {name: commit for commit, name in (line.split("\t", 1) for line in listed.splitlines())}


def _found(
    key: str, described: Git, refs: Mapping[str, str], place: Path, env: Mapping[str, str]
) -> Repository | Finding:
    ref = described.ref
    known = {ref, f"refs/heads/{ref}", f"refs/tags/{ref}"} & refs.keys()
    if not known and not COMMIT.match(ref):
        if not refs:
            return Finding(f"{key}.repo", "the repository is empty; push a commit")
        return Finding(f"{key}.ref", f"there is no branch or tag {ref}{nearest(ref, _short(refs))}")
    bare = place / "bare"
    git(["init", "--quiet", "--bare", str(bare)], env)
    for name, value in (
        ("remote.origin.url", described.repo or ""),
        # Files come when they are read, where the host can do that, else all of the one commit.
        ("remote.origin.promisor", "true"),
        ("remote.origin.partialclonefilter", "blob:none"),
    ):
        git(["-C", str(bare), "config", name, value], env)
    try:
        git(
            ["-C", str(bare), "fetch", "--quiet", "--depth=1", "--no-tags", "--filter=blob:none", "origin",
             ref],
            env,
        )  # fmt: skip
    except Unreachable:
        raise
    except GitError as error:
        return Finding(f"{key}.ref", f"{ref} cannot be fetched: {error}")
    return Repository(bare, "FETCH_HEAD", env)


def _short(refs: Mapping[str, str]) -> list[str]:
    """Branches and tags as people write them."""
    found = (re.fullmatch(r"refs/(?:heads|tags)/(.+?)(?:\^\{\})?", name) for name in refs)
    return sorted({match[1] for match in found if match})


def _judged(key: str, described: Git, error: GitError) -> Finding:
    """Which setting is to blame for what git says."""
    text = str(error)
    if isinstance(error, Unreachable):
        return Finding(f"{key}.repo", f"cannot be reached from this machine: {text}", fails=False)
    if UNKNOWN_HOST.search(text):
        return Finding(
            f"{key}.credentials",
            f"{KNOWN_HOSTS} of group {described.credentials} does not hold the key that the host shows",
        )
    if REFUSED.search(text):
        if described.credentials is None:
            return Finding(
                f"{key}.credentials",
                f"is missing: the host asks who is there; name a group with {TOKEN}, or correct repo",
            )
        value = SSH_KEY if described.over_ssh else TOKEN
        return Finding(f"{key}.credentials", f"the host refuses {value} of group {described.credentials}")
    if CERTIFICATE.search(text):
        return Finding(f"{key}.caBundle", f"the host's certificate is not trusted: {text}")
    return Finding(f"{key}.repo", f"cannot be read: {text}")


def nearest(name: str, known: list[str]) -> str:
    """``; did you mean x?``, else all that are known."""
    close = difflib.get_close_matches(name, known, n=1)
    if close:
        return f"; did you mean {close[0]}?"
    return f"; there are: {', '.join(known[:10])}{' …' if len(known) > 10 else ''}" if known else ""
