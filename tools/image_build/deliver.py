"""Getting images to the nodes: loaded as archives, or pushed to the registry that the stack names."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from components.settings.cluster import Images as ImageSettings
from components.third_party import THIRD_PARTY
from tools.cluster import info, kubectl
from tools.cluster.loader import load_archive
from tools.common import LOCAL, ROOT, Failure, console, local_dir, step
from tools.image_build.build import Built, one_at_a_time, repository_of
from tools.image_build.engines import BuildEngine

RECORD = LOCAL / "images.json"
"""What the program deploys: ``{"images": {name: entry}, "loadedInto": {...}}``."""


def image_settings(stack: str) -> ImageSettings:
    """What the stack file says under ``mlflow:images``.

    :raises Failure: when there is no such stack file, or the section is wrong.
    """
    path = ROOT / f"Pulumi.{stack}.yaml"
    if not path.is_file():
        known = ", ".join(sorted(file.name.split(".")[1] for file in ROOT.glob("Pulumi.*.yaml")))
        raise Failure(f"there is no {path.name}", f"STACK= one of: {known}")
    config = (yaml.safe_load(path.read_text()) or {}).get("config") or {}
    try:
        return ImageSettings.model_validate(config.get("mlflow:images") or {})
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(str(part) for part in ("mlflow:images", *first["loc"]))
        raise Failure(
            f"{path.name}: {key}: {first['msg']}", "correct it; docs/settings.md lists the keys"
        ) from None


def node_platform() -> str:
    """``linux/<architecture>`` of the cluster's nodes.

    :raises Failure: when there are no nodes, or of several architectures.
    """
    found = set(kubectl("get", "nodes", "-o", "jsonpath={.items[*].status.nodeInfo.architecture}").split())
    if len(found) != 1:
        listed = ", ".join(sorted(found)) or "no node at all"
        raise Failure(
            f"images are built for one architecture, and the cluster has {listed}",
            "give the stack ready multi-platform images (mlflow:images.server and .job)",
        )
    return f"linux/{found.pop()}"


def cluster_instance() -> dict[str, str]:
    """What tells this cluster from another one made under the same name."""
    cluster = info()
    return {"kind": cluster["kind"], "context": cluster["context"], "instance": cluster["identity"]}


class Record:
    """``.local/images.json``: read once, written after each image that arrived."""

    def __init__(self, instance: dict[str, str], path: Path = RECORD) -> None:
        self._path = path
        self.instance = instance
        try:
            known: dict[str, Any] = json.loads(path.read_text())
        except (FileNotFoundError, ValueError):
            known = {}
        self.images: dict[str, dict[str, Any]] = known.get("images", {})
        self.same_cluster = known.get("loadedInto") == instance
        if not self.same_cluster:
            self.images = {}  # what another cluster holds says nothing about this one

    def arrived(self, name: str, reference: str, digest: str | None) -> bool:
        """Whether exactly this image is already there."""
        entry = self.images.get(name, {})
        return (entry.get("reference"), entry.get("digest")) == (reference, digest)

    def put(self, name: str, entry: dict[str, Any]) -> None:
        """Note an image, at once and atomically."""
        self.images[name] = entry
        local_dir()
        half = self._path.with_suffix(".part")
        half.write_text(json.dumps({"images": self.images, "loadedInto": self.instance}, indent=2) + "\n")
        half.replace(self._path)


def deliver(built: Built, record: Record, engine: BuildEngine, registry: str | None) -> None:
    """Bring a built image to the nodes and note it; nothing is moved when it is there already."""
    entry: dict[str, Any] = {"contextHash": built.context_hash, "base": built.base.reference}
    if built.name in THIRD_PARTY:
        entry["substitute"] = True
    if registry:
        target = f"{registry.rstrip('/')}/{repository_of(built.name)}:{built.reference.rpartition(':')[2]}"
        known = record.images.get(built.name, {}).get("reference", "")
        if not known.startswith(f"{target}@"):
            with one_at_a_time(), step(f"Pushing {target}"):
                digest = engine.push(built.archive, built.reference, target)
            known = f"{target}@{digest}"
        entry |= {"reference": known, "digest": known.partition("@")[2]}
    else:
        entry |= {"reference": built.reference, "digest": built.digest}
        if record.arrived(built.name, built.reference, built.digest):
            console.print(f"[green]✓[/] {built.reference} [dim](already on the nodes)[/]")
        else:
            with step(f"Loading {built.reference} onto the nodes"):
                load_archive(built.archive)
    record.put(built.name, entry)
