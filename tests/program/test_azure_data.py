"""Cluster, database, container and images of a stack on Azure: what is made, and how it is guarded."""

from __future__ import annotations

import http.server
import json
import threading
import urllib.parse
from collections.abc import Iterator
from typing import Any

import pytest

from components.clouds.azure.registry_login import exchange
from components.clouds.azure.roles import Role
from components.contracts import THROUGH_THE_SERVER
from components.settings.versions import DEFAULTS, Product
from tests.program.azure_cases import ADMINS, OFFICE, PLAIN, READER, create
from tests.program.conftest import Settings, plan, plan_of
from tests.program.reading import as_text, environment, server_environment
from tests.program.test_azure import assignments, azure_resources, identities, inputs, role_of
from tests.program.test_gcp_stack import outlives
from tools.offline import Plan, Resource
from tools.offline.wire import plain, unwrap

pytestmark = pytest.mark.program


def on_azure(more: Settings | None = None) -> Plan:
    """A stack with nothing said but the cloud, its place, who administers it and ``more``."""
    return plan({**PLAIN, **(more or {})}, stack="azure")


def bootstrap(planned: Plan) -> dict[str, str]:
    """What the Job finds that makes MLflow's user."""
    return environment(planned, planned.one("Job", "bootstrap"))


def of_azure(planned: Plan, kind: str) -> list[Resource]:
    """What Azure makes of a kind; some components are called the same."""
    return [one for one in azure_resources(planned) if one.type == f"azure-native:{kind}"]


# The cluster


def test_a_new_cluster_has_every_safe_input_said() -> None:
    planned = on_azure()
    found = inputs(planned.one("ManagedCluster"))
    assert found["disableLocalAccounts"] is True
    assert found["enableRBAC"] is True
    assert found["aadProfile"].items() >= {
        "managed": True, "enableAzureRBAC": True, "adminGroupObjectIDs": [ADMINS]
    }.items()  # fmt: skip
    assert found["oidcIssuerProfile"] == {"enabled": True}
    assert found["securityProfile"]["workloadIdentity"] == {"enabled": True}
    assert found["kubernetesVersion"] == DEFAULTS[Product.AKS]
    assert found["sku"] == {"name": "Base", "tier": "Standard"}
    network = found["networkProfile"]
    assert (network["networkPlugin"], network["networkPluginMode"]) == ("azure", "overlay")
    assert (network["networkDataplane"], network["networkPolicy"]) == ("cilium", "cilium")
    assert network["outboundType"] == "userAssignedNATGateway"
    assert found["apiServerAccessProfile"]["disableRunCommand"] is True
    (system,) = found["agentPoolProfiles"]
    assert (system["mode"], system["count"], system["enableAutoScaling"]) == ("System", 2, False)
    assert system["nodeTaints"] == ["CriticalAddonsOnly=true:NoSchedule"]
    user = inputs(planned.one("AgentPool"))
    assert (user["mode"], user["count"], user["availabilityZones"]) == ("User", 3, ["1", "2", "3"])
    assert "nodeTaints" not in user


def test_a_pool_that_scales_by_itself_begins_with_the_fewest_and_is_never_asked_for_them_again() -> None:
    """Azure makes none without a number, and refuses another one than there is
    (Azure/azure-service-operator#3220, hashicorp/terraform-provider-azurerm#4543)."""
    planned = plan_of("azure with ranges of nodes, logs and an open API")
    (system,) = inputs(planned.one("ManagedCluster"))["agentPoolProfiles"]
    for scaled in (system, inputs(planned.one("AgentPool"))):
        assert scaled["enableAutoScaling"] is True
        assert scaled["count"] == scaled["minCount"]
    assert planned.one("AgentPool").options["ignoreChanges"] == ["count"]
    assert planned.one("ManagedCluster").options["ignoreChanges"] == ["agentPoolProfiles[0].count"]
    fixed = plan_of("azure by default")
    assert "ignoreChanges" not in fixed.one("AgentPool").options, "another total reaches Azure"


