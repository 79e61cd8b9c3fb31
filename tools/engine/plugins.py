"""Which provider plugins an operation uses: official ones where they can be had, else the stand-ins."""

from __future__ import annotations

import json
import os
import platform
import shutil
import sys
from collections.abc import Collection
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from tools.common import ROOT, Failure, cache_dir, console, run
from tools.engine.cli import DOWNLOAD_LIMIT, downloadable, is_users_own

STAND_INS = ("kubernetes", "random")
CHOICE = "MLFLOW_PROVIDERS"
"""Environment variable: ``official`` or ``stand-ins`` to insist on one kind, e.g. to take down a stack
whose state the other kind made."""


@dataclass(frozen=True)
class Providers:
    """The choice for one operation.

    :ivar home: ``PULUMI_HOME`` for the engine.
    :ivar stand_ins: packages served by stand-ins.
    """

    home: Path
    stand_ins: frozenset[str]

    def announce(self) -> None:
        """Say loudly, in one line, that stand-ins are at work."""
        if self.stand_ins:
            names = ", ".join(sorted(self.stand_ins))
            console.print(
                f"[bold yellow]STAND-INS in use for the provider plugins {names}:[/] the official ones "
                "cannot be had on this machine, so this stack is for development and tests only"
            )


SERVED = ("dev", "existing")
"""``mlflow:cloud`` of the stacks that need no cloud's plugin."""


def users_home() -> Path:
    return Path(os.environ.get("PULUMI_HOME") or Path.home() / ".pulumi")


def sdk_version(package: str) -> str:
    """The plugin version that the installed SDK asks for, e.g. ``4.34.2``."""
    return json.loads((files(f"pulumi_{package}") / "pulumi-plugin.json").read_text())["version"]


def choose_providers(cli: Path, stack: str, cloud: str | None, local: Path) -> Providers:
    """Choose the plugins for a stack and put them where the engine finds them.

    :param cloud: the stack's ``mlflow:cloud``; stand-ins serve :data:`SERVED` only.
    :param local: the checkout's ``.local`` folder, which holds the engine's home when stand-ins are used.
    :raises Failure: when an official plugin is needed and cannot be had.
    """
    wanted = os.environ.get(CHOICE, "")
    if wanted not in ("", "official", "stand-ins"):
        raise Failure(f"{CHOICE}={wanted} is neither 'official' nor 'stand-ins'", f"unset {CHOICE}")
    home = users_home() if is_users_own(cli) or _all_installed(users_home()) else cache_dir() / "pulumi-home"
    missing = (
        set(STAND_INS) if wanted == "stand-ins" else {p for p in STAND_INS if not _official(p, cli, home)}
    )
    if not missing:
        return Providers(home, frozenset())
    names = ", ".join(sorted(missing))
    if cloud not in SERVED or wanted == "official":
        raise Failure(
            f"the official provider plugin for {names} is not installed and cannot be downloaded; "
            f"stack {stack} (mlflow:cloud: {cloud}) needs it, stand-ins serve mlflow:cloud: "
            f"{', '.join(SERVED)} only",
            " && ".join(f"pulumi plugin install resource {p} v{sdk_version(p)}" for p in sorted(missing))
            + " on a machine that reaches get.pulumi.com, or copy its ~/.pulumi/plugins here",
        )
    return Providers(_stand_in_home(local, missing, home), frozenset(missing))


def _all_installed(home: Path) -> bool:
    return all(_folder(home, package).is_dir() for package in STAND_INS)


def _folder(home: Path, package: str) -> Path:
    return home / "plugins" / f"resource-{package}-v{sdk_version(package)}"


def _official(package: str, cli: Path, home: Path) -> bool:
    """Whether the official plugin is there, downloading it when it can be."""
    if shutil.which(f"pulumi-resource-{package}") or _folder(home, package).is_dir():
        return True
    number = sdk_version(package)
    machine = {"x86_64": "amd64", "aarch64": "arm64", "arm64": "arm64"}.get(
        platform.machine(), platform.machine()
    )
    name = f"pulumi-resource-{package}-v{number}-{platform.system().lower()}-{machine}.tar.gz"
    if not downloadable(f"https://get.pulumi.com/releases/plugins/{name}"):
        return False
    home.mkdir(parents=True, exist_ok=True)
    run(
        [cli, "plugin", "install", "resource", package, f"v{number}"],
        env={"PULUMI_HOME": str(home), "PULUMI_SKIP_UPDATE_CHECK": "true"},
        timeout=DOWNLOAD_LIMIT,
        hint=f"run it yourself: pulumi plugin install resource {package} v{number}",
    )
    return True


def _stand_in_home(local: Path, missing: Collection[str], official_home: Path) -> Path:
    """A ``PULUMI_HOME`` of this checkout's own: no stand-in ever lies among a user's real plugins."""
    home = local / "pulumi-home"
    (home / "plugins").mkdir(parents=True, exist_ok=True)
    for package in STAND_INS:
        folder, official = _folder(home, package), _folder(official_home, package)
        if package in missing:
            _place_launcher(folder, package)
        elif official.is_dir():  # else it is on PATH, where the engine finds it
            _remove(folder)
            folder.symlink_to(official)
    return home


def _place_launcher(folder: Path, package: str) -> None:
    launcher = folder / f"pulumi-resource-{package}"
    text = (
        f'#!/bin/sh\nPYTHONPATH="{ROOT}" exec "{sys.executable}" -m tools.engine.standins.{package} '
        f'{sdk_version(package)} "$@"\n'
    )
    if folder.is_symlink() or not launcher.exists() or launcher.read_text() != text:
        _remove(folder)
        folder.mkdir()
        launcher.write_text(text)
        launcher.chmod(0o755)


def _remove(folder: Path) -> None:
    if folder.is_symlink():
        folder.unlink()
    elif folder.exists():
        shutil.rmtree(folder)
