"""Code of this machine for jobs and services of a stack without a cloud."""

from __future__ import annotations

from collections.abc import Iterator

import pulumi

from ...contracts import CodeArchive
from ...local_code import NotServable, archived
from ...settings.dev import DevStack
from ...settings.errors import Problem, SettingsError
from ...settings.workloads import Git
from .local import ROOT, is_offline

UNKNOWN = CodeArchive(commit="0" * 40, tar_gz=b"")
"""What a run that only shows what would be declared has instead: it needs no checkout."""


def local_code(settings: DevStack) -> dict[tuple[str, str, str], CodeArchive]:
    """The committed files of every checkout that the settings name.

    :raises SettingsError: with every one that cannot be served.
    """
    found: dict[tuple[str, str, str], CodeArchive] = {}
    problems = []
    for key, git in _sections(settings):
        try:
            found[git.archive_key] = (
                UNKNOWN if is_offline() else archived(ROOT / (git.local or ""), git.ref, git.path)
            )
        except NotServable as error:
            problems.append(Problem(f"{key}.git.local", str(error)))
    if problems:
        raise SettingsError(problems, stack=pulumi.get_stack())
    return found


def _sections(settings: DevStack) -> Iterator[tuple[str, Git]]:
    for kind, described in (("jobs", settings.jobs), ("services", settings.services)):
        for name, one in described.items():
            if one.git and one.git.local is not None:
                yield f"mlflow:{kind}.{name}", one.git
