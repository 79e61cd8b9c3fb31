"""Each setting that only a stack on Google Cloud has reaches the resource it is about."""

from __future__ import annotations

import json
from typing import Any

import pytest

from components.settings.gcp import GcpStack
from tests.program.conftest import Settings, plan
from tests.program.gcp_cases import HOST, OFFICE, PLAIN, PULL, READY, SQL_ADMIN
from tests.program.reading import as_text, environment, pod_spec, server_environment
from tests.program.test_aws_settings import NOT_IN_A_PLAN as CONFIRMATIONS
from tests.program.test_settings_reach_objects import NOT_IN_MANIFESTS as NOT_ON_DEV
from tests.program.test_settings_reach_objects import ROWS as DEV_ROWS
from tests.program.test_settings_reach_objects import Row, paths
from tools.offline import Plan
from tools.offline.wire import plain

pytestmark = pytest.mark.program


def given(plan: Plan, kind: str, name: str = "") -> dict[str, Any]:
    """The inputs of the only resource of a kind."""
    return plain(plan.one(kind, name).inputs)


def create(**more: Any) -> Settings:
    return {"cluster": {"create": more}}


def existing(*features: str, **more: Any) -> Settings:
    return {"cluster": {"existing": "data", "has": ["private-services-access", *features], **more}}


def database(**more: Any) -> Settings:
    return {"database": more}


def there(**more: Any) -> Settings:
    """An existing database service with its administrator."""
    return {
        "database": {"existing": {"instance": "shared", "admin": "sql-admin", **more}},
        "secrets": SQL_ADMIN,
    }


def entrance(kind: str, **more: Any) -> Settings:
    return {"auth": {"mode": "basic"}, "exposure": {kind: {"host": HOST, "allow": OFFICE, **more}}}


def instance(plan: Plan) -> dict[str, Any]:
    return given(plan, "DatabaseInstance")["settings"]


def uri(plan: Plan) -> str:
    return server_environment(plan)["MLFLOW_BACKEND_STORE_URI"]


def noted(plan: Plan, kind: str, name: str = "") -> dict[str, str]:
    return given(plan, kind, name)["metadata"].get("annotations", {})


def pool(plan: Plan) -> dict[str, Any]:
    return given(plan, "NodePool")


def roles(plan: Plan, who: str) -> set[str]:
    """The roles of whoever's resources are called so."""
    return {
        plain(one.inputs)["role"]
        for one in plan.resources
        if one.type.lower().endswith("iammember") and who in one.name
    }


def bootstrap(plan: Plan) -> dict[str, str]:
    job = plan.one("Job", "bootstrap")
    return environment(plan, job)


IN_A_SUBNET = {
    "cluster": {
        "create": {"subnet": {"name": "apps", "pods": "gke-pods", "services": "gke-services"}},
        "has": ["private-services-access"],
    }
}

