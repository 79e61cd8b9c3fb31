"""The mistakes that a stack on Google Cloud is known for, and what its data rests on."""

from __future__ import annotations

import ipaddress
import json
import re
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

from components.clouds.gcp.database import mysql_user, postgresql_user
from components.clouds.gcp.network import address_ranges
from components.database_engines import sqlalchemy_uri
from tests.program.conftest import plan, plan_of
from tests.program.gcp_cases import PLAIN
from tests.program.pod_security import violations
from tests.program.reading import as_text, environment, pod_spec, pods, server_environment
from tests.program.test_gcp_stack import outlives
from tools.offline import Plan
from tools.offline.wire import plain

pytestmark = [pytest.mark.program, pytest.mark.core]

SHARED = ["gcp with a range of nodes and a shared proxy", "gcp with mysql, a password and a shared proxy"]
BESIDE = ["gcp by default", "gcp with mysql", "gcp with direct principals and a password"]
BY_IDENTITY = ["gcp by default", "gcp with mysql", "gcp with a range of nodes and a shared proxy"]


def given(plan: Plan, kind: str, name: str = "") -> dict[str, Any]:
    return plain(plan.one(kind, name).inputs)


def proxies(spec: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        one
        for one in [*spec.get("initContainers", []), *spec["containers"]]
        if one["name"] == "cloud-sql-proxy"
    ]


def test_three_nodes_are_three_and_not_three_in_each_zone() -> None:
    assert given(plan(PLAIN, stack="gcp"), "NodePool")["nodeCount"] == 1
    zones = {"zones": ["europe-west1-b", "europe-west1-c"], "nodes": {"total": 4}}
    two = given(plan(PLAIN | {"cluster": {"create": zones}}, stack="gcp"), "NodePool")
    assert two["nodeCount"] * len(two["nodeLocations"]) == 4
    ranged = {"create": {"nodes": {"min": 2, "max": 5}}}
    grown = given(plan(PLAIN | {"cluster": ranged}, stack="gcp"), "NodePool")
    assert "nodeCount" not in grown
    assert {"minNodeCount", "maxNodeCount"} & grown["autoscaling"].keys() == set()


@pytest.mark.parametrize(
    ("size", "edition"),
    [(None, "ENTERPRISE"), ("db-f1-micro", "ENTERPRISE"), ("db-perf-optimized-N-2", "ENTERPRISE_PLUS")],
)
def test_the_edition_always_fits_the_machine(size: str | None, edition: str) -> None:
    planned = plan(PLAIN | {"database": {"size": size} if size else {}}, stack="gcp")
    assert given(planned, "DatabaseInstance")["settings"]["edition"] == edition


def test_a_service_account_signs_in_under_the_name_that_each_engine_knows() -> None:
    email = "mlflow-server-1a2b3c4@acme-ml.iam.gserviceaccount.com"
    assert postgresql_user(email) == "mlflow-server-1a2b3c4@acme-ml.iam"
    assert mysql_user(email) == "mlflow-server-1a2b3c4"
    assert len(mysql_user("a" * 30 + "@x")) <= 32, "MySQL's longest user name"


@pytest.mark.parametrize("case", BY_IDENTITY)
def test_the_user_in_the_uri_is_the_user_that_is_made(case: str) -> None:
    planned = plan_of(case)
    uri = urlsplit(server_environment(planned)["MLFLOW_BACKEND_STORE_URI"])
    made = given(planned, "User", "user")
    assert made["type"] == "CLOUD_IAM_SERVICE_ACCOUNT"
    assert "password" not in made
    assert uri.password is None
    wanted = made["name"].partition("@")[0] if "mysql" in case else made["name"]
    assert unquote(uri.username or "") == wanted
    assert uri.path == "/" + given(planned, "Database")["name"] == "/mlflow"
    assert "@" in unquote("gsa%40proj.iam")
    assert "gsa%40proj.iam@" in sqlalchemy_uri("postgresql", host="h", database="d", user="gsa@proj.iam")  # type: ignore[arg-type]


