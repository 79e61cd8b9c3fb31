"""The artifact store as the in-cluster half provides it: a volume, or an object store by its URI."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi

from ..contracts import ArtifactStore, Cluster, FileFromText, VolumeMount
from ..settings.artifacts import AccessMode, Scheme
from ..settings.artifacts import Artifacts as ArtifactSettings
from ..settings.database import Place
from ..settings.stack import Groups
from .volumes import volume_claim

DATA = "/var/lib/mlflow/artifacts"
CA_FILE = "/etc/mlflow/artifacts-ca.pem"
GOOGLE_KEY = "GOOGLE_CREDENTIALS"
GOOGLE_FILE = "/etc/mlflow/google-credentials.json"


@dataclass(frozen=True, kw_only=True)
class TrackingArtifactsArgs:
    """Inputs of :class:`TrackingArtifacts`."""

    settings: ArtifactSettings
    place: Place
    groups: Groups
    namespace: pulumi.Output[str]
    cluster: Cluster
    protect: bool


class TrackingArtifacts(pulumi.ComponentResource):
    """The artifact store where no cloud provides it; ``store`` is the contract."""

    store: ArtifactStore

    def __init__(
        self, name: str, args: TrackingArtifactsArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("mlflow:tracking:TrackingArtifacts", name, {}, opts)
        self.store = (
            _object_store(args.settings, args.groups)
            if args.place is Place.EXTERNAL
            else self._volume(name, args)
        )
        self.register_outputs({})

    def _volume(self, name: str, args: TrackingArtifactsArgs) -> ArtifactStore:
        volume = args.settings.volume
        claim = volume_claim(
            f"{name}-volume",
            claim="mlflow-artifacts",
            size=volume.size,
            storage_class=volume.storage_class or args.cluster.storage_class,
            namespace=args.namespace,
            access_mode=volume.access_mode,
            opts=pulumi.ResourceOptions(parent=self, protect=args.protect),
        )
        once = volume.access_mode is AccessMode.READ_WRITE_ONCE
        return ArtifactStore(
            destination=DATA,
            volume=VolumeMount(claim=claim.metadata.name, path=DATA, single_node=once),
            ready=[claim],
        )


def _object_store(settings: ArtifactSettings, groups: Groups) -> ArtifactStore:
    assert settings.uri is not None, "the settings require it"  # noqa: S101
    env: dict[str, str] = {}
    files: list[FileFromText] = []
    if settings.endpoint:
        env["MLFLOW_S3_ENDPOINT_URL"] = settings.endpoint
    if settings.region:
        env["AWS_DEFAULT_REGION"] = settings.region
    if settings.ca_bundle:
        files.append(FileFromText(path=CA_FILE, text=settings.ca_bundle))
        env["AWS_CA_BUNDLE"] = CA_FILE
    secrets = groups.get(settings.credentials, {}) if settings.credentials else {}
    values = {key: value for secret in secrets.values() for key, value in secret.items()}
    if settings.scheme is Scheme.GCS and GOOGLE_KEY in values:
        # Google's libraries read service-account keys from a file only.
        key = pulumi.Output.secret(values.pop(GOOGLE_KEY).reveal())
        files.append(FileFromText(path=GOOGLE_FILE, text=key, secret=True))
        env["GOOGLE_APPLICATION_CREDENTIALS"] = GOOGLE_FILE
    return ArtifactStore(
        destination=settings.uri,
        env=env,
        secret_env={key: pulumi.Output.secret(value.reveal()) for key, value in values.items()},
        files=files,
    )
