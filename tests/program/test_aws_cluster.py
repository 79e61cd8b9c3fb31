"""Network and cluster of a stack on AWS: what is made, how it is guarded, in which order it goes."""

from __future__ import annotations

import functools
import json
import re
import runpy
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from components.clouds.aws.control_plane import is_session_of
from components.settings.versions import DEFAULTS, Product
from tests.program.aws_cases import SUBNETS
from tests.program.conftest import Settings, plan
from tools.common import ROOT, Failure
from tools.offline import Mocked, Plan, Preview, Resource, run
from tools.offline.wire import plain

pytestmark = pytest.mark.program

OFFICE = ["203.0.113.0/24"]
CERTIFICATE = "arn:aws:acm:eu-west-1:123456789012:certificate/00000000-0000-0000-0000-000000000000"
ADMIN = "arn:aws:iam::123456789012:role/team/admin"
BOUNDARY = "arn:aws:iam::123456789012:policy/boundary"
HOST = "mlflow.example.com"
TAGS = {"team": "a", "cost-centre": "42"}

BARE: Settings = {"tags": TAGS, "cluster": None, "exposure": None, "database": None, "server": None}


@functools.cache
def _cluster_of(settings: str) -> Plan:
    def program() -> None:
        from components.clouds.aws.cluster import connect
        from components.clouds.aws.provider import connect_account
        from components.settings import load
        from components.settings.aws import AwsStack

        stack = load()
        assert isinstance(stack, AwsStack)
        connect(stack, connect_account(stack))

    return run("aws", answers=Mocked(), overrides=json.loads(settings), program=program)


def created(more: Settings | None = None, **create: Any) -> Plan:
    """A cluster of a stack's own, without what is deployed into it; everything known."""
    return _cluster_of(json.dumps({**BARE, "cluster": {"create": create}, **(more or {})}))


def whole(more: Settings | None = None, **create: Any) -> Plan:
    """A stack with a cluster of its own and all that is in it; everything known."""
    return plan({**BARE, "cluster": {"create": create}, **(more or {})}, stack="aws")


def existing(*has: str, more: Settings | None = None) -> Plan:
    """A stack on a cluster that was there already."""
    cluster = {"existing": "data-platform", "has": list(has)}
    settings = {**BARE, "aws": {"identity": "irsa"}, "cluster": cluster, **(more or {})}
    return plan(settings, stack="aws")


NODE_GROUPS = {"compute": "node-groups", "nodes": {"min": 2, "max": 7}, "containerLogs": True}
ENTRANCES: Settings = {
    "auth": {"mode": "basic"},
    "exposure": {
        "internal": {"allow": ["10.0.0.0/8"]},
        "external": {"host": HOST, "allow": OFFICE, "certificate": CERTIFICATE},
    },
}

CLUSTERS = {
    "auto": lambda: whole(ENTRANCES),
    "node groups": lambda: whole(ENTRANCES, **NODE_GROUPS),
    "existing": lambda: existing("load-balancer-controller", "ebs-csi", more=ENTRANCES),
}


@pytest.fixture(params=CLUSTERS)
def any_plan(request: pytest.FixtureRequest) -> Plan:
    """A stack on each kind of cluster in turn."""
    return CLUSTERS[request.param]()


@pytest.fixture(params=["auto", "node groups"])
def made_plan(request: pytest.FixtureRequest) -> Plan:
    """A stack with each kind of cluster of its own in turn."""
    return CLUSTERS[request.param]()


def inputs(resource: Resource) -> dict[str, Any]:
    return plain(resource.inputs)


def aws_resources(plan: Plan) -> list[Resource]:
    return [one for one in plan.resources if one.type.startswith("aws:") and not one.read]


