"""What holds for every way to set up a stack on Azure: the ten mistakes of others, rights, names, tags."""

from __future__ import annotations

import ipaddress
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from components.clouds.azure.roles import Role
from components.contracts import DATABASE_ADMIN_ACCOUNT, JOBS_ACCOUNT, SERVER_ACCOUNT
from tests.program.azure_cases import ADMINS, AZURE_CASES, OFFICE, PLAIN
from tests.program.conftest import plan, plan_of
from tests.program.reading import as_text, environment, pod_spec, pods
from tests.program.test_gcp_stack import outlives
from tools import render
from tools.access import kubectl_with
from tools.common import ROOT, Failure
from tools.graph import resources_page
from tools.offline import Mocked, Plan, Resource, run, sdk
from tools.offline.rendered import Rendered
from tools.offline.wire import SECRET_TEXT, Secret, leaves, plain, unwrap

pytestmark = [pytest.mark.program, pytest.mark.core]

ACCOUNTS = {
    "mlflow-server": SERVER_ACCOUNT,
    "mlflow-jobs": JOBS_ACCOUNT,
    "mlflow-database-admin": DATABASE_ADMIN_ACCOUNT,
}
"""Identity → the one ServiceAccount that is it."""


def azure_resources(plan: Plan) -> list[Resource]:
    """What the Azure provider makes."""
    return [one for one in plan.resources if one.type.startswith("azure-native:") and not one.component]


def inputs(resource: Resource) -> dict[str, Any]:
    return plain(resource.inputs)


def identities(plan: Plan) -> dict[str, Resource]:
    return {one.name: one for one in plan.of_type("UserAssignedIdentity")}


def assignments(plan: Plan) -> list[dict[str, Any]]:
    return [inputs(one) for one in plan.of_type("RoleAssignment")]


def role_of(assignment: dict[str, Any]) -> Role:
    return Role(assignment["roleDefinitionId"].rpartition("/")[2])


# The ten mistakes of facts/azure.md §7


def test_every_right_is_given_to_the_object_id_of_an_identity_and_says_so(azure_case: str) -> None:
    """Mistakes 1 and 2."""
    planned = plan_of(azure_case)
    known = {one.outputs["principalId"] for one in identities(planned).values()} | {"mock-sentinel-kubelet"}
    for one in assignments(planned):
        assert one["principalType"] == "ServicePrincipal", one
        assert one["principalId"] in known, one


def test_an_identity_is_taken_on_by_one_service_account_of_one_cluster(azure_case: str) -> None:
    """Mistake 3."""
    planned = plan_of(azure_case)
    namespace = planned.one("Namespace").inputs["metadata"]["name"]
    seen = set()
    for one in planned.of_type("FederatedIdentityCredential"):
        given = inputs(one)
        (name,) = [name for name in ACCOUNTS if one.name.startswith(f"{name}-mlflow")]
        theirs = "mock-sentinel-getUserAssignedIdentity-name"
        own = identities(planned).get(name)
        assert given["resourceName"] == (own.outputs["name"] if own else theirs)
        assert given["subject"] == f"system:serviceaccount:{namespace}:{ACCOUNTS[name]}"
        assert given["audiences"] == ["api://AzureADTokenExchange"]
        assert re.search(r"(?i)oidcissuerprofile-issuerurl|cluster-issuerURL", given["issuer"]), given[
            "issuer"
        ]
        assert given["resourceName"] not in seen, (
            "two credentials of one identity: Azure refuses both at once"
        )
        seen.add(given["resourceName"])
    assert {"mlflow-server", "mlflow-jobs"} <= identities(planned).keys()


def test_pods_of_an_identity_have_its_label_and_others_do_not(azure_case: str) -> None:
    """Mistake 4; and 2 again: ServiceAccounts know an identity by its client id."""
    planned = plan_of(azure_case)
    found = identities(planned)
    clients = {ACCOUNTS[name]: one.outputs["clientId"] for name, one in found.items() if name in ACCOUNTS}
    if len(planned.of_type("FederatedIdentityCredential")) > len(clients):
        clients[DATABASE_ADMIN_ACCOUNT] = "mock-sentinel-getUserAssignedIdentity-clientId"
    for account in planned.of_type("ServiceAccount"):
        metadata = unwrap(account.inputs["metadata"])
        annotated = metadata.get("annotations", {}).get("azure.workload.identity/client-id")
        assert annotated == clients.get(metadata["name"]), metadata["name"]
    labelled = 0
    for pod in pods(planned):
        used = pod.metadata["labels"].get("azure.workload.identity/use")
        assert used == ("true" if pod.spec.get("serviceAccountName") in clients else None), pod.where
        labelled += used == "true"
    assert labelled


