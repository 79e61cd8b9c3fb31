"""Writes the cluster's own images: each holds static binaries and nothing else, so no builder is needed."""

from __future__ import annotations

import hashlib
import io
import json
import platform
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class ScratchImage:
    """An image of static binaries.

    :param reference: name and tag.
    :param files: path inside the image -> executable on this machine.
    :param entrypoint: command with its arguments.
    """

    reference: str
    files: Mapping[str, Path]
    entrypoint: tuple[str, ...]


def write_archive(path: Path, images: list[ScratchImage]) -> None:
    """Write a ``docker save`` archive that holds ``images``; the same input gives the same bytes."""
    manifest = []
    with tarfile.open(path, "w") as archive:
        for image in images:
            layer = _layer(image.files)
            digest = hashlib.sha256(layer).hexdigest()
            config = json.dumps(
                {
                    "architecture": _architecture(),
                    "os": "linux",
                    "config": {"Entrypoint": list(image.entrypoint), "Env": ["PATH=/bin"]},
                    "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]},
                }
            ).encode()
            name = f"{hashlib.sha256(config).hexdigest()}.json"
            _add(archive, name, config)
            _add(archive, f"{digest}.tar", layer)
            manifest.append({"Config": name, "RepoTags": [image.reference], "Layers": [f"{digest}.tar"]})
        _add(archive, "manifest.json", json.dumps(manifest).encode())


def _layer(files: Mapping[str, Path]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as layer:
        temporary = tarfile.TarInfo("tmp")
        temporary.type, temporary.mode = tarfile.DIRTYPE, 0o1777
        layer.addfile(temporary)
        for inside, source in sorted(files.items()):
            _add(layer, inside.lstrip("/"), source.read_bytes(), 0o755)
    return buffer.getvalue()


def _add(archive: tarfile.TarFile, name: str, data: bytes, mode: int = 0o644) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(data), mode
    archive.addfile(entry, io.BytesIO(data))


def _architecture() -> str:
    return {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()]