def test_every_user_and_database_has_a_name_of_its_own(gcp_case: str) -> None:
    planned = plan_of(gcp_case)
    for one in [*planned.of_type("User"), *planned.of_type("Database")]:
        assert plain(one.inputs)["name"], one.name
        assert plain(one.inputs)["deletionPolicy"] == "ABANDON", one.name


@pytest.mark.parametrize("case", BY_IDENTITY)
def test_signing_in_by_identity_has_its_flag_and_both_roles_on_this_instance_only(case: str) -> None:
    planned = plan_of(case)
    flags = {
        one["name"]: one["value"] for one in given(planned, "DatabaseInstance")["settings"]["databaseFlags"]
    }
    wanted = "cloudsql_iam_authentication" if "mysql" in case else "cloudsql.iam_authentication"
    assert flags[wanted] == "on"
    given_roles = [
        plain(one.inputs)
        for one in planned.of_type("IAMMember")
        if one.type.startswith("gcp:projects/") and "-database-" in one.name
    ]
    assert {one["role"] for one in given_roles} == {"roles/cloudsql.client", "roles/cloudsql.instanceUser"}
    for one in given_roles:
        assert re.fullmatch(
            r"resource\.name == 'projects/acme-ml/instances/[^']+' && "
            r"resource\.type == 'sqladmin\.googleapis\.com/Instance'",
            one["condition"]["expression"],
        )


def test_mysql_may_make_triggers_while_it_writes_its_log() -> None:
    flags = given(plan_of("gcp with mysql"), "DatabaseInstance")["settings"]["databaseFlags"]
    assert {"name": "log_bin_trust_function_creators", "value": "on"} in flags


def test_identities_are_bound_after_the_cluster_that_makes_their_pool(gcp_case: str) -> None:
    planned = plan_of(gcp_case)
    cluster = {one.name for one in planned.resources if one.type == "gcp:container/cluster:Cluster"}
    for one in planned.of_type("IAMMember"):
        if plain(one.inputs)["role"] == "roles/iam.workloadIdentityUser":
            assert cluster <= outlives(planned, one), one.name


def test_a_direct_principal_is_named_by_the_projects_number() -> None:
    planned = plan_of("gcp with direct principals and a password")
    number = "mock-sentinel-getProject-number"
    member = given(planned, "BucketIAMMember", "server")["member"]
    assert member == (
        f"principal://iam.googleapis.com/projects/{number}/locations/global/workloadIdentityPools/"
        "acme-ml.svc.id.goog/subject/ns/mlflow/sa/mlflow-server"
    )
    for one in planned.of_type("ServiceAccount"):
        assert not plain(one.inputs)["metadata"].get("annotations"), "direct principals need none"


@pytest.mark.parametrize("case", BESIDE)
def test_a_sidecar_runs_in_each_pod_that_opens_the_database_and_ends_with_it(case: str) -> None:
    planned = plan_of(case)
    workloads = [planned.one("Deployment", "mlflow-server"), *planned.of_type("Job")]
    assert len(workloads) == 3
    for workload in workloads:
        (proxy,) = proxies(pod_spec(workload))
        assert pod_spec(workload)["initContainers"][0] == proxy, "before whatever opens the database"
        assert proxy["restartPolicy"] == "Always"
        assert "--address=127.0.0.1" in proxy["args"]
        assert "--exit-zero-on-sigterm" in proxy["args"]
        assert proxy["startupProbe"]["httpGet"]["path"] == "/startup"
        assert proxy["livenessProbe"]["httpGet"]["path"] == "/liveness"
        assert "--http-address=0.0.0.0" in proxy["args"], "the kubelet asks at the pod's address"
    assert not [one for one in planned.of_type("ServiceAccount") if "cloudsql-proxy" in one.name]


@pytest.mark.parametrize("case", BESIDE)
def test_with_sidecars_the_pods_accounts_have_the_identity_of_the_databases_user(case: str) -> None:
    planned = plan_of(case)
    if "direct" in case:
        return
    marks = {
        plain(one.inputs)["metadata"]["name"]: plain(one.inputs)["metadata"]["annotations"][
            "iam.gke.io/gcp-service-account"
        ]
        for one in planned.of_type("ServiceAccount")
    }
    assert marks["mlflow-database-admin"] == marks["mlflow-server"] != marks["mlflow-jobs"]


