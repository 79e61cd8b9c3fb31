"""A clone of the project in a temporary folder, with its own stacks, driven by the real verbs."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tools.common import ROOT

VERB_LIMIT = 8 * 60
"""Seconds; above every limit of the product's own, so that those are what ends a wait."""


@dataclass(frozen=True)
class Done:
    """How a verb ended.

    :ivar told: its progress (standard error).
    """

    code: int
    out: str
    told: str
    seconds: float

    @property
    def text(self) -> str:
        return self.told + self.out


@dataclass
class Clone:
    """A checkout of the files as they are now, tracked by a git of its own.

    :ivar tell: shows a line to whoever watches the tests.
    """

    root: Path
    tell: Callable[[str], None]
    settings: dict[str, dict[str, Any]] = field(default_factory=dict)

    @classmethod
    def make(cls, root: Path, tell: Callable[[str], None]) -> Clone:
        listed = subprocess.check_output(
            ["git", "ls-files", "--cached", "--others", "--exclude-standard"], cwd=ROOT, text=True
        )
        for name in listed.splitlines():
            if (ROOT / name).is_file():  # a tracked file may be deleted and not yet committed
                target = root / name
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, target)
        clone = cls(root, tell)
        clone.git("init", "--quiet")
        clone.commit("the project")
        return clone

    def git(self, *words: str) -> str:
        who = ["-c", "user.name=tests", "-c", "user.email=tests@localhost", "-c", "commit.gpgsign=false"]
        return subprocess.check_output(["git", *who, *words], cwd=self.root, text=True)

    def commit(self, message: str) -> None:
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", message)

    def configure(self, stack: str, settings: Mapping[str, Any]) -> None:
        """Write a stack's file; keys are given without ``mlflow:``."""
        self.settings[stack] = dict(settings)
        config = {f"mlflow:{key}": value for key, value in settings.items()}
        (self.root / f"Pulumi.{stack}.yaml").write_text(yaml.safe_dump({"config": config}))
        self.commit(f"settings of {stack}")

    def verb(
        self,
        name: str,
        stack: str,
        *words: str,
        check: bool = True,
        stdin: str = "",
        env: Mapping[str, str] | None = None,
    ) -> Done:
        """Run ``python -m tools.<name> --stack <stack> …`` as a person in this clone would.

        :param check: fail the test when it exits non-zero.
        """
        self.tell(f"  … {name} {' '.join([stack, *words])}")
        start = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-m", f"tools.{name}", "--stack", stack, *words],
            cwd=self.root,
            env={**self.environment(), **(env or {})},
            input=stdin,
            capture_output=True,
            text=True,
            timeout=VERB_LIMIT,
            check=False,
        )
        seconds = time.monotonic() - start
        self.tell(f"  {'✓' if done.returncode == 0 else '✗'} {name} {stack} ({seconds:.1f} s)")
        result = Done(done.returncode, done.stdout, done.stderr, seconds)
        assert done.returncode == 0 or not check, f"{name} exited {done.returncode}:\n{result.text[-4000:]}"
        return result

    def environment(self) -> dict[str, str]:
        """The caller's environment, without what speaks of other servers and other stacks."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW_", "PULUMI_", "FORCE"))}
        for name in ("MLFLOW_PROVIDERS", "PULUMI_HOME"):  # which plugins to use is the caller's choice
            if name in os.environ:
                kept[name] = os.environ[name]
        # Never a backend that the caller is logged in to.
        state = self.root / ".local" / "state"
        state.mkdir(parents=True, exist_ok=True)
        return {**kept, "PULUMI_BACKEND_URL": f"file://{state}", "PYTHONDONTWRITEBYTECODE": "1"}

    def local(self, name: str) -> dict[str, Any]:
        """``.local/<name>``."""
        return json.loads((self.root / ".local" / name).read_text())


def changed_nothing(done: Done) -> bool:
    """Whether an ``up`` found every resource as it should be."""
    summary = [line for line in done.told.splitlines() if " up of stack " in line]
    return len(summary) == 1 and re.search(r": \d+ unchanged \(", summary[0]) is not None
