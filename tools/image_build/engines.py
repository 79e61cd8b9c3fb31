"""The two build engines: Docker where its engine answers, buildah where it does not."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from tools.common import Failure, cache_dir, run
from tools.image_build.host import proxy_arguments
from tools.image_build.watch import run_watched

BUILD_LIMIT = 1800
"""Seconds; 90 were measured for the largest image."""
AGAIN = "if it was the network, run `make images` again"


class BuildEngine(Protocol):
    """Builds an image and writes it to a file."""

    name: str

    def build(
        self, context: Path, reference: str, *, base: str, platform: str, secrets: Mapping[str, Path]
    ) -> None:
        """Build ``context`` on ``base`` for ``platform`` (``linux/amd64``) and name it ``reference``."""
        ...

    def load(self, archive: Path) -> None:
        """Make a saved image known, so that another can be built on it."""
        ...

    def save(self, reference: str, archive: Path) -> None:
        """Write the image as a docker-archive."""
        ...

    def push(self, archive: Path, reference: str, target: str) -> str:
        """Push a saved image to a registry as ``target``; its manifest digest."""
        ...

    def clear(self) -> None:
        """Empty a store of our own: images live on as archives, and an interrupted build leaves parts."""
        ...


class Docker:
    """The user's Docker engine; builds with BuildKit."""

    name = "Docker"

    def build(
        self, context: Path, reference: str, *, base: str, platform: str, secrets: Mapping[str, Path]
    ) -> None:
        words = ["docker", "build", "--platform", platform, "--build-arg", f"BASE_IMAGE={base}"]
        words += [word for name, path in secrets.items() for word in ("--secret", f"id={name},src={path}")]
        words += [*proxy_arguments(), "--tag", reference, str(context)]
        plain = {"DOCKER_BUILDKIT": "1", "BUILDKIT_PROGRESS": "plain"}
        run_watched(words, env=plain, limit=BUILD_LIMIT, hint=AGAIN)

    def load(self, archive: Path) -> None:
        run(["docker", "load", "--input", archive], timeout=300)

    def save(self, reference: str, archive: Path) -> None:
        run(["docker", "save", "--output", archive, reference], timeout=300)

    def push(self, archive: Path, reference: str, target: str) -> str:
        self.load(archive)
        run(["docker", "tag", reference, target])
        run(
            ["docker", "push", target],
            timeout=900,
            hint="can this machine reach the registry, and is it signed in (docker login)?",
            tail=3,
        )
        digests = run(["docker", "image", "inspect", "--format", '{{join .RepoDigests "\\n"}}', target])
        repository = target.rpartition(":")[0]
        for line in digests.splitlines():
            if line.startswith(f"{repository}@"):
                return line.partition("@")[2]
        raise Failure(f"Docker names no digest for {target}", "check that the push went through")

    def clear(self) -> None:
        """Docker's store and build cache belong to the user: nothing is dropped."""


class Buildah:
    """Builds without an engine, as root, in a store of this project's own."""

    name = "buildah"

    def __init__(self) -> None:
        store = cache_dir() / "buildah"
        driver = os.environ.get("STORAGE_DRIVER", "overlay")
        self._buildah = [
            *("buildah", "--storage-driver", driver),
            *("--root", str(store / "storage"), "--runroot", str(store / "run")),
        ]

    def build(
        self, context: Path, reference: str, *, base: str, platform: str, secrets: Mapping[str, Path]
    ) -> None:
        # chroot isolation needs neither a runtime nor rights beyond root's; a step shares the host's network.
        words = [*self._buildah, "bud", "--isolation", "chroot", "--format", "docker", "--platform", platform]
        words += ["--build-arg", f"BASE_IMAGE={base}"]
        words += [word for name, path in secrets.items() for word in ("--secret", f"id={name},src={path}")]
        words += [*proxy_arguments(), "--tag", reference, str(context)]
        run_watched(words, limit=BUILD_LIMIT, hint=AGAIN)

    def load(self, archive: Path) -> None:
        run([*self._buildah, "pull", f"docker-archive:{archive}"], timeout=300)

    def save(self, reference: str, archive: Path) -> None:
        run([*self._buildah, "push", reference, f"docker-archive:{archive}:{reference}"], timeout=300)

    def push(self, archive: Path, reference: str, target: str) -> str:
        digest_file = archive.with_suffix(".digest")
        self.load(archive)
        run(
            [*self._buildah, "push", "--digestfile", digest_file, reference, f"docker://{target}"],
            timeout=900,
            hint="can this machine reach the registry, and is it signed in (buildah login)?",
            tail=3,
        )
        digest = digest_file.read_text().strip()
        digest_file.unlink()
        self.clear()
        return digest

    def clear(self) -> None:
        run([*self._buildah, "rm", "--all"], timeout=120)
        run([*self._buildah, "rmi", "--all", "--force"], timeout=120)


def choose_engine() -> BuildEngine:
    """Docker when its engine answers, else buildah.

    :raises Failure: when neither can be used here.
    """
    if docker_answers():
        return Docker()
    if os.uname().sysname != "Linux" or os.geteuid() != 0:
        raise Failure(
            "no Docker engine answers, and without one images are built as root on Linux only",
            "start Docker, or run this as root",
        )
    return Buildah()


def docker_answers() -> bool:
    """Whether a Docker engine can be reached."""
    if shutil.which("docker") is None:
        return False
    words = ["docker", "version", "--format", "{{.Server.Version}}"]
    try:
        return subprocess.run(words, capture_output=True, timeout=10, check=False).returncode == 0
    except subprocess.TimeoutExpired:
        return False
