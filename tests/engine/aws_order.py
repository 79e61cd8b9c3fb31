"""What must outlive what when the AWS stack is destroyed, and whether its state says so."""

from __future__ import annotations

from typing import Any

from tests.engine.conftest import Project
from tools.engine.progress import kind_of, name_of

PODS_AND_DATA = [
    # Pods go before what they sign in with, and that before the database and the bucket.
    ("Deployment", "Job"),
    ("Deployment", "PodIdentityAssociation mlflow-server-role"),
    ("Deployment", "RolePolicy mlflow-server-role-connect"),
    ("Deployment", "RolePolicy mlflow-server-role-artifacts"),
    ("Job mlflow-bootstrap", "RolePolicy mlflow-database-admin-role-bootstrap"),
    ("Deployment", "SecurityGroupIngressRule"),
    ("Deployment", "Instance"),
    ("Job", "Instance"),
    ("Deployment", "BucketPolicy"),
    ("Deployment", "Bucket"),
    ("Instance", "SubnetGroup"),
    ("Instance", "ParameterGroup"),
    ("Instance", "SecurityGroup mlflow-database-access"),
    ("Instance", "LogGroup mlflow-database-log-postgresql"),
    ("Deployment", "Namespace"),
    ("Service", "Namespace"),
]
"""What is destroyed first, and what only then."""
NETWORK = [
    ("SecurityGroup mlflow-database-access", "Vpc"),
    ("SubnetGroup", "Subnet mlflow-network-private-0"),
    # The namespace goes with nodes to run on and somebody who takes its load balancers away, which stand in
    # every public subnet.
    ("Namespace", "Cluster"),
    ("Service mlflow-exposure-external", "Subnet"),
    ("Service mlflow-exposure-external", "Route"),
    ("Service mlflow-exposure-external", "RouteTableAssociation"),
    ("Cluster", "RolePolicyAttachment mlflow-cluster-role-AmazonEKSClusterPolicy"),
    ("Cluster", "LogGroup mlflow-cluster-logs"),
    ("Cluster", "Key"),
    ("Cluster", "Subnet mlflow-network-private-0"),
    ("Subnet", "Vpc"),
]
IRSA = [
    # A pod finds its role through the issuer, from its first second to its last.
    ("Deployment", "OpenIdConnectProvider"),
    ("Deployment", "RolePolicy mlflow-server-role-connect"),
    ("Deployment", "RolePolicy mlflow-server-role-artifacts"),
    ("Job mlflow-bootstrap", "RolePolicy mlflow-database-admin-role-bootstrap"),
    ("Role mlflow-server-role", "OpenIdConnectProvider"),
    ("Role mlflow-jobs-role", "OpenIdConnectProvider"),
    ("Role mlflow-database-admin-role", "OpenIdConnectProvider"),
    ("OpenIdConnectProvider", "Cluster"),
]
IN_CLUSTER = [
    # Who writes goes before what it writes to, and a volume goes while there are nodes to let go of it.
    ("Deployment", "StatefulSet"),
    ("Deployment", "PersistentVolumeClaim mlflow-artifacts-volume"),
    ("StatefulSet", "PersistentVolumeClaim mlflow-database-volume"),
    ("StatefulSet", "Secret mlflow-database-password"),
    ("PersistentVolumeClaim", "StorageClass"),
    ("PersistentVolumeClaim", "NodePool"),
    ("StatefulSet", "NodePool"),
    ("PersistentVolumeClaim", "Namespace"),
    ("Namespace", "Cluster"),
]
CONTAINER_LOGS = [
    # EKS would make the groups itself, and keep what they hold for ever.
    ("Addon mlflow-container-logs-amazon-cloudwatch-observability", f"LogGroup mlflow-container-logs-{kind}")
    for kind in ("application", "dataplane", "host")
] + [
    (
        "Addon mlflow-container-logs-amazon-cloudwatch-observability",
        "RolePolicy mlflow-container-logs-role-logs",
    ),
    ("Addon mlflow-container-logs-amazon-cloudwatch-observability", "Cluster"),
]
AUTO_MODE = [
    ("Service mlflow-exposure-external", "NodePool"),
    ("Namespace", "NodePool"),
    ("NodePool", "NodeClass"),
    ("NodeClass", "AccessEntry mlflow-nodes"),
    ("NodeClass", "RolePolicyAttachment mlflow-nodes-role-AmazonEKSWorkerNodeMinimalPolicy"),
    ("NodeClass", "Route"),
    ("NodeClass", "NatGateway"),
    ("AccessEntry mlflow-nodes", "Cluster"),
]
NODE_GROUPS = [
    ("Release mlflow-charts-load-balancers", "Addon mlflow-add-ons-coredns"),
    ("Deployment", "Image mlflow-tracking-server"),
    ("Image mlflow-tracking-server", "Repository mlflow-tracking-server"),
    ("Ingress", "Release mlflow-charts-load-balancers"),
    ("Service mlflow-exposure-internal", "Release mlflow-charts-load-balancers"),
    ("Service mlflow-exposure-external", "Release mlflow-charts-load-balancers"),
    ("Namespace", "Release mlflow-charts-load-balancers"),
    ("Release mlflow-charts-load-balancers", "PodIdentityAssociation mlflow-charts-load-balancers"),
    ("Release mlflow-charts-load-balancers", "RolePolicy mlflow-charts-load-balancers-policy"),
    ("Release", "NodeGroup"),
    ("PodIdentityAssociation", "Addon mlflow-net-eks-pod-identity-agent"),
    ("NodeGroup", "RolePolicyAttachment mlflow-nodes-role-AmazonEKSWorkerNodePolicy"),
    ("NodeGroup", "Route"),
    ("NodeGroup", "NatGateway"),
    ("NodeGroup", "Addon mlflow-net-vpc-cni"),
    ("NodeGroup", "Cluster"),
    ("Addon", "Cluster"),
]


def unordered(project: Project, pairs: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Pairs of kinds (or ``Kind name``) of which some first could be destroyed after some second.

    Read from what the state says depends on what, which is what the engine goes by: what happened to be
    destroyed in time once need not be the next time.
    """
    resources = (project.stack.export_stack().deployment or {})["resources"]
    needs = {each["urn"]: _needed(each) for each in resources}
    made = [each["urn"] for each in resources if each.get("id") and ":providers:" not in each["type"]]

    def all_needed(urn: str, found: set[str]) -> set[str]:
        for each in needs.get(urn, set()) - found:
            found.add(each)
            all_needed(each, found)
        return found

    def called(what: str) -> list[str]:
        found = [urn for urn in made if f"{kind_of(urn)} {name_of(urn)} ".startswith(f"{what} ")]
        assert found, f"the stack has no {what}"
        return found

    closure = {urn: all_needed(urn, set()) for urn in needs}
    return [
        (first, then)
        for first, then in pairs
        if any(later not in closure[earlier] for earlier in called(first) for later in called(then))
    ]


def _needed(resource: dict[str, Any]) -> set[str]:
    named = {urn for urns in (resource.get("propertyDependencies") or {}).values() for urn in urns or []}
    others = {resource.get("parent"), (resource.get("provider") or "").rpartition("::")[0]}
    return {urn for urn in {*named, *(resource.get("dependencies") or []), *others} if urn}