ROWS = [
    Row("tags", {"tags": {"team": "a"}}, lambda p: instance(p)["userLabels"]["team"] == "a"),
    Row(
        "cluster.existing",
        existing(),
        lambda p: not p.of_type("Cluster") and p.one("StorageClass") and not p.of_type("NodePool"),
    ),
    Row(
        "cluster.location",
        existing(location="europe-west1-c"),
        lambda p: "--location europe-west1-c " in plain(p.outputs)["kubeconfigCommand"],
    ),
    Row(
        "cluster.has",
        existing(),
        lambda p: not p.of_type("Connection") and p.one("DatabaseInstance"),
    ),
    Row(
        "cluster.storageClass",
        {"cluster": {"storageClass": "fast"}, "database": {"place": "in-cluster"}},
        lambda p: given(p, "PersistentVolumeClaim")["spec"]["storageClassName"] == "fast",
    ),
    Row(
        "cluster.create.compute",
        create(compute="autopilot"),
        lambda p: given(p, "Cluster")["enableAutopilot"] and not p.of_type("NodePool"),
    ),
    Row(
        "cluster.create.channel",
        create(channel="stable"),
        lambda p: given(p, "Cluster")["releaseChannel"]["channel"] == "STABLE",
    ),
    Row(
        "cluster.create.dnsEndpoint",
        create(dnsEndpoint=True),
        lambda p: given(p, "Cluster")["controlPlaneEndpointsConfig"]["dnsEndpointConfig"][
            "allowExternalTraffic"
        ],
    ),
    Row(
        "cluster.create.version",
        create(version="1.35"),
        lambda p: given(p, "Cluster")["minMasterVersion"] == "1.35",
    ),
    Row(
        "cluster.create.access.public",
        create(access={"public": OFFICE}),
        lambda p: (
            given(p, "Cluster")["masterAuthorizedNetworksConfig"]["cidrBlocks"] == [{"cidrBlock": OFFICE[0]}]
        ),
    ),
    Row("cluster.create.nodes.total", create(nodes={"total": 6}), lambda p: pool(p)["nodeCount"] == 2),
    Row(
        "cluster.create.nodes.min",
        create(nodes={"min": 2, "max": 5}),
        lambda p: pool(p)["autoscaling"]["totalMinNodeCount"] == 2,
    ),
    Row(
        "cluster.create.nodes.max",
        create(nodes={"min": 2, "max": 5}),
        lambda p: pool(p)["autoscaling"]["totalMaxNodeCount"] == 5,
    ),
    Row(
        "cluster.create.nodes.size",
        create(nodes={"size": "n2-standard-4"}),
        lambda p: pool(p)["nodeConfig"]["machineType"] == "n2-standard-4",
    ),
    Row(
        "cluster.create.nodes.diskGb",
        create(nodes={"diskGb": 80}),
        lambda p: pool(p)["nodeConfig"]["diskSizeGb"] == 80,
    ),
    Row(
        "cluster.create.nodes.diskType",
        create(nodes={"diskType": "pd-ssd"}),
        lambda p: pool(p)["nodeConfig"]["diskType"] == "pd-ssd",
    ),
    Row(
        "cluster.create.nodes.size",
        create(nodes={"size": "n4-standard-4"}),
        lambda p: (
            pool(p)["nodeConfig"]["diskType"] == "hyperdisk-balanced"
            and given(p, "StorageClass")["parameters"]["type"] == "hyperdisk-balanced"
        ),
    ),
    Row(
        "cluster.create.zones",
        create(zones=["europe-west1-b", "europe-west1-d"], nodes={"total": 4}),
        lambda p: (
            pool(p)["nodeLocations"] == ["europe-west1-b", "europe-west1-d"]
            and given(p, "Cluster")["nodeLocations"] == ["europe-west1-b", "europe-west1-d"]
            and pool(p)["nodeCount"] == 2
        ),
    ),
    Row(
        "cluster.create.network",
        create(network="10.20.0.0/18"),
        lambda p: given(p, "Subnetwork")["ipCidrRange"] == "10.20.0.0/20",
    ),
    Row(
        "cluster.create.containerLogs",
        create(containerLogs=True),
        lambda p: "WORKLOADS" in given(p, "Cluster")["loggingConfig"]["enableComponents"],
    ),
    Row(
        "database.place",
        {"database": {"place": "in-cluster"}},
        lambda p: p.one("StatefulSet") and not p.of_type("DatabaseInstance"),
    ),
    Row(
        "database.engine",
        database(engine="mysql"),
        lambda p: (
            given(p, "DatabaseInstance")["databaseVersion"] == "MYSQL_8_4"
            and uri(p).startswith("mysql+pymysql://")
        ),
    ),
    Row(
        "database.version",
        database(version="16"),
        lambda p: given(p, "DatabaseInstance")["databaseVersion"] == "POSTGRES_16",
    ),
    Row(
        "database.size",
        database(size="db-custom-4-8192"),
        lambda p: instance(p)["tier"] == "db-custom-4-8192",
    ),
    Row("database.storageGb", database(storageGb=50), lambda p: instance(p)["diskSize"] == 50),
    Row(
        "database.maxStorageGb",
        database(maxStorageGb=70),
        lambda p: instance(p)["diskAutoresizeLimit"] == 70 and instance(p)["diskAutoresize"] is True,
    ),
    Row(
        "database.highAvailability",
        database(highAvailability=True),
        lambda p: instance(p)["availabilityType"] == "REGIONAL",
    ),
    Row(
        "database.backupDays",
        database(backupDays=3),
        lambda p: (
            instance(p)["backupConfiguration"]["backupRetentionSettings"]["retainedBackups"] == 3
            and instance(p)["backupConfiguration"]["transactionLogRetentionDays"] == 3
        ),
    ),
    Row(
        "database.signIn",
        database(signIn="password"),
        lambda p: (
            uri(p).startswith("postgresql+psycopg2://mlflow:")
            and "roles/cloudsql.instanceUser" not in roles(p, "database")
            and "--auto-iam-authn" not in as_text(p)
            and bootstrap(p)["SIGN_IN"] == "password"
        ),
    ),
    Row(
        "database.name",
        database(name="runs"),
        lambda p: given(p, "Database")["name"] == "runs" and uri(p).endswith("/runs"),
    ),
    Row(
        "database.user",
        database(signIn="password", user="ml"),
        lambda p: uri(p).startswith("postgresql+psycopg2://ml:"),
    ),
    Row(
        "database.existing.instance",
        there(),
        lambda p: (
            not p.of_type("DatabaseInstance")
            and given(p, "User", "user")["instance"] == "mock-sentinel-getDatabaseInstance-name"
        ),
    ),
    Row(
        "database.existing.admin",
        there(),
        lambda p: (
            bootstrap(p)["ADMIN_USERNAME"] == "planted-admin-name" and bootstrap(p)["RETIRE_ADMIN"] == "false"
        ),
    ),
    Row(
        "database.existing.finished",
        {"database": {"existing": {"instance": "shared", "finished": True}}},
        lambda p: p.one("User") and "mlflow-bootstrap" not in [one.name for one in p.of_type("Job")],
    ),
    Row(
        "artifacts.place",
        {"artifacts": {"place": "in-cluster"}},
        lambda p: not p.of_type("Bucket") and p.one("PersistentVolumeClaim"),
    ),
    Row(
        "artifacts.transfer",
        {"artifacts": {"transfer": "direct"}},
        lambda p: (
            server_environment(p)["MLFLOW_DEFAULT_ARTIFACT_ROOT"].startswith("gs://")
            and "roles/storage.objectUser" in roles(p, "artifacts-jobs")
        ),
    ),
    Row(
        "artifacts.keepVersionsDays",
        {"artifacts": {"keepVersionsDays": 5}},
        lambda p: given(p, "Bucket")["lifecycleRules"][0]["condition"]["daysSinceNoncurrentTime"] == 5,
    ),
    Row(
        "artifacts.existing.name",
        {"artifacts": {"existing": {"name": "data"}}},
        lambda p: given(p, "BucketIAMMember")["bucket"] == "data" and not p.of_type("Bucket"),
    ),
    Row(
        "artifacts.existing.prefix",
        {"artifacts": {"existing": {"name": "data", "prefix": "ml"}}},
        lambda p: (
            "/objects/ml/" in given(p, "BucketIAMMember")["condition"]["expression"]
            and server_environment(p)["MLFLOW_ARTIFACTS_DESTINATION"] == "gs://data/ml"
        ),
    ),
    Row(
        "artifacts.location",
        {"artifacts": {"location": "eu"}},
        lambda p: given(p, "Bucket")["location"] == "eu",
    ),
    Row(
        "artifacts.softDeleteDays",
        {"artifacts": {"softDeleteDays": 0}},
        lambda p: given(p, "Bucket")["softDeletePolicy"]["retentionDurationSeconds"] == 0,
    ),
    Row(
        "gcp.identity",
        {"gcp": {"identity": "direct"}, "database": {"signIn": "password"}},
        lambda p: (
            [one.name for one in p.of_type("Account")] == ["mlflow-nodes"]
            and given(p, "BucketIAMMember")["member"].endswith("/subject/ns/mlflow/sa/mlflow-server")
        ),
    ),
    Row(
        "gcp.proxy",
        {"gcp": {"proxy": "deployment"}},
        lambda p: (
            p.one("Deployment", "proxy")
            and "initContainers" not in {k for k, v in pod_spec(p.one("Deployment", "server")).items() if v}
        ),
    ),
    Row(
        "cluster.create.subnet.name",
        IN_A_SUBNET,
        lambda p: (
            not p.of_type("Subnetwork")
            and given(p, "Cluster")["network"] == "projects/acme-ml/global/networks/corp"
            and given(p, "Cluster")["subnetwork"] == "mock-sentinel-getSubnetwork-id"
        ),
    ),
    Row(
        "cluster.create.subnet.pods",
        IN_A_SUBNET,
        lambda p: given(p, "Cluster")["ipAllocationPolicy"]["clusterSecondaryRangeName"] == "gke-pods",
    ),
    Row(
        "cluster.create.subnet.services",
        IN_A_SUBNET,
        lambda p: given(p, "Cluster")["ipAllocationPolicy"]["servicesSecondaryRangeName"] == "gke-services",
    ),
    Row(
        "exposure.ingress.api",
        entrance("ingress", api="gateway"),
        lambda p: p.of_type("HTTPRoute") and not p.of_type("Ingress"),
    ),
    Row(
        "gcp.builder",
        {"gcp": {"builder": "cloud-build"}},
        lambda p: p.of_type("Image") == [] and given(p, "Account", "builds"),
    ),
    Row(
        "gcp.staticAddresses",
        {**entrance("external"), "gcp": {"staticAddresses": False}},
        lambda p: (
            not p.of_type("Address")
            and "networking.gke.io/load-balancer-ip-addresses" not in noted(p, "Service", "external")
        ),
    ),
    Row(
        "gcp.addresses",
        {**entrance("ingress"), "gcp": {"addresses": {"ingress": "ours"}}},
        lambda p: noted(p, "Ingress")["kubernetes.io/ingress.global-static-ip-name"] == "ours",
    ),
    Row(
        "gcp.iap.members",
        {**entrance("ingress"), "gcp": {"iap": {"members": ["group:ml@example.com"]}}},
        lambda p: (
            given(p, "WebIamMember")["member"] == "group:ml@example.com"
            and given(p, "BackendConfig")["spec"]["iap"] == {"enabled": True}
        ),
    ),
    Row(
        "gcp.pullCredentials",
        {"gcp": {"pullCredentials": "pull"}, "secrets": PULL, "images": READY},
        lambda p: (
            given(p, "Secret", "base-pull")["type"] == "kubernetes.io/dockerconfigjson"
            and all(
                plain(one.inputs)["imagePullSecrets"]
                for one in p.of_type("ServiceAccount")
                if one.name != "mlflow-cloudsql-proxy-account"
            )
        ),
    ),
    Row(
        "exposure.ingress.certificate",
        {"exposure": {"ingress": {"host": HOST, "internal": True, "certificate": "ours"}}},
        lambda p: noted(p, "Ingress")["ingress.gcp.kubernetes.io/pre-shared-cert"] == "ours",
    ),
    Row(
        "exposure.ingress.allow",
        entrance("ingress"),
        lambda p: (
            given(p, "SecurityPolicy")["rules"][0]["match"]["config"]["srcIpRanges"] == OFFICE
            and given(p, "SecurityPolicy")["rules"][-1]["action"] == "deny(403)"
        ),
    ),
    Row(
        "exposure.ingress.internal",
        {"exposure": {"ingress": {"host": HOST, "internal": True}}},
        lambda p: (
            noted(p, "Ingress")["kubernetes.io/ingress.class"] == "gce-internal"
            and p.one("Subnetwork", "proxies")
        ),
    ),
    Row(
        "exposure.ingress.host",
        entrance("ingress"),
        lambda p: given(p, "ManagedCertificate")["spec"] == {"domains": [HOST]},
    ),
]