def test_the_nodes_identity_is_the_one_that_pulls_images() -> None:
    """Mistake 8."""
    planned = on_azure()
    nodes = identities(planned)["mlflow-cluster-nodes"].outputs
    kubelet = inputs(planned.one("ManagedCluster"))["identityProfile"]["kubeletidentity"]
    assert kubelet["objectId"] == nodes["principalId"]
    (pull,) = [one for one in assignments(planned) if role_of(one) is Role.ACR_PULL]
    assert pull["principalId"] == nodes["principalId"]
    found = plan_of("azure in an existing cluster")
    (pull,) = [one for one in assignments(found) if role_of(one) is Role.ACR_PULL]
    assert pull["principalId"] == "mock-sentinel-kubelet"


def test_what_the_settings_say_of_nodes_and_times_reaches_the_cluster() -> None:
    planned = plan_of("azure with ranges of nodes, logs and an open API")
    cluster, user = inputs(planned.one("ManagedCluster")), inputs(planned.one("AgentPool"))
    assert (user["minCount"], user["maxCount"], user["enableAutoScaling"]) == (0, 6, True)
    assert (user["vmSize"], user["osDiskSizeGB"], user["osDiskType"]) == ("Standard_D8s_v5", 80, "Ephemeral")
    (system,) = cluster["agentPoolProfiles"]
    assert (system["minCount"], system["maxCount"], system["vmSize"]) == (1, 3, "Standard_D4s_v5")
    assert cluster["kubernetesVersion"] == user["orchestratorVersion"] == "1.35"
    assert cluster["sku"]["tier"] == "Free"
    assert user["availabilityZones"] == ["1", "2"]
    windows = [inputs(one)["maintenanceWindow"] for one in planned.of_type("MaintenanceConfiguration")]
    assert len(windows) == 2
    for window in windows:
        assert (window["durationHours"], window["startTime"]) == (4, "01:00")
        assert window["schedule"]["weekly"]["dayOfWeek"] == "Monday"
    assert cluster["addonProfiles"]["omsagent"]["enabled"] is True
    logs = {one["category"] for one in inputs(planned.one("DiagnosticSetting"))["logs"]}
    assert "kube-audit-admin" in logs
    for one in planned.of_type("DataCollectionRuleAssociation"):
        assert inputs(one)["resourceUri"] == "mock-sentinel-mlflow-cluster-id"
    rules = {one.name: inputs(one) for one in planned.of_type("DataCollectionRule")}
    (forwarder,) = rules["mlflow-metrics"]["dataSources"]["prometheusForwarder"]
    assert forwarder["streams"] == ["Microsoft-PrometheusMetrics"]
    (account,) = rules["mlflow-metrics"]["destinations"]["monitoringAccounts"]
    assert account["accountResourceId"] == "mock-sentinel-mlflow-metrics-id"
    assert cluster["azureMonitorProfile"] == {"metrics": {"enabled": True}}
    # The network lies where Services would have been.
    assert cluster["networkProfile"]["serviceCidr"] == "172.25.0.0/16"
    assert cluster["networkProfile"]["dnsServiceIP"] == "172.25.0.10"
    assert not on_azure().of_type("Workspace")


def test_what_a_cluster_does_not_keep_is_said_to_be_off_since_azure_goes_on_with_what_is_left_out() -> None:
    """Azure/AKS#2904: an add-on that an update does not mention stays on."""
    for told in ({}, {"monitoring": True}):
        cluster = inputs(on_azure({"cluster": create(**told)}).one("ManagedCluster"))
        assert cluster["addonProfiles"] == {"omsagent": {"enabled": False}}
        assert cluster["azureMonitorProfile"] == {"metrics": {"enabled": False}}


def test_who_reaches_the_kubernetes_api_is_who_is_listed_and_the_nodes() -> None:
    access = inputs(on_azure({"cluster": create(access={"public": OFFICE})}).one("ManagedCluster"))
    ranges = access["apiServerAccessProfile"]["authorizedIPRanges"]
    assert ranges == [*OFFICE, "mock-sentinel-mlflow-network-nat-ipAddress/32"]
    world = plan_of("azure with ranges of nodes, logs and an open API")
    assert inputs(world.one("ManagedCluster"))["apiServerAccessProfile"]["authorizedIPRanges"] == []


