#!/usr/bin/env python3
"""Stands in for git-sync v4 where its image cannot be pulled. Not git-sync: one sync at start, no more.

Takes the flags of git-sync that this project uses and refuses every other one, as git-sync does with a flag
it does not know. Layout, exit codes and what is logged follow git-sync's documentation.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def duration(text):
    """Seconds of a Go duration such as 2m30s.

    :raises ValueError: when it is none.
    """
    parts = re.findall(r"(\d+)(h|m|s)", text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise ValueError(text)
    return sum(int(number) * {"h": 3600, "m": 60, "s": 1}[unit] for number, unit in parts)


def flags():
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--repo", required=True)
    parser.add_argument("--root", required=True, type=Path)
    parser.add_argument("--link", default="")
    parser.add_argument("--ref", default="HEAD")
    parser.add_argument("--depth", type=int, default=1)
    parser.add_argument("--submodules", choices=("recursive", "shallow", "off"), default="recursive")
    parser.add_argument("--one-time", action="store_true")
    parser.add_argument("--group-write", action="store_true")
    parser.add_argument("--git-gc", choices=("auto", "always", "aggressive", "off"), default="always")
    parser.add_argument("--sync-timeout", type=duration, default="2m")
    parser.add_argument("--username", default="")
    parser.add_argument("--password-file", type=Path)
    parser.add_argument("--ssh-key-file", type=Path, default=Path("/etc/git-secret/ssh"))
    parser.add_argument("--ssh-known-hosts-file", type=Path, default=Path("/etc/git-secret/known_hosts"))
    given = parser.parse_args()
    if not given.one_time:
        parser.error("this stand-in syncs once; --one-time is required")
    if bool(given.username) != bool(given.password_file):
        parser.error("--username and --password-file go together")
    return given


def say(message, **more):
    stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    print(json.dumps({"ts": stamp, "level": 0, "msg": message, **more}), file=sys.stderr, flush=True)


class Git:
    """git with the credentials in force, and a deadline over all its calls together."""

    def __init__(self, given):
        self.deadline = time.monotonic() + given.sync_timeout
        self.secret = ""
        self.env = {**os.environ, "GIT_TERMINAL_PROMPT": "0"}
        # The root folder is a volume of the kubelet's.
        self.env |= {
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": "safe.directory",
            "GIT_CONFIG_VALUE_0": "*",
        }
        options = f"-o UserKnownHostsFile={given.ssh_known_hosts_file} -o StrictHostKeyChecking=yes"
        identity = f"-o IdentitiesOnly=yes -o IdentityFile={given.ssh_key_file}"
        self.env["GIT_SSH_COMMAND"] = f"ssh -o BatchMode=yes {options} {identity}"
        if given.password_file:
            self.secret = given.password_file.read_text().strip()
            helper = Path(tempfile.mkdtemp()) / "askpass"
            helper.write_text(
                '#!/bin/sh\ncase "$1" in Username*) printf %s "$SYNC_USER";; '
                f'*) cat "{given.password_file}";; esac\n'
            )
            helper.chmod(0o700)
            self.env |= {"GIT_ASKPASS": str(helper), "SYNC_USER": given.username}

    def __call__(self, *words, cwd):
        """Standard output.

        :raises RuntimeError: with git's own words, without the secret.
        """
        left = self.deadline - time.monotonic()
        try:
            done = subprocess.run(
                ["git", *words], cwd=cwd, env=self.env, capture_output=True, text=True, check=False,
                timeout=max(0.1, left),
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            raise RuntimeError(f"git {words[0]}: --sync-timeout is over") from None
        if done.returncode:
            told = done.stderr.strip()
            raise RuntimeError(
                f"git {words[0]}: {told.replace(self.secret, 'REDACTED') if self.secret else told}"
            )
        return done.stdout.strip()


def sync(given):
    """The commit that is checked out."""
    git, root = Git(given), given.root
    depth = [f"--depth={given.depth}"] if given.depth else []
    git("init", "--quiet", "-b", "git-sync", cwd=root)
    git("config", "gc.auto", "0", cwd=root)
    # Relative addresses of submodules are meant from there.
    git("remote", "add", "origin", given.repo, cwd=root)
    git("fetch", "--quiet", "--no-tags", "--prune", *depth, given.repo, given.ref, cwd=root)
    commit = git("rev-parse", "FETCH_HEAD^{commit}", cwd=root)
    tree = root / ".worktrees" / commit
    git("worktree", "add", "--quiet", "--detach", str(tree), commit, cwd=root)
    # Where the checkout is mounted elsewhere, only a relative path still leads to the repository.
    (tree / ".git").write_text(f"gitdir: ../../.git/worktrees/{commit}\n")
    if given.submodules != "off":
        recursive = ["--recursive"] if given.submodules == "recursive" else []
        git("submodule", "update", "--init", *recursive, *depth, cwd=tree)
    link = root / (given.link or Path(given.repo).name.removesuffix(".git"))
    link.unlink(missing_ok=True)
    link.symlink_to(os.path.relpath(tree, link.parent))
    return commit


def main():
    given = flags()
    if given.group_write:
        os.umask(0o002)
    say("a stand-in for git-sync, not git-sync", repo=given.repo, ref=given.ref)
    try:
        commit = sync(given)
    except (RuntimeError, OSError) as error:
        say("error syncing repo", error=str(error))
        return 1
    say("synced", hash=commit)
    return 0


if __name__ == "__main__":
    sys.exit(main())
