"""Building into the per-user cache: one archive per image, named by the hash of what it is built from."""

from __future__ import annotations

import fcntl
import hashlib
import json
import shutil
import tarfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from components.image_context import OWN_IMAGES, OWN_REGISTRY, context_folder, context_hash, root_hash, tag
from components.third_party import PYTHON, THIRD_PARTY, DebianRoot
from tools.cluster.packages import PACKAGES, agree, install_packages, missing_packages
from tools.common import Failure, cache_dir, console, step
from tools.image_build.debian_root import make_root, root_file
from tools.image_build.engines import Buildah, BuildEngine
from tools.image_build.host import build_secrets

KEPT = 2
"""Archives kept per image: another branch or clone may still want the one before."""
LOCK_LIMIT = 2400
"""Seconds to wait for another build of the same user."""


@dataclass(frozen=True, kw_only=True)
class Base:
    """What an image is built on.

    :param root: set when the base is made here from Debian packages.
    :param archive: set when the base is an image that was built here.
    """

    reference: str
    root: DebianRoot | None = None
    archive: Path | None = None


@dataclass(frozen=True, kw_only=True)
class Built:
    """An image in the cache.

    :param archive: docker-archive.
    :param digest: of the image's configuration, which containerd and Docker show as the image's id.
    """

    name: str
    reference: str
    archive: Path
    digest: str
    context_hash: str
    base: Base


def images_folder() -> Path:
    """Archives and roots of this user; everything in it is rebuilt when missing."""
    folder = cache_dir() / "images"
    (folder / "roots").mkdir(parents=True, exist_ok=True)
    return folder


def base_of(name: str, *, can_pull: bool) -> Base:
    """The base to build ``name`` on: the upstream image where it can be pulled, else a Debian root."""
    own = OWN_IMAGES.get(name)
    row = PYTHON if own else THIRD_PARTY[name]
    if row.substitute is None:
        raise Failure(
            f"nothing stands in for {row.reference}", "use a machine and a cluster that can pull it"
        )
    if own and can_pull:
        return Base(reference=row.reference)
    root = row.substitute.root
    if own:
        root = replace(root, packages=(*root.packages, *own.debian_packages))
    return Base(reference=f"{OWN_REGISTRY}/debian-root:{root_hash(root)[:12]}", root=root)


def repository_of(name: str) -> str:
    """The last part of a built image's reference."""
    return OWN_IMAGES[name].repository if name in OWN_IMAGES else f"{name}-substitute"


def build(name: str, engine: BuildEngine, *, base: Base, platform: str) -> Built:
    """The image from the cache, built when it is missing there."""
    version = tag(name, base=base.reference, platform=platform)
    reference = f"{OWN_REGISTRY}/{repository_of(name)}:{version}"
    archive = images_folder() / f"{name}-{version}.tar"
    build_archive(context_folder(name), reference, archive, engine, base=base, platform=platform)
    return Built(
        name=name,
        reference=reference,
        archive=archive,
        digest=configuration_digest(archive),
        context_hash=context_hash(name),
        base=base,
    )


def build_archive(
    context: Path, reference: str, archive: Path, engine: BuildEngine, *, base: Base, platform: str
) -> None:
    """Build ``context`` into ``archive``, a docker-archive in :func:`images_folder`, unless it is there.

    :param archive: named ``<image>-<hash>.tar``; older ones of the same image are dropped.
    """
    with one_at_a_time():
        if archive.is_file():
            archive.touch()
            console.print(f"[green]✓[/] {reference} [dim](cached)[/]")
            return
        half = archive.with_suffix(".part")
        half.unlink(missing_ok=True)
        install_tools(engine, base)
        _drop_leftovers(engine)
        if base.root:
            _load_root(base, engine, platform)
        if base.archive:
            engine.load(base.archive)
        with step(f"Building {reference} with {engine.name}"), build_secrets() as secrets:
            engine.build(context, reference, base=base.reference, platform=platform, secrets=secrets)
        with step(f"Saving {reference}"):
            engine.save(reference, half)
        engine.clear()
        half.replace(archive)
        _prune(archive.stem.rpartition("-")[0])


def push(built_archive: Path, reference: str, target: str, engine: BuildEngine) -> str:
    """Push a built image to a registry as ``target``; ``target@digest``."""
    with one_at_a_time(), step(f"Pushing {target}"):
        return f"{target}@{engine.push(built_archive, reference, target)}"


def install_tools(engine: BuildEngine, base: Base) -> None:
    """Install what this build needs, after listing it (and asking, on a terminal)."""
    names = [
        *(["buildah"] if isinstance(engine, Buildah) else []),
        *(["mmdebstrap"] if base.root else []),
    ]
    missing = missing_packages(names) if names else []
    if missing:
        agree([f"{package}: {PACKAGES[package]}" for package in missing])
        install_packages(missing)


def _load_root(base: Base, engine: BuildEngine, platform: str) -> None:
    """Make the Debian root when it is missing in the cache, and hand it to the engine as an image."""
    assert base.root is not None
    tar = root_file(base.root, images_folder() / "roots")
    if not tar.is_file():
        make_root(base.root, tar)
    with TemporaryDirectory(prefix="debian-root-", dir=images_folder()) as folder:
        context = Path(folder)
        (context / "rootfs.tar").hardlink_to(tar)
        (context / "Dockerfile").write_text("FROM scratch\nADD rootfs.tar /\n")
        engine.build(context, base.reference, base="scratch", platform=platform, secrets={})


def _drop_leftovers(engine: BuildEngine) -> None:
    """Remove what a build that was killed left behind; the lock says that no other is running."""
    engine.clear()
    for folder in images_folder().glob("debian-root-*"):
        shutil.rmtree(folder)


def configuration_digest(archive: Path) -> str:
    """``sha256:…`` of the image configuration in a docker-archive.

    :raises Failure: when the archive is damaged.
    """
    try:
        with tarfile.open(archive) as tar:
            manifest = tar.extractfile("manifest.json")
            assert manifest is not None
            configuration = tar.extractfile(json.load(manifest)[0]["Config"])
            assert configuration is not None
            return f"sha256:{hashlib.sha256(configuration.read()).hexdigest()}"
    except (tarfile.TarError, KeyError, ValueError, AssertionError) as error:
        raise Failure(
            f"{archive} is damaged: {error}", f"delete it and run `make images` again: {archive}"
        ) from None


def _prune(name: str) -> None:
    """Drop all but the last used archives of an image: one is up to 1 GB."""
    archives = [
        path for path in images_folder().glob(f"{name}-*.tar") if path.stem.rpartition("-")[0] == name
    ]
    for old in sorted(archives, key=lambda path: path.stat().st_mtime)[:-KEPT]:
        old.unlink()


@contextmanager
def one_at_a_time() -> Iterator[None]:
    """Keep a second run of this user from building the same thing at the same time."""
    with (images_folder() / ".lock").open("w") as lock:
        start = time.monotonic()
        told = False
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() - start > LOCK_LIMIT:
                    raise Failure(
                        f"another image build has held {lock.name} for {LOCK_LIMIT} s", "end it, or wait"
                    ) from None
                if not told:
                    console.print("[cyan]…[/] waiting for another image build of yours")
                    told = True
                time.sleep(1)
        yield
