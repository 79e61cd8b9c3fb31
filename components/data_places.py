"""Where a stack keeps what people stored, in the words of its settings.

Exported as ``dataPlaces`` and compared before each `make up`: a change here would leave the data behind or
delete it with its volume.
"""

from __future__ import annotations

from .database_engines import Engine
from .settings import AnyStack, Stack, artifacts_place, database_place
from .settings.artifacts import ManagedArtifacts
from .settings.aws import AwsDatabase, AwsStack
from .settings.azure import AzureStack
from .settings.azure_places import places as azure_places
from .settings.cluster import ManagedCluster
from .settings.database import NOT_RESTORED, ManagedDatabase, Place
from .settings.existing import ExistingStack
from .settings.gcp import GcpStack
from .settings.gcp_places import places as gcp_places
from .settings.jobs import claim_name

MADE = "made by the stack"
REMOVED = "removed"
CLAIM = "workspace.claim"


def data_places(settings: AnyStack, cluster: str | None) -> dict[str, str]:
    """Key path → value, for every setting whose change moves the data.

    :param cluster: the identity of the cluster; None where it is not known.
    """
    if isinstance(settings, ExistingStack):
        kept = _workspaces(settings)
        return {"mlflow:tracking.namespace": settings.namespace} | kept if kept else {}
    database, artifacts = settings.database, settings.artifacts
    places = {
        "mlflow:namespace": settings.namespace,
        # Owned, then not: the engine would delete the namespace with the volume claims in it.
        "mlflow:existingNamespace": str(settings.existing_namespace).lower(),
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
    return places | _of_clouds(settings) | _workspaces(settings)


def _workspaces(settings: AnyStack) -> dict[str, str]:
    """Volume claims of jobs: each of these is fixed for a claim's life, so that a change makes it anew."""
    places = {}
    for name, job in settings.jobs.items():
        if claim := job.workspace.claim:
            key = f"mlflow:jobs.{name}.{CLAIM}"
            places[f"{key}.name"] = claim_name(name, claim)
            places[f"{key}.accessMode"] = str(claim.access_mode)
            places[f"{key}.storageClass"] = _class(settings, claim.storage_class)
    return places


def _of_clouds(settings: Stack) -> dict[str, str]:
    """The same for what only stacks on a cloud have."""
    cluster, database, artifacts = settings.cluster, settings.database, settings.artifacts
    stores = database_place(settings), artifacts_place(settings)
    places = {}
    if isinstance(cluster, ManagedCluster) and Place.IN_CLUSTER in stores:
        places["mlflow:cluster.existing"] = cluster.existing or MADE
    if isinstance(settings, AwsStack) and settings.new_cluster:
        # Cluster and database stay in their network: neither RDS nor EKS moves to another VPC.
        new = settings.new_cluster
        places["mlflow:cluster.create.network"] = "named subnets" if new.subnets else new.network
        # Claims name the provisioner of one way, and a Service's load balancer class never changes.
        places["mlflow:cluster.create.compute"] = str(settings.new_cluster.compute)
    if isinstance(settings, AzureStack):
        places |= azure_places(settings)
    if isinstance(settings, GcpStack):
        places |= gcp_places(settings)
    if isinstance(database, ManagedDatabase) and stores[0] is Place.MANAGED:
        existing = database.existing
        places["mlflow:database.existing"] = (existing and (existing.instance or existing.cluster)) or MADE
        places["mlflow:database.name"] = database.name
        if database.engine is Engine.POSTGRESQL:
            # Tables belong to the role that made them, and no grant on their schema reaches them
            # (PostgreSQL, "Privileges"): another user would be locked out.
            places["mlflow:database.user"] = database.user
        if isinstance(database, AwsDatabase):
            places["mlflow:database.restored"] = database.restored or NOT_RESTORED
    if isinstance(artifacts, ManagedArtifacts) and stores[1] is Place.MANAGED:
        bucket = artifacts.existing
        places["mlflow:artifacts.existing"] = f"{bucket.name}/{bucket.prefix or ''}" if bucket else MADE
    return places


def _class(settings: AnyStack, own: str | None) -> str:
    return own or settings.cluster.storage_class or "default"


def moved(before: dict[str, str], after: dict[str, str]) -> list[str]:
    """What changed, a line each: ``mlflow:database.engine: postgresql → mysql``.

    A key that only one side has is no move, but for a claim, which goes with its job. A value that is
    another key's name, such as ``gcp:region``, stands for what that key says.
    """
    gone = {key: REMOVED for key in before if key.endswith(f".{CLAIM}.name") and key not in after}
    then, now = ({key: each.get(value, value) for key, value in each.items()} for each in (before, after))
    now |= gone
    return [
        f"{key}: {then[key]} → {now[key]}"
        for key in sorted(then.keys() & now.keys())
        if then[key] != now[key]
    ]
