"""Root file systems of Debian packages: the bases of substitutes, and of own images that can pull no base."""

from __future__ import annotations

import os
import platform as this_machine
import shutil
from pathlib import Path

from components.image_context import root_hash
from components.third_party import DebianRoot
from tools.common import Failure, step
from tools.image_build.host import apt_options, debian_sources
from tools.image_build.watch import run_watched

ARCHITECTURES = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}
"""Machine name → Debian's and OCI's name of the architecture."""

NOT_NEEDED = (
    # Only for reading; and what says how this host reaches its mirror.
    "usr/share/doc/*",
    "usr/share/man/*",
    "usr/share/info/*",
    "usr/share/locale/*",
    "etc/apt/sources.list",
    "etc/apt/sources.list.d/*",
    "etc/apt/apt.conf.d/99mmdebstrap",
    "etc/hostname",
)
LIMIT = 900
"""Seconds; 25 to 60 were measured."""


def host_architecture() -> str:
    """This machine's architecture as Debian and OCI name it."""
    machine = this_machine.machine().lower()
    if machine not in ARCHITECTURES:
        raise Failure(f"images are built for amd64 and arm64, not for {machine}", "use another machine")
    return ARCHITECTURES[machine]


def make_root(root: DebianRoot, target: Path) -> None:
    """Write the root as a tar archive to ``target``.

    :raises Failure: when this is not Linux as root, or the packages cannot be fetched.
    """
    if shutil.which("mmdebstrap") is None or os.geteuid() != 0:
        raise Failure(
            "a root file system is made by mmdebstrap, as root on Linux",
            "use a machine with Docker and access to a registry, or run as root on Debian or Ubuntu",
        )
    half = target.with_suffix(".part")
    remove = " ".join([*NOT_NEEDED, *root.remove])
    command = [
        "mmdebstrap",
        "--variant=minbase",
        "--format=tar",
        f"--include={','.join(root.packages)}",
        *(f"--aptopt={option}" for option in apt_options()),
        f'--customize-hook=cd "$1" && rm -rf {remove} && : > etc/resolv.conf',
        root.suite,
        str(half),
        *debian_sources(root.suite),
    ]
    with step(f"Root file system from Debian {root.suite}: {' '.join(root.packages)}"):
        run_watched(command, limit=LIMIT, hint="check that `apt-get update` works on this host")
    half.replace(target)


def root_file(root: DebianRoot, folder: Path) -> Path:
    """Where the archive of this root is kept."""
    return folder / f"{root.suite}-{root_hash(root)[:12]}-{host_architecture()}.tar"