def test_pods_of_jobs_have_the_label_as_well() -> None:
    settings = PLAIN | {"jobs": {"train": {"git": {"repo": "https://example.com/a.git"}}}}
    planned = plan(settings, stack="azure")
    job = planned.one("CronJob")
    template = plain(job.inputs)["spec"]["jobTemplate"]["spec"]["template"]
    assert template["spec"]["serviceAccountName"] == JOBS_ACCOUNT
    assert template["metadata"]["labels"]["azure.workload.identity/use"] == "true"


def test_no_service_account_may_read_secrets_and_none_holds_a_token_it_does_not_use(azure_case: str) -> None:
    """Secrets reach pods by the kubelet alone, so nobody needs the right to read one."""
    planned = plan_of(azure_case)
    for one in [*planned.of_type("Role"), *planned.of_type("ClusterRole")]:
        for given in plain(one.inputs)["rules"]:
            assert not {"secrets", "*"} & set(given.get("resources", [])), one.name
    for account in planned.of_type("ServiceAccount"):
        assert account.inputs["automountServiceAccountToken"] is False, account.name


def test_no_key_of_a_storage_account_reaches_a_pod_even_an_empty_one(azure_case: str) -> None:
    """Mistake 5."""
    planned = plan_of(azure_case)
    names = set()
    for workload in [*planned.of_type("Deployment"), *planned.of_type("Job")]:
        for container in pod_spec(workload)["containers"]:
            names |= environment(planned, workload, container).keys()
    assert "MLFLOW_BACKEND_STORE_URI" in names
    assert not {name for name in names if re.match(r"AZURE_(STORAGE|CLIENT|TENANT|USERNAME|PASSWORD)", name)}
    assert not planned.of_type("Blob"), "sent with a key, which the account does not take"


