"""The policies for whoever runs ``up`` on AWS cover what the stack makes, and nothing of anybody else."""

from __future__ import annotations

import json
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest

from tests.program.conftest import plan_of
from tools.common import ROOT
from tools.offline.wire import plain

pytestmark = pytest.mark.program

LONGEST = 6144
"""Characters of a managed policy, white space left out (IAM user guide, "IAM and AWS STS quotas")."""

MAKES = {
    "cloudwatch/logGroup:LogGroup": "logs:CreateLogGroup logs:PutRetentionPolicy logs:DeleteLogGroup",
    "ec2/defaultSecurityGroup:DefaultSecurityGroup": (
        "ec2:RevokeSecurityGroupIngress ec2:RevokeSecurityGroupEgress"
    ),
    "ec2/eip:Eip": "ec2:AllocateAddress ec2:DisassociateAddress ec2:ReleaseAddress",
    "ec2/internetGateway:InternetGateway": (
        "ec2:CreateInternetGateway ec2:AttachInternetGateway ec2:DetachInternetGateway "
        "ec2:DeleteInternetGateway"
    ),
    "ec2/launchTemplate:LaunchTemplate": (
        "ec2:CreateLaunchTemplate ec2:CreateLaunchTemplateVersion ec2:ModifyLaunchTemplate "
        "ec2:DeleteLaunchTemplate"
    ),
    "ec2/natGateway:NatGateway": "ec2:CreateNatGateway ec2:DeleteNatGateway",
    "ec2/route:Route": "ec2:CreateRoute ec2:ReplaceRoute ec2:DeleteRoute",
    "ec2/routeTable:RouteTable": "ec2:CreateRouteTable ec2:DeleteRouteTable",
    "ec2/routeTableAssociation:RouteTableAssociation": "ec2:AssociateRouteTable ec2:DisassociateRouteTable",
    "ec2/securityGroup:SecurityGroup": (
        "ec2:CreateSecurityGroup ec2:RevokeSecurityGroupEgress ec2:DeleteSecurityGroup"
    ),
    "ec2/subnet:Subnet": "ec2:CreateSubnet ec2:ModifySubnetAttribute ec2:DeleteSubnet",
    "ec2/tag:Tag": "ec2:CreateTags ec2:DeleteTags",
    "ec2/vpc:Vpc": "ec2:CreateVpc ec2:ModifyVpcAttribute ec2:DescribeVpcAttribute ec2:DeleteVpc",
    "ec2/vpcEndpoint:VpcEndpoint": "ec2:CreateVpcEndpoint ec2:ModifyVpcEndpoint ec2:DeleteVpcEndpoints",
    "ecr/lifecyclePolicy:LifecyclePolicy": (
        "ecr:PutLifecyclePolicy ecr:GetLifecyclePolicy ecr:DeleteLifecyclePolicy"
    ),
    "ecr/repository:Repository": (
        "ecr:CreateRepository ecr:DescribeRepositories ecr:ListTagsForResource ecr:PutImageTagMutability "
        "ecr:PutImageScanningConfiguration ecr:DeleteRepository"
    ),
    "eks/accessEntry:AccessEntry": "eks:CreateAccessEntry eks:DescribeAccessEntry eks:DeleteAccessEntry",
    "eks/accessPolicyAssociation:AccessPolicyAssociation": (
        "eks:AssociateAccessPolicy eks:ListAssociatedAccessPolicies eks:DisassociateAccessPolicy"
    ),
    "eks/addon:Addon": "eks:CreateAddon eks:DescribeAddon eks:UpdateAddon eks:DeleteAddon",
    "eks/cluster:Cluster": (
        "eks:CreateCluster eks:DescribeCluster eks:UpdateClusterConfig eks:UpdateClusterVersion "
        "eks:DescribeUpdate eks:TagResource eks:DeleteCluster kms:CreateGrant kms:DescribeKey iam:PassRole"
    ),
    "eks/nodeGroup:NodeGroup": (
        "eks:CreateNodegroup eks:UpdateNodegroupConfig eks:UpdateNodegroupVersion eks:DeleteNodegroup "
        "ec2:RunInstances iam:PassRole iam:CreateServiceLinkedRole"
    ),
    "eks/podIdentityAssociation:PodIdentityAssociation": (
        "eks:CreatePodIdentityAssociation eks:DescribePodIdentityAssociation "
        "eks:UpdatePodIdentityAssociation eks:DeletePodIdentityAssociation iam:PassRole iam:GetRole"
    ),
    "iam/openIdConnectProvider:OpenIdConnectProvider": (
        "iam:CreateOpenIDConnectProvider iam:GetOpenIDConnectProvider iam:TagOpenIDConnectProvider "
        "iam:DeleteOpenIDConnectProvider"
    ),
    "iam/role:Role": (
        "iam:CreateRole iam:GetRole iam:TagRole iam:UpdateAssumeRolePolicy iam:ListAttachedRolePolicies "
        "iam:ListRolePolicies iam:ListInstanceProfilesForRole iam:PutRolePermissionsBoundary iam:DeleteRole"
    ),
    "iam/rolePolicy:RolePolicy": "iam:PutRolePolicy iam:GetRolePolicy iam:DeleteRolePolicy",
    "iam/rolePolicyAttachment:RolePolicyAttachment": "iam:AttachRolePolicy iam:DetachRolePolicy",
    "kms/key:Key": (
        "kms:CreateKey kms:DescribeKey kms:GetKeyPolicy kms:GetKeyRotationStatus kms:ListResourceTags "
        "kms:EnableKeyRotation kms:TagResource kms:ScheduleKeyDeletion"
    ),
    "rds/instance:Instance": (
        "rds:CreateDBInstance rds:DescribeDBInstances rds:ModifyDBInstance rds:AddTagsToResource "
        "rds:ListTagsForResource rds:CreateDBSnapshot rds:DeleteDBInstance secretsmanager:CreateSecret "
        "secretsmanager:TagResource iam:CreateServiceLinkedRole"
    ),
    "rds/parameterGroup:ParameterGroup": (
        "rds:CreateDBParameterGroup rds:ModifyDBParameterGroup rds:DescribeDBParameters "
        "rds:ResetDBParameterGroup rds:DeleteDBParameterGroup"
    ),
    "rds/subnetGroup:SubnetGroup": (
        "rds:CreateDBSubnetGroup rds:DescribeDBSubnetGroups rds:ModifyDBSubnetGroup rds:DeleteDBSubnetGroup"
    ),
    "s3/bucket:Bucket": (
        "s3:CreateBucket s3:ListBucket s3:GetBucketLocation s3:GetBucketTagging s3:PutBucketTagging "
        "s3:GetAccelerateConfiguration s3:GetReplicationConfiguration s3:DeleteBucket s3:ListBucketVersions "
        "s3:DeleteObject s3:DeleteObjectVersion"
    ),
    "s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration": (
        "s3:PutLifecycleConfiguration s3:GetLifecycleConfiguration"
    ),
    "s3/bucketOwnershipControls:BucketOwnershipControls": (
        "s3:PutBucketOwnershipControls s3:GetBucketOwnershipControls"
    ),
    "s3/bucketPolicy:BucketPolicy": "s3:PutBucketPolicy s3:GetBucketPolicy s3:DeleteBucketPolicy",
    "s3/bucketPublicAccessBlock:BucketPublicAccessBlock": (
        "s3:PutBucketPublicAccessBlock s3:GetBucketPublicAccessBlock"
    ),
    "s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration": (
        "s3:PutEncryptionConfiguration s3:GetEncryptionConfiguration"
    ),
    "s3/bucketVersioning:BucketVersioning": "s3:PutBucketVersioning s3:GetBucketVersioning",
    "vpc/securityGroupIngressRule:SecurityGroupIngressRule": (
        "ec2:AuthorizeSecurityGroupIngress ec2:ModifySecurityGroupRules ec2:RevokeSecurityGroupIngress"
    ),
}
"""Type → the actions with which it is made, kept and taken away. Source: the API calls of each resource in
terraform-provider-aws and of the service behind it (Service Authorization Reference)."""

