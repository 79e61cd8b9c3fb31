"""What a stack on Azure must not say about its database and its artifacts."""

from __future__ import annotations

from collections.abc import Iterator

from ..database_engines import Engine
from .azure import (
    Azure,
    AzureArtifacts,
    AzureCluster,
    AzureDatabase,
    DatabaseAccess,
    StorageAccess,
)
from .azure_rules import not_the_words, unused
from .cloud_rules import end_of_life, said
from .cloud_store_rules import makes_database
from .database import Place, SignIn
from .errors import Problem
from .rules import rule
from .server import Server
from .stack import Cloud, Groups, place_of
from .versions import Product

DATABASE, ARTIFACTS = "mlflow:database", "mlflow:artifacts"
PRODUCTS = {Engine.POSTGRESQL: Product.AZURE_POSTGRESQL, Engine.MYSQL: Product.AZURE_MYSQL}

SIZE = r"Standard_(?P<family>[BDE])[0-9]+[a-z]*(_v[0-9]+)?"
BURSTABLE = "B"
POSTGRESQL_GB = (32, 64, 128, 256, 512, 1024, 2048, 4095, 8192, 16384, 32767)
"""Azure Database for PostgreSQL, "Storage options": sizes of Premium SSD."""
MYSQL_GB = 16384
FEWEST_POSTGRESQL_BACKUP_DAYS = 7
"""The same, "Backup and restore": 7 to 35 days."""

SERVER_NAME = r"(?!-)[a-z0-9-]{3,63}(?<!-)"
CONTAINER = r"(?!.*--)[a-z0-9]([a-z0-9-]{1,61}[a-z0-9])"
"""Azure, "Naming rules and restrictions for Azure resources": flexibleServers, containers."""
TAKEN_POSTGRESQL = ("azure_", "azuresu", "replication")
TAKEN = frozenset({"azure_superuser", "azure_pg_admin", "admin", "administrator", "guest", "public"})
ADMIN = "mlflow_admin"
"""The administrator of a database whose user signs in by password (``clouds/azure/database.py``)."""

OF_THE_SERVER = ("access", "geo_redundant_backups", "subnet", "dns_zone", "directory_reader", "restored")
OF_THE_ACCOUNT = ("redundancy", "access", "subnet", "dns_zone")

STATIC_KEYS = {
    "AZURE_STORAGE_CONNECTION_STRING", "AZURE_STORAGE_ACCESS_KEY", "AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET",
    "AZURE_TENANT_ID", "AZURE_CLIENT_CERTIFICATE_PATH", "AZURE_USERNAME", "AZURE_PASSWORD",
}  # fmt: skip
"""What MLflow or azure-identity prefers to the pod's own identity (facts/azure.md §3 and 4): a connection
string or key counts even when it is empty."""


@rule
def the_flexible_server(database: AzureDatabase, azure: Azure) -> Iterator[Problem]:  # noqa: ARG001
    if database.engine in PRODUCTS:
        yield from end_of_life(f"{DATABASE}.version", PRODUCTS[database.engine], database.version)
    if database.engine is Engine.POSTGRESQL and database.version and "." in database.version:
        major = database.version.partition(".")[0]
        yield Problem(f"{DATABASE}.version", f"{database.version}: Azure takes the major one, {major}")
    wanted = "a size of Azure's, such as Standard_B2s or Standard_D2ds_v5"
    yield from not_the_words(f"{DATABASE}.size", database.size, SIZE, wanted)
    if database.high_availability and (database.size or "").startswith(f"Standard_{BURSTABLE}"):
        yield Problem(
            f"{DATABASE}.highAvailability",
            f"cannot be had with {database.size}, which is burstable; use a size such as Standard_D2ds_v5",
        )
    for name in said(database, "name", "user"):
        value = getattr(database, name)
        taken = value in TAKEN or value == ADMIN or value.startswith(TAKEN_POSTGRESQL)
        if taken and makes_database(database.existing):
            yield Problem(
                f"{DATABASE}.{name}", f"{value} is a name that Azure or the stack keeps; choose another"
            )


