"""Where a stack keeps what people stored, in the words of its settings.

Exported as ``dataPlaces`` and compared before each `make up`: a change here would leave the data behind or
delete it with its volume.
"""

from __future__ import annotations

from .settings import Stack, artifacts_place, database_place
from .settings.database import Place


def data_places(settings: Stack, cluster: str | None) -> dict[str, str]:
    """Key path → value, for every setting whose change moves the data.

    :param cluster: the identity of the cluster; None where it is not known.
    """
    database, artifacts = settings.database, settings.artifacts
    places = {
        "mlflow:namespace": settings.namespace,
        "mlflow:database.place": str(database_place(settings)),
        "mlflow:database.engine": str(database.engine),
        "mlflow:artifacts.place": str(artifacts_place(settings)),
    }
    if cluster:
        places["mlflow:cluster"] = cluster
    if database_place(settings) is Place.IN_CLUSTER:
        places["mlflow:database.volume.storageClass"] = _class(settings, database.volume.storage_class)
    if artifacts_place(settings) is Place.IN_CLUSTER:
        places["mlflow:artifacts.volume.storageClass"] = _class(settings, artifacts.volume.storage_class)
        places["mlflow:artifacts.volume.accessMode"] = str(artifacts.volume.access_mode)
    if artifacts_place(settings) is Place.EXTERNAL:
        places["mlflow:artifacts.uri"] = artifacts.uri or ""
    return places


def _class(settings: Stack, own: str | None) -> str:
    return own or settings.cluster.storage_class or "default"


def moved(before: dict[str, str], after: dict[str, str]) -> list[str]:
    """What changed, a line each: ``mlflow:database.engine: postgresql → mysql``."""
    return [
        f"{key}: {before[key]} → {after[key]}"
        for key in sorted(before.keys() & after.keys())
        if before[key] != after[key]
    ]
