"""Settings of a stack on Azure: what is refused with which key, and that each alternative is taken."""

from __future__ import annotations

from typing import Any

import pytest

from components.settings import Problem, SettingsError, Stack, parse, with_server
from components.settings.azure import AzureStack

LOCATION = "westeurope"
HOST = "mlflow.example.com"
OFFICE = ["203.0.113.0/24"]
ADMINS = "11111111-2222-3333-4444-555555555555"
IN_AZURE = f"/subscriptions/{ADMINS}/resourceGroups/shared/providers"
SUBNET = f"{IN_AZURE}/Microsoft.Network/virtualNetworks/hub/subnets/data"
READER = f"{IN_AZURE}/Microsoft.ManagedIdentity/userAssignedIdentities/reader"
ZONE = f"{IN_AZURE}/Microsoft.Network/privateDnsZones/privatelink.blob.core.windows.net"
ADMIN = {"pg-admin": {"admin": {"ADMIN_USERNAME": "root1", "ADMIN_PASSWORD": "planted"}}}
PULL = {"pull": {"pull": {"DOCKER_CONFIG_JSON": "{}"}}}
KEYS = {"store": {"keys": {"AZURE_STORAGE_ACCESS_KEY": "planted"}}}

AZURE: dict[str, Any] = {"cloud": "azure", "cluster": {"create": {"adminGroups": [ADMINS]}}}


def settings(values: dict[str, Any], region: str | None = LOCATION) -> Stack:
    return with_server(parse({**AZURE, **values}, secret_keys={"secrets", "database"}, region=region))


def problems_of(values: dict[str, Any], region: str | None = LOCATION) -> list[Problem]:
    try:
        settings(values, region)
    except SettingsError as refused:
        return refused.problems
    return []


def create(**more: Any) -> dict[str, Any]:
    return {"cluster": {"create": {"adminGroups": [ADMINS], **more}}}


def nodes(**more: Any) -> dict[str, Any]:
    return create(nodes=more)


def existing(**more: Any) -> dict[str, Any]:
    beside = {"database": {"subnet": SUBNET}, "artifacts": {"access": "public"}}
    return {"cluster": {"existing": "data", "resourceGroup": "shared"}, **beside, **more}


def entrance(kind: str, **more: Any) -> dict[str, Any]:
    return {"auth": {"mode": "basic"}, "exposure": {kind: {"allow": OFFICE, **more}}}


def ingress(**more: Any) -> dict[str, Any]:
    ranges = {"nginx.ingress.kubernetes.io/whitelist-source-range": OFFICE[0]}
    return entrance("ingress", **{"host": HOST, "className": "nginx", "annotations": ranges, **more})


ADMINISTRATOR = (
    "/subscriptions/11111111-2222-3333-4444-555555555555/resourceGroups/shared/providers/"
    "Microsoft.ManagedIdentity/userAssignedIdentities/database-admins"
)


def database(**more: Any) -> dict[str, Any]:
    return {"database": more}


def artifacts(**more: Any) -> dict[str, Any]:
    return {"artifacts": more}


CREATE, DATABASE, ARTIFACTS = "mlflow:cluster.create", "mlflow:database", "mlflow:artifacts"