BESIDE = (
    "ecr:GetAuthorizationToken ecr:BatchCheckLayerAvailability ecr:InitiateLayerUpload ecr:UploadLayerPart "
    "ecr:CompleteLayerUpload ecr:PutImage ecr:BatchGetImage ec2:DescribeAvailabilityZones "
    "kms:ListAliases kms:ListKeys kms:ListResourceTags kms:DescribeKey kms:GetKeyRotationStatus"
)
"""Pushing images, and looking for the key of the state (``make backend``)."""

KEY = "arn:aws:kms:eu-west-1:123456789012:key/0a1b"
ALIAS = "arn:aws:kms:eu-west-1:123456789012:alias/mlflow-state"
BUCKET = "arn:aws:s3:::mlflow-state-123456789012-eu-west-1"
OURS = {"aws:ResourceTag/pulumi-project": "mlflow"}
MADE = {"aws:RequestTag/pulumi-project": "mlflow"}
ON_THE_KEY = (
    "kms:EnableKeyRotation kms:CreateAlias kms:Encrypt kms:Decrypt kms:GenerateDataKey kms:CreateGrant "
    "kms:PutKeyPolicy kms:ScheduleKeyDeletion kms:TagResource"
)
"""What `make backend`, the state's encryption and the cluster's take (S3 user guide, "Using server-side
encryption with AWS KMS keys": PutObject needs GenerateDataKey, and Decrypt to read)."""
ON_THE_BUCKET = (
    "s3:CreateBucket s3:ListBucket s3:GetBucketTagging s3:PutBucketTagging s3:GetBucketVersioning "
    "s3:PutBucketVersioning s3:GetBucketPublicAccessBlock s3:PutBucketPublicAccessBlock s3:GetBucketPolicy "
    "s3:PutBucketPolicy s3:GetEncryptionConfiguration s3:PutEncryptionConfiguration "
    "s3:PutBucketOwnershipControls s3:GetLifecycleConfiguration s3:PutLifecycleConfiguration"
)
FILES = sorted((ROOT / "docs").glob("aws-policy*.json"))


