"""What an image is built from, as a hash: the program refuses images that no longer match their files.

Standard library only: the program imports this without any of the tools that build.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from .third_party import THIRD_PARTY, DebianRoot

ROOT = Path(__file__).resolve().parent.parent
OWN_REGISTRY = "localhost"
"""Registry part of locally built references: nothing can be pulled from there by mistake."""
LEFTOVERS = {"__pycache__", ".DS_Store"}


@dataclass(frozen=True, kw_only=True)
class OwnImage:
    """An image that this project writes.

    :param repository: last part of its reference.
    :param context: folder of its Dockerfile, relative to the repository.
    :param debian_packages: what its Dockerfile fetches with apt, for a base that comes without apt sources.
    """

    name: str
    repository: str
    context: str
    debian_packages: tuple[str, ...] = ()


OWN_IMAGES: Mapping[str, OwnImage] = {
    image.name: image
    for image in (
        OwnImage(
            name="tracking-server", repository="mlflow-tracking-server", context="images/tracking-server"
        ),
        OwnImage(name="job", repository="mlflow-job", context="images/job", debian_packages=("git",)),
    )
}


def context_folder(name: str) -> Path:
    """The build context of an own image or of a substitute.

    :raises KeyError: when nothing of that name is built here.
    """
    if name in OWN_IMAGES:
        return ROOT / OWN_IMAGES[name].context
    row = THIRD_PARTY[name]
    if row.substitute is None or row.substitute.context is None:
        raise KeyError(f"{name} is not built from a folder")
    return ROOT / row.substitute.context


def context_hash(name: str) -> str:
    """SHA-256 (hex) of everything the image ``name`` is built from that lies in this repository.

    Content, relative paths and the executable bit count; times do not. For a substitute the packages of
    its root count as well.
    """
    folder = context_folder(name)
    digest = folder_hash(folder)
    row = THIRD_PARTY.get(name)
    if row and row.substitute:
        digest = _hash_of([digest, root_hash(row.substitute.root)])
    return digest


def folder_hash(folder: Path) -> str:
    """SHA-256 (hex) of the files that a build of ``folder`` can see."""
    return _hash_of(
        [
            [
                path.relative_to(folder).as_posix(),
                bool(path.stat().st_mode & 0o100),
                hashlib.sha256(path.read_bytes()).hexdigest(),
            ]
            for path in sorted(context_files(folder))
        ]
    )


def engine_hash(name: str) -> str:
    """SHA-256 (hex) of a context as a build engine compares it: leftovers and each bit of the modes count."""
    folder = context_folder(name)
    return _hash_of(
        [
            [
                path.relative_to(folder).as_posix(),
                path.stat().st_mode,
                hashlib.sha256(path.read_bytes()).hexdigest(),
            ]
            for path in sorted(context_files(folder, leftovers=True))
        ]
    )


def context_files(folder: Path, *, leftovers: bool = False) -> Iterator[Path]:
    """The Dockerfile, the .dockerignore and what the latter lets through.

    The .dockerignore of our contexts is ``*`` followed by ``!path`` lines, so that one list serves the
    build engine and this hash; a path is a file or a whole folder.

    :raises ValueError: when it is written differently, or lets through what does not exist.
    """
    ignore = folder / ".dockerignore"
    lines = [line for line in ignore.read_text().splitlines() if line and not line.startswith("#")]
    if not lines or lines[0] != "*" or any(not line.startswith("!") for line in lines[1:]):
        raise ValueError(f"{ignore} must be * followed by lines of !path")
    yield folder / "Dockerfile"
    yield ignore
    for line in lines[1:]:
        path = folder / line[1:]
        if not path.exists():
            raise ValueError(f"{ignore} lets {line[1:]} through, which does not exist")
        files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
        yield from (file for file in files if leftovers or not LEFTOVERS.intersection(file.parts))


def root_hash(root: DebianRoot) -> str:
    """SHA-256 (hex) of a Debian root's definition; the packages' versions are the mirror's at that time."""
    return _hash_of(asdict(root))


def tag(name: str, *, base: str, platform: str) -> str:
    """The image's tag: 12 hex digits over its context, its base's reference and the nodes' platform."""
    return _hash_of([context_hash(name), base, platform])[:12]


def _hash_of(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
