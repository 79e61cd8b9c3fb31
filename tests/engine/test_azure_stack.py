"""The Azure stack on the real engine: the real program, with all its providers stood in for by tables."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.emulators.azure_manager import Azure, managed
from tests.engine.anyprovider.plugin import DELAY, FAIL, LINGERING
from tests.engine.aws_order import unordered
from tests.engine.cloud_project import READY_IMAGES, CloudProject, Made, brought_up, nowhere, readable, shown
from tests.engine.test_interrupted import being_made, kill_when
from tools.common import Failure
from tools.engine import verbs
from tools.engine.progress import kind_of, name_of

pytestmark = [
    pytest.mark.engine,
    # The SDK complains of its own classes when it loads them.
    pytest.mark.filterwarnings("ignore::DeprecationWarning:pulumi_azure_native"),
]

SERVER = "azure-native:dbforpostgresql:Server"
ADMINS = "33333333-3333-3333-3333-333333333333"
CLUSTER = {"adminGroups": [ADMINS], "monitoring": True, "containerLogs": True, "metrics": True}
SETTINGS: dict[str, Any] = {
    "azure-native:location": "westeurope",
    "mlflow:cloud": "azure",
    "mlflow:localState": True,
    "mlflow:tags": {"team": "data"},
    "mlflow:cluster": {"create": CLUSTER},
    "mlflow:exposure": {"internal": {"host": "mlflow.example.com", "allow": ["10.0.0.0/8"]}},
    "mlflow:auth": {"mode": "basic"},
    "mlflow:server": {"replicas": 2},
}

PODS_AND_DATA = [
    # Pods go before what they sign in with, and that before the database and the container.
    ("Deployment", "Job"),
    ("Deployment", "FederatedIdentityCredential mlflow-server-mlflow-server"),
    ("Job mlflow-bootstrap", "FederatedIdentityCredential mlflow-database-admin-mlflow-database-admin"),
    ("Job mlflow-bootstrap", "AdministratorsMicrosoftEntra"),
    ("Deployment", "RoleAssignment mlflow-artifacts-server"),
    ("Deployment", "Configuration"),
    ("Deployment", "Server mlflow-database"),
    ("Deployment", "BlobContainer"),
    ("AdministratorsMicrosoftEntra", "Server mlflow-database"),
    ("RoleAssignment mlflow-artifacts-server", "BlobContainer"),
    ("BlobContainer", "ManagementPolicy"),
    ("ManagementPolicy", "StorageAccount"),
    ("Deployment", "Namespace"),
]
"""What is destroyed first, and what only then."""
NETWORK_AND_CLUSTER = [
    # Azure refuses to delete a subnet with a server whose name is still linked (InUseSubnetCannotBeDeleted).
    ("Server mlflow-database", "VirtualNetworkLink"),
    ("Server mlflow-database", "Subnet mlflow-network-database"),
    ("VirtualNetworkLink", "PrivateZone"),
    ("VirtualNetworkLink", "VirtualNetwork mlflow-network"),
    ("Subnet", "VirtualNetwork mlflow-network"),
    ("Subnet mlflow-network-nodes", "NatGateway"),
    ("NatGateway", "PublicIPAddress"),
    # The namespace goes with nodes to run on, and with whoever takes its load balancers away again.
    ("Service mlflow-exposure-internal", "AgentPool"),
    ("Service mlflow-exposure-internal", "RoleAssignment mlflow-cluster-subnet"),
    ("Namespace", "AgentPool"),
    ("AgentPool", "ManagedCluster"),
    ("MaintenanceConfiguration", "ManagedCluster"),
    ("ManagedCluster", "RoleAssignment mlflow-cluster-subnet"),
    ("ManagedCluster", "RoleAssignment mlflow-cluster-kubelet"),
    ("ManagedCluster", "UserAssignedIdentity mlflow-cluster-identity"),
    ("ManagedCluster", "Subnet mlflow-network-nodes"),
    ("ManagedCluster", "Workspace"),
    ("DiagnosticSetting", "ManagedCluster"),
    ("DataCollectionRuleAssociation", "ManagedCluster"),
    ("Deployment", "RoleAssignment mlflow-registry-nodes"),
    ("Image", "Registry"),
    ("VirtualNetwork mlflow-network", "ResourceGroup"),
    ("UserAssignedIdentity", "ResourceGroup"),
]


TRADED: list[str] = []
"""The tenants for whose tokens the registry was asked to give one of its own."""


@pytest.fixture(scope="module", autouse=True)
def called(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Whoever runs ``az`` is told on; the registry trades tokens here, and deleted names stay taken."""
    folder = tmp_path_factory.mktemp("nowhere")

    def exchange(address: str, tenant: str, token: str) -> str:
        assert re.fullmatch(r"https://mlflowregistry[0-9a-f]{8}\.azurecr\.io", address)
        assert token.startswith("planted-entra-token-")
        TRADED.append(tenant)
        return "planted-registry-password"

    packages = ("azure-native", "docker-build", "kubernetes", "random")
    tools = ("az", "kubelogin", "kubectl", "docker")
    with (
        nowhere(folder, *packages, tools=tools, prefixes=("AZURE_", "ARM_")) as calls,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setattr("components.clouds.azure.registry_login.exchange", exchange)
        patch.setenv(LINGERING, str(folder / "lingering"))
        yield calls


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """A stack that came up; not to be changed."""
    return brought_up(CloudProject(tmp_path_factory.mktemp("azure"), "azure", SETTINGS))


@pytest.fixture
def stack(made: Made, tmp_path: Path) -> CloudProject:
    """A copy of it, to be changed."""
    return made[0].copy(tmp_path)


@pytest.fixture(scope="module")
def released(made: Made, tmp_path_factory: pytest.TempPathFactory) -> CloudProject:
    """A copy after ``make unprotect``; not to be changed."""
    return made[0].released(tmp_path_factory.mktemp("released"))


@pytest.mark.core
def test_up_makes_what_the_preview_said_and_a_second_one_finds_nothing_to_do(
    made: Made, stack: CloudProject
) -> None:
    _, planned, done = made
    assert sorted(done.steps) == sorted(planned.planned)
    assert {op for op, _ in done.steps} == {"create"}
    assert ("create", "mlflow-database") in done.steps
    again = stack.bring_up()
    assert not again.failed, again.text
    assert again.steps == []


@pytest.mark.core
def test_no_password_or_token_is_readable_in_what_is_kept(made: Made) -> None:
    project, _, _ = made
    assert set(TRADED) == {"22222222-2222-2222-2222-222222222222"}, "images were pushed"
    for planted in ("planted-password-", "planted-registry-password"):
        assert planted in shown(project), "an export shows secrets: both must have been there"
    assert readable(project, b"planted-") == []


def test_every_name_that_azure_keeps_once_is_made_up_and_children_have_fixed_ones(made: Made) -> None:
    ids = {f"{kind_of(urn)} {name_of(urn)}": id_ for urn, id_ in made[0].ids().items()}
    assert re.search(r"/storageAccounts/mlflowartifacts[0-9a-f]{8}$", ids["StorageAccount mlflowartifacts"])
    assert re.search(r"/workspaces/mlflow-logs[0-9a-f]{8}$", ids["Workspace mlflow-logs"])
    assert re.search(r"/roleAssignments/[0-9a-f-]{36}$", ids["RoleAssignment mlflow-artifacts-server"])
    assert ids["BlobContainer mlflow-artifacts-container"].endswith("/blobServices/default/containers/mlflow")
    assert ids["AgentPool mlflow-pool"].endswith("/agentPools/user")


@pytest.mark.core
def test_sizes_backups_nodes_ranges_and_replicas_change_in_place(stack: CloudProject) -> None:
    ids = stack.ids()
    exposure = {"internal": {"host": "mlflow.example.com", "allow": ["10.0.0.0/8", "192.168.0.0/16"]}}
    stack.change(
        cluster={"create": CLUSTER | {"nodes": {"total": 5}, "tier": "free", "systemNodes": {"total": 3}}},
        database={
            "size": "Standard_D2ds_v5",
            "backupDays": 14,
            "highAvailability": True,
            "storageGb": 128,
        },
        artifacts={"redundancy": "GZRS", "keepVersionsDays": 5},
        exposure=exposure,
        server={"replicas": 3},
    )
    changed = stack.bring_up()
    assert not changed.failed, changed.text
    assert sorted(changed.steps) == [
        ("update", "mlflow-artifacts-lifecycle"),
        ("update", "mlflow-cluster"),
        ("update", "mlflow-database"),
        ("update", "mlflow-exposure-internal"),
        ("update", "mlflow-pool"),
        ("update", "mlflow-server-deployment"),
        ("update", "mlflowartifacts"),
    ]
    assert stack.ids() == ids
    (server,) = [each for each in stack.resources() if each["type"] == SERVER]
    assert server["inputs"]["storage"]["storageSizeGB"] == 128, "a size that is said is asked for"


def test_logs_and_metrics_that_are_switched_off_are_off_in_the_cluster_before_their_workspaces_go(
    stack: CloudProject,
) -> None:
    stack.change(cluster={"create": {"adminGroups": [ADMINS]}})
    changed = stack.bring_up()
    assert not changed.failed, changed.text
    gone = {name for op, name in changed.steps if op == "delete"}
    assert {"mlflow-logs", "mlflow-metrics", "mlflow-monitoring-containers"} <= gone
    assert [(op, name) for op, name in changed.steps if op != "delete"] == [("update", "mlflow-cluster")]
    assert changed.steps.index(("update", "mlflow-cluster")) < changed.steps.index(("delete", "mlflow-logs"))
    cluster = stack.state()["mlflow-cluster"]["inputs"]
    assert cluster["addonProfiles"] == {"omsagent": {"enabled": False}}
    assert cluster["azureMonitorProfile"] == {"metrics": {"enabled": False}}


def test_new_tags_reach_every_resource_in_place_and_move_no_data(stack: CloudProject) -> None:
    ids = stack.ids()
    stack.change(tags={"team": "platform"})
    changed = stack.bring_up()
    assert not changed.failed, changed.text
    tags = [each["outputs"]["tags"] for each in stack.resources() if "tags" in (each.get("outputs") or {})]
    tags = [each for each in tags if isinstance(each, dict)]
    assert len(tags) > 10
    assert {each["team"] for each in tags} == {"platform"}
    now = stack.ids()
    moved = {name_of(urn) for urn, identifier in ids.items() if now.get(urn) != identifier}
    # A class of volumes never changes; the volumes that it made stay.
    assert moved <= {"mlflow-ssd"}


@pytest.mark.parametrize(
    "nodes",
    [{"size": "Standard_D8s_v5"}, {"diskGb": 100}, {"diskType": "Ephemeral", "size": "Standard_D2s_v5"}],
)
def test_other_nodes_take_the_place_of_the_old_ones_which_go_first(
    released: CloudProject, tmp_path: Path, nodes: dict[str, Any]
) -> None:
    """Azure changes neither size nor disks of a pool, and two cannot have one name."""
    stack = released.copy(tmp_path)
    stack.change(protect=False, cluster={"create": CLUSTER | {"nodes": nodes}})
    changed = stack.bring_up()
    assert not changed.failed, changed.text
    assert [op for op, name in changed.steps if name == "mlflow-pool"] == [
        "delete-replaced", "replace", "create-replacement"
    ]  # fmt: skip
    replaced = {name for op, name in changed.steps if "replace" in op}
    assert replaced == {"mlflow-pool"}, "what runs on the nodes moves by itself"


@pytest.mark.core
@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"database": {"engine": "mysql", "signIn": "password"}}, r"database\.engine: postgresql → mysql"),
        ({"database": {"signIn": "password"}}, r"database\.signIn: identity → password"),
        ({"database": {"access": "private-endpoint"}}, r"database\.access: vnet → private-endpoint"),
        ({"database": {"geoRedundantBackups": True}}, r"database\.geoRedundantBackups: False → True"),
        ({"azure": {"resourceGroup": "other"}}, r"azure\.resourceGroup: made by the stack → other"),
        (
            {"cluster": {"create": CLUSTER | {"network": "10.99.0.0/16"}}},
            r"cluster\.create\.network: .* → 10\.99\.0\.0/16",
        ),
    ],
)
def test_what_azure_cannot_change_is_refused_before_anything_has_changed(
    stack: CloudProject, settings: dict[str, Any], told: str
) -> None:
    ids = stack.ids()
    stack.change(**settings)
    with pytest.raises(Failure, match=told):
        verbs.up("azure", stack.root)
    assert stack.ids() == ids