def policy() -> list[dict[str, Any]]:
    return [one for file in FILES for one in json.loads(file.read_text())["Statement"]]


def allowed(action: str) -> bool:
    return any(fnmatchcase(action, one) for statement in policy() for one in _listed(statement["Action"]))


def permitted(action: str, resource: str, context: dict[str, str] | None = None) -> bool:
    """Whether a statement allows it on this resource, the request and the resource being of this context."""
    return any(
        any(fnmatchcase(action, one) for one in _listed(statement["Action"]))
        and any(fnmatchcase(resource, one) for one in _listed(statement["Resource"]))
        and all(
            _holds(operator, (context or {}).get(key), list(_listed(values)))
            for operator, wanted in statement.get("Condition", {}).items()
            for key, values in wanted.items()
        )
        for statement in policy()
    )


def _holds(operator: str, value: str | None, wanted: list[str]) -> bool:
    """IAM user guide, "IAM JSON policy elements: Condition operators": a key that is not there never matches,
    but for Null."""
    if operator == "Null":
        return (value is None) == (wanted == ["true"])
    if operator not in ("StringEquals", "StringLike", "ArnLike"):
        raise NotImplementedError(operator)
    return value is not None and any(
        value == one if operator == "StringEquals" else fnmatchcase(value, one) for one in wanted
    )


def _listed(value: str | list[str]) -> Iterator[str]:
    yield from [value] if isinstance(value, str) else value


def test_the_policy_covers_all_that_the_stack_makes(aws_case: str) -> None:
    made = {
        one.type.removeprefix("aws:") for one in plan_of(aws_case).resources if one.type.startswith("aws:")
    }
    assert made <= MAKES.keys(), "say which actions a new type takes"
    lacking = {action for kind in made for action in f"{MAKES[kind]} {BESIDE}".split() if not allowed(action)}
    assert not lacking


def test_no_action_is_allowed_that_only_an_administrator_should_have() -> None:
    for statement in policy():
        assert statement["Effect"] == "Allow"
        for action in _listed(statement["Action"]):
            service, _, name = action.partition(":")
            assert name != "*", f"all of {service}"
            everywhere = "*" in _listed(statement["Resource"])
            assert service != "iam" or not everywhere or name.startswith("List"), action
    for action in ("iam:CreateUser", "iam:AttachUserPolicy", "iam:CreatePolicyVersion", "sts:AssumeRole"):
        assert not allowed(action)


def test_roles_are_handed_to_the_services_of_the_stack_only() -> None:
    passing = [one for one in policy() if any(fnmatchcase("iam:PassRole", a) for a in _listed(one["Action"]))]
    assert [set(one["Condition"]["StringEquals"]["iam:PassedToService"]) for one in passing] == [
        {"eks.amazonaws.com", "pods.eks.amazonaws.com", "ec2.amazonaws.com"}
    ]


def test_names_that_the_stack_gives_are_within_the_policys_reach(aws_case: str) -> None:
    found = plan_of(aws_case)
    for kind in ("Role", "Bucket", "Repository", "ParameterGroup", "SubnetGroup"):
        for one in found.of_type(kind):
            assert one.component or one.name.startswith("mlflow-"), one.name
    for one in found.of_type("RandomId"):
        prefix = plain(one.inputs).get("prefix")
        assert prefix is None or prefix.startswith("db-mlflow-")


@pytest.mark.parametrize("file", FILES, ids=[file.name for file in FILES])
def test_each_fits_a_managed_policy(file: Path) -> None:
    assert len("".join(file.read_text().split())) <= LONGEST


def test_the_state_is_made_written_and_read() -> None:
    for action in ON_THE_KEY.split():
        assert permitted(action, KEY, OURS), action
    for action in ("kms:CreateKey", "kms:TagResource"):
        assert permitted(action, "*", MADE), action
    assert permitted("kms:CreateAlias", ALIAS)
    for action in ON_THE_BUCKET.split():
        assert permitted(action, BUCKET), action
    for action in ("s3:GetObject", "s3:PutObject", "s3:DeleteObject"):
        assert permitted(action, f"{BUCKET}/.pulumi/stacks/aws.json"), action