# What is wrong, what the stack file says beside `cloud: azure`, the key refused, a word of the advice.
CLUSTER: list[tuple[str, dict[str, Any], str, str]] = [
    ("nobody administers", {"cluster": {}}, f"{CREATE}.adminGroups", "object id"),
    ("no group in the list", create(adminGroups=[]), f"{CREATE}.adminGroups", "nobody"),
    ("a group's name", create(adminGroups=["ml-admins"]), f"{CREATE}.adminGroups[0]", "pattern"),
    ("a group twice", create(adminGroups=[ADMINS, ADMINS]), f"{CREATE}.adminGroups", "once"),
    (
        "an existing cluster and a new one",
        {"cluster": {"existing": "data", "resourceGroup": "shared", "create": {"adminGroups": [ADMINS]}}},
        CREATE,
        "remove one",
    ),
    (
        "an existing cluster without its group",
        existing(cluster={"existing": "data"}),
        "mlflow:cluster.resourceGroup",
        "resource group of cluster data",
    ),
    (
        "the group of a new cluster",
        {"cluster": {"resourceGroup": "shared", "create": {"adminGroups": [ADMINS]}}},
        "mlflow:cluster.resourceGroup",
        "azure.resourceGroup",
    ),
    (
        "a cluster's name with a slash",
        existing(cluster={"existing": "a/b", "resourceGroup": "shared"}),
        "mlflow:cluster.existing",
        "AKS",
    ),
    (
        "a group's name with a period last",
        existing(cluster={"existing": "data", "resourceGroup": "shared."}),
        "mlflow:cluster.resourceGroup",
        "pattern",
    ),
    ("a version of long ago", create(version="1.20"), f"{CREATE}.version", "1.36"),
    ("an unknown tier", create(tier="premium"), f"{CREATE}.tier", "standard"),
    ("a day that is none", create(maintenance={"day": "sunday"}), f"{CREATE}.maintenance.day", "Sunday"),
    ("too short a window", create(maintenance={"hours": 2}), f"{CREATE}.maintenance.hours", "4"),
    ("a machine of AWS", nodes(size="m6i.large"), f"{CREATE}.nodes.size", "Standard_D4s_v5"),
    ("an Arm machine", nodes(size="Standard_D4ps_v5"), f"{CREATE}.nodes.size", "Arm"),
    (
        "an Arm machine for the cluster's own parts",
        create(systemNodes={"size": "Standard_E4pds_v6"}),
        f"{CREATE}.systemNodes.size",
        "Arm",
    ),
    ("a machine that is too small", nodes(size="Standard_A2_v2"), f"{CREATE}.nodes.size", "too small"),
    ("a disk of AWS", nodes(diskType="gp3"), f"{CREATE}.nodes.diskType", "Managed"),
    ("a disk too small for the image", nodes(diskGb=20), f"{CREATE}.nodes.diskGb", "30"),
    ("no node for the system", create(systemNodes={"min": 0, "max": 2}), f"{CREATE}.systemNodes.min", "1 or"),
    ("half a range for the system", create(systemNodes={"min": 1}), f"{CREATE}.systemNodes.total", "min and"),
    ("a range upside down", create(systemNodes={"min": 3, "max": 2}), f"{CREATE}.systemNodes.min", "swap"),
    ("a range that AKS keeps", create(network="172.30.0.0/16"), f"{CREATE}.network", "AKS keeps"),
    ("a public range for the network", create(network="34.0.0.0/16"), f"{CREATE}.network", "internet"),
    ("a zone of AWS", create(zones=["1", "eu-west-1a"]), f"{CREATE}.zones[1]", "1, 2, 3"),
    (
        "the Kubernetes API for the world",
        create(access={"public": ["0.0.0.0/0"]}),
        f"{CREATE}.access.public",
        "world: true",
    ),
    (
        "an IPv6 range for the Kubernetes API",
        create(access={"public": ["2001:db8::/32"]}),
        f"{CREATE}.access.public[0]",
        "IPv6",
    ),
    (
        "too many ranges",
        create(access={"public": [f"203.0.{n // 256}.{n % 256}/32" for n in range(200)]}),
        f"{CREATE}.access.public",
        "199",
    ),
]