def test_a_plain_pulumi_up_meets_the_protection_of_the_server_that_a_password_would_replace(
    stack: CloudProject,
) -> None:
    """An administrator's login can only be given when a server is made (pulumi-azure-native#3869)."""
    ids = stack.ids()
    stack.change(database={"signIn": "password"})
    stopped = stack.plan()
    assert stopped.failed
    assert "mlflow-database" in stopped.text
    assert stack.ids() == ids


def test_a_restored_database_takes_over_and_hands_back_while_the_stacks_own_stays_guarded(
    stack: CloudProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids, before_it = stack.ids(), stack.state()["mlflow-database"]
    stack.change(database={"restored": "mlflow-restored", "resourceGroup": "platform"})
    with pytest.raises(Failure, match=r"database\.restored: not restored → mlflow-restored"):
        verbs.up("azure", stack.root)
    assert stack.ids() == ids
    monkeypatch.setenv("FORCE", "azure")
    verbs.up("azure", stack.root)
    gone = {f"{kind_of(urn)} {name_of(urn)}" for urn in ids.keys() - stack.ids().keys()}
    assert gone
    assert all("bootstrap" in name or name.startswith("ServiceAccount ") for name in gone), gone
    now = stack.state()["mlflow-database"]
    assert (now["id"], now["inputs"], now["protect"]) == (before_it["id"], before_it["inputs"], True)

    stack.change()
    verbs.up("azure", stack.root)
    assert {name_of(urn) for urn in stack.ids()} == {name_of(urn) for urn in ids}
    assert stack.state()["mlflow-database"]["id"] == before_it["id"]


@pytest.mark.core
def test_nothing_is_destroyed_while_it_is_protected(
    stack: CloudProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = stack.ids()
    monkeypatch.setenv("FORCE", "azure")
    with pytest.raises(Failure, match="Server mlflow-database") as refused:
        verbs.down("azure", stack.root)
    assert "make unprotect STACK=azure" in refused.value.hint
    assert stack.ids() == ids
    held = {
        f"{kind_of(each['urn'])} {name_of(each['urn'])}" for each in stack.resources() if each.get("protect")
    }
    assert {
        "Server mlflow-database",
        "StorageAccount mlflowartifacts",
        "BlobContainer mlflow-artifacts-container",
        "UserAssignedIdentity mlflow-server",
        "ManagedCluster mlflow-cluster",
    } <= held
    assert stack.destroy().failed
    still = {f"{kind_of(urn)} {name_of(urn)}" for urn in stack.ids()}
    assert held <= still


@pytest.mark.core
def test_after_unprotect_everything_goes_in_order_and_a_later_up_meets_no_name_that_azure_keeps(
    released: CloudProject, tmp_path: Path
) -> None:
    stack = released.copy(tmp_path)
    assert unordered(stack, [*PODS_AND_DATA, *NETWORK_AND_CLUSTER]) == []
    backwards = [("VirtualNetwork mlflow-network", "Server mlflow-database")]
    assert unordered(stack, backwards) == backwards, "it can tell"
    before = stack.ids()
    gone = stack.destroy()
    assert not gone.failed, gone.text
    assert stack.state() == {}
    again = stack.bring_up()
    assert not again.failed, again.text
    same = {name_of(urn) for urn, id_ in stack.ids().items() if before.get(urn) == id_}
    # Nothing of Azure's is called as before: its nodes' resource group, a server that can still be revived,
    # a deleted workspace, or the rights of an identity that is gone.
    assert {name for name in same if not name.startswith("mlflow-database-zone")} == set()


def test_down_refuses_while_others_have_something_in_the_group_that_goes(
    released: CloudProject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Azure deletes a group with everything in it (pulumi/pulumi-azure-native#2522)."""
    stack, azure = released.copy(tmp_path), Azure()
    monkeypatch.setenv("FORCE", "azure")
    (group,) = [each["id"] for each in stack.resources() if kind_of(each["urn"]) == "ResourceGroup"]
    (server,) = [each["id"] for each in stack.resources() if each["type"] == SERVER]
    restored = f"{group}/providers/Microsoft.DBforPostgreSQL/flexibleServers/restored"
    interface = f"{group}/providers/Microsoft.Network/networkInterfaces/mlflow.nic.1"
    its_own = {group, server.upper(), f"{server}/databases/mlflow", interface}
    azure.resources = {id_: {} for id_ in (*its_own, restored)}
    (tmp_path / "az").mkdir()
    with managed(azure, tmp_path / "az"):
        ids = stack.ids()
        with pytest.raises(Failure, match=r"not know: flexibleServers restored$"):
            verbs.down("azure", stack.root)
        assert stack.ids() == ids
        del azure.resources[restored]
        verbs.down("azure", stack.root)
    assert [id_ for method, id_ in azure.calls if method == "GET"].count(f"{group}/resources") > 4, "pages"


def test_down_says_when_nobody_could_look_into_the_group_that_goes(
    released: CloudProject,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    stack, azure = released.copy(tmp_path), Azure()
    azure.refuses_reading = True
    monkeypatch.delenv("FORCE", raising=False)
    (tmp_path / "az").mkdir()
    with managed(azure, tmp_path / "az"), pytest.raises(Failure, match="nothing was changed"):
        verbs.down("azure", stack.root)
    said = " ".join(capsys.readouterr().err.split())
    assert "with whatever others put into it; it could not be looked into: you may not look" in said


def test_locks_go_first_and_the_rest_follows(tmp_path: Path) -> None:
    project = CloudProject(tmp_path, "azure", SETTINGS)
    project.change(azure={"locks": True}, protect=False, images=READY_IMAGES)
    made = project.bring_up()
    assert not made.failed, made.text
    locked = ("Server mlflow-database", "StorageAccount", "BlobContainer", "AdministratorsMicrosoftEntra")
    assert unordered(project, [("ManagementLockByScope", each) for each in locked]) == []
    gone = project.destroy()
    assert not gone.failed, gone.text


SUBNET = (
    "/subscriptions/11111111-1111-1111-1111-111111111111/resourceGroups/hub/providers/Microsoft.Network/"
    "virtualNetworks/hub/subnets/data"
)
EXISTING = {
    "cluster": {"existing": "data-platform", "resourceGroup": "platform"},
    "database": {"access": "private-endpoint", "subnet": SUBNET},
    "artifacts": {
        "existing": {"name": "data", "prefix": "ml/flow"}, "account": "teamdata", "resourceGroup": "shared",
    },
    "images": READY_IMAGES,
    "protect": False,
}  # fmt: skip
"""A small stack: everything that can be there already is, but for the database."""


def test_an_up_that_a_quota_stopped_goes_on_and_what_is_there_is_neither_made_nor_deleted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = CloudProject(tmp_path, "azure", SETTINGS)
    project.change(**EXISTING)
    monkeypatch.setenv(FAIL, SERVER)
    stopped = project.bring_up()
    assert "the quota is used up" in stopped.text
    ids = project.ids()
    assert "mlflow-server-deployment" not in project.state()

    monkeypatch.delenv(FAIL)
    verbs.up("azure", tmp_path)
    assert ids.items() <= project.ids().items(), "nothing was made twice"
    theirs = {"ManagedCluster", "AgentPool", "VirtualNetwork", "Subnet", "StorageAccount", "BlobContainer"}
    assert not {kind_of(urn) for urn in project.ids()} & theirs
    order = [
        ("Deployment", "PrivateDnsZoneGroup"),
        ("PrivateDnsZoneGroup", "PrivateEndpoint mlflow-database-endpoint"),
        ("PrivateEndpoint mlflow-database-endpoint", "Server mlflow-database"),
    ]
    assert unordered(project, order) == []
    # What the verb compares with the last time is what the program wrote down then.
    verbs.up("azure", tmp_path)
    gone = project.destroy()
    assert not gone.failed, gone.text


def test_a_gateway_and_a_borrowed_administrator_come_change_and_go(tmp_path: Path) -> None:
    borrowed = (
        "/subscriptions/11111111-1111-1111-1111-111111111111/resourceGroups/shared/providers/"
        "Microsoft.ManagedIdentity/userAssignedIdentities/database-admins"
    )
    there = {"existing": {"instance": "shared"}, "resourceGroup": "shared", "administrator": borrowed}
    entrance = {
        "api": "gateway", "className": "approuting-istio", "host": "mlflow.example.com",
        "allow": ["203.0.113.0/24"], "tlsSecret": "mlflow-tls",
    }  # fmt: skip
    wanted = EXISTING | {"database": there, "exposure": {"ingress": entrance}}
    project = CloudProject(tmp_path, "azure", SETTINGS)
    project.change(**wanted)
    made = project.bring_up()
    assert not made.failed, made.text
    ids = project.ids()
    name = "mlflow-database-admin-mlflow-database-admin"
    (credential,) = [id_ for urn, id_ in ids.items() if name_of(urn) == name]
    assert "/resourceGroups/shared/" in credential
    assert credential.endswith("/mlflow-azure-mlflow-database-admin")
    bootstrap = (
        "Job mlflow-bootstrap",
        "FederatedIdentityCredential mlflow-database-admin-mlflow-database-admin",
    )
    assert unordered(project, [("HTTPRoute", "Gateway"), ("Gateway", "Namespace"), bootstrap]) == []
    narrowed = entrance | {"allow": ["198.51.100.0/24"]}
    project.change(**wanted | {"exposure": {"ingress": narrowed}})
    changed = project.bring_up()
    assert changed.steps == [("update", "mlflow-exposure-entrance-gateway")], changed.text
    gone = project.destroy()
    assert not gone.failed, gone.text


@pytest.mark.core
def test_an_up_that_was_killed_while_azure_worked_is_settled_by_its_owner_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = CloudProject(tmp_path, "azure", SETTINGS)
    project.change(**EXISTING)
    monkeypatch.setenv(DELAY, f"{SERVER}=60")
    kill_when(tmp_path, lambda: being_made(tmp_path, "azure") == [SERVER], stack="azure")
    monkeypatch.delenv(DELAY)
    ids = project.ids()
    with pytest.raises(Failure, match="Server mlflow-database, which may exist or not"):
        verbs.up("azure", tmp_path)
    assert project.ids() == ids, "what was made is known, and nothing was made twice"

    project.stack.refresh(clear_pending_creates=True, suppress_progress=True)
    verbs.up("azure", tmp_path)
    assert ids.items() <= project.ids().items()
    assert "mlflow-server-deployment" in project.state()


@pytest.mark.core
def test_nothing_of_a_cloud_or_a_cluster_was_called(made: Made, released: CloudProject, called: Path) -> None:
    assert "kubelogin" in str(made[2].outputs["kubeconfig"]), (
        "the kubeconfig asks for a token when it is used"
    )
    assert not called.exists(), called.read_text()