def test_subnets_are_made_one_after_the_other() -> None:
    planned = plan_of("azure with private endpoints")
    first, second = sorted(planned.of_type("Subnet"), key=lambda one: len(outlives(planned, one)))
    assert first.name in outlives(planned, second)


# The database


@pytest.mark.parametrize("engine", ["postgresql", "mysql"])
def test_the_administrator_is_an_identity_of_its_own_and_the_user_another(engine: str) -> None:
    reader = {"directoryReader": READER} if engine == "mysql" else {}
    planned = on_azure({"database": {"engine": engine, **reader}})
    found = identities(planned)
    server, admin = found["mlflow-server"].outputs, found["mlflow-database-admin"].outputs
    told = bootstrap(planned)
    assert told["ADMIN_SIGN_IN"] == "token"
    assert told["ADMIN_USERNAME"] == admin["name"]
    # Mistake 2: PostgreSQL knows object ids, MySQL client ids.
    assert told["IDENTITY_ID"] == server["clientId" if engine == "mysql" else "principalId"]
    assert "ADMIN_PASSWORD" not in told
    uri = server_environment(planned)["MLFLOW_BACKEND_STORE_URI"]
    assert "plugin=database_signin&token_source=azure" in uri
    assert "://mlflow@" in uri, "no password"
    kind = "AzureADAdministrator" if engine == "mysql" else "AdministratorsMicrosoftEntra"
    given = inputs(planned.one(kind))
    if engine == "mysql":
        assert (given["sid"], given["login"]) == (admin["clientId"], admin["name"])
        assert given["identityResourceId"] == READER
    else:
        assert (given["objectId"], given["principalName"]) == (admin["principalId"], admin["name"])
        assert given["principalType"] == "servicePrincipal"


def test_postgresql_takes_no_password_at_all() -> None:
    """Mistake 6."""
    found = inputs(on_azure().one("Server", "mlflow-database"))
    assert found["authConfig"]["activeDirectoryAuth"] == "Enabled"
    assert found["authConfig"]["passwordAuth"] == "Disabled"
    assert found["authConfig"]["tenantId"] == "mock-sentinel-getClientConfig-tenantId"
    assert not {"administratorLogin", "administratorLoginPassword"} & found.keys()


def test_nobody_makes_the_database_before_its_administrator_is_there() -> None:
    """Mistake 7."""
    planned = on_azure()
    assert not planned.of_type("Database"), "Azure's own would belong to azuresu"
    administrator = planned.one("AdministratorsMicrosoftEntra")
    assert "mlflow-database" in outlives(planned, administrator)
    assert administrator.name in outlives(planned, planned.one("Job", "bootstrap"))
    assert administrator.name in outlives(planned, planned.one("Configuration"))


def test_mysql_stops_taking_passwords_last_of_all() -> None:
    planned = plan_of("azure with mysql")
    last = planned.one("Configuration", "aad-auth-only")
    assert inputs(last)["value"] == "ON"
    others = {one.name for one in planned.of_type("Configuration")} - {last.name}
    assert {"mlflow-database-admin", *others} <= outlives(planned, last)
    values = {
        inputs(one)["configurationName"]: inputs(one)["value"] for one in planned.of_type("Configuration")
    }
    assert values["require_secure_transport"] == "ON"
    assert values["log_bin_trust_function_creators"] == "ON"
    server = inputs(planned.one("Server", "mlflow-database"))
    assert server["identity"] == {"type": "UserAssigned", "userAssignedIdentities": [READER]}
    assert server["highAvailability"]["mode"] == "ZoneRedundant"


def test_mysql_behind_an_endpoint_is_changed_by_one_at_a_time() -> None:
    wanted = {"engine": "mysql", "directoryReader": READER, "access": "private-endpoint"}
    planned = on_azure({"database": wanted})
    administrator = planned.one("AzureADAdministrator")
    assert "mlflow-database-endpoint-name" in outlives(planned, administrator)
    for one in planned.of_type("Configuration"):
        assert administrator.name in outlives(planned, one)