NAMES: list[tuple[str, dict[str, Any], str, str]] = [
    (
        "too long a group for the nodes' group",
        {"azure": {"resourceGroup": "g" * 50}},
        "mlflow:azure.resourceGroup",
        "too long",
    ),
    (
        "a storage account with a dash",
        artifacts(account="team-data", resourceGroup="shared", existing={"name": "ml"}),
        f"{ARTIFACTS}.account",
        "pattern",
    ),
    (
        "a storage account in capitals",
        artifacts(account="TeamData", resourceGroup="shared", existing={"name": "ml"}),
        f"{ARTIFACTS}.account",
        "pattern",
    ),
    (
        "a storage account of 25 characters",
        artifacts(account="a" * 25, resourceGroup="shared", existing={"name": "mlflow"}),
        f"{ARTIFACTS}.account",
        "pattern",
    ),
    (
        "a storage account of two characters",
        artifacts(account="ab", resourceGroup="shared", existing={"name": "mlflow"}),
        f"{ARTIFACTS}.account",
        "pattern",
    ),
    (
        "a container with two dashes",
        artifacts(account="team", resourceGroup="shared", existing={"name": "ml--flow"}),
        f"{ARTIFACTS}.existing.name",
        "container",
    ),
    (
        "a container in capitals",
        artifacts(account="team", resourceGroup="shared", existing={"name": "Flow"}),
        f"{ARTIFACTS}.existing.name",
        "container",
    ),
    ("a tag with a slash", {"tags": {"a/b": "c"}}, "mlflow:tags.a/b", "none of"),
    ("a tag of Azure's own", {"tags": {"azure-team": "a"}}, "mlflow:tags.azure-team", "Azure's own"),
    ("a tag with a comma", {"tags": {"team": "a,b"}}, "mlflow:tags.team", "volumes"),
    ("a long tag", {"tags": {"team": "a" * 257}}, "mlflow:tags.team", "256"),
    ("too many tags", {"tags": {f"t{n}": "x" for n in range(49)}}, "mlflow:tags", "48 at most"),
    (
        "a pull group that is not there",
        {"azure": {"pullCredentials": "pull"}},
        "mlflow:azure.pullCredentials",
        "no secret group",
    ),
    (
        "a pull group without the key",
        {"azure": {"pullCredentials": "store"}, "secrets": KEYS},
        "mlflow:azure.pullCredentials",
        "DOCKER_CONFIG_JSON",
    ),
    ("another cloud's section", {"gcp": {"identity": "direct"}}, "mlflow:gcp", "unknown"),
]

ENTRANCES: list[tuple[str, dict[str, Any], str, str]] = [
    (
        "a certificate on the load balancer",
        entrance("external", host=HOST, certificate="x"),
        "mlflow:exposure.external.certificate",
        "ingress",
    ),
    (
        "an IPv6 range of an entrance",
        entrance("external", allow=["2001:db8::/32"]),
        "mlflow:exposure.external.allow[0]",
        "IPv6",
    ),
    (
        "the NGINX that Azure no longer mends",
        ingress(className="webapprouting.kubernetes.azure.com"),
        "mlflow:exposure.ingress.className",
        "no security fixes after November 2026",
    ),
    (
        "a GatewayClass asked by an Ingress",
        ingress(className="approuting-istio"),
        "mlflow:exposure.ingress.api",
        "must be gateway",
    ),
    (
        "a service behind a gateway",
        {
            **ingress(className="approuting-istio", api="gateway"),
            "modelServers": {
                "churn": {"model": "models:/churn@live", "ingress": {"host": "churn.example.com"}}
            },
        },
        "mlflow:modelServers.churn.ingress",
        "for the server alone",
    ),
    (
        "a certificate's Secret for no class",
        ingress(className=None, tlsSecret="mlflow-tls"),
        "mlflow:exposure.ingress.tlsSecret",
        "className",
    ),
    ("an ingress of no class", ingress(className=None), "mlflow:exposure.ingress.className", "no class"),
    ("an internal ingress", ingress(internal=True), "mlflow:exposure.ingress.internal", "own matter"),
    ("a port on every node", {"exposure": {"nodePort": {}}}, "mlflow:exposure.nodePort", "development"),
    ("nobody said who may come", entrance("external", allow=[]), "mlflow:exposure.external.allow", "missing"),
]

