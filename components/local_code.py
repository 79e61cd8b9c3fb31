"""The committed files of a checkout on this machine, as an archive that fits a ConfigMap."""

from __future__ import annotations

import subprocess
from pathlib import Path

from .contracts import CodeArchive

LIMIT = 900_000
"""Bytes; Kubernetes refuses a ConfigMap above 1 MiB, with its metadata."""


class NotServable(ValueError):  # noqa: N818 - what a person sees
    """The checkout cannot be served; one line that says what to do."""


def archived(checkout: Path, ref: str, path: str, *, limit: int | None = LIMIT) -> CodeArchive:
    """What ``ref`` holds below ``path``.

    :param ref: branch, tag or commit; HEAD is refused while something below ``path`` is not committed.
    :param limit: the most bytes that the packed files may have; None for any.
    :raises NotServable: saying why and what to do.
    """
    try:
        commit = _git(checkout, "rev-parse", "--verify", "--quiet", f"{ref}^{{commit}}").decode().strip()
    except subprocess.CalledProcessError:
        if not _is_checkout(checkout):
            raise NotServable(f"{checkout.name} is not a Git checkout; run `git init` and commit") from None
        raise NotServable(
            f"there is no {ref} in the checkout {checkout.name}; commit, or correct ref"
        ) from None
    if ref == "HEAD":
        changed = _git(checkout, "status", "--porcelain", "--", path or ".").decode().splitlines()
        if changed:
            more = f" and {len(changed) - 1} more" if len(changed) > 1 else ""
            raise NotServable(f"{changed[0][3:]}{more} is not committed; commit, since only commits run")
    try:
        content = _git(checkout, "archive", "--format=tar.gz", commit, *([path] if path else []))
    except subprocess.CalledProcessError:
        raise NotServable(f"there is no folder {path} in {ref}; correct path, or commit it") from None
    if limit is not None and len(content) > limit:
        raise NotServable(
            f"{path or 'the checkout'} packs to {len(content) / 1e6:.1f} MB, and {limit / 1e6:.1f} MB can be "
            "sent; name a smaller folder in path, or push it and set repo"
        )
    return CodeArchive(commit=commit, tar_gz=content)


def _is_checkout(folder: Path) -> bool:
    try:
        _git(folder, "rev-parse", "--git-dir")
    except subprocess.CalledProcessError:
        return False
    return True


def _git(folder: Path, *words: str) -> bytes:
    if not folder.is_dir():
        raise NotServable(f"there is no folder {folder}")
    try:
        return subprocess.run(["git", *words], cwd=folder, capture_output=True, check=True).stdout
    except FileNotFoundError:
        raise NotServable("git is not installed on this machine; install it") from None
