"""What the AWS Load Balancer Controller may do in the account."""

from __future__ import annotations

import pulumi
import pulumi_aws as aws

from .provider import Account
from .roles import allow, document

_EC2_READ = [
    f"ec2:{action}"
    for action in (
        "DescribeAccountAttributes",
        "DescribeAddresses",
        "DescribeAvailabilityZones",
        "DescribeInstances",
        "DescribeInternetGateways",
        "DescribeIpamPools",
        "DescribeNetworkInterfaces",
        "DescribeRouteTables",
        "DescribeSecurityGroups",
        "DescribeSubnets",
        "DescribeTags",
        "DescribeVpcPeeringConnections",
        "DescribeVpcs",
        "GetSecurityGroupsForVpc",
    )
]
_BALANCER_READ = [
    f"elasticloadbalancing:Describe{what}"
    for what in (
        "CapacityReservation",
        "ListenerAttributes",
        "ListenerCertificates",
        "Listeners",
        "LoadBalancerAttributes",
        "LoadBalancers",
        "Rules",
        "SSLPolicies",
        "Tags",
        "TargetGroupAttributes",
        "TargetGroups",
        "TargetHealth",
        "TrustStores",
    )
]
_CERTIFICATE_READ = [
    "acm:ListCertificates",
    "acm:DescribeCertificate",
    "iam:ListServerCertificates",
    "iam:GetServerCertificate",
]
_BALANCER_WRITE = [
    f"elasticloadbalancing:{action}"
    for action in (
        "DeleteLoadBalancer",
        "DeleteTargetGroup",
        "ModifyCapacityReservation",
        "ModifyIpPools",
        "ModifyLoadBalancerAttributes",
        "ModifyTargetGroup",
        "ModifyTargetGroupAttributes",
        "SetIpAddressType",
        "SetSecurityGroups",
        "SetSubnets",
    )
]


def load_balancer_policy(account: Account, eks: aws.eks.Cluster) -> pulumi.Output[str]:
    """What the controller needs for NLBs and ALBs without WAF, Shield and Cognito, on what it tagged itself.

    Source: kubernetes-sigs/aws-load-balancer-controller, docs/install/iam_policy.json, which leaves the tag's
    value open; here it is this cluster's name, so that two clusters cannot touch each other's.
    """

    def arn(service: str, *rest: pulumi.Input[str]) -> pulumi.Output[str]:
        return pulumi.Output.concat(
            "arn:", account.partition, f":{service}:", account.region, ":", account.id, ":", *rest
        )

    balancers, ec2, cluster = "elasticloadbalancing", "ec2", eks.name
    tag = "elbv2.k8s.aws/cluster"
    requested = {"StringEquals": {f"aws:RequestTag/{tag}": cluster}}
    owned = {"StringEquals": {f"aws:ResourceTag/{tag}": cluster}}
    # Tags on what is already there, but never a claim on what belongs to nobody.
    retagged = {
        "Null": {f"aws:RequestTag/{tag}": "true"},
        "StringEquals": {f"aws:ResourceTag/{tag}": cluster},
    }
    groups = arn(ec2, "security-group/*")
    kinds = ["loadbalancer/*", "targetgroup/*", "listener/*", "listener-rule/*"]
    every = [arn(balancers, kind) for kind in kinds]
    made = [arn(balancers, kind) for kind in kinds[:2]]
    # In the controller's own words, a listener and its rules are reached through their load balancer.
    below = [arn(balancers, kind) for kind in (kinds[0], *kinds[2:])]
    return document(
        allow(
            ["iam:CreateServiceLinkedRole"],
            ["*"],
            {"StringEquals": {"iam:AWSServiceName": "elasticloadbalancing.amazonaws.com"}},
        ),
        allow([*_EC2_READ, *_BALANCER_READ, *_CERTIFICATE_READ], ["*"]),
        allow(["ec2:CreateSecurityGroup"], [groups], requested),
        allow(["ec2:CreateSecurityGroup"], [arn(ec2, "vpc/*")]),
        allow(
            ["ec2:CreateTags"],
            [groups],
            {"StringEquals": {**requested["StringEquals"], "ec2:CreateAction": "CreateSecurityGroup"}},
        ),
        allow(["ec2:CreateTags", "ec2:DeleteTags"], [groups], retagged),
        # The nodes' group is not the controller's, but has to let its load balancers in.
        allow(
            ["ec2:AuthorizeSecurityGroupIngress", "ec2:RevokeSecurityGroupIngress"],
            [arn(ec2, "security-group/", eks.vpc_config.cluster_security_group_id)],
        ),
        allow(
            [
                "ec2:AuthorizeSecurityGroupIngress",
                "ec2:RevokeSecurityGroupIngress",
                "ec2:DeleteSecurityGroup",
            ],
            [groups],
            owned,
        ),
        allow(
            ["elasticloadbalancing:CreateLoadBalancer", "elasticloadbalancing:CreateTargetGroup"],
            made,
            requested,
        ),
        allow(
            [
                "elasticloadbalancing:CreateListener",
                "elasticloadbalancing:DeleteListener",
                "elasticloadbalancing:CreateRule",
                "elasticloadbalancing:DeleteRule",
                "elasticloadbalancing:ModifyListener",
                "elasticloadbalancing:ModifyListenerAttributes",
                "elasticloadbalancing:AddListenerCertificates",
                "elasticloadbalancing:RemoveListenerCertificates",
                "elasticloadbalancing:ModifyRule",
                "elasticloadbalancing:SetRulePriorities",
            ],
            below,
        ),
        allow(
            ["elasticloadbalancing:AddTags"],
            every,
            {
                "StringEquals": {
                    **requested["StringEquals"],
                    "elasticloadbalancing:CreateAction": [
                        "CreateTargetGroup",
                        "CreateLoadBalancer",
                    ],
                }
            },
        ),
        allow(["elasticloadbalancing:AddTags", "elasticloadbalancing:RemoveTags"], made, retagged),
        allow(["elasticloadbalancing:AddTags", "elasticloadbalancing:RemoveTags"], every[2:]),
        allow(_BALANCER_WRITE, made, owned),
        allow(
            ["elasticloadbalancing:RegisterTargets", "elasticloadbalancing:DeregisterTargets"],
            [arn(balancers, kinds[1])],
        ),
    )
