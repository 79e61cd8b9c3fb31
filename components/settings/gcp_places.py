"""What of a stack on Google Cloud stays as it was made: another value would be another, empty one, or another
user of the database."""

from __future__ import annotations

from ..database_engines import Engine
from .database import Place, SignIn
from .gcp import GcpStack
from .stack import place_of

REGION = "gcp:region"


def places(settings: GcpStack) -> dict[str, str]:
    """Key path → value, beyond what every cloud has."""
    found = {}
    if new := settings.new_cluster:
        key = "mlflow:cluster.create"
        # A cluster stays in its subnet and in its mode (GKE API, ClusterUpdate has neither).
        found[f"{key}.network"] = f"subnet {new.subnet.name}" if new.subnet else new.network
        found[f"{key}.compute"] = str(new.compute)
    database, artifacts = settings.database, settings.artifacts
    if place_of(artifacts, settings.cloud) is Place.MANAGED and artifacts.existing is None:
        # Of a bucket for its life (Cloud Storage, "Bucket locations").
        found["mlflow:artifacts.location"] = (artifacts.location or REGION).lower()
    if place_of(database, settings.cloud) is Place.MANAGED and database.engine is Engine.POSTGRESQL:
        # By identity the user is named after the account of whoever runs the proxy.
        found["mlflow:database.signIn"] = str(database.sign_in)
        if database.sign_in is SignIn.IDENTITY:
            found["mlflow:gcp.proxy"] = str(settings.gcp.proxy)
    return found