@pytest.mark.parametrize("engine", ["postgresql", "mysql"])
def test_what_is_part_of_the_server_is_deleted_with_it_and_never_before(engine: str) -> None:
    """Azure does not part with an administrator who owns a database."""
    reader = {"directoryReader": READER} if engine == "mysql" else {}
    planned = on_azure({"database": {"engine": engine, **reader}})
    server = planned.one("Server", "mlflow-database")
    parts = {"AdministratorsMicrosoftEntra", "AzureADAdministrator", "Configuration"}
    found = [one for one in azure_resources(planned) if one.type.rpartition(":")[2] in parts]
    assert len(found) >= 2
    for one in found:
        assert one.options["deletedWith"] == server.urn, one.name


def test_what_azure_calls_the_source_of_a_parameter_is_no_change() -> None:
    for one in on_azure().of_type("Configuration"):
        assert one.options["ignoreChanges"] == ["source"]


def test_by_password_the_job_signs_in_by_one_and_nobody_is_an_entra_administrator() -> None:
    planned = plan_of("azure with a password")
    told = bootstrap(planned)
    assert (told["ADMIN_SIGN_IN"], told["ADMIN_USERNAME"]) == ("password", "mlflow_admin")
    assert told["ADMIN_PASSWORD"] not in as_text(planned)
    assert inputs(planned.one("Server", "mlflow-database"))["authConfig"]["passwordAuth"] == "Enabled"
    assert not planned.of_type("AdministratorsMicrosoftEntra")
    assert "mlflow-database-admin" not in identities(planned)


def test_in_an_existing_server_the_job_is_its_entra_administrator_whom_the_stack_only_borrows() -> None:
    planned = plan_of("azure with an administrator of an existing server")
    told = bootstrap(planned)
    assert told["ADMIN_SIGN_IN"] == "token"
    assert told["ADMIN_USERNAME"] == "mock-sentinel-getUserAssignedIdentity-name"
    assert told["IDENTITY_ID"] == identities(planned)["mlflow-server"].outputs["principalId"]
    assert "ADMIN_PASSWORD" not in told
    borrowed = inputs(planned.one("FederatedIdentityCredential", "mlflow-database-admin"))
    assert borrowed["resourceGroupName"] == "shared"
    assert borrowed["federatedIdentityCredentialResourceName"] == "mlflow-azure-mlflow-database-admin"
    assert borrowed["subject"] == "system:serviceaccount:mlflow:mlflow-database-admin"
    assert "mlflow-database-admin" not in identities(planned)
    account = planned.one("ServiceAccount", "database-admin")
    who = account.inputs["metadata"]["annotations"]["azure.workload.identity/client-id"]
    assert plain(who) == "mock-sentinel-getUserAssignedIdentity-clientId"
    assert not of_azure(planned, "dbforpostgresql:AdministratorsMicrosoftEntra")


def test_a_server_stands_in_a_subnet_that_is_its_own_and_is_found_by_name() -> None:
    planned = on_azure()
    server = planned.one("Server", "mlflow-database")
    network = inputs(server)["network"]
    assert network["delegatedSubnetResourceId"] == "mock-sentinel-mlflow-network-database-id"
    subnet = inputs(planned.one("Subnet", "database"))
    (delegation,) = subnet["delegations"]
    assert delegation["serviceName"] == "Microsoft.DBforPostgreSQL/flexibleServers"
    assert subnet["defaultOutboundAccess"] is False
    (zone,) = [inputs(one)["privateZoneName"] for one in of_azure(planned, "privatedns:PrivateZone")]
    assert zone.endswith(".private.postgres.database.azure.com")
    assert "mlflow-database-zone-link" in outlives(planned, server), "or the subnet could not be deleted"


def test_a_private_endpoint_leads_to_a_server_that_has_no_other_address() -> None:
    planned = plan_of("azure with private endpoints")
    network = inputs(planned.one("Server", "mlflow-database"))["network"]
    assert network == {"publicNetworkAccess": "Disabled"}
    (connection, blob) = [
        inputs(one)["privateLinkServiceConnections"][0]
        for one in sorted(
            of_azure(planned, "network:PrivateEndpoint"), key=lambda one: one.name, reverse=True
        )
    ]
    assert connection["groupIds"] == ["postgresqlServer"]
    assert connection["privateLinkServiceId"] == "mock-sentinel-mlflow-database-id"
    assert blob["groupIds"] == ["blob"]
    zones = {inputs(one)["privateZoneName"] for one in of_azure(planned, "privatedns:PrivateZone")}
    assert zones == {"privatelink.postgres.database.azure.com", "privatelink.blob.core.windows.net"}
    assert inputs(planned.one("Server", "mlflow-database"))["backup"]["geoRedundantBackup"] == "Enabled"
    assert "mlflow-database-endpoint-name" in outlives(planned, planned.one("Job", "bootstrap"))


