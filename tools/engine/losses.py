"""What goes with a stack, one line for each resource, read from its state."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from tools.engine.progress import kind_of, name_of

KINDS = {"PersistentVolumeClaim", "StatefulSet", "Secret", "PersistentVolume", "RandomPassword",
         "RandomBytes"}  # fmt: skip
"""Kinds that hold data, or keys without which data elsewhere cannot be read."""
CLOUD_TYPES = {
    "aws:ecr/repository:Repository",
    "aws:kms/key:Key",
    "aws:rds/cluster:Cluster",
    "aws:rds/instance:Instance",
    "aws:s3/bucket:Bucket",
    "azure-native:containerregistry:Registry",
    "azure-native:dbformysql:Server",
    "azure-native:dbforpostgresql:Server",
    "azure-native:keyvault:Vault",
    "azure-native:storage:StorageAccount",
    "gcp:artifactregistry/repository:Repository",
    "gcp:sql/databaseInstance:DatabaseInstance",
    "gcp:storage/bucket:Bucket",
}
"""The same, among what clouds have: their kinds alone (`Instance`) do not say what they are."""
NAMES = ("identifier", "clusterIdentifier", "bucket", "repositoryId", "accountName", "serverName", "name")
"""Properties that hold the name under which the cloud knows a resource; its id is often made up."""
GIGABYTES = ("allocatedStorage", "diskSize", "storageSizeGB")
"""Properties that hold a size in GB, at any depth (RDS, Cloud SQL, Azure Database)."""
MACHINES = ("instanceClass", "tier", "engineVersion", "databaseVersion")
WITH_CONTENT = ("Bucket", "Repository", "Registry", "StorageAccount")


def losses(resources: Iterable[dict[str, Any]]) -> list[str]:
    """One line for each resource whose data goes with it."""
    return [loss_of(each) for each in resources if _holds_data(each)]


def _holds_data(resource: dict[str, Any]) -> bool:
    return kind_of(resource["urn"]) in KINDS or resource["type"] in CLOUD_TYPES


def loss_of(resource: dict[str, Any]) -> str:
    """Kind, name, the name (or id) where it lives, and how large it is, as far as the state says."""
    known = {**(resource.get("inputs") or {}), **(resource.get("outputs") or {})}
    identity = next((known[key] for key in NAMES if isinstance(known.get(key), str)), resource.get("id"))
    where = f" ({identity})" if identity and identity != "none" else ""
    facts = [*_claimed(resource.get("inputs") or {}), *_measured(known)]
    if kind_of(resource["urn"]) in WITH_CONTENT:
        facts.append("with everything in it")
    if (snapshot := known.get("finalSnapshotIdentifier")) and not known.get("skipFinalSnapshot"):
        facts.append(f"its last state stays as snapshot {snapshot}")
    return ", ".join([f"{kind_of(resource['urn'])} {name_of(resource['urn'])}{where}", *facts])


def _claimed(inputs: dict[str, Any]) -> list[str]:
    """Sizes of volume claims, a StatefulSet's own among them."""
    spec = inputs.get("spec") or {}
    claims = [spec, *(claim.get("spec") or {} for claim in spec.get("volumeClaimTemplates") or [])]
    sizes = [((claim.get("resources") or {}).get("requests") or {}).get("storage") for claim in claims]
    return [str(size) for size in sizes if size]


def _measured(known: dict[str, Any]) -> list[str]:
    """A managed service's machine, version and storage."""
    found = dict(_leaves(known))
    machines = [str(found[key]) for key in MACHINES if key in found]
    sizes = [f"{found[key]:.0f} GB" for key in GIGABYTES if isinstance(found.get(key), int | float)]
    return [*machines, *sizes]


def _leaves(value: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for key, item in value.items():
        if isinstance(item, dict):
            yield from _leaves(item)
        elif key in (*GIGABYTES, *MACHINES) and isinstance(item, str | int | float):
            yield key, item


def titles(urns: Iterable[str]) -> str:
    """Kinds and names in one line."""
    return ", ".join(f"{kind_of(urn)} {name_of(urn)}" for urn in urns)
