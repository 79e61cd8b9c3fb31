"""What a stack on AWS must not say about its database and its artifacts."""

from __future__ import annotations

from collections.abc import Iterator

from ..database_engines import Engine
from .artifacts import AccessMode, ManagedArtifacts
from .aws import Aws, AwsArtifacts, AwsCluster, AwsDatabase, Feature, IdentityMode
from .aws_rules import HAS, lacks, not_the_words
from .cloud_rules import end_of_life, said
from .cloud_store_rules import makes_database
from .database import ManagedDatabase, Place, SignIn
from .errors import Problem
from .rules import rule
from .server import Server
from .stack import Cloud, Groups, place_of
from .versions import Product

PRODUCTS = {Engine.POSTGRESQL: Product.RDS_POSTGRESQL, Engine.MYSQL: Product.RDS_MYSQL}

MASTER = "mlflow_admin"
"""The administrator of a database that the stack makes (``clouds/aws/database_instance.py``)."""

DATABASE_CLASS = r"db\.[a-z][a-z0-9-]*\.(micro|small|medium|([0-9]+)?x?large)"
DATABASE_IDENTIFIER = r"(?!.*--)[A-Za-z]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
"""RDS API reference, CreateDBInstance: 63 at most, a letter first, no two dashes together, none last."""
IDENTIFIER = "an identifier of RDS: up to 63 letters, digits and single dashes"
SECURITY_GROUP = r"sg-[0-9a-f]{8}([0-9a-f]{9})?"
KEY = r"arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:key/[A-Za-z0-9-]+"
BUCKET = r"(?!xn--)(?!.*\.\.)[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]"
"""Amazon S3 user guide, general purpose bucket naming rules."""