def test_the_kubeconfig_is_secret_and_holds_a_command_instead_of_credentials(
    azure_case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mistake 9."""
    planned = plan_of(azure_case)
    (provider,) = [one for one in planned.resources if one.type == "pulumi:providers:kubernetes"]
    assert isinstance(provider.inputs["kubeconfig"], Secret)
    assert plain(planned.outputs)["kubeconfig"] == SECRET_TEXT
    config = json.loads(planned.value("kubeconfig"))
    (user,) = config["users"]
    assert set(user["user"]) == {"exec"}
    assert user["user"]["exec"]["command"] == "kubelogin"
    assert config["clusters"][0]["cluster"]["server"] == "https://mock-sentinel-api"
    monkeypatch.setattr("tools.access.shutil.which", lambda name: f"/usr/bin/{name}")
    assert "--kubeconfig" in kubectl_with("azure", planned.value("kubeconfig"))


def test_singletons_are_named_as_azure_names_them(azure_case: str) -> None:
    """Mistake 10, first half: the SDK would name them after the program's resource."""
    planned = plan_of(azure_case)
    wanted = {
        "BlobServiceProperties": ("blobServicesName", "default"),
        "ManagementPolicy": ("managementPolicyName", "default"),
        "AzureADAdministrator": ("administratorName", "ActiveDirectory"),
        "PrivateDnsZoneGroup": ("privateDnsZoneGroupName", "default"),
    }
    for kind, (key, value) in wanted.items():
        for one in planned.of_type(kind):
            assert inputs(one)[key] == value
    for one in planned.of_type("AdministratorsMicrosoftEntra"):
        assert inputs(one)["objectId"], "names the resource as well"


# Logical name or explicit input → the longest that Azure takes, its characters, and whether Pulumi adds 8.
DASHED = r"[a-z0-9]([a-z0-9-]*[a-z0-9])?"
WORDY = r"[A-Za-z0-9][\w.()-]*"
NAMES: dict[str, tuple[str, int, str]] = {
    "authorization:ManagementLockByScope": ("lockName", 90, WORDY),
    "containerregistry:Registry": ("registryName", 50, r"[A-Za-z0-9]{5,}"),
    "containerservice:AgentPool": ("agentPoolName", 12, r"[a-z][a-z0-9]*"),
    "containerservice:ManagedCluster": ("resourceName", 63, r"[A-Za-z0-9][\w-]*[A-Za-z0-9]"),
    "dbformysql:Server": ("serverName", 63, DASHED),
    "dbforpostgresql:Server": ("serverName", 63, DASHED),
    "managedidentity:FederatedIdentityCredential": (
        "federatedIdentityCredentialResourceName",
        120,
        r"[\w-]{3,}",
    ),
    "managedidentity:UserAssignedIdentity": ("resourceName", 128, r"[A-Za-z0-9][\w-]{2,}"),
    "monitor:AzureMonitorWorkspace": ("azureMonitorWorkspaceName", 44, WORDY),
    "monitor:DataCollectionEndpoint": ("dataCollectionEndpointName", 44, WORDY),
    "monitor:DataCollectionRule": ("dataCollectionRuleName", 64, WORDY),
    "network:NatGateway": ("natGatewayName", 80, WORDY),
    "network:PrivateEndpoint": ("privateEndpointName", 64, WORDY),
    "network:PublicIPAddress": ("publicIpAddressName", 80, WORDY),
    "network:Subnet": ("subnetName", 80, WORDY),
    "network:VirtualNetwork": ("virtualNetworkName", 64, WORDY),
    "operationalinsights:Workspace": ("workspaceName", 63, r"[A-Za-z0-9][A-Za-z0-9-]{2,}"),
    "privatedns:PrivateZone": ("privateZoneName", 63 + 40, r"([a-z0-9-]{1,63}\.){2,}[a-z]+"),
    "privatedns:VirtualNetworkLink": ("virtualNetworkLinkName", 80, WORDY),
    "resources:ResourceGroup": ("resourceGroupName", 90, WORDY),
    "storage:BlobContainer": ("containerName", 63, r"(?!.*--)[a-z0-9-]{3,}"),
    "storage:StorageAccount": ("accountName", 24, r"[a-z0-9]{3,}"),
}
"""Azure, "Naming rules and restrictions for Azure resources"."""
NAMELESS = {
    "authorization:RoleAssignment", "containerservice:MaintenanceConfiguration", "dbformysql:Configuration",
    "dbforpostgresql:Configuration", "dbforpostgresql:AdministratorsMicrosoftEntra",
    "dbformysql:AzureADAdministrator", "storage:BlobServiceProperties", "storage:ManagementPolicy",
    "network:PrivateDnsZoneGroup", "monitor:DiagnosticSetting", "monitor:DataCollectionRuleAssociation",
}  # fmt: skip
"""Named by Azure, or checked above."""
CHILDREN = {
    "managedidentity:FederatedIdentityCredential", "network:Subnet", "privatedns:VirtualNetworkLink",
    "containerservice:AgentPool", "storage:BlobContainer",
}  # fmt: skip
"""They get their logical name as it is (pulumi-azure-native, AutoNamer)."""
PULUMI_ADDS = "0123abcd"
LONG = "A-very_long.Name-" * 5 + "and-a-good-end"
FURNISHED = [
    "azure in production",
    "azure with ranges of nodes, logs and an open API",
    "azure with mysql",
    "azure with private endpoints",
    "azure with everything set",
]
"""Cases that together make each kind of resource."""


def test_the_furnished_cases_make_each_kind_of_resource() -> None:
    made = {one.type for case in FURNISHED for one in azure_resources(plan_of(case))}
    assert made == {one.type for case in AZURE_CASES for one in azure_resources(plan_of(case))}


@pytest.mark.parametrize("case", FURNISHED)
def test_every_name_is_valid_and_short_enough_for_the_longest_project_and_stack(
    case: str, tmp_path: Path
) -> None:
    """Mistake 10, second half: storage accounts above all."""
    for name in ("Pulumi.yaml", "Pulumi.azure.yaml"):
        target = name.replace("azure", LONG)
        (tmp_path / target).write_text(yaml.safe_dump(yaml.safe_load((ROOT / name).read_text())))
    (tmp_path / "__main__.py").symlink_to(ROOT / "__main__.py")
    planned = run(LONG, root=tmp_path, answers=Rendered(fresh=False), overrides=AZURE_CASES[case])
    for one in azure_resources(planned):
        kind = one.type.removeprefix("azure-native:")
        if kind not in NAMES:
            assert kind in NAMELESS, f"{kind} needs a limit, or has no name"
            continue
        key, longest, characters = NAMES[kind]
        name = inputs(one).get(key)
        if name is None:
            name = one.name if kind in CHILDREN else one.name + PULUMI_ADDS
        assert len(name) <= longest, (kind, name)
        assert re.fullmatch(characters, name), (kind, name)
    for one in planned.of_type("ManagedCluster"):
        assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9-]{0,52}[A-Za-z0-9]", inputs(one)["dnsPrefix"])
        for pool in inputs(one)["agentPoolProfiles"]:
            assert re.fullmatch(r"[a-z][a-z0-9]{0,11}", pool["name"])
    for name in identities(planned):
        assert len(name + PULUMI_ADDS) <= 32, "a user's name in MySQL"


