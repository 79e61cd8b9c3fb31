"""Where artifacts live."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from .base import DnsLabel, Model, Volume
from .database import Place


class AccessMode(StrEnum):
    """Access modes of a volume claim that artifacts can use."""

    READ_WRITE_ONCE = "ReadWriteOnce"
    READ_WRITE_MANY = "ReadWriteMany"


class Scheme(StrEnum):
    """Object stores MLflow speaks to."""

    S3 = "s3"
    GCS = "gs"
    AZURE = "wasbs"


def _artifact_uri(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in set(Scheme) or not parts.netloc:
        raise ValueError(
            "must be s3://bucket/path, gs://bucket/path or wasbs://container@account.blob.core.windows.net/path"
        )
    if parts.query or parts.fragment:
        raise ValueError("must have no query or fragment")
    if parts.scheme == Scheme.AZURE and not (
        parts.username and parts.hostname and ".blob.core." in parts.hostname
    ):
        raise ValueError("must be wasbs://container@account.blob.core.windows.net/path")
    if parts.scheme != Scheme.AZURE and "@" in parts.netloc:
        raise ValueError("must hold no credentials; name a secret group in `credentials`")
    return value.rstrip("/")


def _https(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme != "https" or not parts.hostname:
        raise ValueError("must be an https:// address, such as https://minio.example.com:9000")
    return value.rstrip("/")


class ArtifactVolume(Volume):
    """The volume artifacts are kept on, served through the server."""

    access_mode: AccessMode = AccessMode.READ_WRITE_ONCE
    """ReadWriteMany lets several replicas share it; ReadWriteOnce means one replica."""


class Artifacts(Model):
    """The artifact store. Clients reach it through the server (`mlflow-artifacts:/`)."""

    place: Place | None = None
    """managed (the cloud's bucket), in-cluster (a volume), or external (`uri`). Default: external when
    `uri` is set, else in-cluster on dev and managed on a cloud."""
    uri: Annotated[str, AfterValidator(_artifact_uri)] | None = None
    """An object store elsewhere: s3://, gs:// or wasbs://."""
    credentials: DnsLabel | None = None
    """Secret group whose values the server gets to open `uri`; without it the pod's own identity is used."""
    endpoint: Annotated[str, AfterValidator(_https)] | None = None
    """S3-compatible endpoint, https only."""
    region: str | None = None
    """S3 region."""
    ca_bundle: str | None = None
    """PEM certificates the S3 endpoint's certificate is checked against. Default: public authorities."""
    volume: ArtifactVolume = ArtifactVolume()
    """In-cluster: the volume."""

    @property
    def scheme(self) -> Scheme | None:
        """The object store ``uri`` speaks of."""
        return Scheme(urlsplit(self.uri).scheme) if self.uri else None


class Transfer(StrEnum):
    """How artifacts travel between clients and a managed store."""

    PROXIED = "proxied"
    PRESIGNED = "presigned"
    DIRECT = "direct"


class ExistingBucket(Model):
    """A bucket (or container) that is there already; the stack never changes or deletes it."""

    name: str
    """Its name."""
    prefix: Annotated[str, Field(pattern=r"^[A-Za-z0-9!_.*()-]+(/[A-Za-z0-9!_.*()-]+)*$")] | None = None
    """Folder inside it; rights are given on this folder only."""


class ManagedArtifacts(Artifacts):
    """The artifact store of a stack on a cloud."""

    transfer: Transfer = Transfer.PROXIED
    """Managed: proxied (through the server; clients need nothing), presigned (clients fetch and send large
    files by short-lived signed addresses) or direct (clients use the store with rights of their own)."""
    keep_versions_days: Annotated[int, Field(ge=1, le=3650)] = 30
    """Managed: days that deleted and overwritten files can be brought back."""
    existing: ExistingBucket | None = None
    """Managed: a bucket that is there already, instead of a new one."""
