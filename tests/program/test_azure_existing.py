"""What is there already on Azure, as Azure itself tells of it, and what of it a stack cannot live with."""

from __future__ import annotations

from typing import Any

import pytest

from tests.program.azure_cases import AZURE_CASES, BLOB_ZONE, DATABASE_ZONE, EXISTING, PLAIN, SUBNET
from tests.program.reading import server_environment
from tools.common import Failure
from tools.offline import Plan, run
from tools.offline.answers import Mocked

pytestmark = [
    pytest.mark.program,
    # Pulumi lets go of what waited for a look-up that was refused.
    pytest.mark.filterwarnings("ignore:coroutine:RuntimeWarning"),
]

# A refusal is a SettingsError, or Pulumi's own ValueError that quotes it.

CLUSTER = "azure-native:containerservice:getManagedCluster"
SPOKE = SUBNET.replace("/hub/", "/spoke/")
BESIDE: dict[str, Any] = PLAIN | {
    "cluster": EXISTING, "database": {"subnet": SUBNET}, "artifacts": {"access": "public"},
}  # fmt: skip
BY_ENDPOINT: dict[str, Any] = BESIDE | {
    "database": {"subnet": SUBNET, "dnsZone": DATABASE_ZONE},
    "artifacts": {"access": "private-endpoint", "subnet": SUBNET},
}


class There(Mocked):
    """Everything is made up but for one look-up."""

    def __init__(self, token: str, told: dict[str, Any]) -> None:
        self._token, self._told = token, told

    def looked_up(self, token: str, arguments: dict[str, Any]) -> dict[str, Any] | None:
        found = super().looked_up(token, arguments)
        return {**(found or {}), **self._told} if token == self._token else found


def beside(told: dict[str, Any], settings: dict[str, Any] = BESIDE) -> Plan:
    """The plan beside a cluster of which Azure tells this."""
    return run("azure", answers=There(CLUSTER, told), overrides=settings)


def pools(*subnets: str | None) -> dict[str, Any]:
    return {"agentPoolProfiles": [{"name": "nodes", "vnetSubnetID": each} for each in subnets]}


UNFIT = {
    "no issuer": ({"oidcIssuerProfile": None}, "cluster.existing: .*without workload identity"),
    "workload identity off": (
        {"securityProfile": {"workloadIdentity": {"enabled": False}}},
        "cluster.existing: .*without workload identity",
    ),
    "a service principal": ({"identityProfile": None}, "cluster.existing: .*with a service principal"),
    "another network": (pools(SPOKE), "database.dnsZone: is missing"),
    "a network that AKS made": (pools(None), "database.dnsZone: is missing"),
}


@pytest.mark.parametrize(("told", "refused"), UNFIT.values(), ids=UNFIT.keys())
def test_a_cluster_that_a_stack_cannot_live_in_is_refused_with_what_to_do(
    told: dict[str, Any], refused: str
) -> None:
    with pytest.raises(ValueError, match=refused):
        beside(told)


def test_everything_that_is_wrong_with_a_cluster_is_told_at_once() -> None:
    with pytest.raises(ValueError, match="3 mistakes"):
        beside({"oidcIssuerProfile": None, "identityProfile": None} | pools(SPOKE))


def test_a_zone_of_the_stacks_own_will_do_where_the_nodes_are_in_its_network() -> None:
    planned = beside(pools(SPOKE, SUBNET.replace("/hub/", "/Hub/").replace("/data", "/nodes")))
    (link,) = planned.of_type("VirtualNetworkLink")
    assert link.inputs["virtualNetwork"]["id"] == SUBNET.partition("/subnets/")[0]


def test_a_zone_of_the_stacks_own_will_do_in_the_network_that_aks_made() -> None:
    told = {**pools(None), "nodeResourceGroup": "MC_ml_cluster_westeurope"}
    subnet = SUBNET.replace("/shared/", "/mc_ml_cluster_westeurope/")
    planned = beside(told, BESIDE | {"database": {**BESIDE["database"], "subnet": subnet}})
    assert len(planned.of_type("VirtualNetworkLink")) == 1