@pytest.mark.parametrize("case", SHARED)
def test_a_shared_proxy_admits_only_mlflow_and_its_jobs_on_the_database(case: str) -> None:
    planned = plan_of(case)
    deployment = planned.one("Deployment", "proxy")
    policy = given(planned, "NetworkPolicy")["spec"]
    assert policy["policyTypes"] == ["Ingress"]
    assert planned.one("NetworkPolicy").urn in deployment.depends_on, "the guard stands first"
    template = plain(deployment.inputs)["spec"]["template"]
    assert policy["podSelector"]["matchLabels"].items() <= template["metadata"]["labels"].items()
    (rule,) = policy["ingress"]
    (peer,) = rule["from"]
    assert peer.keys() == {"podSelector"}, "no other namespace"
    wanted = peer["podSelector"]["matchLabels"].items()
    assert wanted
    (port,) = rule["ports"]
    assert port["port"] == given(planned, "Service", "database-proxy")["spec"]["ports"][0]["port"]
    admitted = [
        pod.metadata["labels"]["app.kubernetes.io/component"]
        for pod in pods(planned)
        if wanted <= pod.metadata["labels"].items()
    ]
    assert sorted(admitted) == ["bootstrap", "migration", "server"]


@pytest.mark.parametrize("case", SHARED)
def test_a_shared_proxy_has_an_account_and_an_identity_of_its_own(case: str) -> None:
    planned = plan_of(case)
    spec = pod_spec(planned.one("Deployment", "proxy"))
    assert spec["serviceAccountName"] == "mlflow-cloudsql-proxy"
    assert violations(spec) == []
    (proxy,) = proxies(spec)
    assert "--address=0.0.0.0" in proxy["args"]
    assert proxy["readinessProbe"]["httpGet"]["path"] == "/readiness"
    for workload in (planned.one("Deployment", "mlflow-server"), *planned.of_type("Job")):
        assert proxies(pod_spec(workload)) == []
        assert planned.one("Deployment", "proxy").name in outlives(planned, workload)
    uri = urlsplit(server_environment(planned)["MLFLOW_BACKEND_STORE_URI"])
    assert uri.hostname == "mlflow-cloudsql-proxy.mlflow.svc.cluster.local"
    for one in planned.of_type("IAMMember"):
        if "-database-" in one.name:
            assert "mlflow-proxy" in plain(one.inputs)["member"], "the server itself cannot reach it"


def test_the_grants_are_made_by_somebody_who_has_no_password_after() -> None:
    planned = plan_of("gcp by default")
    found = environment(planned, planned.one("Job", "bootstrap"))
    assert found["RETIRE_ADMIN"] == "true"
    password = planned.one("RandomPassword", "database-admin-password")
    assert set(plain(password.inputs)["keepers"]) == {"instance", "user"}, "another one needs it again"
    admin = planned.one("User", "admin")
    assert admin.urn in planned.one("Job", "bootstrap").depends_on
    assert found["ADMIN_PASSWORD"] not in as_text(planned)


def test_nothing_of_an_existing_service_is_changed_but_a_user_is_added() -> None:
    planned = plan_of("gcp in an existing cluster with an existing database and bucket")
    assert [one.name for one in planned.resources if one.type.startswith("gcp:sql/")] == [
        "mlflow-database-user"
    ]


@pytest.mark.parametrize("database", [{}, {"storageGb": 50, "maxStorageGb": 50}])
def test_a_disk_that_has_grown_by_itself_is_never_asked_to_shrink(database: dict[str, Any]) -> None:
    made = plan(PLAIN | {"database": database}, stack="gcp").one("DatabaseInstance")
    assert made.options["ignoreChanges"] == ["settings.diskSize"]
    # Off, a size that differs is a replacement.
    assert plain(made.inputs)["settings"]["diskAutoresize"] is True


