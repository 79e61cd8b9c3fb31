"""What a stack on AWS must not say: features of an existing cluster, and the words and limits of AWS."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator

from .aws import Aws, AwsCluster, ComputeMode, Feature, IdentityMode
from .cloud_rules import CREATE, PRIVATE_NETWORKS, end_of_life, only_ipv4
from .errors import Problem
from .exposure import Exposure, LoadBalancer
from .rules import rule
from .versions import Product

HAS = "mlflow:cluster.has"

CLUSTER_NAME = r"[0-9A-Za-z][0-9A-Za-z_-]{0,99}"
"""EKS API reference, CreateCluster."""
EC2_TYPE = r"[a-z][a-z0-9-]*\.(nano|micro|small|medium|([0-9]+)?x?large|metal(-[0-9]+xl)?)"
GRAVITON = r"(a1|[a-z]+[0-9]+g[a-z]*)\."
"""Arm: a g right after the generation (EC2 user guide, "Instance type naming conventions")."""
DISK_TYPE = r"gp[23]"
"""The types of EBS that hold a root disk and need no more settings (io1 and io2 need iops)."""
CERTIFICATE = r"arn:aws[a-z-]*:acm:(?P<region>[a-z0-9-]+):[0-9]{12}:certificate/[A-Za-z0-9-]+"
POLICY = r"arn:aws[a-z-]*:iam::(aws|[0-9]{12}):policy/.+"
PRINCIPAL = r"arn:aws[a-z-]*:iam::[0-9]{12}:(role|user)/.+"

PUBLIC_RANGES = 40
"""Public access ranges of one EKS cluster; not adjustable (EKS user guide, "Service quotas")."""

TAGS = 50
"""User tags on one resource (AWS, "Tag naming limits and requirements")."""
TAGS_LEFT = 10
"""Of which so many are left for what EKS, its load balancers and its volumes add."""
TAG_KEY = r"[\w .:/+@-]{1,128}"
TAG_VALUE = r"[\w .:/=+@-]{0,256}"
"""A key without `=`: load balancers are given theirs as k=v,k=v."""


def not_the_words(key: str, value: str | None, pattern: str, wanted: str) -> Iterator[Problem]:
    """The problem of a value that AWS would refuse; ``wanted`` says what it takes."""
    if value is not None and not re.fullmatch(pattern, value):
        yield Problem(key, f"{value} is not {wanted}")


def lacks(cluster: AwsCluster, *features: Feature) -> bool:
    """Whether an existing cluster is said to have none of these; a created one has what it needs."""
    return bool(cluster.existing) and not set(features) & set(cluster.has)


@rule
def features_of_the_existing_cluster(cluster: AwsCluster) -> Iterator[Problem]:
    if cluster.has and not cluster.existing:
        yield Problem(HAS, "is about an existing cluster; the stack knows what its own has. Remove it")
    if len(set(cluster.has)) != len(cluster.has):
        yield Problem(HAS, "names a feature twice; name each once")
    if cluster.existing and Feature.TAGGING in cluster.has and Feature.AUTO_MODE not in cluster.has:
        yield Problem(HAS, "names tagging, which is about auto-mode alone; others may tag. Remove it")


@rule
def entrances_need_a_controller(exposure: Exposure, cluster: AwsCluster) -> Iterator[Problem]:
    if not lacks(cluster, Feature.AUTO_MODE, Feature.LOAD_BALANCER_CONTROLLER):
        return
    own_ingress = exposure.ingress is not None and not exposure.ingress.class_name
    entrances = {"internal": exposure.internal, "external": exposure.external, "ingress": own_ingress}
    for kind, wanted in entrances.items():
        if wanted:
            yield Problem(
                f"mlflow:exposure.{kind}",
                "needs EKS Auto Mode or the AWS Load Balancer Controller in cluster "
                f"{cluster.existing}; list what it has in {HAS} (auto-mode, load-balancer-controller)",
            )


@rule
def pod_identity_needs_its_agent(aws: Aws, cluster: AwsCluster) -> Iterator[Problem]:
    without = lacks(cluster, Feature.AUTO_MODE, Feature.POD_IDENTITY_AGENT)
    if aws.identity is IdentityMode.POD_IDENTITY and without:
        yield Problem(
            "mlflow:aws.identity",
            "is pod-identity, which needs EKS Auto Mode or the Pod Identity agent in cluster "
            f"{cluster.existing}; list what it has in {HAS} (auto-mode, pod-identity-agent), or set irsa",
        )


@rule
def name_of_the_existing_cluster(cluster: AwsCluster) -> Iterator[Problem]:
    yield from not_the_words(
        "mlflow:cluster.existing", cluster.existing, CLUSTER_NAME, "the name of an EKS cluster"
    )


@rule
def version_of_kubernetes(cluster: AwsCluster) -> Iterator[Problem]:
    if cluster.create:
        yield from end_of_life(f"{CREATE}.version", Product.EKS, cluster.create.version)


@rule
def nodes_of_the_cluster(cluster: AwsCluster) -> Iterator[Problem]:
    new = cluster.create
    if new is None:
        return
    size, key = new.nodes.size, f"{CREATE}.nodes"
    yield from not_the_words(f"{key}.size", size, EC2_TYPE, "an EC2 instance type such as m7i.large")
    if re.match(GRAVITON, size or ""):
        yield Problem(f"{key}.size", f"{size} is Arm, and the images are x86-64; choose such as m7i.large")
    yield from not_the_words(f"{key}.diskType", new.nodes.disk_type, DISK_TYPE, "gp3 or gp2")
    if new.compute is ComputeMode.AUTO and new.nodes.disk_type:
        yield Problem(
            f"{key}.diskType",
            f"is chosen by EKS Auto Mode; remove it, or set {CREATE}.compute: node-groups",
        )


@rule
def zones_of_the_region(cluster: AwsCluster, region: str) -> Iterator[Problem]:
    for index, zone in enumerate(cluster.create.zones if cluster.create else ()):
        if not re.fullmatch(re.escape(region) + "[a-z]", zone):
            yield Problem(
                f"{CREATE}.zones[{index}]", f"{zone} is no availability zone of {region}; such as {region}a"
            )


@rule
def subnets_that_are_there(cluster: AwsCluster) -> Iterator[Problem]:
    new = cluster.create
    if new is None or not new.subnets:
        return
    key = f"{CREATE}.subnets"
    if len(set(new.subnets)) != len(new.subnets):
        yield Problem(key, "names a subnet twice; name each once")
    elif len(new.subnets) not in (2, 3):
        yield Problem(key, f"has {len(new.subnets)}; name two or three, each in another zone")
    for name in sorted({"network", "zones"} & new.model_fields_set):
        text = f"is about a network that the stack makes; remove it, or {key}"
        yield Problem(f"{CREATE}.{name}", text)


@rule
def a_region_is_needed(aws: Aws, region: str) -> Iterator[Problem]:  # noqa: ARG001
    if not re.fullmatch(r"[a-z]{2}(-[a-z]+)+-[0-9]", region):
        given = f"{region} is no region" if region else "is missing"
        yield Problem("aws:region", f"{given}; say where the stack lives, such as eu-west-1")


@rule
def control_plane_ranges(cluster: AwsCluster) -> Iterator[Problem]:
    key = f"{CREATE}.access.public"
    ranges = cluster.create.access.public if cluster.create else []
    if len(ranges) > PUBLIC_RANGES:
        yield Problem(key, f"has {len(ranges)} ranges; EKS takes {PUBLIC_RANGES} at most, merge some")
    yield from only_ipv4(key, ranges)
    for index, cidr in enumerate(ranges):
        network = ipaddress.ip_network(cidr)
        # EKS user guide, "Configure network access to cluster API server endpoint": no reserved addresses.
        if isinstance(network, ipaddress.IPv4Network) and any(map(network.subnet_of, PRIVATE_NETWORKS)):
            yield Problem(
                f"{key}[{index}]",
                f"{cidr} is private, and EKS refuses it; from inside the network the API is reached anyway",
            )


@rule
def entrance_ranges(exposure: Exposure, cluster: AwsCluster) -> Iterator[Problem]:  # noqa: ARG001
    for kind, entrance in _entrances(exposure):
        yield from only_ipv4(f"mlflow:exposure.{kind}.allow", entrance.allow)


def _entrances(exposure: Exposure) -> Iterator[tuple[str, LoadBalancer]]:
    for kind in ("internal", "external", "ingress"):
        entrance = getattr(exposure, kind)
        if entrance and not (kind == "ingress" and exposure.ingress and exposure.ingress.class_name):
            yield kind, entrance


@rule
def certificates_of_aws(exposure: Exposure, cluster: AwsCluster) -> Iterator[Problem]:  # noqa: ARG001
    for kind, entrance in _entrances(exposure):
        yield from not_the_words(
            f"mlflow:exposure.{kind}.certificate",
            entrance.certificate,
            CERTIFICATE,
            "the ARN of an ACM certificate, such as arn:aws:acm:eu-west-1:123456789012:certificate/…",
        )


ALB = "alb.ingress.kubernetes.io/"
ALB_OWN = frozenset({
    "certificate-arn", "group.name", "healthcheck-path", "inbound-cidrs", "ip-address-type", "listen-ports",
    "scheme", "security-group-prefix-lists", "security-groups", "ssl-policy", "ssl-redirect", "tags",
    "target-type",
})  # fmt: skip
"""What the program says of its own load balancer, and what would undo it: other security groups void the
ranges, a shared group lends them to others (AWS Load Balancer Controller, "Annotations")."""


@rule
def annotations_of_the_own_ingress(exposure: Exposure, cluster: AwsCluster) -> Iterator[Problem]:  # noqa: ARG001
    ingress = exposure.ingress
    if ingress is None or ingress.class_name:
        return
    for name in ingress.annotations:
        if name.startswith(ALB) and name.removeprefix(ALB) in ALB_OWN:
            yield Problem(
                f"mlflow:exposure.ingress.annotations.{name}",
                "is the program's; say it by the other keys of mlflow:exposure.ingress",
            )


@rule
def certificates_of_the_region(
    exposure: Exposure,
    cluster: AwsCluster,  # noqa: ARG001
    region: str,
) -> Iterator[Problem]:
    for kind, entrance in _entrances(exposure):
        found = re.fullmatch(CERTIFICATE, entrance.certificate or "")
        if found and found["region"] != region:
            yield Problem(
                f"mlflow:exposure.{kind}.certificate",
                f"lies in {found['region']}, but a load balancer takes one of its own region, {region}",
            )


@rule
def principals_and_policies(aws: Aws, cluster: AwsCluster) -> Iterator[Problem]:
    yield from not_the_words(
        "mlflow:aws.permissionBoundary",
        aws.permission_boundary,
        POLICY,
        "the ARN of an IAM policy, such as arn:aws:iam::123456789012:policy/boundary",
    )
    admins = cluster.create.admins if cluster.create else []
    key = f"{CREATE}.admins"
    if len(set(admins)) != len(admins):
        yield Problem(key, "names somebody twice; name each once")
    for index, admin in enumerate(admins):
        yield from not_the_words(
            f"{key}[{index}]",
            admin,
            PRINCIPAL,
            "an IAM role or user (of an assumed role name the role itself)",
        )


@rule
def tags_of_aws(tags: dict[str, str], aws: Aws) -> Iterator[Problem]:  # noqa: ARG001
    key = "mlflow:tags"
    if len(tags) > TAGS - TAGS_LEFT:
        most = TAGS - TAGS_LEFT
        yield Problem(key, f"has {len(tags)}; {most} at most, as AWS takes {TAGS} and the cluster adds some")
    for name, value in tags.items():
        if not re.fullmatch(TAG_KEY, name):
            yield Problem(f"{key}.{name}", "is no key: 1 to 128 letters, digits, spaces and . : / + - @ _")
        if not re.fullmatch(TAG_VALUE, value):
            yield Problem(
                f"{key}.{name}", "has a value beyond 256 letters, digits, spaces and . : / = + - @ _"
            )
        if any(re.match("aws:", text, re.IGNORECASE) for text in (name, value)):
            yield Problem(f"{key}.{name}", "starts with aws:, which AWS keeps to itself; choose another")