def test_a_zone_that_is_there_will_do_wherever_the_nodes_are() -> None:
    with pytest.raises(ValueError, match=r"artifacts\.dnsZone: is missing"):
        beside(pools(SPOKE), BY_ENDPOINT)
    artifacts = {**BY_ENDPOINT["artifacts"], "dnsZone": BLOB_ZONE}
    assert not beside(pools(SPOKE), BY_ENDPOINT | {"artifacts": artifacts}).of_type("PrivateZone")


GIVEN = {"namespace": "ml-team", "existingNamespace": True}
CLASS = {"cluster": {**EXISTING, "storageClass": "managed-csi"}}


@pytest.mark.parametrize(
    ("settings", "outside"),
    [({}, {"Namespace", "StorageClass"}), (GIVEN, {"StorageClass"}), (GIVEN | CLASS, set())],
)
def test_with_a_namespace_and_a_class_that_are_there_nothing_is_made_outside_the_namespace(
    settings: dict[str, Any], outside: set[str]
) -> None:
    """As Azure Kubernetes Service RBAC Admin on one namespace lets one (Azure, "Azure built-in roles")."""
    planned = beside(pools(SUBNET), BESIDE | settings)
    # What has no metadata is only looked up.
    objects = [one for one in planned.resources if "metadata" in one.inputs]
    assert len(objects) > 10
    assert {
        one.type.rpartition(":")[2] for one in objects if "namespace" not in one.inputs["metadata"]
    } == outside


def test_an_administrator_in_another_subscription_is_refused_since_one_of_that_name_here_is_another() -> None:
    borrowed = AZURE_CASES["azure with an administrator of an existing server"]
    elsewhere = {**borrowed, "azure-native:subscriptionId": "22222222-2222-2222-2222-222222222222"}
    with pytest.raises(Failure, match=r"database\.administrator: is in another subscription"):
        run("azure", answers=Mocked(), overrides=elsewhere)


SERVER = "azure-native:dbforpostgresql:getServer"
RESTORED = PLAIN | {"database": {"restored": "mlflow-2", "resourceGroup": "platform"}}


@pytest.mark.parametrize("sign_in", ["identity", "password"])
def test_a_restored_server_is_used_and_the_stacks_own_stays_as_it_is_with_all_it_stands_on(
    sign_in: str,
) -> None:
    own = PLAIN | {"database": {"signIn": sign_in}}
    restored = PLAIN | {"database": {**RESTORED["database"], "signIn": sign_in}}
    before, after = (run("azure", answers=Mocked(), overrides=each) for each in (own, restored))
    was, now = (
        {one.urn: (one.inputs, one.protect) for one in planned.resources if "azure-native" in one.type}
        for planned in (before, after)
    )
    assert now == was
    assert "@mock-sentinel-getServer-fullyQualifiedDomainName" in _uri(after)
    assert _uri(before).partition("@")[0] == _uri(after).partition("@")[0], (
        "user and password are in the backup"
    )
    assert before.one("Job", "bootstrap")
    assert not [one for one in after.of_type("Job") if "bootstrap" in one.name], "its work is in the backup"
    place = "mlflow:database.restored"
    assert (before.value("dataPlaces")[place], after.value("dataPlaces")[place]) == (
        "not restored",
        "mlflow-2",
    )


def test_a_restored_server_without_entra_sign_in_is_refused_where_the_identity_signs_in() -> None:
    off = There(SERVER, {"authConfig": {"activeDirectoryAuth": "Disabled"}})
    with pytest.raises(ValueError, match=r"database\.signIn: identity needs Entra authentication"):
        run("azure", answers=off, overrides=RESTORED)


def _uri(planned: Plan) -> str:
    return server_environment(planned)["MLFLOW_BACKEND_STORE_URI"]