@pytest.mark.parametrize("protect", [True, False])
def test_one_setting_guards_an_instance_and_a_cluster_in_every_place_google_has(protect: bool) -> None:
    planned = plan(PLAIN | {"protect": protect}, stack="gcp")
    instance, cluster = planned.one("DatabaseInstance"), planned.one("Cluster")
    assert instance.protect is cluster.protect is protect
    assert plain(instance.inputs)["deletionProtection"] is protect
    assert plain(instance.inputs)["settings"]["deletionProtectionEnabled"] is protect
    assert plain(cluster.inputs)["deletionProtection"] is protect
    assert plain(planned.one("Bucket").inputs)["forceDestroy"] is not protect


@pytest.mark.parametrize(
    "case",
    [
        "gcp in an existing cluster",
        "gcp in an existing network",
        "gcp in an existing cluster with an existing database and bucket",
    ],
)
def test_the_peering_of_a_network_that_is_there_is_neither_made_nor_deleted(case: str) -> None:
    planned = plan_of(case)
    assert not planned.of_type("Connection")
    assert not [one for one in planned.resources if one.type.startswith("gcp:servicenetworking/")]
    made = planned.of_type("DatabaseInstance")
    assert bool(made) is ("existing database" not in case)


def test_peering_goes_with_the_made_network_and_the_instance_waits_for_it() -> None:
    planned = plan_of("gcp by default")
    assert given(planned, "Connection")["deletionPolicy"] == "REMOVE_PEERING"
    assert planned.one("Connection").name in outlives(planned, planned.one("DatabaseInstance"))
    for one in planned.of_type("User"):
        assert plain(one.inputs)["deletionPolicy"] == "ABANDON"


def test_apis_stay_on_and_everything_waits_for_its_own(gcp_case: str) -> None:
    planned = plan_of(gcp_case)
    needs = {
        "gcp:container/": "container",
        "gcp:compute/network:": "compute",
        "gcp:compute/address:": "compute",
        "gcp:sql/databaseInstance:": "sqladmin",
        "gcp:servicenetworking/": "servicenetworking",
        "gcp:storage/bucket:": "storage",
        "gcp:artifactregistry/repository:": "artifactregistry",
        "gcp:serviceaccount/account:": "iam",
        "gcp:iap/": "iap",
    }
    for one in planned.resources:
        if one.type == "gcp:projects/service:Service":
            assert plain(one.inputs)["disableOnDestroy"] is False
        for kind, api in needs.items():
            if one.type.startswith(kind):
                assert f"mlflow-apis-{api}" in outlives(planned, one), one.name


def test_references_between_resources_are_never_empty(gcp_case: str) -> None:
    """A mock that leaves an output out would hide an input that is missing."""
    planned = plan_of(gcp_case)
    wanted = {"NodePool": "cluster", "User": "instance", "Database": "instance", "IAMMember": "member"}
    for kind, key in wanted.items():
        for one in planned.of_type(kind):
            assert plain(one.inputs).get(key), one.name
    for one in planned.of_type("IAMMember"):
        if one.type.startswith("gcp:serviceaccount/"):
            assert plain(one.inputs)["serviceAccountId"]


def test_backups_reach_to_the_second_on_either_engine() -> None:
    postgresql = given(plan_of("gcp by default"), "DatabaseInstance")["settings"]["backupConfiguration"]
    mysql = given(plan_of("gcp with mysql"), "DatabaseInstance")["settings"]["backupConfiguration"]
    assert postgresql["enabled"]
    assert mysql["enabled"]
    assert postgresql["pointInTimeRecoveryEnabled"] is True
    assert "binaryLogEnabled" not in postgresql
    assert mysql["binaryLogEnabled"] is True
    assert "pointInTimeRecoveryEnabled" not in mysql
    plus = given(plan_of("gcp with direct principals and a password"), "DatabaseInstance")["settings"]
    assert plus["backupConfiguration"]["transactionLogRetentionDays"] == 20