# Rights


SCOPES = {
    Role.ACR_PULL: r"mock-sentinel-mlflowregistry-id",
    Role.BLOB_DATA_CONTRIBUTOR: r"mock-sentinel-mlflow-artifacts-container-id|.*/containers/data",
    Role.BLOB_DELEGATOR: r"mock-sentinel-(mlflowartifacts|getStorageAccount)-id",
    Role.MANAGED_IDENTITY_OPERATOR: r"mock-sentinel-mlflow-cluster-nodes-id",
    Role.NETWORK_CONTRIBUTOR: r"mock-sentinel-mlflow-network-nodes-id",
}
"""Role → the one resource that it is for: never a group or a subscription."""


def test_every_right_is_on_the_one_resource_that_it_is_for(azure_case: str) -> None:
    for one in assignments(plan_of(azure_case)):
        assert re.fullmatch(SCOPES[role_of(one)], one["scope"]), one
        assert one["roleDefinitionId"].startswith(
            "/subscriptions/mock-sentinel-getClientConfig-subscriptionId/"
        )


def test_every_resource_that_can_have_tags_has_those_of_the_stack(azure_case: str) -> None:
    planned = plan_of(azure_case)
    theirs = AZURE_CASES[azure_case].get("tags", {"service": "mlflow", "owner": "ml-platform"}) or {}
    tagged = 0
    for one in azure_resources(planned):
        args = sdk.args_class(one.type)
        assert args is not None
        if "tags" in sdk.input_types(args):
            expected = {"pulumi-project": "mlflow", "pulumi-stack": "azure", **theirs}
            assert inputs(one)["tags"] == expected, one.name
            tagged += 1
    assert tagged
    for one in planned.of_type("StorageClass"):
        assert "pulumi-stack=azure" in one.inputs["parameters"]["tags"]


def test_nothing_is_open_to_the_world_by_default() -> None:
    planned = plan(PLAIN, stack="azure")
    access = inputs(planned.one("ManagedCluster"))["apiServerAccessProfile"]
    assert access["enablePrivateCluster"] is True
    assert access["enablePrivateClusterPublicFQDN"] is False
    assert "authorizedIPRanges" not in access
    account = inputs(planned.one("StorageAccount"))
    assert account["networkRuleSet"]["defaultAction"] == "Deny"
    assert inputs(planned.one("Server", "mlflow-database"))["network"]["publicNetworkAccess"] == "Disabled"
    assert not [one for one in planned.of_type("Service") if one.inputs["spec"].get("type") == "LoadBalancer"]
    assert not planned.of_type("Ingress")


def test_only_the_listed_ranges_stand_in_a_plan(azure_case: str) -> None:
    """An address range of the internet appears where the stack file put it, and nowhere else."""
    for one in plan_of(azure_case).resources:
        for path, leaf, _ in leaves(one.inputs):
            for text in re.findall(r"\b\d+\.\d+\.\d+\.\d+/\d+\b", leaf) if isinstance(leaf, str) else ():
                network = ipaddress.IPv4Network(text)
                assert (network.is_private and network.prefixlen > 0) or text in OFFICE, (one.name, path)


