"""An MLproject folder on this machine: its files, its name, where it stands in git."""

from __future__ import annotations

import base64
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tools.common import Failure

CONFIG_MAP_LIMIT = 900_000
"""Bytes of content; Kubernetes refuses a ConfigMap above 1 MiB, encoded and with its metadata."""
LEFT_BEHIND = {"__pycache__", "mlruns", "mlartifacts", "outputs"}


@dataclass(frozen=True)
class Project:
    """A folder with an ``MLproject`` file.

    :ivar name: the MLproject's name, which is also its experiment's.
    :ivar parameters: names that its main entry point declares.
    """

    folder: Path
    name: str
    parameters: frozenset[str]

    def files(self) -> Iterator[Path]:
        """Every file but hidden ones and what runs leave behind."""
        for path in sorted(self.folder.rglob("*")):
            parts = path.relative_to(self.folder).parts
            if path.is_file() and not any(part.startswith(".") or part in LEFT_BEHIND for part in parts):
                yield path

    def config_map(self) -> tuple[dict[str, Any], list[dict[str, str]]]:
        """The files as a ConfigMap's ``data`` and ``binaryData``, and the volume items that restore them.

        :raises Failure: when they do not fit.
        """
        content: dict[str, dict[str, str]] = {"data": {}, "binaryData": {}}
        items, size = [], 0
        for number, path in enumerate(self.files()):
            raw = path.read_bytes()
            size += len(raw)
            key = f"file-{number}"  # keys may not hold a slash
            items.append({"key": key, "path": path.relative_to(self.folder).as_posix()})
            try:
                content["data"][key] = raw.decode()
            except UnicodeDecodeError:
                content["binaryData"][key] = base64.b64encode(raw).decode()
        if size > CONFIG_MAP_LIMIT:
            raise Failure(
                f"{self.folder} holds {size / 1e6:.1f} MB; a project is sent as a ConfigMap of at most "
                f"{CONFIG_MAP_LIMIT / 1e6:.1f} MB",
                "keep data out of the project's folder and let the code fetch it",
            )
        return content, items

    def tags(self) -> dict[str, str]:
        """Where the code came from: MLflow itself sees only the pod's copy of it."""
        tags = {"mlflow.source.name": self.folder.name}
        try:
            commit = self._git("rev-parse", "HEAD").strip()
            top = Path(self._git("rev-parse", "--show-toplevel").strip())
            changed = self._git("status", "--porcelain", "--", ".").strip()
        except (OSError, subprocess.CalledProcessError):
            return tags  # not a git checkout
        tags["mlflow.source.name"] = self.folder.relative_to(top).as_posix()
        tags["mlflow.source.git.commit"] = commit
        if changed:
            tags["source.uncommitted_changes"] = "true"
        return tags

    def _git(self, *words: str) -> str:
        return subprocess.run(
            ["git", "-C", str(self.folder), *words], capture_output=True, text=True, check=True
        ).stdout


def read_project(folder: Path) -> Project:
    """:raises Failure: when there is no usable MLproject file."""
    path = folder / "MLproject"
    try:
        content = yaml.safe_load(path.read_text())
        entry = content["entry_points"]["main"]
    except FileNotFoundError:
        raise Failure(f"there is no {path}", "PROJECT= names a folder that holds an MLproject file") from None
    except (yaml.YAMLError, KeyError, TypeError):
        raise Failure(
            f"{path} has no entry point main", "see https://mlflow.org/docs/latest/ml/projects/"
        ) from None
    return Project(
        folder.resolve(), str(content.get("name") or folder.name), frozenset(entry.get("parameters") or {})
    )


def checked_parameters(project: Project, texts: list[str]) -> list[str]:
    """``name=value`` texts whose names the project declares.

    :raises Failure: for one that is malformed or unknown.
    """
    known = ", ".join(sorted(project.parameters)) or "none"
    for text in texts:
        name, equals, _ = text.partition("=")
        if not equals or name not in project.parameters:
            raise Failure(f"{text!r} sets no parameter of {project.name}", f"name=value, one of: {known}")
    return texts