STATIC_KEYS = {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"}
"""What the SDK prefers to the pod's own role (Boto3 guide, "Credentials": the order of its look-ups)."""


@rule
def volumes_need_a_driver(
    cluster: AwsCluster, database: ManagedDatabase, artifacts: ManagedArtifacts, cloud: Cloud
) -> Iterator[Problem]:
    without = lacks(cluster, Feature.AUTO_MODE, Feature.EBS_CSI)
    for section, store in (("database", database), ("artifacts", artifacts)):
        named = store.volume.storage_class or cluster.storage_class
        if place_of(store, cloud) is Place.IN_CLUSTER and without and not named:
            yield Problem(
                f"mlflow:{section}.place",
                f"in-cluster needs a volume, and nothing is said of a driver in cluster {cluster.existing}; "
                f"list what it has in {HAS} (auto-mode, ebs-csi), or name a class in "
                "mlflow:cluster.storageClass",
            )


@rule
def shared_volumes(cluster: AwsCluster, artifacts: ManagedArtifacts) -> Iterator[Problem]:
    shared = artifacts.volume.access_mode is AccessMode.READ_WRITE_MANY
    if shared and not (artifacts.volume.storage_class or cluster.storage_class):
        yield Problem(
            "mlflow:artifacts.volume.accessMode",
            "is ReadWriteMany, which EBS cannot do; name a class that can, such as one of EFS, in "
            "mlflow:artifacts.volume.storageClass",
        )


@rule
def the_database_service(database: ManagedDatabase, aws: Aws) -> Iterator[Problem]:  # noqa: ARG001
    yield from not_the_words(
        "mlflow:database.size", database.size, DATABASE_CLASS, "a class such as db.t4g.medium"
    )
    if database.engine in PRODUCTS:
        yield from end_of_life("mlflow:database.version", PRODUCTS[database.engine], database.version)
    for key in said(database, "name", "user"):
        value = getattr(database, key)
        taken = value.startswith("rds") or value == MASTER
        if taken and makes_database(database.existing):
            yield Problem(f"mlflow:database.{key}", f"{value} is a name that RDS keeps; choose another")
    most, now = database.max_storage_gb, database.storage_gb
    if most is not None and now < most < now * 1.1:
        # RDS user guide, "Managing capacity automatically with Amazon RDS storage autoscaling".
        yield Problem(
            "mlflow:database.maxStorageGb",
            f"is {most}; RDS wants at least a tenth more than storageGb ({now}), or the same for no growth",
        )


@rule
def restored_database(database: AwsDatabase, cloud: Cloud) -> Iterator[Problem]:
    key = "mlflow:database.restored"
    if database.restored is None:
        return
    if database.existing or place_of(database, cloud) is not Place.MANAGED:
        yield Problem(key, "takes the place of an instance of the stack's own; here is none. Remove it")
    yield from not_the_words(key, database.restored, DATABASE_IDENTIFIER, IDENTIFIER)


@rule
def existing_stores(
    database: ManagedDatabase,
    artifacts: ManagedArtifacts,
    aws: Aws,  # noqa: ARG001
) -> Iterator[Problem]:
    existing, key = database.existing, "mlflow:database.existing"
    if existing:
        for name in ("instance", "cluster"):
            yield from not_the_words(
                f"{key}.{name}", getattr(existing, name), DATABASE_IDENTIFIER, IDENTIFIER
            )
        yield from not_the_words(
            f"{key}.securityGroup", existing.security_group, SECURITY_GROUP, "an id: sg-0123456789abcdef0"
        )
    if artifacts.existing:
        yield from not_the_words(
            "mlflow:artifacts.existing.name", artifacts.existing.name, BUCKET, "a bucket's name"
        )


@rule
def key_of_the_existing_bucket(artifacts: AwsArtifacts) -> Iterator[Problem]:
    if artifacts.existing:
        yield from not_the_words(
            "mlflow:artifacts.existing.key",
            artifacts.existing.key,
            KEY,
            "the ARN of a KMS key (no alias), such as arn:aws:kms:eu-west-1:123456789012:key/…",
        )


@rule
def groups_of_the_nodes(cluster: AwsCluster, database: AwsDatabase, cloud: Cloud) -> Iterator[Problem]:
    key, groups, existing = (
        "mlflow:cluster.nodeSecurityGroups",
        cluster.node_security_groups,
        database.existing,
    )
    if groups and not cluster.existing:
        yield Problem(key, "is about an existing cluster; the nodes of a new one are in its own. Remove it")
    if len(set(groups)) != len(groups):
        yield Problem(key, "names a group twice; name each once")
    for index, group in enumerate(groups):
        yield from not_the_words(f"{key}[{index}]", group, SECURITY_GROUP, "an id: sg-0123456789abcdef0")
    if groups and (
        place_of(database, cloud) is not Place.MANAGED or (existing and not existing.security_group)
    ):
        yield Problem(
            key,
            "has no effect: the stack lets them in to a database of its own, or to the group in "
            "mlflow:database.existing.securityGroup. Remove it",
        )


def _needs_its_role(database: ManagedDatabase, artifacts: ManagedArtifacts, cloud: Cloud) -> bool:
    """Whether the server is its role: at the database, or at the bucket."""
    return _signs_in_by_token(database, cloud) or place_of(artifacts, cloud) is Place.MANAGED


def _signs_in_by_token(database: ManagedDatabase, cloud: Cloud) -> bool:
    return place_of(database, cloud) is Place.MANAGED and database.sign_in is SignIn.IDENTITY


@rule
def nothing_replaces_the_servers_role(
    database: ManagedDatabase,
    artifacts: ManagedArtifacts,
    server: Server,
    secrets: Groups,
    cloud: Cloud,
    aws: Aws,  # noqa: ARG001
) -> Iterator[Problem]:
    if not _needs_its_role(database, artifacts, cloud):
        return
    for name in server.env:
        if name in STATIC_KEYS:
            yield Problem(f"mlflow:server.env.{name}", "would replace the server's own role; remove it")
    groups = {f"mlflow:server.secrets[{index}]": group for index, group in enumerate(server.secrets)}
    if artifacts.credentials:
        groups["mlflow:artifacts.credentials"] = artifacts.credentials
    for key, group in groups.items():
        held = {name for secret in secrets.get(group, {}).values() for name in secret} & STATIC_KEYS
        if held:
            yield Problem(
                key,
                f"group {group} holds {', '.join(sorted(held))}, which would replace the role with which the "
                "server reaches its database and bucket; give that role the rights instead, or set "
                "mlflow:database.signIn: password where the bucket is external",
            )


@rule
def a_ca_bundle_spares_the_sign_in(
    database: ManagedDatabase, artifacts: ManagedArtifacts, cloud: Cloud, aws: Aws
) -> Iterator[Problem]:
    irsa = aws.identity is IdentityMode.IRSA
    if artifacts.ca_bundle and irsa and _signs_in_by_token(database, cloud):
        # AWS_CA_BUNDLE holds for every call of the SDK (botocore), AssumeRoleWithWebIdentity among them.
        yield Problem(
            "mlflow:artifacts.caBundle",
            "would also judge AWS's own certificate when the server becomes its role by irsa, and refuse it; "
            "set mlflow:aws.identity: pod-identity, or mlflow:database.signIn: password",
        )