STORES: list[tuple[str, dict[str, Any], str, str]] = [
    ("a machine of RDS", database(size="db.t4g.medium"), f"{DATABASE}.size", "Standard_B2s"),
    ("a version of long ago", database(version="11"), f"{DATABASE}.version", "17"),
    ("a minor version", database(version="17.2"), f"{DATABASE}.version", "major one"),
    (
        "a standby of a burstable machine",
        database(size="Standard_B2s", highAvailability=True),
        f"{DATABASE}.highAvailability",
        "Standard_D2ds_v5",
    ),
    ("a size between Azure's", database(storageGb=100), f"{DATABASE}.storageGb", "128"),
    ("more than MySQL takes", database(engine="mysql", storageGb=20000), f"{DATABASE}.storageGb", "16384"),
    ("a bound of the growth", database(maxStorageGb=100), f"{DATABASE}.maxStorageGb", "no bound"),
    ("too few days of backups", database(backupDays=3), f"{DATABASE}.backupDays", "7 days"),
    ("a user of Azure's", database(user="azuresu"), f"{DATABASE}.user", "another"),
    ("the administrator's name", database(user="mlflow_admin"), f"{DATABASE}.user", "another"),
    ("a database of Azure's", database(name="azure_sys"), f"{DATABASE}.name", "another"),
    (
        "MySQL that cannot look anybody up",
        database(engine="mysql"),
        f"{DATABASE}.directoryReader",
        "Directory Readers",
    ),
    (
        "a reader for PostgreSQL",
        database(directoryReader=READER),
        f"{DATABASE}.directoryReader",
        "MySQL",
    ),
    (
        "a reader by name",
        database(engine="mysql", directoryReader="me"),
        f"{DATABASE}.directoryReader",
        "pat",
    ),
    ("a subnet of a new cluster", database(subnet=SUBNET), f"{DATABASE}.subnet", "new cluster"),
    ("a zone of a new cluster", database(dnsZone=ZONE), f"{DATABASE}.dnsZone", "new cluster"),
    (
        "no subnet beside an existing cluster",
        existing(database={}),
        f"{DATABASE}.subnet",
        "id of a subnet",
    ),
    ("a subnet by name", existing(database={"subnet": "data"}), f"{DATABASE}.subnet", "pattern"),
    ("an unknown way in", database(access="public"), f"{DATABASE}.access", "private-endpoint"),
    (
        "the access of a database in the cluster",
        database(place="in-cluster", access="vnet"),
        f"{DATABASE}.access",
        "managed",
    ),
    (
        "geo redundancy of an existing server",
        {
            "database": {
                "existing": {"instance": "shared", "finished": True},
                "resourceGroup": "shared",
                "geoRedundantBackups": True,
            }
        },
        f"{DATABASE}.geoRedundantBackups",
        "decided already",
    ),
    (
        "an existing server to be furnished by identity",
        {
            "database": {"existing": {"instance": "shared", "admin": "pg-admin"}, "resourceGroup": "shared"},
            "secrets": ADMIN,
        },
        f"{DATABASE}.existing.admin",
        "nobody makes a user who signs in by identity",
    ),
    (
        "an existing server to be furnished by nobody",
        database(existing={"instance": "shared"}, resourceGroup="shared"),
        f"{DATABASE}.administrator",
        "finished: true",
    ),
    (
        "an administrator of a finished server",
        database(
            existing={"instance": "shared", "finished": True},
            resourceGroup="shared",
            administrator=ADMINISTRATOR,
        ),
        f"{DATABASE}.administrator",
        "not needed: database and user are there",
    ),
    (
        "an administrator who would make a user with a password",
        database(
            existing={"instance": "shared"},
            resourceGroup="shared",
            signIn="password",
            administrator=ADMINISTRATOR,
        ),
        f"{DATABASE}.administrator",
        "not needed: signIn is password",
    ),
    (
        "an administrator of a new server",
        database(administrator=ADMINISTRATOR),
        f"{DATABASE}.administrator",
        "about an existing server",
    ),
    (
        "an administrator in a namespace that others use",
        existing(
            database={
                "existing": {"instance": "shared"},
                "resourceGroup": "shared",
                "administrator": ADMINISTRATOR,
            },
            namespace="ml-team",
            existingNamespace=True,
        ),
        f"{DATABASE}.administrator",
        "everybody who may create pods",
    ),
    (
        "a restored server of a database that is not the stack's",
        database(existing={"instance": "a", "finished": True}, resourceGroup="shared", restored="mlflow-2"),
        f"{DATABASE}.restored",
        "where the server exists",
    ),
    (
        "a restored server in the cluster",
        database(place="in-cluster", restored="mlflow-2", resourceGroup="shared"),
        f"{DATABASE}.restored",
        "only fits place managed",
    ),
    ("a restored server nowhere", database(restored="mlflow-2"), f"{DATABASE}.resourceGroup", "is missing"),
    (
        "a restored server by its address",
        database(restored="mlflow-2.postgres.database.azure.com", resourceGroup="shared"),
        f"{DATABASE}.restored",
        "without its domain",
    ),
    (
        "an existing server without its group",
        database(existing={"instance": "shared", "finished": True}),
        f"{DATABASE}.resourceGroup",
        "missing",
    ),
    ("the group of a new server", database(resourceGroup="shared"), f"{DATABASE}.resourceGroup", "existing"),
    (
        "the address of an existing server",
        database(
            existing={"instance": "a.postgres.database.azure.com", "finished": True}, resourceGroup="shared"
        ),
        f"{DATABASE}.existing.instance",
        "without its domain",
    ),
    (
        "an Aurora cluster",
        database(existing={"cluster": "aurora", "finished": True}, resourceGroup="shared"),
        f"{DATABASE}.existing.cluster",
        "Aurora",
    ),
    (
        "a security group",
        database(
            existing={"instance": "shared", "finished": True, "securityGroup": "sg-1"}, resourceGroup="shared"
        ),
        f"{DATABASE}.existing.securityGroup",
        "AWS",
    ),
    (
        "an account whose network is not known",
        existing(artifacts={}),
        f"{ARTIFACTS}.access",
        "private-endpoint or public",
    ),
    (
        "a firewall for a network that is not known",
        existing(artifacts={"access": "cluster"}),
        f"{ARTIFACTS}.access",
        "private-endpoint or public",
    ),
    (
        "a private endpoint without a subnet",
        existing(artifacts={"access": "private-endpoint"}),
        f"{ARTIFACTS}.subnet",
        "missing",
    ),
    (
        "a subnet of a public account",
        existing(artifacts={"access": "public", "subnet": SUBNET}),
        f"{ARTIFACTS}.subnet",
        "remove",
    ),
    (
        "a zone of a public account",
        existing(artifacts={"access": "public", "dnsZone": ZONE}),
        f"{ARTIFACTS}.dnsZone",
        "remove",
    ),
    ("an unknown redundancy", artifacts(redundancy="RAGRS"), f"{ARTIFACTS}.redundancy", "GZRS"),
    (
        "an account of its own by name",
        artifacts(account="team"),
        f"{ARTIFACTS}.account",
        "existing container",
    ),
    (
        "a container without its account",
        artifacts(existing={"name": "mlflow"}, resourceGroup="shared"),
        f"{ARTIFACTS}.account",
        "missing",
    ),
    (
        "a container without its group",
        artifacts(existing={"name": "mlflow"}, account="team"),
        f"{ARTIFACTS}.resourceGroup",
        "missing",
    ),
    (
        "the copies of an existing account",
        artifacts(existing={"name": "mlflow"}, account="team", resourceGroup="shared", redundancy="LRS"),
        f"{ARTIFACTS}.redundancy",
        "decided already",
    ),
    (
        "the copies of a volume",
        artifacts(place="in-cluster", redundancy="LRS"),
        f"{ARTIFACTS}.redundancy",
        "managed",
    ),
    (
        "a disk for several nodes",
        artifacts(place="in-cluster", volume={"accessMode": "ReadWriteMany"}),
        f"{ARTIFACTS}.volume.accessMode",
        "azurefile",
    ),
    (
        "a key that replaces the identity",
        {"server": {"secrets": ["store"]}, "secrets": KEYS},
        "mlflow:server.secrets[0]",
        "own identity",
    ),
    (
        "an empty key that replaces the identity",
        {"server": {"env": {"AZURE_STORAGE_ACCESS_KEY": ""}}},
        "mlflow:server.env.AZURE_STORAGE_ACCESS_KEY",
        "own identity",
    ),
]