def documents(plan: Plan, kind: str, key: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """The name of each resource of a kind, and each statement of the policy document in one of its inputs."""
    for resource in plan.of_type(kind):
        for statement in json.loads(inputs(resource)[key])["Statement"]:
            yield resource.name, statement


def outlives(plan: Plan, resource: Resource) -> set[str]:
    """The URNs of all that still exists while a resource does: what it depends on, and so on."""
    by_urn = {one.urn: one for one in plan.resources}
    seen: set[str] = set()
    waiting = [resource.urn]
    while waiting:
        one = by_urn.get(waiting.pop())
        if one is None:
            continue
        for urn in (*one.depends_on, one.provider.rpartition("::")[0]):
            if urn and urn not in seen:
                seen.add(urn)
                waiting.append(urn)
    return seen


def outlived_by(plan: Plan, resource: Resource) -> list[Resource]:
    return [one for one in plan.resources if one.urn in outlives(plan, resource)]


# Who is asked, and what everything is called


def test_every_aws_resource_goes_through_the_one_provider_with_region_and_tags(any_plan: Plan) -> None:
    provider = any_plan.one("aws")
    assert {one.provider.rpartition("::")[0] for one in aws_resources(any_plan)} == {provider.urn}
    assert inputs(provider)["region"] == "eu-west-1"
    assert json.loads(inputs(provider)["defaultTags"])["tags"] == TAGS | {
        "pulumi-project": "mlflow",
        "pulumi-stack": "aws",
    }


def test_kubernetes_is_reached_through_the_cluster_and_never_the_users_context(any_plan: Plan) -> None:
    provider = any_plan.one("kubernetes")
    objects = [one for one in any_plan.resources if one.is_kubernetes_object]
    assert {one.provider.rpartition("::")[0] for one in objects} == {provider.urn}
    assert inputs(provider).keys() == {"kubeconfig", "clusterIdentifier"}
    config = json.loads(inputs(provider)["kubeconfig"])
    (user,) = config["users"]
    assert user["user"].keys() == {"exec"}
    assert user["user"]["exec"]["command"] == "aws"
    assert user["user"]["exec"]["args"][:3] == ["eks", "get-token", "--cluster-name"]
    assert user["user"]["exec"]["args"][-4:] == ["--region", "eu-west-1", "--output", "json"]
    assert config["clusters"][0]["cluster"]["server"].endswith("endpoint")


def test_the_security_group_that_eks_makes_has_the_tags_too(made_plan: Plan) -> None:
    group = made_plan.one("Cluster").outputs["vpcConfig"]["clusterSecurityGroupId"]
    tags = [inputs(one) for one in made_plan.of_type("Tag")]
    assert {one["resourceId"] for one in tags} == {group}
    assert {one["key"]: one["value"] for one in tags}.items() >= TAGS.items()


def test_a_profile_and_a_role_reach_the_command_that_signs_in_to_kubernetes() -> None:
    role = "arn:aws:iam::123456789012:role/deploy"
    config = {"aws:profile": "prod", "aws:assumeRoles": [{"roleArn": role}]}
    found = plan({**BARE, **config}, stack="aws")
    assert inputs(found.one("aws"))["profile"] == "prod"
    assert json.loads(inputs(found.one("aws"))["assumeRoles"]) == [{"roleArn": role}]
    command = json.loads(inputs(found.one("kubernetes"))["kubeconfig"])["users"][0]["user"]["exec"]
    assert command["env"] == [{"name": "AWS_PROFILE", "value": "prod"}]
    assert command["args"][-2:] == ["--role-arn", role]


@pytest.mark.parametrize(
    ("config", "key"),
    [
        ({"aws:defaultTags": {"tags": {"a": "b"}}}, "aws:defaultTags"),
        ({"aws:accessKey": "x"}, "aws:accessKey"),
        ({"aws:assumeRoles": [{"externalId": "x"}]}, "aws:assumeRoles"),
        (
            {"aws:assumeRoles": [{"roleArn": "arn:aws:iam::123456789012:role/deploy", "externalId": "x"}]},
            r"aws:assumeRoles\[0\].externalId: .*aws:profile",
        ),
        ({"aws:region": None}, "aws:region"),
    ],
)
def test_aws_configuration_without_effect_is_refused_with_its_key(config: Settings, key: str) -> None:
    with pytest.raises(Failure, match=key):
        plan({**BARE, **config}, stack="aws")


LONGEST = {"iam/role:Role": 64, "iam/rolePolicy:RolePolicy": 128, "eks/nodeGroup:NodeGroup": 63}
"""Characters that AWS takes (IAM and EKS API references, CreateRole, PutRolePolicy, CreateNodegroup)."""
AUTONAMED = 8
"""What Pulumi adds to a logical name: a dash and seven characters."""


def test_names_stay_within_their_limits_for_the_longest_project_and_stack(tmp_path: Path) -> None:
    project, stack = "P" + "roject.of_ours" * 7, "s" * 100
    text = (ROOT / "Pulumi.yaml").read_text().replace("name: mlflow\n", f"name: {project}\n")
    (tmp_path / "Pulumi.yaml").write_text(text)
    config = {"aws:region": "eu-west-1", "mlflow:cloud": "aws", "mlflow:localState": True}
    (tmp_path / f"Pulumi.{stack}.yaml").write_text(json.dumps({"config": config}))

    def program() -> None:
        runpy.run_path(str(ROOT / "__main__.py"), run_name="__main__")

    found = run(stack, answers=Mocked(), root=tmp_path, program=program)
    assert found.problems == []
    for resource in aws_resources(found):
        limit = LONGEST.get(resource.type.removeprefix("aws:"), 100)
        assert len(resource.name) + AUTONAMED <= limit, resource.name
    cluster = inputs(found.one("Cluster"))["name"]
    names = [cluster] + [
        inputs(found.one(kind))["metadata"]["name"] for kind in ("NodeClass", "NodePool", "StorageClass")
    ]
    assert all(re.fullmatch(r"[a-z0-9][a-z0-9-]{0,61}[a-z0-9]", name) for name in names), names
    (tmp_path / f"Pulumi.{stack}t.yaml").write_text((tmp_path / f"Pulumi.{stack}.yaml").read_text())
    other = run(stack + "t", answers=Mocked(), root=tmp_path, program=program)
    assert cluster != inputs(other.one("Cluster"))["name"]


# Rights


def test_every_role_is_bounded_where_the_stack_says_so(made_plan: Plan) -> None:
    bounded = whole({"aws": {"permissionBoundary": BOUNDARY}}, **NODE_GROUPS)
    roles = [one for one in aws_resources(bounded) if one.type.endswith(":Role")]
    assert len(roles) >= 9
    assert {inputs(role)["permissionsBoundary"] for role in roles} == {BOUNDARY}
    unbounded = [one for one in aws_resources(made_plan) if one.type.endswith(":Role")]
    assert {inputs(role).get("permissionsBoundary") for role in unbounded} == {None}


def roles_of(plan: Plan) -> dict[str, list[dict[str, Any]]]:
    """The trust of each role by its name."""
    return {
        one.name: json.loads(inputs(one)["assumeRolePolicy"])["Statement"]
        for one in aws_resources(plan)
        if one.type.endswith(":Role")
    }


def test_services_take_exactly_their_own_roles() -> None:
    auto, groups = roles_of(created()), roles_of(created(**NODE_GROUPS))

    def service(name: str, *actions: str) -> list[dict[str, Any]]:
        return [{"Effect": "Allow", "Principal": {"Service": name}, "Action": ["sts:AssumeRole", *actions]}]

    assert auto["mlflow-cluster-role"] == service("eks.amazonaws.com", "sts:TagSession")
    assert groups["mlflow-cluster-role"] == service("eks.amazonaws.com")
    for roles in (auto, groups):
        assert roles["mlflow-nodes-role"] == service("ec2.amazonaws.com")


@pytest.mark.parametrize(
    ("role", "namespace", "account"),
    [
        ("mlflow-net-cni", "kube-system", "aws-node"),
        ("mlflow-add-ons-ebs-csi", "kube-system", "ebs-csi-controller-sa"),
        ("mlflow-charts-load-balancers", "kube-system", "aws-load-balancer-controller"),
        ("mlflow-charts-autoscaler", "kube-system", "cluster-autoscaler"),
        ("mlflow-container-logs-role", "amazon-cloudwatch", "cloudwatch-agent"),
    ],
)
def test_an_add_on_takes_its_role_in_one_cluster_namespace_and_account_only(
    role: str, namespace: str, account: str
) -> None:
    found = created(**NODE_GROUPS)
    (statement,) = roles_of(found)[role]
    assert statement == {
        "Effect": "Allow",
        "Principal": {"Service": "pods.eks.amazonaws.com"},
        "Action": ["sts:AssumeRole", "sts:TagSession"],
        "Condition": {
            "StringEquals": {
                "aws:RequestTag/eks-cluster-arn": found.one("Cluster").outputs["arn"],
                "aws:RequestTag/kubernetes-namespace": namespace,
                "aws:RequestTag/kubernetes-service-account": account,
            }
        },
    }


READ = re.compile(r"(Describe|List|Get)[A-Za-z]*")


def test_no_policy_of_a_cluster_allows_any_action_or_changes_anything_everywhere(made_plan: Plan) -> None:
    statements = list(documents(made_plan, "RolePolicy", "policy"))
    assert statements
    for name, statement in statements:
        if statement["Effect"] == "Deny":
            continue
        actions = [action.partition(":")[2] for action in statement["Action"]]
        assert not any("*" in action for action in actions), name
        if "*" in statement["Resource"]:
            linked_role = actions == ["CreateServiceLinkedRole"] and "Condition" in statement
            assert linked_role or all(READ.fullmatch(action) for action in actions), (name, actions)


def test_the_load_balancer_controller_changes_nothing_but_this_clusters() -> None:
    found = created(**NODE_GROUPS)
    name = inputs(found.one("Cluster"))["name"]
    owned = re.compile(r":(Delete|Set|Modify)(LoadBalancer|TargetGroup|SecurityGroup)")
    changing = [
        statement
        for policy, statement in documents(found, "RolePolicy", "policy")
        if policy.startswith("mlflow-charts-load-balancers") and owned.search(str(statement["Action"]))
    ]
    assert changing
    for statement in changing:
        assert statement["Condition"]["StringEquals"] == {"aws:ResourceTag/elbv2.k8s.aws/cluster": name}


def test_auto_mode_may_tag_only_what_it_makes_for_this_cluster() -> None:
    tagging = [
        statement
        for name, statement in documents(created(), "RolePolicy", "policy")
        if name == "mlflow-cluster-role-tags"
    ]
    assert len(tagging) == 5
    for statement in tagging:
        assert statement["Condition"]["StringEquals"] == {
            "aws:RequestTag/eks:eks-cluster-name": "${aws:PrincipalTag/eks:eks-cluster-name}"
        }


# The network


def test_nodes_get_private_subnets_in_each_zone_and_nothing_a_public_address(made_plan: Plan) -> None:
    subnets = [inputs(one) for one in made_plan.of_type("Subnet")]
    assert len(subnets) == 6
    assert not any(subnet["mapPublicIpOnLaunch"] for subnet in subnets)
    private = [one for one in subnets if one["tags"].get("kubernetes.io/role/internal-elb") == "1"]
    public = [one for one in subnets if one["tags"].get("kubernetes.io/role/elb") == "1"]
    assert len(private) == len(public) == len({one["availabilityZone"] for one in private}) == 3
    assert len({one["cidrBlock"] for one in subnets}) == 6
    ids = {one.id for one in made_plan.of_type("Subnet") if "private" in one.name}
    assert set(inputs(made_plan.one("Cluster"))["vpcConfig"]["subnetIds"]) == ids


def test_the_default_security_group_lets_nothing_through_and_s3_needs_no_nat(made_plan: Plan) -> None:
    group = inputs(made_plan.one("DefaultSecurityGroup"))
    assert group["ingress"] == group["egress"] == []
    endpoint = inputs(made_plan.one("VpcEndpoint"))
    assert endpoint["vpcEndpointType"] == "Gateway"
    assert endpoint["serviceName"] == "com.amazonaws.eu-west-1.s3"
    assert len(made_plan.of_type("NatGateway")) == 1
    routes = {one.name: inputs(one) for one in made_plan.of_type("Route")}
    assert "gatewayId" not in routes["mlflow-network-private"]
    assert routes["mlflow-network-private"]["natGatewayId"]


def test_the_zones_and_addresses_that_the_stack_names_are_used() -> None:
    found = created(zones=["eu-west-1b", "eu-west-1c"], network="172.20.0.0/20")
    subnets = {one.name: inputs(one) for one in found.of_type("Subnet")}
    assert {name: (one["cidrBlock"], one["availabilityZone"]) for name, one in subnets.items()} == {
        "mlflow-network-private-0": ("172.20.0.0/22", "eu-west-1b"),
        "mlflow-network-private-1": ("172.20.4.0/22", "eu-west-1c"),
        "mlflow-network-public-0": ("172.20.12.0/24", "eu-west-1b"),
        "mlflow-network-public-1": ("172.20.13.0/24", "eu-west-1c"),
    }
    assert inputs(found.one("Vpc"))["cidrBlock"] == "172.20.0.0/20"


@pytest.mark.parametrize("compute", ["auto", "node-groups"])
def test_cluster_nodes_and_database_stand_in_the_subnets_that_the_stack_names(compute: str) -> None:
    found = whole(compute=compute, subnets=SUBNETS)
    assert inputs(found.one("Cluster"))["vpcConfig"]["subnetIds"] == SUBNETS
    assert inputs(found.one("SubnetGroup"))["subnetIds"] == SUBNETS
    vpc = {inputs(one)["vpcId"] for one in found.of_type("SecurityGroup")}
    assert len(vpc) == 1
    assert "getSubnet" in vpc.pop()
    assert len(found.of_type("NodeClass") + found.of_type("NodeGroup")) == (1 if compute == "auto" else 2)


class Subnets(Mocked):
    """Knows in which VPC and zone each subnet lies."""

    def __init__(self, *places: tuple[str, str]) -> None:
        self._places = dict(zip(SUBNETS, places, strict=True))

    def looked_up(self, token: str, arguments: dict[str, Any]) -> dict[str, Any] | None:
        answer = super().looked_up(token, arguments)
        if not token.endswith(":getSubnet"):
            return answer
        vpc, zone = self._places[arguments["id"]]
        return {**(answer or {}), "id": arguments["id"], "vpcId": vpc, "availabilityZone": zone}


@pytest.mark.parametrize(
    ("places", "message"),
    [
        (
            [("vpc-1", "eu-west-1a"), ("vpc-2", "eu-west-1b")],
            "lie in 2 VPCs, vpc-1, vpc-2; name subnets of one",
        ),
        ([("vpc-1", "eu-west-1a")] * 2, "share zone eu-west-1a; name one subnet in each"),
    ],
)
def test_subnets_that_no_cluster_could_use_are_refused(places: Any, message: str) -> None:
    settings = {**BARE, "cluster": {"create": {"subnets": SUBNETS}}}
    with pytest.raises(Exception, match=rf"mlflow:cluster\.create\.subnets.*{message}"):
        run("aws", answers=Subnets(*places), overrides=settings)
    fine = Subnets(("vpc-1", "eu-west-1a"), ("vpc-1", "eu-west-1b"))
    assert run("aws", answers=fine, overrides=settings).problems == []


def test_a_zone_that_aws_takes_off_its_list_does_not_move_subnets() -> None:
    assert all(one.options["ignoreChanges"] for one in created().of_type("Subnet"))
    named = created(zones=["eu-west-1a", "eu-west-1b"])
    assert not any("ignoreChanges" in one.options for one in named.of_type("Subnet"))


# The control plane


def test_the_control_plane_is_private_encrypted_logged_and_for_iam_only(made_plan: Plan) -> None:
    cluster = inputs(made_plan.one("Cluster"))
    assert cluster["vpcConfig"]["endpointPrivateAccess"] is True
    assert cluster["vpcConfig"]["endpointPublicAccess"] is False
    assert "publicAccessCidrs" not in cluster["vpcConfig"]
    assert cluster["accessConfig"] == {
        "authenticationMode": "API",
        "bootstrapClusterCreatorAdminPermissions": True,
    }
    key = made_plan.one("Key", "secrets")
    assert inputs(key)["enableKeyRotation"] is True
    assert cluster["encryptionConfig"] == {
        "provider": {"keyArn": key.outputs["arn"]},
        "resources": ["secrets"],
    }
    assert set(cluster["enabledClusterLogTypes"]) == {
        "api", "audit", "authenticator", "controllerManager", "scheduler"
    }  # fmt: skip
    logs = inputs(made_plan.one("LogGroup", "mlflow-cluster-logs"))
    assert logs["name"] == f"/aws/eks/{cluster['name']}/cluster"
    assert logs["retentionInDays"] == 30
    assert cluster["bootstrapSelfManagedAddons"] is False
    assert cluster["upgradePolicy"] == {"supportType": "STANDARD"}
    assert cluster["version"] == DEFAULTS[Product.EKS]


def test_the_kubernetes_api_opens_to_the_listed_ranges_only() -> None:
    found = inputs(created(access={"public": [*OFFICE, "198.51.100.7/32"]}).one("Cluster"))["vpcConfig"]
    assert found["endpointPublicAccess"] is True
    assert found["publicAccessCidrs"] == [*OFFICE, "198.51.100.7/32"]


def test_the_version_and_the_administrators_are_the_stacks() -> None:
    found = created(version="1.35", admins=[ADMIN])
    assert inputs(found.one("Cluster"))["version"] == "1.35"
    entry = found.one("AccessEntry", "admin")
    assert inputs(entry)["principalArn"] == ADMIN
    policy = inputs(found.one("AccessPolicyAssociation", "admin"))
    assert policy["principalArn"] == ADMIN
    assert policy["policyArn"].endswith(":eks::aws:cluster-access-policy/AmazonEKSClusterAdminPolicy")
    assert policy["accessScope"] == {"type": "cluster"}


def test_protection_holds_the_cluster_on_both_sides_until_the_stack_gives_it_up() -> None:
    guarded, free = created().one("Cluster"), created({"protect": False}).one("Cluster")
    assert guarded.protect
    assert inputs(guarded)["deletionProtection"] is True
    assert not free.protect
    assert inputs(free)["deletionProtection"] is False


def test_the_network_is_guarded_as_what_lies_in_it_is() -> None:
    """RDS and EKS never move to another VPC: a replaced one would leave a stack that nothing repairs."""
    for found, guarded in ((created(), True), (created({"protect": False}), False)):
        network = [found.one("Vpc"), *found.of_type("Subnet")]
        assert len(network) == 7
        assert {one.protect for one in network} == {guarded}


def test_another_range_for_the_network_counts_as_moving_the_data() -> None:
    key = "mlflow:cluster.create.network"
    assert plain(whole(network="10.80.0.0/18").outputs)["dataPlaces"][key] == "10.80.0.0/18"
    assert key not in plain(existing("auto-mode").outputs)["dataPlaces"]


@pytest.mark.parametrize(
    ("caller", "principal", "same"),
    [
        ("arn:aws:sts::123456789012:assumed-role/admin/me", ADMIN, True),
        ("arn:aws:sts::210987654321:assumed-role/admin/me", ADMIN, False),
        ("arn:aws:sts::123456789012:assumed-role/other/admin", ADMIN, False),
        ("arn:aws:sts::123456789012:assumed-role/admin/me", "arn:aws:iam::123456789012:user/admin", False),
        ("arn:aws:iam::123456789012:user/team/me", "arn:aws:iam::123456789012:user/team/me", True),
        ("arn:aws:iam::123456789012:user/me", ADMIN, False),
    ],
)
def test_a_session_is_known_as_its_role(caller: str, principal: str, same: bool) -> None:
    assert is_session_of(caller, principal) is same


SESSION = {
    "accountId": "123456789012",
    "arn": "arn:aws:sts::123456789012:assumed-role/admin/me",
    "id": "123456789012",
    "userId": "AROA:me",
}


class FirstPreview(Preview):
    """Nothing is there yet but who runs it."""

    def looked_up(self, token: str, arguments: dict[str, Any]) -> dict[str, Any] | None:
        return SESSION if token.endswith("getCallerIdentity") else super().looked_up(token, arguments)


class Living(Mocked):
    """Everything is there, for the same one."""

    def looked_up(self, token: str, arguments: dict[str, Any]) -> dict[str, Any] | None:
        return SESSION if token.endswith("getCallerIdentity") else super().looked_up(token, arguments)


def test_who_makes_the_cluster_is_not_named_an_administrator_and_whoever_comes_later_may_be() -> None:
    def named(principal: str) -> Settings:
        return {**BARE, "cluster": {"create": {"admins": [principal]}}}

    with pytest.raises(Exception, match=r"create\.admins\[0\]: .*/admin is who makes the cluster"):
        run("aws", answers=FirstPreview(), overrides=named(ADMIN))
    assert run("aws", answers=FirstPreview(), overrides=named(ADMIN.replace("admin", "other"))).problems == []
    # Once the cluster is there, it has an id, and its maker's entry is nobody else's.
    assert run("aws", answers=Living(), overrides=named(ADMIN)).problems == []


# Nodes


def test_auto_mode_is_all_of_its_parts_or_none() -> None:
    for found, enabled in ((created(), True), (created(compute="node-groups"), False)):
        cluster = inputs(found.one("Cluster"))
        assert cluster["computeConfig"] == {"enabled": enabled}
        assert cluster["storageConfig"] == {"blockStorage": {"enabled": enabled}}
        assert cluster["kubernetesNetworkConfig"] == {"elasticLoadBalancing": {"enabled": enabled}}
    attached = {
        inputs(one)["policyArn"].rpartition("/")[2] for one in created().of_type("RolePolicyAttachment")
    }
    assert attached >= {
        "AmazonEKSClusterPolicy", "AmazonEKSComputePolicy", "AmazonEKSBlockStoragePolicy",
        "AmazonEKSLoadBalancingPolicy", "AmazonEKSNetworkingPolicy", "AmazonEKSWorkerNodeMinimalPolicy",
        "AmazonEC2ContainerRegistryPullOnly",
    }  # fmt: skip
    entry = created().one("AccessEntry", "nodes")
    assert inputs(entry)["type"] == "EC2"
    assert inputs(created().one("AccessPolicyAssociation", "nodes"))["policyArn"].endswith(
        "/AmazonEKSAutoNodePolicy"
    )


def test_network_policies_are_enforced_in_both_modes() -> None:
    auto, groups = created(), created(**NODE_GROUPS)
    switch = inputs(auto.one("ConfigMap", "network-policies"))
    assert switch["metadata"] == {"name": "amazon-vpc-cni", "namespace": "kube-system"}
    assert switch["data"] == {"enable-network-policy-controller": "true"}
    assert inputs(auto.one("NodeClass"))["spec"]["networkPolicy"] == "DefaultAllow"
    settings = json.loads(inputs(groups.one("Addon", "vpc-cni"))["configurationValues"])
    assert settings == {"enableNetworkPolicy": "true"}


def test_nodes_of_auto_mode_lie_in_the_private_subnets_behind_the_clusters_group_with_the_tags() -> None:
    found = created(nodes={"diskGb": 80})
    spec = inputs(found.one("NodeClass"))["spec"]
    private = [one.id for one in found.of_type("Subnet") if "private" in one.name]
    assert [term["id"] for term in spec["subnetSelectorTerms"]] == private
    group = found.one("Cluster").outputs["vpcConfig"]["clusterSecurityGroupId"]
    assert spec["securityGroupSelectorTerms"] == [{"id": group}]
    assert spec["ephemeralStorage"] == {"size": "80Gi"}
    assert spec["tags"] == TAGS | {"pulumi-project": "mlflow", "pulumi-stack": "aws"}


@pytest.mark.parametrize(
    ("nodes", "pools"),
    [
        ({}, {"load": (None, None)}),
        ({"total": 4}, {"fixed": (4, "5")}),
        ({"min": 2, "max": 6}, {"fixed": (2, "3"), "load": (None, "4")}),
        ({"min": 0, "max": 6}, {"load": (None, "6")}),
    ],
)
def test_a_number_of_nodes_becomes_pools_of_auto_mode(
    nodes: Settings, pools: Mapping[str, tuple[int | None, str | None]]
) -> None:
    found = {
        one.name.removeprefix("mlflow-nodes-"): inputs(one)["spec"]
        for one in created(nodes=nodes).of_type("NodePool")
    }
    assert {
        name: (spec.get("replicas"), spec.get("limits", {}).get("nodes")) for name, spec in found.items()
    } == pools
    for name, spec in found.items():
        # A node that runs something is never taken away to save money: it may be training.
        assert spec.get("disruption", {}).get("consolidationPolicy") == (
            "WhenEmpty" if name == "load" else None
        )


def test_a_size_and_zones_bound_the_nodes_of_auto_mode() -> None:
    found = created(nodes={"size": "m7i.xlarge"}, zones=["eu-west-1a", "eu-west-1b"])
    requirements = {
        one["key"]: one["values"]
        for one in inputs(found.one("NodePool"))["spec"]["template"]["spec"]["requirements"]
    }
    assert requirements == {
        "kubernetes.io/arch": ["amd64"],
        "karpenter.sh/capacity-type": ["on-demand"],
        "topology.kubernetes.io/zone": ["eu-west-1a", "eu-west-1b"],
        "node.kubernetes.io/instance-type": ["m7i.xlarge"],
    }


@pytest.mark.parametrize(
    ("nodes", "bounds"),
    [
        ({}, [(1, 1), (1, 1), (1, 1)]),
        ({"total": 2}, [(1, 1), (1, 1)]),
        ({"min": 2, "max": 7}, [(1, 3), (1, 2), (0, 2)]),
        ({"min": 0, "max": 1}, [(0, 1)]),
    ],
)
def test_a_number_of_nodes_is_spread_over_a_node_group_per_zone(
    nodes: Settings, bounds: list[tuple[int, int]]
) -> None:
    groups = created(compute="node-groups", nodes=nodes).of_type("NodeGroup")
    scaling = [inputs(group)["scalingConfig"] for group in sorted(groups, key=lambda one: one.name)]
    assert [(one["minSize"], one["maxSize"]) for one in scaling] == bounds
    assert all(one["minSize"] <= one["desiredSize"] <= one["maxSize"] for one in scaling)
    assert scaling[0]["desiredSize"] >= 1
    assert all(len(inputs(group)["subnetIds"]) == 1 for group in groups)
    moves = any(fewest < most for fewest, most in bounds)
    assert len(created(compute="node-groups", nodes=nodes).of_type("Release")) == (2 if moves else 1)
    for group, (fewest, most) in zip(sorted(groups, key=lambda one: one.name), bounds, strict=True):
        # The engine's name for it: it ignores what it does not know.
        ignored = ["scalingConfig.desiredSize"] if most > fewest else None
        assert group.options.get("ignoreChanges") == ignored
        assert "desiredSize" in inputs(group)["scalingConfig"]


def test_nodes_of_groups_are_encrypted_tagged_and_keep_their_own_role_from_pods() -> None:
    found = created(compute="node-groups", nodes={"size": "m7i.large", "diskGb": 80, "diskType": "gp2"})
    template = inputs(found.one("LaunchTemplate"))
    (disk,) = template["blockDeviceMappings"]
    assert disk["ebs"] == {
        "volumeSize": 80, "volumeType": "gp2", "encrypted": "true", "deleteOnTermination": "true"
    }  # fmt: skip
    assert template["metadataOptions"] == {
        "httpEndpoint": "enabled", "httpTokens": "required", "httpPutResponseHopLimit": 1
    }  # fmt: skip
    assert {one["resourceType"] for one in template["tagSpecifications"]} == {
        "instance", "volume", "network-interface"
    }  # fmt: skip
    assert all(one["tags"].items() >= TAGS.items() for one in template["tagSpecifications"])
    for group in found.of_type("NodeGroup"):
        assert inputs(group)["instanceTypes"] == ["m7i.large"]
        assert inputs(group)["version"] == inputs(found.one("Cluster"))["version"]


def test_node_groups_bring_every_part_that_auto_mode_has_built_in() -> None:
    groups, auto = created(compute="node-groups"), created()
    assert {inputs(one)["addonName"] for one in groups.of_type("Addon")} == {
        "vpc-cni", "kube-proxy", "coredns", "eks-pod-identity-agent", "aws-ebs-csi-driver"
    }  # fmt: skip
    assert auto.of_type("Addon") == []
    assert auto.of_type("Release") == []
    release = inputs(groups.one("Release"))
    assert release["chart"] == release["name"] == "aws-load-balancer-controller"
    assert release["repositoryOpts"] == {"repo": "https://aws.github.io/eks-charts"}
    assert re.fullmatch(r"\d+\.\d+\.\d+", release["version"])
    assert release["values"]["clusterName"] == inputs(groups.one("Cluster"))["name"]
    assert release["values"]["vpcId"] == groups.one("Vpc").id


def test_container_logs_are_sent_where_the_stack_says_so_and_kept_for_a_month() -> None:
    for mode in ("auto", "node-groups"):
        found = created(compute=mode, containerLogs=True)
        settings = json.loads(inputs(found.one("Addon", "observability"))["configurationValues"])
        assert settings["containerLogs"] == {"enabled": True}
        assert settings["manager"]["applicationSignals"]["autoMonitor"]["monitorAllServices"] is False
        collected = settings["agent"]["config"]["logs"]["metrics_collected"]
        assert collected == {"application_signals": {}}, "metrics of containers are charged apart"
        groups = [one for one in found.of_type("LogGroup") if "container-logs" in one.name]
        assert {inputs(one)["retentionInDays"] for one in groups} == {30}
        arns = {f"{one.outputs['arn']}{end}" for one in groups for end in ("", ":*")}
        (allowed,) = [
            statement
            for name, statement in documents(found, "RolePolicy", "policy")
            if name == "mlflow-container-logs-role-logs"
        ]
        assert set(allowed["Resource"]) == arns
        names = {inputs(one)["name"].rpartition("/")[2] for one in groups}
        assert names == {"application", "dataplane", "host"}, "metrics come in as the log `performance`"
        assert not any("container-logs" in one.name for one in created(compute=mode).resources)


# An existing cluster


def test_an_existing_cluster_is_only_looked_up() -> None:
    found = existing("load-balancer-controller", "ebs-csi", more=ENTRANCES)
    kinds = {one.type.split(":")[1].partition("/")[0] for one in aws_resources(found)}
    assert kinds.isdisjoint({"eks", "kms"})
    assert found.of_type("Vpc") == found.of_type("Subnet") == found.of_type("NatGateway") == []
    assert found.of_type("Release") == found.of_type("NodePool") == []


@pytest.mark.parametrize(
    ("cluster", "arn"),
    [
        (lambda: whole({"aws": {"identity": "irsa"}}), "mlflow-oidc-arn"),
        (lambda: existing("auto-mode"), "getOpenIdConnectProvider-arn"),
    ],
)
def test_irsa_takes_the_clusters_own_issuer(cluster: Any, arn: str) -> None:
    found = cluster()
    trusted = [
        statement
        for statements in roles_of(found).values()
        for statement in statements
        if statement["Action"] == "sts:AssumeRoleWithWebIdentity"
    ]
    assert trusted
    assert all(statement["Principal"]["Federated"].endswith(arn) for statement in trusted)
    for provider in found.of_type("OpenIdConnectProvider"):
        assert inputs(provider)["clientIdLists"] == ["sts.amazonaws.com"]


def test_without_irsa_there_is_no_issuer_in_iam() -> None:
    assert created().of_type("OpenIdConnectProvider") == []


def test_auto_mode_of_an_existing_cluster_is_asked_for_no_tags_unless_its_role_may_tag() -> None:
    """AWS's own policies refuse to make what is to have other tags than Auto Mode's."""

    def asked(*has: str) -> str:
        balancers, entrance = existing(*has, more=ENTRANCES), existing(*has, more=ingress(internal=True))
        return json.dumps(
            [inputs(one) for one in balancers.of_type("Service") + balancers.of_type("StorageClass")]
            + [inputs(one) for one in entrance.of_type("Ingress") + entrance.of_type("IngressClassParams")]
        )

    assert not [
        word for word in ("team", "pulumi-stack", "tagSpecification", "tags") if word in asked("auto-mode")
    ]
    tagged = asked("auto-mode", "tagging")
    assert tagged.count("pulumi-stack") == 4, "two load balancers, a class of volumes, one of entrances"


def test_a_job_keeps_its_node() -> None:
    job = {"jobs": {"train": {"git": {"repo": "https://git.example.com/a.git"}}}}
    made = inputs(whole(job).one("CronJob"))["spec"]["jobTemplate"]["spec"]["template"]["metadata"]
    assert made["annotations"] == {
        "karpenter.sh/do-not-disrupt": "true",
        "cluster-autoscaler.kubernetes.io/safe-to-evict": "false",
    }


# Volumes


@pytest.mark.parametrize(
    ("cluster", "provisioner", "default"),
    [
        (created, "ebs.csi.eks.amazonaws.com", True),
        (lambda: created(compute="node-groups"), "ebs.csi.aws.com", True),
        (lambda: existing("auto-mode", "tagging"), "ebs.csi.eks.amazonaws.com", False),
        (lambda: existing("load-balancer-controller", "ebs-csi"), "ebs.csi.aws.com", False),
    ],
)
def test_volumes_are_encrypted_tagged_and_can_grow(cluster: Any, provisioner: str, default: bool) -> None:
    found = inputs(cluster().one("StorageClass"))
    assert found["provisioner"] == provisioner
    assert found["allowVolumeExpansion"] is True
    assert found["volumeBindingMode"] == "WaitForFirstConsumer"
    parameters = found["parameters"]
    assert (parameters["type"], parameters["encrypted"]) == ("gp3", "true")
    tags = {value for key, value in parameters.items() if key.startswith("tagSpecification_")}
    assert tags == {"team=a", "cost-centre=42", "pulumi-project=mlflow", "pulumi-stack=aws"}
    marked = found["metadata"].get("annotations", {}).get("storageclass.kubernetes.io/is-default-class")
    assert marked == ("true" if default else None)


def test_every_claim_names_the_class_as_text_so_that_a_new_class_never_replaces_it() -> None:
    found = whole({"database": {"place": "in-cluster"}})
    name = inputs(found.one("StorageClass"))["metadata"]["name"]
    claims = found.of_type("PersistentVolumeClaim")
    assert claims
    for claim in claims:
        assert inputs(claim)["spec"]["storageClassName"] == name
        urns = {urn for urns in claim.property_depends_on.values() for urn in urns}
        assert not any("StorageClass" in urn for urn in urns)
        assert found.one("StorageClass").urn in outlives(found, claim)


def test_a_class_that_the_stack_names_is_used_instead() -> None:
    named = plan(
        {
            **BARE,
            "aws": {"identity": "irsa"},
            "cluster": {"existing": "data-platform", "storageClass": "fast"},
            "database": {"place": "in-cluster"},
        },
        stack="aws",
    )
    assert named.of_type("StorageClass") == []
    assert {inputs(one)["spec"]["storageClassName"] for one in named.of_type("PersistentVolumeClaim")} == {
        "fast"
    }


# Entrances

NLB = "service.beta.kubernetes.io/aws-load-balancer-"
ALB = "alb.ingress.kubernetes.io/"


@pytest.mark.parametrize(
    ("cluster", "maker"),
    [
        ("auto", "eks.amazonaws.com/nlb"),
        ("node groups", "service.k8s.aws/nlb"),
        ("existing", "service.k8s.aws/nlb"),
    ],
)
def test_load_balancers_are_asked_for_in_full(cluster: str, maker: str) -> None:
    found = CLUSTERS[cluster]()
    internal, external = (
        inputs(found.one("Service", f"exposure-{kind}")) for kind in ("internal", "external")
    )
    for service, scheme, ranges in (
        (internal, "internal", ["10.0.0.0/8"]),
        (external, "internet-facing", OFFICE),
    ):
        notes = service["metadata"]["annotations"]
        assert service["spec"]["loadBalancerClass"] == maker
        assert service["spec"]["loadBalancerSourceRanges"] == ranges
        assert notes[f"{NLB}scheme"] == scheme
        assert notes[f"{NLB}nlb-target-type"] == "ip"
        assert notes[f"{NLB}healthcheck-protocol"] == "http"
        assert notes[f"{NLB}healthcheck-path"] == "/health"
        tags = "cost-centre=42,pulumi-project=mlflow,pulumi-stack=aws,team=a"
        assert notes[f"{NLB}additional-resource-tags"] == tags
    assert [port["port"] for port in internal["spec"]["ports"]] == [80]
    assert f"{NLB}ssl-cert" not in internal["metadata"]["annotations"]
    assert [port["port"] for port in external["spec"]["ports"]] == [443]
    assert external["metadata"]["annotations"][f"{NLB}ssl-cert"] == CERTIFICATE
    assert external["metadata"]["annotations"][f"{NLB}ssl-ports"] == "443"


def ingress(**more: Any) -> Settings:
    return {"auth": {"mode": "basic"}, "exposure": {"ingress": {"host": HOST, **more}}}


def test_an_ingress_of_auto_mode_says_everything_in_a_class_of_its_own() -> None:
    found = whole(ingress(allow=OFFICE, certificate=CERTIFICATE))
    parameters, made = inputs(found.one("IngressClassParams")), inputs(found.one("IngressClass"))
    name = parameters["metadata"]["name"]
    assert parameters["apiVersion"] == "eks.amazonaws.com/v1"
    assert made["metadata"]["name"] == name == inputs(found.one("Ingress"))["spec"]["ingressClassName"]
    assert made["spec"]["controller"] == "eks.amazonaws.com/alb"
    assert made["spec"]["parameters"] == {
        "apiGroup": "eks.amazonaws.com", "kind": "IngressClassParams", "name": name
    }  # fmt: skip
    spec = parameters["spec"]
    assert spec["scheme"] == "internet-facing"
    assert spec["certificateARNs"] == [CERTIFICATE]
    assert spec["inboundCIDRs"] == OFFICE
    assert {one["key"]: one["value"] for one in spec["tags"]}.items() >= TAGS.items()
    assert {one.urn for one in (found.one("IngressClass"), found.one("IngressClassParams"))} <= outlives(
        found, found.one("Ingress")
    )


@pytest.mark.parametrize("internal", [True, False])
def test_an_ingress_of_the_controller_says_everything_itself(internal: bool) -> None:
    entrance = ingress(allow=OFFICE, certificate=CERTIFICATE, internal=internal)
    found = inputs(whole(entrance, compute="node-groups").one("Ingress"))
    notes = found["metadata"]["annotations"]
    assert found["spec"]["ingressClassName"] == "alb"
    assert notes[f"{ALB}scheme"] == ("internal" if internal else "internet-facing")
    assert notes[f"{ALB}target-type"] == "ip"
    assert notes[f"{ALB}healthcheck-path"] == "/health"
    assert notes[f"{ALB}inbound-cidrs"] == OFFICE[0]
    assert notes[f"{ALB}certificate-arn"] == CERTIFICATE
    assert json.loads(notes[f"{ALB}listen-ports"]) == [{"HTTP": 80}, {"HTTPS": 443}]
    assert notes[f"{ALB}ssl-redirect"] == "443"
    assert "team=a" in notes[f"{ALB}tags"].split(",")


def test_an_ingress_without_a_certificate_is_plain_and_redirects_nowhere() -> None:
    notes = inputs(whole(ingress(internal=True)).one("Ingress"))["metadata"]["annotations"]
    assert json.loads(notes[f"{ALB}listen-ports"]) == [{"HTTP": 80}]
    assert f"{ALB}ssl-redirect" not in notes


def test_an_ingress_of_another_controller_gets_only_what_the_stack_says() -> None:
    notes = {"nginx.ingress.kubernetes.io/whitelist-source-range": OFFICE[0]}
    found = whole(ingress(className="nginx", allow=OFFICE, annotations=notes))
    made = inputs(found.one("Ingress"))
    assert made["spec"]["ingressClassName"] == "nginx"
    assert made["metadata"]["annotations"].items() >= notes.items()
    assert not any(key.startswith("alb.") for key in made["metadata"]["annotations"])
    assert found.of_type("IngressClass") == []


# Rolls and load balancers

AUTO_GATE, CONTROLLER_GATE = (
    f"{group}/pod-readiness-gate-inject" for group in ("eks.amazonaws.com", "elbv2.k8s.aws")
)
OTHER_INGRESS = {
    "className": "nginx",
    "allow": OFFICE,
    "annotations": {"nginx.ingress.kubernetes.io/whitelist-source-range": OFFICE[0]},
}


@pytest.mark.parametrize(
    ("found", "gate", "drain"),
    [
        (lambda: whole(ENTRANCES), AUTO_GATE, 180),
        (lambda: whole(ENTRANCES, compute="node-groups"), CONTROLLER_GATE, 180),
        (lambda: existing("auto-mode", more=ENTRANCES), AUTO_GATE, 180),
        (lambda: existing("load-balancer-controller", "ebs-csi", more=ENTRANCES), CONTROLLER_GATE, 180),
        (lambda: whole(ingress(internal=True)), AUTO_GATE, 180),
        (lambda: whole(ingress(internal=True), compute="node-groups"), CONTROLLER_GATE, 180),
        (lambda: whole(ingress(**OTHER_INGRESS)), None, 5),
        (lambda: whole(), None, 5),
    ],
)
def test_a_pod_is_ready_once_its_load_balancer_sends_to_it_and_stays_until_it_no_longer_does(
    found: Any, gate: str | None, drain: int
) -> None:
    planned = found()
    labels = inputs(planned.one("Namespace"))["metadata"]["labels"]
    assert {key: value for key, value in labels.items() if "readiness-gate" in key} == (
        {gate: "enabled"} if gate else {}
    )
    (server,) = [one for one in planned.of_type("Deployment") if one.name.startswith("mlflow-server")]
    pod = inputs(server)["spec"]["template"]["spec"]
    assert pod["containers"][0]["lifecycle"]["preStop"] == {"sleep": {"seconds": drain}}
    # What is drained may still have requests in flight, for the 300 s of server.drainSeconds.
    assert pod["terminationGracePeriodSeconds"] == drain + 300 + 10


def test_somebody_elses_namespace_must_hold_pods_back_until_the_load_balancer_knows_them() -> None:
    more = {"existingNamespace": True, "exposure": {"internal": {"allow": ["10.0.0.0/8"]}}}
    with pytest.raises(Exception, match=f"mlflow:namespace: mlflow lacks {AUTO_GATE}=enabled"):
        existing("auto-mode", more=more)


def test_a_roll_has_time_for_each_pod_to_be_registered() -> None:
    def limits(more: Settings) -> dict[str, str]:
        found = whole(more)
        (server,) = [one for one in found.of_type("Deployment") if one.name.startswith("mlflow-server")]
        return {key: server.options["customTimeouts"][key] for key in ("create", "update")}

    assert limits({}) == {"create": "300s", "update": "300s"}
    three = limits({**ENTRANCES, "server": {"replicas": 3}})
    assert three == {"create": "1380s", "update": "1380s"}


# The order in which everything goes


def test_load_balancers_go_while_their_maker_the_nodes_and_the_way_out_still_stand() -> None:
    for cluster, parts in {
        "auto": ["NodePool", "NodeClass", "AccessPolicyAssociation", "Cluster", "NatGateway"],
        "node groups": [
            "Release", "PodIdentityAssociation", "Addon", "NodeGroup", "LaunchTemplate", "Cluster",
            "NatGateway",
        ],
    }.items():  # fmt: skip
        found = CLUSTERS[cluster]()
        for service in found.of_type("Service"):
            there = {one.type.rpartition(":")[2] for one in outlived_by(found, service)}
            assert set(parts) <= there, (cluster, service.name, set(parts) - there)


def test_charts_have_nodes_and_dns_to_run_on_to_the_end() -> None:
    found = CLUSTERS["node groups"]()
    needed = {
        one.urn for one in (*found.of_type("NodeGroup"), *found.of_type("Addon")) if "logs" not in one.name
    }
    assert len(needed) == 3 + 5
    for release in found.of_type("Release"):
        assert needed <= outlives(found, release)


def test_pods_find_their_roles_from_their_first_second_to_their_last() -> None:
    found = CLUSTERS["node groups"]()
    associations = found.of_type("PodIdentityAssociation")
    agent = found.one("Addon", "pod-identity-agent").urn
    assert len(associations) >= 3
    assert all(agent in outlives(found, one) for one in associations)
    for release in found.of_type("Release"):
        (own,) = [one.urn for one in associations if one.name == release.name]
        assert own in outlives(found, release)


def test_volumes_and_pods_go_before_the_nodes(made_plan: Plan) -> None:
    nodes = {one.urn for one in made_plan.of_type("NodePool") + made_plan.of_type("NodeGroup")}
    assert nodes
    assert nodes <= outlives(made_plan, made_plan.one("Namespace"))
    assert nodes <= outlives(made_plan, made_plan.one("Deployment"))


def test_nodes_keep_their_rights_and_routes_to_the_end(made_plan: Plan) -> None:
    for node in made_plan.of_type("NodePool") + made_plan.of_type("NodeGroup"):
        there = {one.name for one in outlived_by(made_plan, node)}
        assert {"mlflow-network-private", "mlflow-network-private-0", "mlflow-network-nat"} <= there
        assert "mlflow-nodes-role-AmazonEC2ContainerRegistryPullOnly" in there
    groups = CLUSTERS["node groups"]()
    for group in groups.of_type("NodeGroup"):
        there = {one.name for one in outlived_by(groups, group)}
        assert {"mlflow-net-vpc-cni", "mlflow-net-kube-proxy", "mlflow-net-eks-pod-identity-agent"} <= there


def test_the_control_plane_keeps_its_rights_key_and_logs_to_the_end(made_plan: Plan) -> None:
    there = outlived_by(made_plan, made_plan.one("Cluster"))
    mine = {
        one.urn
        for one in made_plan.of_type("RolePolicyAttachment") + made_plan.of_type("RolePolicy")
        if one.name.startswith("mlflow-cluster-role-")
    }
    assert mine <= {one.urn for one in there}
    assert {"mlflow-cluster-logs", "mlflow-cluster-secrets"} <= {one.name for one in there}
