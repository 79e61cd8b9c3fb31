"""What a stack on AWS may be instead of the default, on the real engine: up, no-op, change, order, end."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.engine.anyprovider.plugin import DRIFT
from tests.engine.aws_order import (
    AUTO_MODE,
    CONTAINER_LOGS,
    IN_CLUSTER,
    IRSA,
    NETWORK,
    NODE_GROUPS,
    PODS_AND_DATA,
    unordered,
)
from tests.engine.aws_project import (
    EXISTING,
    SETTINGS,
    AwsProject,
    nowhere,  # noqa: F401 - a fixture
)
from tools.common import Failure
from tools.engine import verbs
from tools.engine.progress import kind_of, name_of
from tools.engine.standins.objects import token_of

pytestmark = [
    pytest.mark.engine,
    # The SDK complains of its own classes when it loads them.
    pytest.mark.filterwarnings("ignore::DeprecationWarning:pulumi_aws"),
]


DATABASE = "mlflow-database"


def password_of(project: AwsProject) -> str:
    """The password of the database's user, as an export shows it."""
    resources = (project.stack.export_stack().deployment or {})["resources"]
    (found,) = (
        each["outputs"]["result"]["plaintext"]
        for each in resources
        if kind_of(each["urn"]) == "RandomPassword" and name_of(each["urn"]) == f"{DATABASE}-password"
    )
    assert "planted-password-" in found
    return found


def unprotect(project: AwsProject, urn: str) -> None:
    """What ``pulumi state unprotect`` does."""
    deployment = project.stack.export_stack()
    (held,) = (each for each in (deployment.deployment or {})["resources"] if each["urn"] == urn)
    assert held.pop("protect")
    project.stack.import_stack(deployment)


def kinds(project: AwsProject) -> set[str]:
    return {kind_of(urn) for urn in project.ids()}


def test_with_node_groups_their_controller_and_add_ons_outlive_what_needs_them(tmp_path: Path):
    project = AwsProject(tmp_path, "aws")
    nodes = {"compute": "node-groups", "nodes": {"min": 2, "max": 5}}
    certificate = SETTINGS["mlflow:exposure"]["external"]["certificate"]
    ingress = {"host": "web.example.com", "allow": ["203.0.113.0/24"], "certificate": certificate}
    exposure = SETTINGS["mlflow:exposure"] | {"ingress": ingress, "internal": {"host": "in.example.com"}}
    project.change(cluster={"create": nodes}, exposure=exposure, protect=False)
    made = project.bring_up()
    assert not made.failed, made.text
    assert unordered(project, [*PODS_AND_DATA, *NETWORK, *NODE_GROUPS]) == []

    # Container logs come and go on a living stack, and touch nothing else.
    ids = project.ids()
    project.change(cluster={"create": nodes | {"containerLogs": True}}, exposure=exposure, protect=False)
    logged = project.bring_up()
    assert not logged.failed, logged.text
    assert {op for op, _ in logged.steps} == {"create"}
    assert unordered(project, CONTAINER_LOGS) == []
    project.change(cluster={"create": nodes}, exposure=exposure, protect=False)
    silent = project.bring_up()
    assert {op for op, _ in silent.steps} == {"delete"}
    assert project.ids() == ids


@pytest.mark.core
def test_by_irsa_pods_become_roles_through_the_clusters_issuer_which_outlives_them(tmp_path: Path):
    project = AwsProject(tmp_path, "aws")
    project.change(aws={"identity": "irsa"}, protect=False)
    made = project.bring_up()
    assert not made.failed, made.text
    state = project.state()
    issuer = state["mlflow-oidc"]["inputs"]["url"].removeprefix("https://")
    assert issuer == f"oidc.eks.eu-west-1.amazonaws.com/id/{state['mlflow-cluster']['outputs']['name']}"
    accounts = {
        "mlflow-server-role": "mlflow-server",
        "mlflow-jobs-role": "mlflow-jobs",
        "mlflow-database-admin-role": "mlflow-database-admin",
    }
    for role, account in accounts.items():
        (statement,) = json.loads(state[role]["inputs"]["assumeRolePolicy"])["Statement"]
        assert statement["Principal"] == {"Federated": state["mlflow-oidc"]["outputs"]["arn"]}
        assert statement["Condition"]["StringEquals"] == {
            f"{issuer}:aud": "sts.amazonaws.com",
            f"{issuer}:sub": f"system:serviceaccount:mlflow:{account}",
        }
    annotated = {
        each["inputs"]["metadata"]["name"]: each["inputs"]["metadata"]["annotations"]
        for urn, each in ((each["urn"], each) for each in state.values())
        if kind_of(urn) == "ServiceAccount"
    }
    assert {name: each["eks.amazonaws.com/role-arn"] for name, each in annotated.items()} == {
        account: state[role]["outputs"]["arn"] for role, account in accounts.items()
    }
    assert "PodIdentityAssociation" not in kinds(project)
    with_pods = [pair for pair in PODS_AND_DATA if "PodIdentityAssociation" not in pair[1]]
    assert unordered(project, [*with_pods, *NETWORK, *AUTO_MODE, *IRSA]) == []

    assert project.bring_up().steps == []
    gone = project.destroy()
    assert not gone.failed, gone.text