def test_an_instance_is_reached_by_the_proxy_alone() -> None:
    settings = given(plan_of("gcp by default"), "DatabaseInstance")["settings"]
    assert settings["connectorEnforcement"] == "REQUIRED"
    assert settings["ipConfiguration"]["sslMode"] == "ENCRYPTED_ONLY"
    assert settings["finalBackupConfig"] == {"enabled": True, "retentionDays": 30}


def test_a_bucket_is_private_versioned_and_forgives() -> None:
    bucket = given(plan_of("gcp by default"), "Bucket")
    assert bucket["uniformBucketLevelAccess"] is True
    assert bucket["publicAccessPrevention"] == "enforced"
    assert bucket["versioning"] == {"enabled": True}
    assert bucket["softDeletePolicy"] == {"retentionDurationSeconds": 7 * 86400}
    assert {one["action"]["type"] for one in bucket["lifecycleRules"]} == {
        "Delete",
        "AbortIncompleteMultipartUpload",
    }


def test_jobs_reach_the_bucket_only_when_they_use_it_themselves(gcp_case: str) -> None:
    planned = plan_of(gcp_case)
    direct = server_environment(planned)["MLFLOW_DEFAULT_ARTIFACT_ROOT"].startswith("gs://")
    members = {one.name for one in planned.of_type("BucketIAMMember")}
    assert ("mlflow-artifacts-jobs" in members) == direct


def test_rights_in_an_existing_bucket_end_at_the_prefix() -> None:
    planned = plan_of("gcp in an existing cluster with an existing database and bucket")
    for who in ("server", "jobs"):
        expression = given(planned, "BucketIAMMember", who)["condition"]["expression"]
        assert expression == (
            'resource.name.startsWith("projects/_/buckets/data/objects/ml/flow/") || '
            'api.getAttribute("storage.googleapis.com/objectListPrefix", "").startsWith("ml/flow/")'
        )


def test_who_builds_may_push_into_one_repository_read_what_it_builds_from_and_log() -> None:
    planned = plan_of("gcp with images from Cloud Build")
    member = planned.one("Account", "builds").outputs["member"]
    granted = {
        (one.type.rpartition(":")[2], plain(one.inputs)["role"])
        for one in planned.resources
        if one.type.endswith(("IAMMember", "IamMember")) and plain(one.inputs).get("member") == member
    }
    assert granted == {
        ("RepositoryIamMember", "roles/artifactregistry.writer"),
        ("BucketIAMMember", "roles/storage.objectViewer"),
        ("IAMMember", "roles/logging.logWriter"),
    }
    uploads = given(planned, "Bucket", "sources")
    assert uploads["uniformBucketLevelAccess"] is True
    assert uploads["publicAccessPrevention"] == "enforced"
    assert [one["condition"] for one in uploads["lifecycleRules"]] == [{"age": 1}]
    assert "mlflow-apis-cloudbuild" in outlives(planned, planned.one("Account", "builds"))


def test_nodes_are_shielded_and_keep_their_identity_to_themselves() -> None:
    planned = plan_of("gcp by default")
    node = given(planned, "NodePool")["nodeConfig"]
    assert node["shieldedInstanceConfig"] == {"enableSecureBoot": True, "enableIntegrityMonitoring": True}
    assert node["workloadMetadataConfig"] == {"mode": "GKE_METADATA"}
    assert given(planned, "NodePool")["management"] == {"autoRepair": True, "autoUpgrade": True}
    assert given(planned, "NodePool")["upgradeSettings"]["maxSurge"] == 1
    cluster = given(planned, "Cluster")
    assert cluster["enableShieldedNodes"] is True
    assert cluster["datapathProvider"] == "ADVANCED_DATAPATH", "it enforces network policies"
    assert cluster["removeDefaultNodePool"] is True
    assert "nodeConfig" not in cluster, "it would replace the cluster"
    assert cluster["workloadIdentityConfig"] == {"workloadPool": "acme-ml.svc.id.goog"}
    roles = {plain(one.inputs)["role"] for one in planned.of_type("IAMMember") if "mlflow-nodes" in one.name}
    assert roles == {"roles/container.defaultNodeServiceAccount"}
    assert given(planned, "RepositoryIamMember")["role"] == "roles/artifactregistry.reader"


