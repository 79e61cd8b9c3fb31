"""The policy for whoever runs ``up`` on AWS covers what the stack makes, and no more services than that."""

from __future__ import annotations

import json
from collections.abc import Iterator
from fnmatch import fnmatchcase
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
    "ecr:CompleteLayerUpload ecr:PutImage ecr:BatchGetImage kms:Encrypt kms:Decrypt kms:CreateAlias "
    "s3:GetObject s3:PutObject ec2:DescribeAvailabilityZones"
)
"""Pushing images, and the state (``make backend``)."""


def policy() -> list[dict[str, Any]]:
    return json.loads((ROOT / "docs" / "aws-policy.json").read_text())["Statement"]


def allowed(action: str) -> bool:
    return any(fnmatchcase(action, one) for statement in policy() for one in _listed(statement["Action"]))


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


def test_it_fits_a_managed_policy() -> None:
    text = (ROOT / "docs" / "aws-policy.json").read_text()
    assert len("".join(text.split())) <= LONGEST