@rule
def storage_of_the_flexible_server(database: AzureDatabase, azure: Azure) -> Iterator[Problem]:  # noqa: ARG001
    size, most = database.storage_gb, database.max_storage_gb
    postgresql = database.engine is Engine.POSTGRESQL
    if postgresql and "storage_gb" in database.model_fields_set and size not in POSTGRESQL_GB:
        near = min((each for each in POSTGRESQL_GB if each > size), default=POSTGRESQL_GB[-1])
        yield Problem(
            f"{DATABASE}.storageGb", f"is {size}; Azure has sizes of its own, the next one is {near}"
        )
    if database.engine is Engine.MYSQL and size > MYSQL_GB:
        yield Problem(f"{DATABASE}.storageGb", f"is {size}; {MYSQL_GB} at most")
    if most is not None and most > size:
        yield Problem(
            f"{DATABASE}.maxStorageGb",
            "is no bound that Azure knows: storage grows, or it does not. Leave it out, or set it to "
            "storageGb to keep the size",
        )
    if postgresql and database.backup_days < FEWEST_POSTGRESQL_BACKUP_DAYS:
        yield Problem(
            f"{DATABASE}.backupDays",
            f"is {database.backup_days}; Azure keeps {FEWEST_POSTGRESQL_BACKUP_DAYS} days at least",
        )


@rule
def network_of_the_flexible_server(
    database: AzureDatabase, cluster: AzureCluster, cloud: Cloud
) -> Iterator[Problem]:
    made = place_of(database, cloud) is Place.MANAGED and database.existing is None
    if made and cluster.existing and not database.subnet:
        needed = "a private endpoint" if database.access is DatabaseAccess.PRIVATE_ENDPOINT else "the server"
        yield Problem(
            f"{DATABASE}.subnet",
            f"is missing; give the id of a subnet that {cluster.existing} reaches, for {needed}",
        )
    if made and not cluster.existing:
        for name in ("subnet", "dns_zone"):
            if getattr(database, name):
                key = {"dns_zone": "dnsZone"}.get(name, name)
                yield Problem(f"{DATABASE}.{key}", "comes with the network of a new cluster; remove it")


@rule
def keys_of_the_flexible_server(database: AzureDatabase, cloud: Cloud) -> Iterator[Problem]:
    place = place_of(database, cloud)
    if place is not Place.MANAGED:
        why = "only fits place managed; remove it"
        yield from unused(database, DATABASE, (*OF_THE_SERVER, "resource_group", "administrator"), why)
    elif database.existing:
        yield from unused(
            database, DATABASE, OF_THE_SERVER, "is decided already where the server exists; remove it"
        )


@rule
def entra_and_mysql(database: AzureDatabase, cloud: Cloud) -> Iterator[Problem]:
    key = f"{DATABASE}.directoryReader"
    made = place_of(database, cloud) is Place.MANAGED and database.existing is None
    needed = database.engine is Engine.MYSQL and database.sign_in is SignIn.IDENTITY
    if made and needed and not database.directory_reader:
        yield Problem(
            key,
            "is missing: MySQL on Azure looks up in Entra who signs in, by an identity with the role "
            "Directory Readers, which no stack can give; name one, or set mlflow:database.signIn: password",
        )
    if database.directory_reader and not needed:
        yield Problem(key, "is for MySQL and signIn identity; remove it")


@rule
def an_existing_flexible_server(database: AzureDatabase, azure: Azure) -> Iterator[Problem]:  # noqa: ARG001
    existing, key = database.existing, f"{DATABASE}.existing"
    if existing is None:
        if database.resource_group and not database.restored:
            yield Problem(f"{DATABASE}.resourceGroup", "is about an existing or restored server; remove it")
        return
    yield from not_the_words(
        f"{key}.instance",
        existing.instance,
        SERVER_NAME,
        "the name of a Flexible Server (without its domain)",
    )
    if not database.resource_group:
        yield Problem(
            f"{DATABASE}.resourceGroup", "is missing; name the resource group of the existing server"
        )
    if existing.cluster:
        yield Problem(f"{key}.cluster", "is Aurora's; name the Flexible Server in instance")
    if existing.security_group:
        yield Problem(
            f"{key}.securityGroup", "is AWS's; the server must be reached by its own network. Remove it"
        )


@rule
def administrator_of_an_existing_flexible_server(database: AzureDatabase, cloud: Cloud) -> Iterator[Problem]:
    existing, key = database.existing, f"{DATABASE}.administrator"
    by_identity = database.sign_in is SignIn.IDENTITY
    if place_of(database, cloud) is not Place.MANAGED:
        return
    if existing is None:
        if database.administrator:
            yield Problem(key, "is about an existing server; a new one gets an administrator of its own")
        return
    if database.administrator and (existing.finished or not by_identity):
        why = "database and user are there" if existing.finished else "signIn is password"
        yield Problem(key, f"is not needed: {why}; remove it")
    elif existing.admin and by_identity and not existing.finished:
        yield Problem(
            f"{DATABASE}.existing.admin",
            "holds a password, with which nobody makes a user who signs in by identity; name an Entra "
            f"administrator in {key}, or set {DATABASE}.signIn: password",
        )
    elif by_identity and not existing.finished and not database.administrator:
        yield Problem(
            key,
            "is missing; give the id of an identity that is an Entra administrator of the server, or make "
            f"database and user there and say {DATABASE}.existing.finished: true, or set signIn: password",
        )