@pytest.mark.parametrize("whole", ["10.0.0.0/16", "10.64.0.0/20", "192.168.0.0/17"])
def test_a_network_is_shared_out_without_overlap(whole: str) -> None:
    network = ipaddress.IPv4Network(whole)
    ranges = address_ranges(network)
    assert sum(one.num_addresses for one in ranges) == network.num_addresses
    assert list(ipaddress.collapse_addresses(ranges)) == [network]
    assert ranges.private_services.prefixlen <= 24
    assert ranges.proxies.prefixlen <= 26


def test_an_ingress_is_https_only_with_a_certificate_of_googles() -> None:
    planned = plan_of("gcp in production")
    ingress = given(planned, "Ingress")
    notes = ingress["metadata"]["annotations"]
    assert notes["kubernetes.io/ingress.class"] == "gce"
    assert "ingressClassName" not in ingress["spec"]
    assert given(planned, "FrontendConfig")["spec"]["redirectToHttps"] == {"enabled": True}
    assert given(planned, "SSLPolicy")["minTlsVersion"] == "TLS_1_2"
    assert given(planned, "BackendConfig")["spec"]["healthCheck"]["requestPath"] == "/health"
    service = given(planned, "Service", "mlflow-exposure-service")["metadata"]["annotations"]
    assert json.loads(service["cloud.google.com/backend-config"]) == {"default": "mlflow-server"}
    assert plain(planned.outputs)["url"] == "https://mlflow.example.com"


def test_a_gateway_is_the_same_load_balancer_with_the_same_guards() -> None:
    planned = plan_of("gcp with a gateway")
    assert not planned.of_type("Ingress")
    gateway = given(planned, "Gateway", "gateway")["spec"]
    assert gateway["gatewayClassName"] == "gke-l7-global-external-managed"
    address = planned.one("GlobalAddress", "ingress").outputs["name"]
    assert gateway["addresses"] == [{"type": "NamedAddress", "value": address}]
    https = next(one for one in gateway["listeners"] if one["protocol"] == "HTTPS")
    certificate = planned.one("ManagedSslCertificate")
    assert plain(certificate.inputs)["managed"] == {"domains": ["mlflow.example.com"]}
    options = {"networking.gke.io/pre-shared-certs": certificate.outputs["name"]}
    assert https["tls"] == {"mode": "Terminate", "options": options}
    plain_http = given(planned, "HTTPRoute", "to-https")["spec"]
    assert plain_http["rules"][0]["filters"][0]["requestRedirect"]["scheme"] == "https"
    service = {"group": "", "kind": "Service", "name": "mlflow-server"}
    backend = given(planned, "GCPBackendPolicy")["spec"]
    assert backend["targetRef"] == service
    assert backend["default"]["securityPolicy"] == planned.one("SecurityPolicy").outputs["name"]
    assert "iap" not in backend["default"], "refused: it would want an OAuth client of our own"
    assert backend["default"]["timeoutSec"] == 600
    health = given(planned, "HealthCheckPolicy")["spec"]
    assert health["targetRef"] == service
    check = {"requestPath": "/health", "port": 5000}
    assert health["default"]["config"] == {"type": "HTTP", "httpHealthCheck": check}
    tls = given(planned, "GCPGatewayPolicy")["spec"]
    assert tls["default"] == {"sslPolicy": planned.one("SSLPolicy").outputs["name"]}
    assert given(planned, "Cluster")["gatewayApiConfig"] == {"channel": "CHANNEL_STANDARD"}
    assert {"mlflow-exposure-gcpbackendpolicy"} <= outlives(planned, planned.one("Gateway", "gateway"))
    assert planned.one("Namespace").name in outlives(planned, planned.one("HTTPRoute", "to-https"))


