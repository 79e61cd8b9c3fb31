"""Where the tracking database lives."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from ..database_engines import Engine
from .base import DnsLabel, Model, Resources, Secret, Volume


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


class SignIn(StrEnum):
    """How the server proves to a managed database who it is."""

    IDENTITY = "identity"
    PASSWORD = "password"  # noqa: S105 - a way to sign in


NOT_RESTORED = "not restored"
"""Of `restored` among the places of data: the stack's own server is in use."""
NAME = r"^[a-z][a-z0-9_]{0,30}$"
"""Names of databases and users here: plain in every engine, so that nothing needs quoting. 31 characters,
the limit of MySQL's user names less one (MySQL reference, "Account User Name")."""


class ExistingDatabase(Model):
    """A database service that is there already; the stack never changes or deletes the service itself."""

    instance: str | None = None
    """Name of the database instance."""
    cluster: str | None = None
    """Name of the database cluster (AWS: Aurora), instead of `instance`."""
    finished: bool = False
    """The database and its user are there too, and the user signs in as `database.signIn` says. Otherwise
    the stack makes both, once, with the credentials of `admin`."""
    admin: DnsLabel | None = None
    """Secret group that holds ADMIN_USERNAME and ADMIN_PASSWORD. It can be removed after the first `up`."""
    security_group: str | None = None
    """Security group of the service to which the stack adds one rule for the cluster. Default: none; then
    the cluster must be let in already."""


class ManagedDatabase(Database):
    """The tracking database of a stack on a cloud."""

    version: Annotated[str, Field(pattern=r"^[0-9]{1,2}(\.[0-9]{1,2})?$")] | None = None
    """Version of the managed engine, such as 17 or 8.4. Default: one in the cloud's standard support."""
    size: str | None = None
    """Managed: machine type, in the cloud's own words. Default: 2 CPUs and 4 GiB."""
    storage_gb: Annotated[int, Field(ge=20, le=65536)] = 20
    """Managed: storage in GB; it can grow, never shrink. Google Cloud reads it when the instance
    is made, and makes it larger by itself."""
    max_storage_gb: Annotated[int, Field(ge=20, le=65536)] | None = None
    """Managed: up to where storage grows by itself. Default: ten times `storageGb`."""
    high_availability: bool = False
    """Managed: a standby in another zone."""
    backup_days: Annotated[int, Field(ge=1, le=35)] = 7
    """Managed: days of backups, to any second of which the database can be brought back."""
    sign_in: SignIn = SignIn.IDENTITY
    """Managed: identity (short-lived tokens of the server's own identity, no password) or password."""
    name: Annotated[str, Field(pattern=NAME)] = "mlflow"
    """Managed: name of the database."""
    user: Annotated[str, Field(pattern=NAME)] = "mlflow"
    """Managed: the user that MLflow signs in as. PostgreSQL's tables belong to it, so another one is refused
    once there are some."""
    existing: ExistingDatabase | None = None
    """Managed: a service that is there already, instead of a new one."""
