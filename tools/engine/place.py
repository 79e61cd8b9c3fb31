"""One stack's files: settings that are tracked, what an operation adds to them, and both merged.

Tracked files stay as they are. What an operation adds to a stack's settings (the passphrase's salt,
encrypted values) lives in ``.local/stacks/Pulumi.<stack>.yaml``; ``.local/work/<stack>`` holds the
settings merged from both, which is all that the engine sees.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tools.common import ROOT, Failure, console

DATA_KEY = "encryptedkey"


@dataclass(frozen=True)
class Place:
    """Where one stack's files are.

    :ivar root: the folder of ``Pulumi.yaml``.
    """

    root: Path
    stack: str

    @property
    def local(self) -> Path:
        return self.root / ".local"

    @property
    def tracked(self) -> Path:
        return self.root / f"Pulumi.{self.stack}.yaml"

    @property
    def overlay(self) -> Path:
        return self.local / "stacks" / f"Pulumi.{self.stack}.yaml"

    @property
    def mark(self) -> Path:
        return self.local / "stacks" / f"{self.stack}.stand-ins"

    @property
    def work(self) -> Path:
        return self.local / "work" / self.stack

    @property
    def merged(self) -> Path:
        return self.work / f"Pulumi.{self.stack}.yaml"

    def project(self) -> dict[str, Any]:
        return load(self.root / "Pulumi.yaml")

    def cloud(self) -> str | None:
        """The stack's ``mlflow:cloud`` (``<project>:cloud`` where the project is named otherwise)."""
        return (load(self.tracked).get("config") or {}).get(f"{self.project()['name']}:cloud")


def load(path: Path) -> dict[str, Any]:
    """A YAML file; empty when missing."""
    return (yaml.safe_load(path.read_text()) or {}) if path.exists() else {}


def place_of(stack: str, root: Path = ROOT) -> Place:
    """:raises Failure: when the stack has no settings file."""
    place = Place(root, stack)
    if not place.tracked.exists():
        known = sorted(path.name.split(".")[1] for path in root.glob("Pulumi.*.yaml"))
        raise Failure(
            f"there is no {place.tracked.name}", f"stacks with a settings file: {', '.join(known) or 'none'}"
        )
    return place


def prepare(place: Place) -> None:
    """Write the work folder: the project file that an inline program needs, and the merged settings."""
    place.work.mkdir(parents=True, exist_ok=True)
    # The program runs inside this process: the runtime's options (its virtual environment) do not apply.
    project = {**place.project(), "runtime": "python"}
    project.pop("main", None)
    (place.work / "Pulumi.yaml").write_text(yaml.safe_dump(project, sort_keys=False))
    # Named relative to the project file, image contexts are the same for a plain `pulumi up`.
    if not (place.work / "images").is_symlink():
        (place.work / "images").symlink_to(os.path.relpath(place.root / "images", place.work))
    merged = merge(load(place.tracked), load(place.overlay))
    place.merged.touch(mode=0o600)
    place.merged.write_text(yaml.safe_dump(merged, sort_keys=False))


def keep_additions(place: Place) -> None:
    """Carry what the engine or ``make secret`` added to the work folder's settings over to the overlay.

    The data key of a key service is for everybody who may use that service: it goes to the tracked file.
    """
    added = difference(load(place.merged), load(place.tracked))
    if key := added.pop(DATA_KEY, None):
        with place.tracked.open("a") as file:
            file.write(yaml.safe_dump({DATA_KEY: key}))
        console.print(
            f"  [yellow]{place.tracked.name} now holds the stack's encrypted data key: commit it[/]"
        )
    if added and added != load(place.overlay):
        place.overlay.parent.mkdir(parents=True, exist_ok=True)
        place.overlay.touch(mode=0o600)
        place.overlay.write_text(yaml.safe_dump(added, sort_keys=False))


def merge(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """Two settings files as one; ``over`` wins where both say something."""
    result = dict(base)
    for key, value in over.items():
        old = result.get(key)
        both = isinstance(old, dict) and isinstance(value, dict) and "secure" not in value
        result[key] = merge(old, value) if both else value  # type: ignore[arg-type]
    return result


def difference(whole: dict[str, Any], base: dict[str, Any]) -> dict[str, Any]:
    """What ``whole`` says and ``base`` does not."""
    result = {}
    for key, value in whole.items():
        old = base.get(key)
        if isinstance(value, dict) and isinstance(old, dict) and "secure" not in value:
            value = difference(value, old)
            if not value:
                continue
        elif key in base and (value == old or _as_written(value) == _as_written(old)):
            continue
        result[key] = value
    return result


def _as_written(value: Any) -> str:
    """A plain value as the engine writes it: whenever it adds a salt it turns ``false`` into ``"false"``."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def forget(place: Place) -> list[str]:
    """Remove what this checkout holds of a stack that was taken down.

    Values that the user set by ``make secret`` are kept, or a later ``make up`` could not use them.

    :returns: the configuration keys kept.
    """
    shutil.rmtree(place.work, ignore_errors=True)
    place.mark.unlink(missing_ok=True)
    kept = sorted(load(place.overlay).get("config") or {})
    if not kept:
        place.overlay.unlink(missing_ok=True)
    # The engine keeps copies of a removed stack's state, for which nobody has a use any more.
    project, engine = place.project()["name"], place.local / "state" / ".pulumi"
    for folder in ("history", "backups", "locks/organization"):
        shutil.rmtree(engine / folder / project / place.stack, ignore_errors=True)
    for log in (place.local / "pulumi-home" / "logs").glob(f"*+{project}+{place.stack}-*.log"):
        log.unlink()
    for copy in (engine / "stacks" / project).glob(f"{place.stack}.json*"):
        copy.unlink()
    return kept
