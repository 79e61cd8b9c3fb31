"""What holds for every way to set up a stack on AWS, whatever it is made of."""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.program.aws_cases import AWS_CASES, OFFICE, PLAIN
from tests.program.conftest import plan, plan_of
from tools import render
from tools.common import ROOT, Failure
from tools.graph import resources_page
from tools.offline import Mocked, Plan, Resource, run
from tools.offline.rendered import Rendered
from tools.offline.wire import leaves, plain, unwrap

pytestmark = [pytest.mark.program, pytest.mark.core]


def aws_resources(plan: Plan) -> list[Resource]:
    """What the AWS provider makes."""
    return [one for one in plan.resources if one.type.startswith("aws:") and not one.component]


def statements(plan: Plan) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each statement of each policy document anywhere in the plan, with where it stands."""
    for one in aws_resources(plan):
        for path, leaf, _ in leaves(one.inputs):
            if isinstance(leaf, str) and '"Statement"' in leaf:
                for statement in json.loads(leaf)["Statement"]:
                    yield f"{one.name}.{path}", statement


def as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def test_no_right_is_given_on_everything(aws_case: str) -> None:
    found = list(statements(plan_of(aws_case)))
    assert found
    for where, one in found:
        if one["Effect"] == "Allow" and "Resource" in one:
            everything = "*" in as_list(one["Resource"])
            for action in as_list(one["Action"]):
                assert action != "*", where
                assert not (everything and action.endswith(":*")), (where, action)


def test_nobody_but_named_workloads_and_services_becomes_a_role(aws_case: str) -> None:
    for where, one in statements(plan_of(aws_case)):
        if "Principal" not in one or one["Effect"] != "Allow":
            continue
        (kind,) = one["Principal"]
        assert kind in ("Service", "Federated"), where
        assert "*" not in str(one["Principal"]), where
        conditions = one.get("Condition", {})
        if one["Principal"].get("Service") == "pods.eks.amazonaws.com":
            tags = conditions["StringEquals"]
            assert {name for name in tags if name.startswith("aws:RequestTag/")} >= {
                "aws:RequestTag/kubernetes-namespace",
                "aws:RequestTag/kubernetes-service-account",
            }, where
        if kind == "Federated":
            assert {name.rpartition(":")[2] for name in conditions["StringEquals"]} == {"aud", "sub"}, where
            assert not any("https://" in name for name in conditions["StringEquals"]), where
        for test, values in conditions.items():
            assert "Like" not in test or "*" not in str(values), where


def test_nothing_is_open_to_the_world_by_default() -> None:
    planned = plan(PLAIN, stack="aws")
    for one in planned.of_type("SecurityGroupIngressRule"):
        assert not {"cidrIpv4", "cidrIpv6"} & one.inputs.keys(), one.name
    assert not [one for one in planned.of_type("Service") if one.inputs["spec"].get("type") == "LoadBalancer"]
    assert not planned.of_type("Ingress")
    cluster = planned.one("Cluster").inputs["vpcConfig"]
    assert cluster["endpointPublicAccess"] is False
    assert cluster["endpointPrivateAccess"] is True


def test_only_the_listed_ranges_stand_in_a_plan(aws_case: str) -> None:
    """An address range of the internet appears where the stack file put it, and nowhere else."""
    if aws_case == "aws with everything set":
        return  # says twice that the world may come
    planned = plan_of(aws_case)
    for one in planned.resources:
        for path, leaf, _ in leaves(one.inputs):
            for text in re.findall(r"\b\d+\.\d+\.\d+\.\d+/\d+\b", leaf) if isinstance(leaf, str) else ():
                network = ipaddress.IPv4Network(text)
                private = network.is_private and network.prefixlen > 0
                route = one.type.endswith(":Route") and path == "destinationCidrBlock"
                assert private or route or text in OFFICE, (one.name, path, text)


@pytest.mark.parametrize(
    ("case", "type_end"),
    [
        ("aws on an existing cluster in Auto Mode", "Vpc"),
        ("aws on an existing cluster in Auto Mode", "Cluster"),
        *(
            ("aws in a network that is there", kind)
            for kind in ("Vpc", "Subnet", "NatGateway", "InternetGateway", "Route", "DefaultSecurityGroup")
        ),
        ("aws with an existing Aurora cluster", "Instance"),
        ("aws with an existing database", "Instance"),
        ("aws with a finished database", "Instance"),
        ("aws with a database elsewhere and both load balancers", "Instance"),
        ("aws with an existing bucket", "Bucket"),
        ("aws with an existing bucket", "BucketPolicy"),
        ("aws with artifacts elsewhere and plain load balancers", "Bucket"),
        ("aws with ready images", "Repository"),
        ("aws with ready images", "Image"),
    ],
)
def test_what_is_there_already_is_neither_made_nor_changed(case: str, type_end: str) -> None:
    assert plan_of("aws in production").of_type(type_end), "made where nothing is said"
    assert plan_of(case).of_type(type_end) == []


@pytest.mark.parametrize("type_end", ["Instance", "Bucket", "Cluster", "Namespace"])
def test_what_holds_data_is_protected_until_the_stack_says_otherwise(type_end: str) -> None:
    assert plan_of("aws in production").one(type_end).protect
    assert not plan_of("aws with everything set").one(type_end).protect


# Logical name or explicit input → the longest that AWS takes, less what Pulumi adds to a name of its own.
LIMITS = {
    "aws:cloudwatch/logGroup:LogGroup": ("name", 512),
    "aws:ec2/launchTemplate:LaunchTemplate": ("name", 128),
    "aws:ec2/securityGroup:SecurityGroup": ("name", 255),
    "aws:ecr/repository:Repository": ("name", 256),
    "aws:eks/cluster:Cluster": ("name", 100),
    "aws:eks/nodeGroup:NodeGroup": ("nodeGroupName", 63),
    "aws:iam/policy:Policy": ("name", 128),
    "aws:iam/role:Role": ("name", 64),
    "aws:iam/rolePolicy:RolePolicy": ("name", 128),
    "aws:rds/instance:Instance": ("identifier", 63),
    "aws:rds/parameterGroup:ParameterGroup": ("name", 255),
    "aws:rds/subnetGroup:SubnetGroup": ("name", 255),
    "aws:s3/bucket:Bucket": ("bucket", 63),
}
"""Service Authorization and API references: CreateLogGroup, CreateLaunchTemplate, CreateSecurityGroup,
CreateRepository, CreateCluster, CreateNodegroup, CreatePolicy, CreateRole, PutRolePolicy, CreateDBInstance,
CreateDBParameterGroup, CreateDBSubnetGroup, CreateBucket."""

NAMELESS = re.compile(
    r"aws:(ec2/(vpc|subnet|eip|internetGateway|natGateway|route|routeTable|routeTableAssociation|vpcEndpoint"
    r"|defaultSecurityGroup|tag):|vpc/|eks/(accessEntry|accessPolicyAssociation|addon|podIdentityAssociation):"
    r"|ecr/lifecyclePolicy:|iam/(rolePolicyAttachment|openIdConnectProvider):|kms/key:|s3/bucket\w+:)"
)
"""Types without a name of their own."""

PULUMI_ADDS = len("-1234567")
CHARACTERS = re.compile(r"[A-Za-z0-9/][A-Za-z0-9/._-]*[A-Za-z0-9]")
LONG = "A-very_long.Name-" * 5 + "and-a-good-end"


FURNISHED = [
    "aws in production",
    "aws on node groups by irsa with a private ingress",
    "aws with mysql in the cluster",
    "aws with an ingress",
]
"""Cases that together make each kind of resource."""


def test_the_furnished_cases_make_each_kind_of_resource() -> None:
    def kinds(cases: Iterable[str]) -> set[str]:
        made = (one for case in cases for one in plan_of(case).resources)
        return {one.type for one in made if not one.component}

    assert kinds(FURNISHED) == kinds(AWS_CASES)


@pytest.mark.parametrize("case", FURNISHED)
def test_every_name_is_valid_and_short_enough_for_the_longest_project_and_stack(
    case: str, tmp_path: Path
) -> None:
    settings = yaml.safe_load((ROOT / "Pulumi.aws.yaml").read_text())
    project = yaml.safe_load((ROOT / "Pulumi.yaml").read_text())
    (tmp_path / "Pulumi.yaml").write_text(yaml.safe_dump(project))
    (tmp_path / f"Pulumi.{LONG}.yaml").write_text(yaml.safe_dump(settings))
    (tmp_path / "__main__.py").symlink_to(ROOT / "__main__.py")
    planned = run(LONG, root=tmp_path, answers=Rendered(fresh=False), overrides=AWS_CASES[case])
    for one in aws_resources(planned):
        if one.type not in LIMITS:
            assert NAMELESS.match(one.type), f"{one.type} needs a limit, or has no name"
            continue
        key, longest = LIMITS[one.type]
        name = plain(one.inputs).get(key)
        assert name != "[unknown]", (one.name, key)
        if name is None:
            name, longest = one.name, longest - PULUMI_ADDS
        assert len(name) <= longest, (one.type, name)
        assert CHARACTERS.fullmatch(name), (one.type, name)
        if one.type.startswith(("aws:rds/", "aws:ecr/", "aws:s3/")):
            assert name == name.lower(), (one.type, name)
    for one in planned.resources:
        metadata = unwrap(one.inputs.get("metadata")) if one.is_kubernetes_object else None
        if isinstance(metadata, dict) and isinstance(metadata.get("name"), str):
            assert re.fullmatch(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", metadata["name"]), one.name


@pytest.mark.parametrize("case", FURNISHED)
def test_the_kubernetes_part_can_be_rendered_without_an_account(case: str) -> None:
    planned = run("aws", answers=Rendered(fresh=False), overrides=AWS_CASES[case])
    objects = [one.content for one in render.manifests(planned)]
    kinds = {one["kind"] for one in objects}
    assert {"Namespace", "Deployment", "Service", "ServiceAccount"} <= kinds
    assert all(one["metadata"]["name"] != "[unknown]" for one in objects)
    assert not [one for one in objects if one["kind"].startswith("aws")]


def test_the_drawing_of_the_stack_is_fresh() -> None:
    assert (ROOT / "docs/aws-resources.md").read_text() == resources_page("aws"), "run `make docs`"


def test_a_plan_that_is_wrong_is_refused_before_anything_is_asked_of_aws() -> None:
    with pytest.raises(Failure, match=r"mlflow:exposure\.external\.allow") as refused:
        run("aws", answers=Mocked(), overrides={"exposure": {"external": {}}, "aws:region": None})
    assert "aws:region: is missing" in str(refused.value)
