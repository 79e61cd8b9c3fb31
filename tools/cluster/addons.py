"""What the node needs to be a usable cluster: its own images, DNS and volumes on demand."""

from __future__ import annotations

import hashlib
from datetime import datetime
from pathlib import Path
from string import Template
from typing import Any

from tools.cluster import NAME
from tools.cluster.binaries import binaries
from tools.cluster.network import Addresses
from tools.cluster.scratch_images import ScratchImage, write_archive
from tools.common import cache_dir

MODULES = ("pause", "local-path-provisioner", "coredns")
"""Go modules whose binaries run in these images."""


def own_images() -> tuple[Path, dict[str, str]]:
    """The archive of the cluster's own images, and the reference of each under its name in addons.yaml."""
    busybox = Path("/bin/busybox")
    inputs = " ".join(binaries(name).name for name in MODULES).encode() + busybox.read_bytes()
    key = hashlib.sha256(inputs).hexdigest()[:12]
    words = ("PAUSE", "COREDNS", "PROVISIONER", "BUSYBOX")
    names = {word: f"localhost/mlflow-dev/{word.lower()}:{key}" for word in words}
    path = cache_dir() / "images" / f"cluster-{key}.tar"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        pause, coredns = binaries("pause") / "pause", binaries("coredns") / "coredns"
        provisioner = binaries("local-path-provisioner") / "local-path-provisioner"
        shell = {f"/bin/{command}": busybox for command in ("sh", "mkdir", "rm", "busybox")}
        images = [
            ScratchImage(names["PAUSE"], {"/bin/pause": pause}, ("/bin/pause",)),
            ScratchImage(names["COREDNS"], {"/bin/coredns": coredns}, ("/bin/coredns",)),
            ScratchImage(names["PROVISIONER"], {"/bin/provisioner": provisioner}, ("/bin/provisioner",)),
            ScratchImage(names["BUSYBOX"], shell, ("/bin/sh",)),
        ]
        unfinished = path.with_suffix(".unfinished")
        write_archive(unfinished, images)
        unfinished.rename(path)
    return path, names


def manifests(addresses: Addresses, images: dict[str, str], volumes: Path, *, forward: bool) -> str:
    """Manifests of DNS and dynamic volumes.

    :param images: as :func:`own_images` returns them.
    :param volumes: folder for the volumes' data.
    :param forward: ask this machine's name servers for names outside the cluster.
    """
    words = {**images, "DNS": addresses.dns, "VOLUMES": str(volumes)}
    words["FORWARD"] = "forward . /etc/resolv.conf" if forward else ""
    return Template(Path(__file__).with_name("addons.yaml").read_text()).substitute(words)


def not_ready(items: list[dict[str, Any]], since: datetime) -> list[str]:
    """What is missing for a usable cluster.

    :param items: all nodes and pods.
    :param since: what was reported before this time was reported by an earlier run of the node.
    """

    def fresh(time: str | None) -> bool:
        return time is not None and datetime.fromisoformat(time) >= since

    missing = {f"node {NAME}", "coredns", "local-path-provisioner"}
    for item in items:
        conditions = {entry["type"]: entry for entry in item["status"].get("conditions", [])}
        ready = conditions.get("Ready", {})
        if item["kind"] == "Node" and ready.get("status") == "True" and fresh(ready["lastHeartbeatTime"]):
            missing.discard(f"node {item['metadata']['name']}")
        elif item["kind"] == "Pod" and ready.get("status") == "True":
            states = [container["state"] for container in item["status"]["containerStatuses"]]
            if all(fresh(entry.get("running", {}).get("startedAt")) for entry in states):
                missing.discard(item["metadata"]["name"].rsplit("-", 2)[0])
    return sorted(missing)