@pytest.mark.parametrize(
    ("said", "left_to_azure"), [({}, True), ({"storageGb": 256}, False), ({"maxStorageGb": 20}, False)]
)
def test_a_size_that_nobody_said_is_left_to_azure_and_one_that_was_said_is_asked_for(
    said: Settings, left_to_azure: bool
) -> None:
    server = on_azure({"database": {"signIn": "password", "engine": "mysql", **said}}).one(
        "Server", "database"
    )
    ignored = ["storage.storageSizeGB"] if left_to_azure else None
    assert server.options.get("ignoreChanges") == ignored
    assert inputs(server)["storage"]["storageSizeGB"] == said.get("storageGb", 20)


def test_what_the_settings_say_of_the_server_reaches_it() -> None:
    found = inputs(plan_of("azure with everything set").one("Server", "mlflow-database"))
    assert found["storage"] == {"storageSizeGB": 128, "autoGrow": "Disabled"}
    assert found["sku"] == {"name": "Standard_E4ds_v5", "tier": "MemoryOptimized"}
    assert (found["version"], found["backup"]["backupRetentionDays"]) == ("16", 35)
    assert found["highAvailability"]["mode"] == "ZoneRedundant"
    plain = inputs(on_azure().one("Server", "mlflow-database"))
    assert plain["storage"] == {"storageSizeGB": 32, "autoGrow": "Enabled"}
    assert plain["sku"] == {"name": "Standard_B2s", "tier": "Burstable"}


# The container


def test_a_new_account_takes_no_keys_and_shows_nothing_to_the_public() -> None:
    planned = on_azure()
    found = inputs(planned.one("StorageAccount"))
    assert (
        found.items()
        >= {
            "allowSharedKeyAccess": False,
            "allowBlobPublicAccess": False,
            "allowCrossTenantReplication": False,
            "defaultToOAuthAuthentication": True,
            "isLocalUserEnabled": False,
            "minimumTlsVersion": "TLS1_2",
            "enableHttpsTrafficOnly": True,
            "kind": "StorageV2",
        }.items()
    )
    assert found["sku"] == {"name": "Standard_ZRS"}
    assert found["networkRuleSet"]["virtualNetworkRules"] == [
        {"action": "Allow", "virtualNetworkResourceId": "mock-sentinel-mlflow-network-nodes-id"}
    ]
    (storage,) = inputs(planned.one("Subnet", "nodes"))["serviceEndpoints"]
    assert storage == {"service": "Microsoft.Storage"}
    assert inputs(planned.one("BlobContainer"))["publicAccess"] == "None"
    service = inputs(planned.one("BlobServiceProperties"))
    assert service["isVersioningEnabled"] is True
    assert service["deleteRetentionPolicy"] == service["containerDeleteRetentionPolicy"]
    (rule,) = inputs(planned.one("ManagementPolicy"))["policy"]["rules"]
    assert rule["definition"]["actions"]["version"]["delete"]["daysAfterCreationGreaterThan"] == 30


def test_the_server_alone_uses_the_container_until_jobs_do_it_themselves() -> None:
    def who(planned: Plan, role: Role) -> set[str]:
        by_id = {one.outputs["principalId"]: name for name, one in identities(planned).items()}
        return {by_id[one["principalId"]] for one in assignments(planned) if role_of(one) is role}

    proxied = on_azure()
    assert who(proxied, Role.BLOB_DATA_CONTRIBUTOR) == {"mlflow-server"}
    assert who(proxied, Role.BLOB_DELEGATOR) == set()
    direct = plan_of("azure in an existing cluster")
    assert who(direct, Role.BLOB_DATA_CONTRIBUTOR) == {"mlflow-server", "mlflow-jobs"}
    assert who(direct, Role.BLOB_DELEGATOR) == {"mlflow-server", "mlflow-jobs"}
    signed = plan_of("azure with an ingress")
    assert who(signed, Role.BLOB_DELEGATOR) == {"mlflow-server"}


