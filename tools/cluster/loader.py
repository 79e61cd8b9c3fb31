"""Gets an image archive into whatever cluster there is, without a registry."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tools.cluster import info, registry
from tools.cluster.kind import kind_command
from tools.common import Failure, run


def load_archive(path: Path) -> None:
    """Load the images of a ``docker save`` archive into the cluster, under the names they have in it.

    :raises Failure: when the cluster takes its images from a registry, or the loader fails.
    """
    cluster = info()
    if cluster["kind"] == "registry":
        registry.import_archive(path)
        return
    run(
        load_command(cluster, path),
        timeout=900,
        hint=f"is {cluster['loader']} installed, and does its cluster run?",
    )


def load_command(cluster: dict[str, Any], path: Path) -> list[str]:
    """The command that loads ``path`` into a cluster which is not the registry-built one.

    :raises Failure: when the stack gave no loader.
    """
    context, file = cluster["context"], str(path)
    match cluster["loader"]:
        case "kind":
            name = context.removeprefix("kind-")
            return [kind_command(), "load", "image-archive", file, "--name", name]
        case "minikube":
            return ["minikube", "--profile", context, "image", "load", file]
        case "k3d":
            return ["k3d", "image", "import", file, "--cluster", context.removeprefix("k3d-")]
        case "docker-desktop":
            return ["docker", "--context", "desktop-linux", "load", "--input", file]
        case loader:
            raise Failure(
                f"images cannot be loaded into the cluster of context {context} (loader: {loader})",
                "give the stack a registry to push to, or a loader: kind, minikube, k3d, docker-desktop",
            )
