"""What a stack on Google Cloud must not say about its database and its artifacts."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ..database_engines import Engine
from .artifacts import Transfer
from .cloud_rules import end_of_life, said
from .database import ManagedDatabase, Place, SignIn
from .errors import Problem
from .gcp import Gcp, GcpArtifacts, GcpCluster, GkeFeature, enterprise_plus
from .gcp_rules import HAS, lacks, not_the_words
from .rules import rule
from .server import Server
from .stack import Cloud, Groups, place_of
from .versions import Product

PRODUCTS = {
    Engine.POSTGRESQL: Product.CLOUD_SQL_POSTGRESQL,
    Engine.MYSQL: Product.CLOUD_SQL_MYSQL,
}
ADMIN = "mlflow_admin"
"""The administrator of a database that the stack makes (``clouds/gcp/database.py``)."""

SIZE = r"db-(f1-micro|g1-small|custom-(?P<cpus>[0-9]+)-(?P<mb>[0-9]+)|perf-optimized-N-[0-9]+)"
SMALLEST_MB, STEP_MB = 3840, 256
MB_PER_CPU = (922, 6656)
"""Memory of a custom machine: 3.75 GB at least, steps of 256 MB, 0.9 to 6.5 GB for each CPU (Cloud SQL,
"About instance settings")."""
LARGEST_CUSTOM = 96

LOG_DAYS = 7
"""How far back the Enterprise edition can restore to any second (pulumi-gcp 10.2.0,
``transaction_log_retention_days``); Enterprise Plus 35 days."""
SMALLEST_DISK, LARGEST_DISK = 10, 65536

INSTANCE = r"[a-z]([a-z0-9-]{0,96}[a-z0-9])?"
"""Cloud SQL Admin API, instance name: 98 characters together with the project's."""
BUCKET = r"(?!goog)(?!.*google)(?!.*\.\.)[a-z0-9][a-z0-9._-]{1,61}[a-z0-9]"
"""Cloud Storage, "About Cloud Storage buckets: bucket names"."""
TAKEN = ("cloudsql",)
"""Names that Cloud SQL keeps: cloudsqladmin, cloudsqlsuperuser and the like."""

STATIC_KEYS = {"GOOGLE_CREDENTIALS", "GOOGLE_CLOUD_KEYFILE_JSON", "GOOGLE_APPLICATION_CREDENTIALS"}


@rule
def the_cloud_sql_service(database: ManagedDatabase, gcp: Gcp) -> Iterator[Problem]:  # noqa: ARG001
    key = "mlflow:database"
    if database.engine in PRODUCTS:
        yield from end_of_life(f"{key}.version", PRODUCTS[database.engine], database.version)
    if database.engine is Engine.POSTGRESQL and database.version and "." in database.version:
        major = database.version.partition(".")[0]
        yield Problem(f"{key}.version", f"{database.version}: Cloud SQL takes the major one, {major}")
    yield from _size(f"{key}.size", database.size)
    if database.backup_days > LOG_DAYS and not enterprise_plus(database.size) and not database.existing:
        yield Problem(
            f"{key}.backupDays",
            f"is {database.backup_days}; Cloud SQL Enterprise can go back to any second of {LOG_DAYS} days. "
            f"Use {LOG_DAYS}, or a size of Enterprise Plus such as db-perf-optimized-N-2",
        )
    for name in said(database, "name", "user"):
        value = getattr(database, name)
        if value.startswith(TAKEN) or value == ADMIN:
            yield Problem(
                f"{key}.{name}", f"{value} is a name that Cloud SQL or the stack keeps; choose another"
            )


