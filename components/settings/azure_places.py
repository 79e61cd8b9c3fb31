"""What of a stack on Azure stays as it was made: another value would be another, empty one, or is refused by
Azure in the middle of a run."""

from __future__ import annotations

from ..database_engines import Engine
from .azure import AzureStack
from .database import NOT_RESTORED, Place
from .stack import place_of

MADE = "made by the stack"
AS_MADE = "default"


def places(settings: AzureStack) -> dict[str, str]:
    """Key path → value, beyond what every cloud has."""
    found = {"mlflow:azure.resourceGroup": settings.azure.resource_group or MADE}
    if new := settings.new_cluster:
        key, system = "mlflow:cluster.create", new.system_nodes
        # Nothing moves to other addresses, and the pool inside the cluster keeps its machines
        # (Pulumi, azure.containerservice.KubernetesCluster: what takes a rotation of the default pool).
        found |= {
            f"{key}.network": new.network,
            f"{key}.zones": ", ".join(new.zones) or AS_MADE,
            f"{key}.systemNodes.size": system.size or AS_MADE,
            f"{key}.systemNodes.diskGb": str(system.disk_gb),
            f"{key}.systemNodes.diskType": system.disk_type or AS_MADE,
        }
    database, artifacts = settings.database, settings.artifacts
    if place_of(database, settings.cloud) is Place.MANAGED and database.existing is None:
        found |= {
            "mlflow:database.access": str(database.access),
            "mlflow:database.geoRedundantBackups": str(database.geo_redundant_backups),
            "mlflow:database.restored": database.restored or NOT_RESTORED,
        }
        if database.engine is Engine.POSTGRESQL:
            # A login can only be given to a new server (Azure/azure-rest-api-specs, Microsoft.DBforPostgreSQL
            # 2025-08-01: administratorLogin; pulumi/pulumi-azure-native#3869).
            found["mlflow:database.signIn"] = str(database.sign_in)
        else:
            # Once off, a standby in another zone cannot be had back (Azure Database for MySQL, "High
            # availability concepts": only when the server is created).
            found["mlflow:database.highAvailability"] = str(database.high_availability)
    if place_of(artifacts, settings.cloud) is Place.MANAGED and artifacts.existing:
        found["mlflow:artifacts.account"] = str(artifacts.account)
    return found
