"""Getting images to the nodes: loaded as archives, or pushed to the registry that the stack names."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from components.settings.cluster import Images as ImageSettings
from components.third_party import THIRD_PARTY
from tools.cluster import info, kubectl
from tools.cluster.loader import load_archive
from tools.common import LOCAL, ROOT, Failure, console, local_dir, step
from tools.image_build.build import Built, push, repository_of
from tools.image_build.engines import BuildEngine

RECORD = LOCAL / "images.json"
"""What the program deploys: ``{"images": {name: entry}, "loadedInto": {...}}``."""
NODES_NAME_IMAGES_AFTER = 60
"""Seconds; a kubelet reports its images with its status, every 10 s and more."""


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
    """What tells this cluster from another one made under the same name.

    :raises Failure: when the note about the cluster is of an older version.
    """
    cluster = info()
    if "identity" not in cluster:
        raise Failure("the note about the cluster lacks its identity", "run `make cluster` to write it again")
    return {"kind": cluster["kind"], "context": cluster["context"], "instance": cluster["identity"]}


def held_by_nodes() -> set[str]:
    """References of the images that every node has.

    A node names its 50 largest images, and a new one only after some seconds.
    """
    nodes = json.loads(kubectl("get", "nodes", "-o", "json"))["items"]
    held = [
        {name for image in node["status"].get("images", []) for name in image.get("names") or []}
        for node in nodes
    ]
    return set.intersection(*held) if held else set()


class Record:
    """``.local/images.json``: read once, written after each image that arrived.

    :param instance: the cluster; what another one holds says nothing about this one.
    :param held: references that its nodes name.
    """

    def __init__(self, instance: dict[str, str], held: set[str], path: Path = RECORD) -> None:
        self._path = path
        self.instance = instance
        self._held = held
        try:
            known: dict[str, Any] = json.loads(path.read_text())
            self._fresh = time.time() - path.stat().st_mtime < NODES_NAME_IMAGES_AFTER
        except (FileNotFoundError, ValueError):
            known, self._fresh = {}, False
        self._same_cluster = known.get("loadedInto") == instance
        self.images: dict[str, dict[str, Any]] = known.get("images", {}) if self._same_cluster else {}

    def reference(self, name: str) -> str:
        """What was noted for ``name``; empty for nothing."""
        return self.images.get(name, {}).get("reference", "")

    def on_the_nodes(self, name: str, reference: str) -> bool:
        """Whether the nodes have it: they name it, or it was loaded too lately for them to name it yet."""
        return reference in self._held or (self._fresh and self.reference(name) == reference)

    def put(self, name: str, entry: dict[str, Any]) -> None:
        """Note an image, at once and atomically; a note that says nothing new leaves the file alone."""
        if self._same_cluster and self.images.get(name) == entry:
            return
        self.images[name] = entry
        self._same_cluster = True
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
        reference = record.reference(built.name)
        if not reference.startswith(f"{target}@"):
            reference = push(built.archive, built.reference, target, engine)
        entry |= {"reference": reference, "digest": reference.partition("@")[2]}
    else:
        entry |= {"reference": built.reference, "digest": built.digest}
        if record.on_the_nodes(built.name, built.reference):
            console.print(f"[green]✓[/] {built.reference} [dim](already on the nodes)[/]")
        else:
            with step(f"Loading {built.reference} onto the nodes"):
                load_archive(built.archive)
    record.put(built.name, entry)