def _size(key: str, size: str | None) -> Iterator[Problem]:
    if size is None:
        return
    found = re.fullmatch(SIZE, size)
    if not found:
        wanted = "a machine type of Cloud SQL, such as db-custom-2-4096 or db-perf-optimized-N-2"
        yield from not_the_words(key, size, SIZE, wanted)
        return
    if found["cpus"] is None:
        return
    cpus, memory = int(found["cpus"]), int(found["mb"])
    if cpus > LARGEST_CUSTOM or (cpus != 1 and cpus % 2) or not cpus:
        yield Problem(key, f"{size} has {cpus} CPUs; 1 or an even number up to {LARGEST_CUSTOM}")
    elif (
        memory < SMALLEST_MB or memory % STEP_MB or not MB_PER_CPU[0] * cpus <= memory <= MB_PER_CPU[1] * cpus
    ):
        least = max(SMALLEST_MB, -(-MB_PER_CPU[0] * cpus // STEP_MB) * STEP_MB)
        yield Problem(
            key,
            f"{size} has {memory} MB; {cpus} CPUs take {least} to {MB_PER_CPU[1] * cpus}, in steps of "
            f"{STEP_MB}",
        )


@rule
def user_of_an_identity(database: ManagedDatabase, gcp: Gcp, cloud: Cloud) -> Iterator[Problem]:  # noqa: ARG001
    identity = place_of(database, cloud) is Place.MANAGED and database.sign_in is SignIn.IDENTITY
    if identity and "user" in database.model_fields_set:
        yield Problem(
            "mlflow:database.user",
            "is the name of the server's service account when it signs in by identity; remove it",
        )


@rule
def an_existing_cloud_sql_service(database: ManagedDatabase, gcp: Gcp) -> Iterator[Problem]:  # noqa: ARG001
    existing, key = database.existing, "mlflow:database.existing"
    if existing is None:
        return
    yield from not_the_words(
        f"{key}.instance", existing.instance, INSTANCE, "the name of a Cloud SQL instance"
    )
    if existing.cluster:
        yield Problem(f"{key}.cluster", "is Aurora's; name the Cloud SQL instance in instance")
    if existing.security_group:
        yield Problem(
            f"{key}.securityGroup", "is AWS's; Cloud SQL lets nobody in but its Auth Proxy. Remove it"
        )


@rule
def a_way_to_a_new_instance(
    database: ManagedDatabase, cluster: GcpCluster, cloud: Cloud
) -> Iterator[Problem]:
    """A network has one such peering for all services in it: who makes it in a network of others could take
    it away from them (pulumi-gcp 10.2.0, ``servicenetworking.Connection.deletion_policy``)."""
    makes = place_of(database, cloud) is Place.MANAGED and database.existing is None
    if makes and lacks(cluster, GkeFeature.PRIVATE_SERVICES_ACCESS):
        yield Problem(
            HAS,
            "lacks private-services-access, the way to a private Cloud SQL, which everything in that network "
            "shares. List it where the network has it (gcloud services vpc-peerings list --network=…); else "
            "make it once: gcloud compute addresses create google-services --global --purpose=VPC_PEERING "
            "--prefix-length=20 --network=…; gcloud services vpc-peerings connect --service="
            "servicenetworking.googleapis.com --ranges=google-services --network=…",
        )


@rule
def the_bucket(artifacts: GcpArtifacts, cloud: Cloud) -> Iterator[Problem]:
    key, managed = "mlflow:artifacts", place_of(artifacts, cloud) is Place.MANAGED
    for name in said(artifacts, "location", "soft_delete_days"):
        if not managed:
            yield Problem(f"{key}.{name}", "only fits place managed; remove it")
        elif artifacts.existing:
            yield Problem(f"{key}.{name}", "is decided already where the bucket exists; remove it")
    if 0 < artifacts.soft_delete_days < 7:
        yield Problem(
            f"{key}.softDeleteDays", f"is {artifacts.soft_delete_days}; 0 turns it off, else 7 to 90"
        )
    if artifacts.existing:
        yield from not_the_words(
            f"{key}.existing.name", artifacts.existing.name, BUCKET, "a bucket's name on Cloud Storage"
        )
    if managed and artifacts.transfer is Transfer.PRESIGNED:
        yield Problem(
            f"{key}.transfer",
            "is presigned, which the credentials of Google's metadata server cannot sign; use proxied, or "
            "direct",
        )


@rule
def nothing_replaces_the_google_identity(
    database: ManagedDatabase,
    artifacts: GcpArtifacts,
    server: Server,
    secrets: Groups,
    cloud: Cloud,
) -> Iterator[Problem]:
    if place_of(artifacts, cloud) is not Place.MANAGED and place_of(database, cloud) is not Place.MANAGED:
        return
    groups = {f"mlflow:server.secrets[{index}]": group for index, group in enumerate(server.secrets)}
    for key, group in groups.items():
        held = {name for secret in secrets.get(group, {}).values() for name in secret} & STATIC_KEYS
        if held:
            yield Problem(
                key,
                f"group {group} holds {', '.join(sorted(held))}, which would replace the server's own "
                "identity; give that identity the rights instead",
            )
