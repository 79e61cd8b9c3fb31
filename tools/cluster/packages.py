"""Debian packages that the registry-built cluster and the image builder need, installed in one go."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tools.common import Failure, console, run, step

PACKAGES = {
    "containerd": "runs the pods",
    "runc": "runs their containers",
    "containernetworking-plugins": "gives pods their network",
    "iptables": "Services and the way out for pods",
    "conntrack": "kube-proxy clears stale connections with it",
    "iproute2": "the link between this machine and the node",
    "ethtool": "the kubelet asks for it",
    "socat": "port-forward",
    "openssl": "the cluster's certificates",
    "busybox-static": "makes and removes volume folders",
    "buildah": "builds images without a Docker engine",
    "mmdebstrap": "makes base images from Debian packages",
}
# A command that does as well as the package: another vendor's containerd must not be replaced.
SAME_AS = {"containerd": "containerd", "runc": "runc"}
POLICY = Path("/usr/sbin/policy-rc.d")


def missing_packages(names: Sequence[str] = tuple(PACKAGES)) -> list[str]:
    """Those of ``names`` that are neither installed nor stood in for by a command on PATH."""
    if shutil.which("dpkg-query") is None:
        return list(names)
    done = subprocess.run(
        ["dpkg-query", "-W", "-f", "${db:Status-Abbrev}${Package}\n", *names],
        capture_output=True,
        text=True,
        check=False,  # it exits 1 when one of them is unknown
    )
    installed = {line[3:] for line in done.stdout.splitlines() if line.startswith("ii")}
    return [n for n in names if n not in installed and not (n in SAME_AS and shutil.which(SAME_AS[n]))]


def agree(what: Sequence[str]) -> None:
    """List what will be installed; on a terminal, go on only when the person says yes (or ``YES=1``).

    :raises Failure: when the answer is no.
    """
    if not what:
        return
    console.print("This will be installed on this machine:")
    for line in what:
        console.print(f"  - {line}")
    if os.environ.get("YES") == "1" or not sys.stdin.isatty():
        return
    if input("Go on? [y/N] ").strip().lower() not in {"y", "yes"}:
        raise Failure("nothing was installed", "answer y, set YES=1, or name a cluster you have (--context)")


def install_packages(names: Sequence[str] = tuple(PACKAGES)) -> None:
    """Install those of ``names`` that are missing, without starting any service.

    :raises Failure: when this is not Debian or Ubuntu, not root, or apt fails.
    """
    missing = missing_packages(names)
    if not missing:
        return
    if shutil.which("apt-get") is None:
        raise Failure(f"{', '.join(missing)} missing, and there is no apt-get here", "install them yourself")
    if os.geteuid() != 0:
        raise Failure(f"{', '.join(missing)} missing, and only root installs", "run as root, or install them")
    quiet = {"DEBIAN_FRONTEND": "noninteractive"}
    with step(f"Installing {len(missing)} Debian packages: {' '.join(missing)}"), _no_services():
        run(["apt-get", "update", "-qq"], env=quiet, timeout=300, hint="check the package sources of apt")
        install = ["apt-get", "install", "-y", "-qq", "--no-install-recommends"]
        run([*install, *missing], env=quiet, timeout=900, hint="run this apt-get command to see more")


@contextmanager
def _no_services() -> Iterator[None]:
    """Keep the containerd package from starting a system-wide containerd that nobody asked for."""
    if POLICY.exists() or not Path("/run/systemd/system").exists():
        yield
        return
    POLICY.write_text("#!/bin/sh\nexit 101\n")
    POLICY.chmod(0o755)
    try:
        yield
    finally:
        POLICY.unlink()