def test_an_internal_gateway_has_a_private_address_and_no_certificate_by_itself() -> None:
    planned = plan_of("gcp with an internal gateway")
    gateway = given(planned, "Gateway", "gateway")["spec"]
    assert gateway["gatewayClassName"] == "gke-l7-rilb"
    assert [one["protocol"] for one in gateway["listeners"]] == ["HTTP"]
    assert given(planned, "Address")["addressType"] == "INTERNAL"
    assert planned.one("Subnetwork", "proxies")
    assert not planned.of_type("ManagedSslCertificate")


def test_an_ingress_is_told_of_each_guard_that_it_shall_not_have() -> None:
    """Google's controller leaves a guard that is not named as it was."""
    planned = plan(
        PLAIN
        | {
            "auth": {"mode": "basic"},
            "exposure": {"ingress": {"host": "mlflow.example.com", "allow": ["0.0.0.0/0"], "world": True}},
        },
        stack="gcp",
    )
    assert not planned.of_type("SecurityPolicy")
    spec = given(planned, "BackendConfig")["spec"]
    assert spec["securityPolicy"] == {"name": ""}
    assert spec["iap"] == {"enabled": False}
    ranged = plan_of("gcp in production")
    guarded = given(ranged, "BackendConfig")["spec"]
    assert guarded["securityPolicy"] == {"name": ranged.one("SecurityPolicy").outputs["name"]}
    assert guarded["iap"] == {"enabled": False}
    internal = given(plan_of("gcp with an internal ingress"), "BackendConfig")["spec"]
    assert "securityPolicy" not in internal, "Cloud Armor and sign-in are the external one's"


def test_a_range_list_longer_than_a_rule_takes_several() -> None:
    rules = given(plan_of("gcp with everything set"), "SecurityPolicy")["rules"]
    assert [len(one["match"]["config"]["srcIpRanges"]) for one in rules] == [10, 2, 1]
    assert len({one["priority"] for one in rules}) == 3
    assert rules[-1]["match"]["config"]["srcIpRanges"] == ["*"]


def test_who_passes_googles_sign_in_passes_to_mlflow_only() -> None:
    planned = plan_of("gcp with sign-in by Google")
    for one in planned.of_type("WebIamMember"):
        condition = plain(one.inputs)["condition"]
        assert condition["expression"] == 'request.host == "mlflow.example.com"'


def test_load_balancers_are_private_or_ranged_and_keep_their_address() -> None:
    planned = plan_of("gcp with a database elsewhere and both load balancers")
    internal = given(planned, "Service", "exposure-internal")
    external = given(planned, "Service", "exposure-external")
    notes = internal["metadata"]["annotations"]
    assert notes["networking.gke.io/load-balancer-type"] == "Internal"
    assert external["spec"]["loadBalancerSourceRanges"] == ["203.0.113.0/24"]
    for one in (internal, external):
        assert one["metadata"]["annotations"]["networking.gke.io/load-balancer-ip-addresses"]
    assert {plain(one.inputs)["addressType"] for one in planned.of_type("Address")} == {
        "INTERNAL",
        "EXTERNAL",
    }


def test_a_job_is_not_moved_to_save_a_node() -> None:
    job = {
        "train": {"git": {"repo": "https://github.com/acme/churn", "ref": "main"}, "schedule": "0 6 * * 1"}
    }
    planned = plan(PLAIN | {"jobs": job}, stack="gcp")
    template = plain(planned.one("CronJob").inputs)["spec"]["jobTemplate"]["spec"]["template"]
    notes = template["metadata"]["annotations"]
    assert notes["cluster-autoscaler.kubernetes.io/safe-to-evict"] == "false"


def test_a_pod_serves_until_the_ingress_no_longer_sends_to_it() -> None:
    def drain(case: str) -> int:
        container = pod_spec(plan_of(case).one("Deployment", "mlflow-server"))["containers"][0]
        return container["lifecycle"]["preStop"]["sleep"]["seconds"]

    draining = given(plan_of("gcp in production"), "BackendConfig")["spec"]["connectionDraining"]
    assert drain("gcp in production") == draining["drainingTimeoutSec"] > drain("gcp by default")