def test_the_destination_is_an_address_that_mlflow_takes() -> None:
    host = ".blob.core.windows.net"
    planned = on_azure()
    container = planned.one("BlobContainer").outputs["name"]
    made = server_environment(planned)["MLFLOW_ARTIFACTS_DESTINATION"]
    assert made == f"wasbs://{container}@mock-sentinel-mlflowartifacts-name{host}"
    found = plan_of("azure with an existing database and container")
    there = server_environment(found)["MLFLOW_ARTIFACTS_DESTINATION"]
    assert there == f"wasbs://data@mock-sentinel-getStorageAccount-name{host}/ml/flow"
    for one in assignments(found):
        if role_of(one) is Role.BLOB_DATA_CONTRIBUTOR:
            assert "StringStartsWith 'ml/flow/'" in one["condition"]
            assert one["conditionVersion"] == "2.0"


def test_clients_are_told_how_to_send_large_files() -> None:
    def told(planned: Plan) -> dict[str, str]:
        data = planned.one("ConfigMap", "mlflow-client").inputs["data"]
        return {key: data[key] for key in THROUGH_THE_SERVER if key in data}

    assert told(on_azure()) == THROUGH_THE_SERVER
    assert told(plan_of("azure with an ingress"))["MLFLOW_ENABLE_PROXY_MULTIPART_UPLOAD"] == "true"
    assert told(plan_of("azure in an existing cluster")) == {}


# Images and entrances


def test_a_registry_has_no_user_of_its_own_and_images_run_by_digest() -> None:
    planned = on_azure()
    registry = inputs(planned.one("Registry"))
    assert registry["adminUserEnabled"] is False
    assert registry["anonymousPullEnabled"] is False
    assert "@" in unwrap(planned.outputs["images"])["server"]
    (pull,) = [one for one in planned.of_type("RoleAssignment") if one.name == "mlflow-registry-nodes"]
    assert pull.name in outlives(planned, planned.one("Deployment", "mlflow-server"))


def test_credentials_to_pull_are_a_secret_of_the_service_accounts() -> None:
    planned = plan_of("azure with everything set")
    (secret,) = [
        one for one in planned.of_type("Secret") if one.inputs.get("type") == "kubernetes.io/dockerconfigjson"
    ]
    assert "planted-registry-key" not in as_text(planned)
    for account in planned.of_type("ServiceAccount"):
        assert account.inputs["imagePullSecrets"] == [{"name": "acr-secret"}]
    assert secret.inputs["metadata"]["name"] == "acr-secret"


def test_an_internal_load_balancer_says_so_and_both_ask_the_server_how_it_is() -> None:
    planned = plan_of("azure with a database elsewhere and both load balancers")
    prefix = "service.beta.kubernetes.io/azure-load-balancer-"
    found = {
        one.name.rpartition("-")[2]: one.inputs["metadata"]["annotations"]
        for one in planned.of_type("Service")
        if one.inputs["spec"].get("type") == "LoadBalancer"
    }
    assert found["internal"][f"{prefix}internal"] == "true"
    assert f"{prefix}internal" not in found["external"]
    for each in found.values():
        assert each[f"{prefix}health-probe-request-path"] == "/health"


def test_nginx_lets_artifacts_through() -> None:
    annotations = plan_of("azure with an ingress").one("Ingress").inputs["metadata"]["annotations"]
    assert annotations["nginx.ingress.kubernetes.io/proxy-body-size"] == "0"
    assert annotations["nginx.ingress.kubernetes.io/whitelist-source-range"] == OFFICE[0]


