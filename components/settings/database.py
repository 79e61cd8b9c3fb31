"""Where the tracking database lives."""

from __future__ import annotations

from enum import StrEnum

from ..database_engines import Engine
from .base import Model, Resources, Secret, Volume


class Place(StrEnum):
    """Who runs a store: the cloud, this program inside the cluster, or somebody else."""

    MANAGED = "managed"
    IN_CLUSTER = "in-cluster"
    EXTERNAL = "external"


class Database(Model):
    """The tracking database."""

    place: Place | None = None
    """managed (the cloud's service), in-cluster, or external (`url`). Default: external when `url` is
    set, else in-cluster on dev and managed on a cloud."""
    engine: Engine = Engine.POSTGRESQL
    """postgresql, mysql, or sqlite (one file on a volume: one replica, one writer)."""
    url: Secret | None = None
    """Secret. URL of a PostgreSQL or MySQL elsewhere, such as
    `postgresql://user:password@db.example.com:5432/mlflow`; its TLS certificate is checked."""
    ca_bundle: str | None = None
    """PEM certificates that an external database's certificate is checked against.
    Default: the public authorities of the image."""
    volume: Volume = Volume()
    """In-cluster: the volume that holds the data."""
    resources: Resources = Resources()
    """In-cluster: CPU and memory of the database server."""