@rule
def a_restored_flexible_server(database: AzureDatabase, azure: Azure) -> Iterator[Problem]:  # noqa: ARG001
    wanted = "the name of a Flexible Server (without its domain)"
    yield from not_the_words(f"{DATABASE}.restored", database.restored, SERVER_NAME, wanted)
    if database.restored and not database.resource_group:
        yield Problem(
            f"{DATABASE}.resourceGroup", "is missing; name the resource group of the restored server"
        )


@rule
def a_borrowed_administrator(database: AzureDatabase, existing_namespace: bool) -> Iterator[Problem]:
    if database.administrator and existing_namespace:
        yield Problem(
            f"{DATABASE}.administrator",
            "would be lent to everybody who may create pods in the existing namespace; give the stack a "
            f"namespace of its own, or make database and user there and say {DATABASE}.existing.finished: "
            "true",
        )


@rule
def the_storage_account(artifacts: AzureArtifacts, cluster: AzureCluster, cloud: Cloud) -> Iterator[Problem]:
    if place_of(artifacts, cloud) is not Place.MANAGED:
        names = (*OF_THE_ACCOUNT, "account", "resource_group")
        yield from unused(artifacts, ARTIFACTS, names, "only fits place managed; remove it")
        return
    if artifacts.existing:
        yield from unused(
            artifacts, ARTIFACTS, OF_THE_ACCOUNT, "is decided already where the container exists; remove it"
        )
        return
    for name in said(artifacts, "account", "resource_group"):
        yield Problem(f"{ARTIFACTS}.{name}", "is about an existing container; remove it")
    key = f"{ARTIFACTS}.access"
    if cluster.existing and artifacts.access in (None, StorageAccess.CLUSTER):
        yield Problem(
            key,
            "must be private-endpoint or public: the stack does not know the network of "
            f"{cluster.existing}, from which the storage account would be reached",
        )
    endpoint = artifacts.access is StorageAccess.PRIVATE_ENDPOINT
    if cluster.existing and endpoint and not artifacts.subnet:
        yield Problem(
            f"{ARTIFACTS}.subnet", f"is missing; give the id of a subnet that {cluster.existing} reaches"
        )
    if artifacts.subnet and not (cluster.existing and endpoint):
        yield Problem(
            f"{ARTIFACTS}.subnet", "is for a private endpoint beside an existing cluster; remove it"
        )
    if artifacts.dns_zone and not (cluster.existing and endpoint):
        yield Problem(
            f"{ARTIFACTS}.dnsZone", "is for a private endpoint beside an existing cluster; remove it"
        )


@rule
def the_existing_container(artifacts: AzureArtifacts, azure: Azure) -> Iterator[Problem]:  # noqa: ARG001
    existing, key = artifacts.existing, f"{ARTIFACTS}.existing"
    if existing is None:
        return
    yield from not_the_words(f"{key}.name", existing.name, CONTAINER, "the name of a blob container")
    if not artifacts.account:
        yield Problem(
            f"{ARTIFACTS}.account", f"is missing; name the storage account of container {existing.name}"
        )
    if not artifacts.resource_group:
        yield Problem(
            f"{ARTIFACTS}.resourceGroup", "is missing; name the resource group of the storage account"
        )


@rule
def nothing_replaces_the_azure_identity(
    database: AzureDatabase, artifacts: AzureArtifacts, server: Server, secrets: Groups, cloud: Cloud
) -> Iterator[Problem]:
    if place_of(artifacts, cloud) is not Place.MANAGED and place_of(database, cloud) is not Place.MANAGED:
        return
    for index, group in enumerate(server.secrets):
        held = {name for secret in secrets.get(group, {}).values() for name in secret} & STATIC_KEYS
        if held:
            yield Problem(
                f"mlflow:server.secrets[{index}]",
                f"group {group} holds {', '.join(sorted(held))}, which would replace the server's own "
                "identity; give that identity the rights instead",
            )
    for name in sorted(server.env.keys() & STATIC_KEYS):
        yield Problem(f"mlflow:server.env.{name}", "would replace the server's own identity; remove it")