def test_a_gateway_keeps_the_ranges_ends_tls_and_sends_http_on_to_https() -> None:
    planned = plan_of("azure with a gateway")
    gateway = plain(planned.one("Gateway", "exposure-entrance-gateway").inputs)
    assert gateway["metadata"]["annotations"]["cert-manager.io/cluster-issuer"] == "letsencrypt"
    spec = gateway["spec"]
    assert spec["gatewayClassName"] == "approuting-istio"
    balancer = spec["infrastructure"]["annotations"]
    assert balancer["service.beta.kubernetes.io/azure-allowed-ip-ranges"] == OFFICE[0]
    assert "service.beta.kubernetes.io/azure-load-balancer-internal" not in balancer
    http, https = spec["listeners"]
    assert (http["port"], https["port"]) == (80, 443)
    assert https["tls"] == {
        "mode": "Terminate",
        "certificateRefs": [{"kind": "Secret", "name": "mlflow-tls"}],
    }
    routes = {
        one.inputs["metadata"]["name"]: plain(one.inputs)["spec"] for one in planned.of_type("HTTPRoute")
    }
    assert routes["mlflow-server"]["parentRefs"] == [{"name": "mlflow-server", "sectionName": "https"}]
    assert routes["mlflow-server"]["rules"] == [{"backendRefs": [{"name": "mlflow-server", "port": 80}]}]
    (rule,) = routes["mlflow-server-to-https"]["rules"]
    assert rule["filters"][0]["requestRedirect"] == {"scheme": "https", "statusCode": 301}
    assert routes["mlflow-server-to-https"]["parentRefs"][0]["sectionName"] == "http"
    assert planned.value("url") == "https://mlflow.example.com"
    assert not planned.of_type("Ingress")


def test_a_private_gateway_without_a_certificate_serves_http_inside_the_network() -> None:
    entrance = {"api": "gateway", "host": "mlflow.example.com", "className": "istio", "internal": True}
    planned = on_azure({"auth": {"mode": "basic"}, "exposure": {"ingress": entrance}})
    spec = plain(planned.one("Gateway", "exposure-entrance-gateway").inputs)["spec"]
    assert spec["infrastructure"]["annotations"]["service.beta.kubernetes.io/azure-load-balancer-internal"]
    assert [each["port"] for each in spec["listeners"]] == [80]
    assert planned.value("url") == "http://mlflow.example.com"
    (route,) = planned.of_type("HTTPRoute")
    assert plain(route.inputs)["spec"]["parentRefs"][0]["sectionName"] == "http"


def test_an_ingress_with_a_secret_ends_tls_for_its_host() -> None:
    entrance = {
        "host": "mlflow.example.com", "className": "nginx", "allow": OFFICE, "tlsSecret": "mlflow-tls",
        "annotations": {"nginx.ingress.kubernetes.io/whitelist-source-range": OFFICE[0]},
    }  # fmt: skip
    planned = on_azure({"auth": {"mode": "basic"}, "exposure": {"ingress": entrance}})
    spec = plain(planned.one("Ingress").inputs)["spec"]
    assert spec["tls"] == [{"hosts": ["mlflow.example.com"], "secretName": "mlflow-tls"}]
    assert planned.value("url") == "https://mlflow.example.com"


# How images are pushed


class Registry(http.server.BaseHTTPRequestHandler):
    """Trades the token ``good`` for a refresh token, and nothing else."""

    def do_POST(self) -> None:
        form = dict(urllib.parse.parse_qsl(self.rfile.read(int(self.headers["Content-Length"])).decode()))
        known = {"grant_type": "access_token", "tenant": "tenant", "access_token": "good"}
        good = self.path == "/oauth2/exchange" and form.items() >= known.items()
        good = good and form["service"] == self.headers["Host"]
        self.send_response(200 if good else 401)
        self.end_headers()
        self.wfile.write(json.dumps({"refresh_token": "refresh"}).encode())

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet."""


@pytest.fixture
def registry() -> Iterator[str]:
    """Address of a registry."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Registry)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


def test_the_callers_token_is_traded_for_one_that_pushes(registry: str) -> None:
    assert exchange(registry, "tenant", "good") == "refresh"


def test_a_registry_that_refuses_says_which_role_is_missing_and_shows_no_token(registry: str) -> None:
    with pytest.raises(RuntimeError, match=r"HTTP 401 .*AcrPush") as refused:
        exchange(registry, "tenant", "planted-token")
    assert "planted-token" not in str(refused.value)