BAD = [*CLUSTER, *NAMES, *ENTRANCES, *STORES]


@pytest.mark.unit
@pytest.mark.parametrize(("values", "key", "advice"), [row[1:] for row in BAD], ids=[row[0] for row in BAD])
def test_bad_settings_are_refused_with_their_key_and_what_to_do(
    values: dict[str, Any], key: str, advice: str
) -> None:
    found = [problem for problem in problems_of(values) if problem.key == key]
    assert found, problems_of(values)
    assert any(advice in problem.message for problem in found), found


@pytest.mark.unit
@pytest.mark.parametrize(
    "values",
    [
        {},
        create(tier="free", monitoring=True, containerLogs=True, maintenance={"day": "Monday", "hour": 0}),
        create(nodes={"min": 0, "max": 7, "size": "Standard_D8s_v5", "diskType": "Ephemeral"}),
        create(systemNodes={"min": 1, "max": 3, "size": "Standard_D2as_v5", "diskGb": 64}),
        create(zones=["1", "3"], access={"public": ["0.0.0.0/0"], "world": True}),
        existing(),
        existing(database={"access": "private-endpoint", "subnet": SUBNET}),
        existing(artifacts={"access": "private-endpoint", "subnet": SUBNET, "dnsZone": ZONE}),
        existing(database={"place": "in-cluster"}, artifacts={"place": "in-cluster"}),
        database(access="private-endpoint", geoRedundantBackups=True, storageGb=256, maxStorageGb=256),
        database(size="Standard_D4ds_v5", highAvailability=True, version="18", backupDays=35),
        database(engine="mysql", version="8.4", directoryReader=READER, storageGb=100, backupDays=1),
        database(engine="mysql", signIn="password"),
        database(signIn="password", user="tracker"),
        {
            "database": {
                "signIn": "password",
                "existing": {"instance": "shared", "admin": "pg-admin"},
                "resourceGroup": "shared",
            },
            "secrets": ADMIN,
        },
        database(existing={"instance": "shared", "finished": True}, resourceGroup="shared"),
        database(restored="mlflow-restored", resourceGroup="shared", backupDays=14),
        artifacts(redundancy="GZRS", access="public", transfer="direct"),
        artifacts(transfer="presigned", access="private-endpoint"),
        artifacts(existing={"name": "mlflow", "prefix": "ml/flow"}, account="team", resourceGroup="shared"),
        entrance("internal"),
        ingress(),
        {"azure": {"resourceGroup": "ml-team", "locks": True}},
        {"azure": {"pullCredentials": "pull"}, "secrets": PULL},
        {"tags": {"cost centre": "42"}},
    ],
)
def test_each_alternative_is_taken(values: dict[str, Any]) -> None:
    assert problems_of(values) == []
    assert isinstance(settings(values), AzureStack)


