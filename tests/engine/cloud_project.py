"""A throw-away project that runs this checkout's own program for a cloud, all its providers stood in for.

What the tables know of a cloud is in ``anyprovider/tables``, a source for each line; nothing here reaches a
cloud or a cluster.
"""

from __future__ import annotations

import json
import os
import shutil
import stat
import urllib.request
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import pytest

from tests.engine.conftest import Outcome, Project, place_plugins
from tools.common import ROOT
from tools.engine import verbs
from tools.engine.workspace import root_program

PROGRAM = f"import runpy\nrunpy.run_path({str(ROOT / '__main__.py')!r}, run_name='__main__')\n"

READY_IMAGES = {image: f"registry.example.com/{image}@sha256:{'a' * 64}" for image in ("server", "job")}
"""``mlflow:images`` of a stack that builds nothing."""


@dataclass
class CloudProject(Project):
    """One with a stack of a cloud.

    :param settings: the whole stack file's ``config``.
    """

    settings: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__post_init__()
        shutil.copy(ROOT / "Pulumi.yaml", self.root)
        (self.root / "__main__.py").write_text(PROGRAM)
        self.configure(self.settings)

    def change(self, **settings: Any) -> None:
        """Other values for some of the keys below ``mlflow:``; all others as in the beginning."""
        changed = {f"mlflow:{key}": value for key, value in settings.items()}
        self.configure(
            {key: value for key, value in {**self.settings, **changed}.items() if value is not None}
        )

    def bring_up(self, **options: Any) -> Outcome:
        return self.up(root_program(self.root), **options)

    def plan(self) -> Outcome:
        return self.preview(root_program(self.root))

    def resources(self) -> list[dict[str, Any]]:
        """All that the state holds."""
        return (self.stack.export_stack().deployment or {}).get("resources") or []

    def ids(self) -> dict[str, str]:
        """URN → identifier, of everything that exists."""
        return {each["urn"]: each["id"] for each in self.resources() if each.get("id")}

    def copy(self, folder: Path) -> Self:
        """The same project with its state, to be changed."""
        shutil.copytree(self.root, folder / self.name, symlinks=True)
        return type(self)(folder / self.name, self.name, self.settings)

    def released(self, folder: Path) -> Self:
        """A copy after ``make unprotect``."""
        project = self.copy(folder)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("FORCE", self.name)
            verbs.unprotect(self.name, project.root)
        return project


Made = tuple[CloudProject, Outcome, Outcome]
"""A stack that came up, what was planned before, and what was done."""


def brought_up(project: CloudProject) -> Made:
    planned = project.plan()
    assert not planned.failed, planned.text
    done = project.bring_up()
    assert not done.failed, done.text
    return project, planned, done


@contextmanager
def nowhere(folder: Path, *packages: str, tools: Iterable[str], prefixes: tuple[str, ...]) -> Iterator[Path]:
    """No credentials, no network, no cluster, and command-line tools that tell when somebody runs them.

    :param packages: whose plugins the tables stand in for.
    :param prefixes: of environment variables by which somebody could sign in.
    :returns: the file that names each call of a tool; there is none as long as nobody called.
    """
    place_plugins(folder / "bin", *packages)
    called = folder / "called"
    for tool in tools:
        script = folder / "bin" / tool
        script.write_text(f'#!/bin/sh\necho {tool} "$@" >> {called}\nexit 1\n')
        script.chmod(script.stat().st_mode | stat.S_IXUSR)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", str(folder / "bin"), prepend=":")
        patch.setenv("KUBECONFIG", str(folder / "none"))
        patch.setenv("no_proxy", "127.0.0.1,localhost")
        for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
            patch.setenv(name, "http://127.0.0.1:9")
        # It keeps the proxies of its first use, for this process and all tests to come.
        patch.setattr(urllib.request, "_opener", None)
        for name in [name for name in os.environ if name.startswith(prefixes)]:
            patch.delenv(name)
        yield called


def readable(project: CloudProject, *words: bytes) -> list[Path]:
    """The files of a project, its state among them, in which one of the words can be read."""
    kept = [path for path in project.root.rglob("*") if path.is_file()]
    assert [path for path in kept if path.name == f"{project.name}.json"], "the state itself was read"
    return [path for path in kept if any(word in path.read_bytes() for word in words)]


def shown(project: CloudProject) -> str:
    """Everything that the state holds, secrets as well."""
    return json.dumps(project.stack.export_stack().deployment)