@pytest.mark.parametrize(
    ("case", "type_end"),
    [
        ("azure in an existing cluster", "VirtualNetwork"),
        ("azure in an existing cluster", "ManagedCluster"),
        ("azure in an existing cluster with endpoints", "PrivateZone"),
        ("azure with an existing database and container", "ResourceGroup"),
        ("azure with an existing database and container", "StorageAccount"),
        ("azure with an existing database and container", "BlobServiceProperties"),
        ("azure with an existing database and container", "Server"),
        ("azure with an existing database and container", "Registry"),
        ("azure with an existing database and container", "Image"),
        ("azure with a finished database", "Server"),
        ("azure with a finished database", "AdministratorsMicrosoftEntra"),
        ("azure with a database and artifacts in the cluster", "Server"),
        ("azure with a database and artifacts in the cluster", "StorageAccount"),
    ],
)
def test_what_is_there_already_is_neither_made_nor_changed(case: str, type_end: str) -> None:
    def found(case: str) -> list[Resource]:
        # MLflow's server is a component of this name.
        return [one for one in plan_of(case).of_type(type_end) if not one.component]

    assert found("azure in production"), "made where nothing is said"
    assert found(case) == []


@pytest.mark.parametrize("kind", ["Server", "StorageAccount", "BlobContainer", "ManagedCluster", "Namespace"])
def test_what_holds_data_is_protected_until_the_stack_says_otherwise(kind: str) -> None:
    for case, protected in (("azure in production", True), ("azure with everything set", False)):
        found = [one for one in plan_of(case).of_type(kind) if not one.component]
        assert [one.protect for one in found] == [protected], case


def test_the_identity_that_the_database_knows_is_protected_like_the_data() -> None:
    """Object ids count, not names: one made anew would be locked out."""
    found = identities(plan_of("azure in production"))
    assert found["mlflow-server"].protect
    assert found["mlflow-database-admin"].protect
    assert not found["mlflow-jobs"].protect
    assert not identities(plan_of("azure with a password"))["mlflow-server"].protect


def test_locks_are_made_last_so_that_they_go_first() -> None:
    planned = plan_of("azure with everything set")
    locks = planned.of_type("ManagementLockByScope")
    assert {inputs(one)["level"] for one in locks} == {"CanNotDelete"}
    assert {one.name for one in locks} == {"mlflow-locks-database", "mlflow-locks-artifacts"}
    on_data = {
        one.name
        for one in azure_resources(planned)
        if one.type.startswith(("azure-native:dbfor", "azure-native:storage:"))
    }
    for lock in locks:
        assert on_data <= outlives(planned, lock)
    assert not plan_of("azure in production").of_type("ManagementLockByScope")


# The whole


@pytest.mark.parametrize("case", FURNISHED)
def test_the_kubernetes_part_can_be_rendered_without_a_subscription(case: str) -> None:
    planned = run("azure", answers=Rendered(fresh=False), overrides=AZURE_CASES[case])
    objects = [one.content for one in render.manifests(planned)]
    assert {"Namespace", "Deployment", "Service", "ServiceAccount"} <= {one["kind"] for one in objects}
    assert all(one["metadata"]["name"] != "[unknown]" for one in objects)


def test_the_drawing_of_the_stack_is_fresh() -> None:
    assert (ROOT / "docs/azure-resources.md").read_text() == resources_page("azure"), "run `make docs`"


@pytest.mark.parametrize(
    ("key", "value", "word"),
    [
        ("azure-native:location", None, "is missing"),
        ("azure-native:subscriptionId", "ML subscription", "is no id"),
        ("azure-native:clientSecret", {"secure": "planted"}, "has no effect"),
    ],
)
def test_what_azures_own_configuration_may_not_say_is_refused(key: str, value: Any, word: str) -> None:
    with pytest.raises(Failure, match=rf"{key}: .*{word}"):
        run("azure", answers=Mocked(), overrides={key: value})


def test_no_tenant_or_group_of_somebody_else_stands_in_the_example() -> None:
    example = (ROOT / "Pulumi.azure.yaml").read_text()
    assert ADMINS not in example
    assert set(re.findall(r"[0-9a-f]{8}-[0-9a-f-]{27}", example)) == {"00000000-0000-0000-0000-000000000000"}


def test_no_token_that_pushes_images_stands_in_a_plan(azure_case: str) -> None:
    assert "mock-sentinel-getClientToken-token" not in as_text(plan_of(azure_case))