@pytest.mark.unit
@pytest.mark.parametrize(
    ("region", "word"),
    [("", "is missing"), ("eu-west-1", "is no location"), ("West Europe", "is no location")],
)
def test_a_stack_names_its_location(region: str, word: str) -> None:
    (problem,) = problems_of({}, region)
    assert problem.key == "azure-native:location"
    assert word in problem.message


@pytest.mark.unit
def test_every_mistake_of_a_stack_is_reported_at_once() -> None:
    values = {
        "cluster": {"create": {"version": "1.20", "nodes": {"size": "Standard_D2ps_v5"}}},
        "database": {"backupDays": 1, "engine": "postgresql"},
        "artifacts": {"account": "team"},
        "tags": {"a/b": "a"},
    }
    assert {problem.key for problem in problems_of(values, "")} == {
        "azure-native:location",
        "mlflow:cluster.create.adminGroups",
        "mlflow:cluster.create.version",
        "mlflow:cluster.create.nodes.size",
        "mlflow:database.backupDays",
        "mlflow:artifacts.account",
        "mlflow:tags.a/b",
    }


@pytest.mark.unit
def test_no_refusal_shows_a_secret() -> None:
    values = {
        "server": {"secrets": ["pg-admin", "store"]},
        "database": {"existing": {"instance": "shared", "admin": "pg-admin"}},
        "secrets": {**ADMIN, **KEYS},
    }
    found = problems_of(values)
    assert found
    assert not [problem for problem in found if "planted" in str(problem)]


@pytest.mark.unit
def test_the_defaults_are_the_safe_ones() -> None:
    made = settings({})
    assert isinstance(made, AzureStack)
    assert made.new_cluster is not None
    assert made.new_cluster.access.public == []
    assert made.new_cluster.nodes.bounds == (3, 3)
    assert made.new_cluster.system_bounds == (2, 2)
    assert made.storage_access == "cluster"
    assert made.database.access == "vnet"
    assert made.database.sign_in == "identity"
    assert made.artifacts.transfer == "proxied"
    assert made.artifacts.redundancy == "ZRS"
    assert made.protected("azure")