def test_no_key_of_somebody_else_is_used_changed_or_taken_over() -> None:
    other = {"aws:ResourceTag/pulumi-project": "billing", "kms:ResourceAliases": "alias/billing"}
    for action in ON_THE_KEY.split():
        for context in ({}, other, other | MADE):
            claim = action == "kms:TagResource" and context == other | MADE
            assert not permitted(action, KEY, context), f"{action} {'by a tag of ours' if claim else ''}"
    assert not permitted("kms:CreateAlias", ALIAS.replace("mlflow", "billing"))


@pytest.mark.parametrize("action", ["rds:CreateDBInstance", "rds:RestoreDBInstanceToPointInTime"])
def test_an_instance_is_made_of_everything_that_rds_asks_about(action: str) -> None:
    # RDS user guide, "Permission policies to create, modify and delete resources": db, og, pg and subgrp.
    for resource in (
        "db:db-mlflow-aws-1", "og:default:postgres-17", "pg:mlflow-database-parameters-1", "subgrp:mlflow-1"
    ):  # fmt: skip
        assert permitted(action, f"arn:aws:rds:eu-west-1:123456789012:{resource}"), resource


def test_a_node_group_is_made_of_a_service_role_that_may_be_looked_at_and_not_changed() -> None:
    # eksctl, "Minimum IAM policies": CreateNodegroup looks for the role before it makes it.
    role = "arn:aws:iam::123456789012:role/aws-service-role/eks-nodegroup.amazonaws.com/AWSServiceRole"
    assert permitted("iam:GetRole", role)
    for action in ("iam:DeleteRole", "iam:AttachRolePolicy", "iam:PassRole", "iam:UpdateAssumeRolePolicy"):
        assert not permitted(action, role), action


NETWORK = {
    "vpc": "ec2:CreateVpc ec2:ModifyVpcAttribute ec2:DeleteVpc ec2:CreateSubnet ec2:AttachInternetGateway",
    "subnet": "ec2:CreateSubnet ec2:ModifySubnetAttribute ec2:DeleteSubnet ec2:AssociateRouteTable",
    "internet-gateway": "ec2:CreateInternetGateway ec2:DetachInternetGateway ec2:DeleteInternetGateway",
    "elastic-ip": "ec2:AllocateAddress ec2:DisassociateAddress ec2:ReleaseAddress ec2:CreateNatGateway",
    "natgateway": "ec2:CreateNatGateway ec2:DeleteNatGateway",
    "route-table": "ec2:CreateRouteTable ec2:CreateRoute ec2:DeleteRoute ec2:DeleteRouteTable",
    "vpc-endpoint": "ec2:CreateVpcEndpoint ec2:ModifyVpcEndpoint ec2:DeleteVpcEndpoints",
    "security-group": (
        "ec2:CreateSecurityGroup ec2:AuthorizeSecurityGroupIngress ec2:RevokeSecurityGroupIngress "
        "ec2:RevokeSecurityGroupEgress ec2:DeleteSecurityGroup"
    ),
    "launch-template": (
        "ec2:CreateLaunchTemplate ec2:CreateLaunchTemplateVersion ec2:ModifyLaunchTemplate "
        "ec2:DeleteLaunchTemplate"
    ),
}


@pytest.mark.parametrize("kind", NETWORK)
def test_a_network_is_made_kept_and_taken_away_and_nobody_elses_touched(kind: str) -> None:
    one = f"arn:aws:ec2:eu-west-1:123456789012:{kind}/{kind}-1"
    for action in NETWORK[kind].split():
        assert permitted(action, one, MADE) or permitted(action, one, OURS), action
        for foreign in ({}, {"aws:ResourceTag/pulumi-project": "billing"}):
            assert not permitted(action, one, foreign), action


def test_tags_are_put_on_what_is_made_and_on_nothing_of_somebody_else() -> None:
    vpc = "arn:aws:ec2:eu-west-1:123456789012:vpc/vpc-1"
    group = "arn:aws:ec2:eu-west-1:123456789012:security-group/sg-1"
    assert permitted("ec2:CreateTags", vpc, MADE | {"ec2:CreateAction": "CreateVpc"})
    assert permitted("ec2:CreateTags", vpc, OURS)
    assert permitted("ec2:CreateTags", group, {"aws:ResourceTag/aws:eks:cluster-name": "mlflow-aws-1"})
    for foreign in ({}, MADE, MADE | {"aws:ResourceTag/pulumi-project": "billing"}):
        assert not permitted("ec2:CreateTags", vpc, foreign)
    assert not permitted("ec2:CreateTags", group, MADE | {"aws:ResourceTag/pulumi-project": "billing"})