COVERED_BY_DEV = {row.path for row in DEV_ROWS}
"""What the in-cluster half makes of a setting is the same on every cloud."""

NOT_IN_PLANS = {
    **NOT_ON_DEV,
    **CONFIRMATIONS,
    "database.existing.cluster": "Aurora's: refused here",
    "database.existing.securityGroup": "AWS's: refused here",
    "exposure.internal.certificate": "refused here: network load balancers pass bytes on",
    "exposure.external.certificate": "the same",
}


@pytest.mark.parametrize("row", ROWS, ids=[row.path for row in ROWS])
def test_each_setting_reaches_its_resource(row: Row) -> None:
    changed = plan(PLAIN | dict(row.settings), stack="gcp")
    assert changed.problems == []
    assert row.holds(changed), json.dumps(row.settings)


@pytest.mark.parametrize("row", ROWS, ids=[row.path for row in ROWS])
def test_no_row_holds_by_itself(row: Row) -> None:
    """What a row checks does not hold on the plain stack, or the row would prove nothing."""
    try:
        held = row.holds(plan(PLAIN, stack="gcp"))
    except (KeyError, LookupError, ValueError):
        held = False
    assert not held


def test_no_setting_of_google_cloud_is_left_out() -> None:
    found = set(paths(GcpStack))
    assert found - COVERED_BY_DEV - NOT_IN_PLANS.keys() <= {row.path for row in ROWS}
    assert {row.path for row in ROWS} <= found