@pytest.mark.core
def test_a_new_password_reaches_database_and_server_while_the_instance_stays(tmp_path: Path):
    project = AwsProject(tmp_path, "aws")
    project.change(**EXISTING | {"protect": True}, database={"signIn": "password"})
    made = project.bring_up()
    assert not made.failed, made.text
    first = password_of(project)
    assert project.bring_up().steps == [], "it is made once"

    ids = project.ids()
    (urn,) = (
        urn for urn in ids if kind_of(urn) == "RandomPassword" and name_of(urn) == f"{DATABASE}-password"
    )
    assert "unable to replace" in project.bring_up(replace=[urn]).text
    unprotect(project, urn)
    renewed = project.bring_up(replace=[urn])
    assert not renewed.failed, renewed.text
    now = project.ids()
    assert {name_of(urn) for urn in ids if now[urn] != ids[urn]} == {
        f"{DATABASE}-password",
        # The Job that gives it to the user in the database, and with that runs the migration again.
        "mlflow-bootstrap",
        "mlflow-bootstrap-secret",
        "mlflow-migration",
        "mlflow-environment-database",
        "mlflow-environment-auth",
    }
    assert [name for op, name in renewed.steps if op == "update"] == ["mlflow-server-deployment"]
    given = renewed.steps.index(("create-replacement", "mlflow-bootstrap"))
    assert given < renewed.steps.index(("update", "mlflow-server-deployment")), "pods start with it"

    assert password_of(project) != first
    for path in project.root.rglob("*"):
        assert not path.is_file() or b"planted-" not in path.read_bytes(), path


@pytest.mark.core
def test_data_in_the_cluster_is_protected_on_aws_and_goes_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    project = AwsProject(tmp_path, "aws")
    places = {"database": {"place": "in-cluster"}, "artifacts": {"place": "in-cluster"}}
    project.change(**places, server={"replicas": 1})
    made = project.bring_up()
    assert not made.failed, made.text
    assert not kinds(project) & {"Instance", "Bucket", "SubnetGroup", "BucketPolicy"}
    state = project.state()
    held = {name for name, each in state.items() if each.get("protect")}
    assert held >= {
        "mlflow-database-volume",
        "mlflow-database-server",
        "mlflow-artifacts-volume",
        "mlflow-base-namespace",
        "mlflow-cluster",
        "mlflow-network-vpc",
    }
    monkeypatch.setenv("FORCE", "aws")
    with pytest.raises(Failure, match="mlflow-database-volume") as refused:
        verbs.down("aws", project.root)
    assert "make unprotect STACK=aws" in refused.value.hint
    assert project.state().keys() == state.keys()

    verbs.unprotect("aws", project.root)
    assert unordered(project, [*IN_CLUSTER, *AUTO_MODE]) == []
    gone = project.destroy()
    assert not gone.failed, gone.text


def test_a_cluster_in_subnets_that_are_there_comes_and_goes_and_leaves_the_network_as_it_is(tmp_path: Path):
    project = AwsProject(tmp_path, "aws")
    subnets = ["subnet-0123456789abcdef0", "subnet-0123456789abcdef1"]
    project.change(cluster={"create": {"subnets": subnets}}, protect=False)
    made = project.bring_up()
    assert not made.failed, made.text
    assert not kinds(project) & {"Vpc", "Subnet", "NatGateway", "RouteTable", "Route", "VpcEndpoint"}
    state = project.state()
    assert state["mlflow-cluster"]["inputs"]["vpcConfig"]["subnetIds"] == subnets
    assert state["mlflow-database-subnets"]["inputs"]["subnetIds"] == subnets
    of_the_network = {"Route", "NatGateway", "Vpc", "Subnet", "RouteTableAssociation"}
    order = [pair for pair in [*NETWORK, *AUTO_MODE] if pair[1].split()[0] not in of_the_network]
    assert unordered(project, [*PODS_AND_DATA, *order]) == []

    assert project.bring_up().steps == []
    gone = project.destroy()
    assert not gone.failed, gone.text


def test_a_cluster_made_anew_under_its_old_name_is_another_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    project = AwsProject(tmp_path, "aws")
    project.change(**EXISTING)
    made = project.bring_up()
    assert not made.failed, made.text
    ids = project.ids()
    another = {"endpoint": "https://another.gr7.eu-west-1.eks.amazonaws.com"}
    monkeypatch.setenv(DRIFT, json.dumps({"aws:eks/getCluster:getCluster": another}))
    changed = project.bring_up()
    assert not changed.failed, changed.text
    now = project.ids()
    objects = {urn for urn in ids if "kubernetes:" in urn and ":providers:" not in urn}
    anew = {urn for op, urn in changed.urns if op == "create-replacement"}
    assert anew >= objects, "it is empty, whatever the state says of the old one"
    kept = [urn for urn in ids if token_of(urn).startswith("aws:")]
    assert kept
    assert all(now[urn] == ids[urn] for urn in kept)
