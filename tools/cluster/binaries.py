"""Builds pinned Go modules once per user: one folder under ``build/`` holds a go.mod and a go.sum each.

The cache key is the content of that folder, so a changed version builds anew and clones share the rest.
The committed go.sum has every hash, so no checksum database has to be reachable.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tools.common import Failure, cache_dir, console, run, step

BUILD = Path(__file__).parent / "build"
KUBERNETES = "1.36.3"
_VERSION = "k8s.io/component-base/version"


@dataclass(frozen=True)
class Module:
    """A folder under ``build/`` and what to build in it.

    :param packages: main packages; the binary has the last part of the path as its name.
    :param ldflags: linker flags beyond ``-s -w``.
    :param minutes: a cold build on 2 cores, as measured; shown before it starts.
    """

    folder: str
    packages: tuple[str, ...] = (".",)
    ldflags: str = ""
    minutes: float = 1


_COMMANDS = (
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kubelet",
    "kube-proxy",
    "kubectl",
)
MODULES = {
    module.folder: module
    for module in (
        Module(
            "kubernetes",
            tuple(f"k8s.io/kubernetes/cmd/{command}" for command in _COMMANDS),
            f"-X {_VERSION}.gitVersion=v{KUBERNETES} -X {_VERSION}.gitTreeState=clean",
            minutes=8,
        ),
        Module("etcd", minutes=0.5),
        Module("coredns", minutes=1.5),
        Module("local-path-provisioner", ("github.com/rancher/local-path-provisioner",), minutes=1),
        Module("pause", minutes=0.1),
        Module("kind", ("sigs.k8s.io/kind",), minutes=0.5),
        # For tests: the real proxy in front of a stand-in of Google's API.
        Module("cloud-sql-proxy", ("github.com/GoogleCloudPlatform/cloud-sql-proxy/v2",), minutes=1),
        Module("fake-gcs-server", ("github.com/fsouza/fake-gcs-server",), minutes=1),
    )
}


def binaries(folder: str) -> Path:
    """The folder that holds the binaries of ``build/<folder>``, built when they are missing.

    :raises Failure: when Go is missing or too old, or the build fails; the message ends with Go's own words.
    """
    module = MODULES[folder]
    target = _target(module)
    if target.exists():
        return target
    with _lock(cache_dir() / "bin" / f".{folder}.lock"):
        if not target.exists():  # another process may just have built it
            _build(module, target)
    return target


def unbuilt(folders: Sequence[str]) -> list[Module]:
    """Those of ``folders`` that are not in the cache yet."""
    return [MODULES[folder] for folder in folders if not _target(MODULES[folder]).exists()]


def cache_key(module: Module, root: Path = BUILD) -> str:
    """Twelve hex digits over every input of the build: go.mod, go.sum, sources and flags."""
    digest = hashlib.sha256(repr((module.packages, module.ldflags)).encode())
    for path in sorted((root / module.folder).iterdir()):
        digest.update(f"\0{path.name}\0".encode() + path.read_bytes())
    return digest.hexdigest()[:12]


def _target(module: Module) -> Path:
    return cache_dir() / "bin" / f"{module.folder}-{cache_key(module)}"


def _build(module: Module, target: Path) -> None:
    if shutil.which("go") is None:
        raise Failure(
            "Go is not installed", "install Go 1.26 or newer (go.dev/dl), or name a cluster you have"
        )
    source = BUILD / module.folder
    env = {"CGO_ENABLED": "0"}
    total = len(run(["go", "list", "-deps", *module.packages], cwd=source, env=env, timeout=900).splitlines())
    parts = Path(tempfile.mkdtemp(prefix=f".{module.folder}-", dir=target.parent))
    try:
        with step(f"Building {module.folder} from its Go module (about {module.minutes:g} min on 2 cores)"):
            # nice: the machine stays usable, and pods that already run keep answering
            command = ["nice", "go", "build", "-v", "-trimpath", "-buildvcs=false"]
            command += ["-ldflags", f"-s -w {module.ldflags}", "-o", f"{parts}/", *module.packages]
            _run_with_progress(command, source, env, module.folder, total)
        parts.chmod(0o755)
        parts.rename(target)
    finally:
        shutil.rmtree(parts, ignore_errors=True)


def _run_with_progress(command: list[str], cwd: Path, env: dict[str, str], name: str, total: int) -> None:
    """Run ``go build -v``, which prints each package it compiles, and say every 20 s how far it is."""
    start = said = time.monotonic()
    process = subprocess.Popen(
        command,
        cwd=cwd,
        env={**os.environ, **env},
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )
    watchdog = threading.Timer(3600, process.kill)
    watchdog.start()
    lines: list[str] = []
    assert process.stderr is not None
    for line in process.stderr:
        lines.append(line.rstrip())
        if time.monotonic() - said > 20:
            said = time.monotonic()
            built = f"{len(lines)} of at most {total} packages"
            console.print(f"  [dim]{name}: {built}, {said - start:.0f} s[/]")
    watchdog.cancel()
    if process.wait() != 0:
        raise Failure(
            "\n".join([f"go build of {name} failed:", *lines[-15:]]),
            "check that the Go module proxy is reachable and that Go is 1.26 or newer, then run it again",
        )


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
