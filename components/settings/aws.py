"""A stack on Amazon Web Services."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from .artifacts import ExistingBucket, ManagedArtifacts
from .base import Model
from .cluster import ManagedCluster, NewCluster
from .database import ManagedDatabase
from .stack import Cloud, CloudCommon

Arn = Annotated[str, Field(pattern=r"^arn:aws[a-z-]*:[a-z0-9-]+:[a-z0-9-]*:([0-9]{12}|aws)?:.+$")]
"""An Amazon Resource Name."""


class ComputeMode(StrEnum):
    """Who looks after the nodes of a created EKS cluster."""

    AUTO = "auto"
    NODE_GROUPS = "node-groups"


class Feature(StrEnum):
    """What an existing EKS cluster has installed."""

    AUTO_MODE = "auto-mode"
    LOAD_BALANCER_CONTROLLER = "load-balancer-controller"
    EBS_CSI = "ebs-csi"
    POD_IDENTITY_AGENT = "pod-identity-agent"
    TAGGING = "tagging"


AUTO_MODE_FEATURES = frozenset({Feature.AUTO_MODE, Feature.TAGGING})
"""Of a created cluster in Auto Mode; the rest of Auto Mode's is built in."""


class NewAwsCluster(NewCluster):
    """An EKS cluster that the stack makes, with its VPC."""

    compute: ComputeMode = ComputeMode.AUTO
    """auto (EKS Auto Mode: nodes come and go with the load; load balancing, block storage and Pod Identity
    are built in) or node-groups (managed node groups of `nodes`, with the add-ons installed)."""
    subnets: list[Annotated[str, Field(pattern=r"^subnet-[0-9a-f]{8}([0-9a-f]{9})?$")]] = []
    """Private subnets that are there already, two or three in as many zones of one VPC, each with a way out:
    cluster, nodes and database stand there, and the stack makes no network."""
    admins: list[Arn] = []
    """IAM roles or users that administer the cluster, beside the one that creates it, who is not named."""


class AwsCluster(ManagedCluster):
    """The EKS cluster: `existing`, or made by the stack."""

    has: list[Feature] = []
    """What the existing cluster has: auto-mode, load-balancer-controller, ebs-csi, pod-identity-agent; and
    tagging, where the role of one in Auto Mode may put your tags on load balancers and volumes, which AWS's
    own policies forbid (EKS user guide, "Custom AWS tags for EKS Auto resources"). Without it they have
    none."""
    node_security_groups: list[str] = []
    """Security groups of the existing cluster's nodes, where those are not in the cluster's own (a module of
    Terraform's does so): each is let in to the database as well."""
    create: NewAwsCluster | None = None
    """A new cluster. Default: one with every default, unless `existing` names one."""


class AwsDatabase(ManagedDatabase):
    """The tracking database of a stack on AWS."""

    restored: str | None = None
    """Name of an instance that was restored from a backup of the stack's own: the server uses it from then
    on, and the stack keeps its own as it is (docs/aws.md, "Back in time")."""


class AwsBucket(ExistingBucket):
    """An S3 bucket that is there already."""

    key: Arn | None = None
    """KMS key that the bucket encrypts with, where it is one of your own: the rights to use it are given with
    those on the bucket. In another account its policy must allow that as well."""


class AwsArtifacts(ManagedArtifacts):
    """The artifact store of a stack on AWS."""

    existing: AwsBucket | None = None  # pyright: ignore[reportIncompatibleVariableOverride] - frozen
    """Managed: a bucket that is there already, instead of a new one."""


class IdentityMode(StrEnum):
    """How pods become an IAM role."""

    POD_IDENTITY = "pod-identity"
    IRSA = "irsa"


class Aws(Model):
    """What only AWS has."""

    identity: IdentityMode = IdentityMode.POD_IDENTITY
    """pod-identity (EKS Pod Identity) or irsa (IAM roles for service accounts, through OIDC)."""
    permission_boundary: Arn | None = None
    """Policy that bounds every IAM role the stack makes."""


class AwsStack(CloudCommon):
    """A stack on AWS; `aws:region` says where."""

    cloud: Literal[Cloud.AWS]
    """Where the database, artifacts, registry and identity come from."""
    cluster: AwsCluster = AwsCluster()
    """The EKS cluster."""
    database: AwsDatabase = AwsDatabase()  # pyright: ignore[reportIncompatibleVariableOverride] - frozen
    """The tracking database: by default the cloud's service."""
    artifacts: AwsArtifacts = AwsArtifacts()  # pyright: ignore[reportIncompatibleVariableOverride] - frozen
    """The artifact store: by default the cloud's object store."""
    aws: Aws = Aws()
    """What only AWS has."""

    @property
    def new_cluster(self) -> NewAwsCluster | None:
        """The cluster to make; None where an existing one is used."""
        return None if self.cluster.existing else self.cluster.create or NewAwsCluster()

    @property
    def features(self) -> frozenset[Feature]:
        """What the cluster has, existing or made."""
        if self.new_cluster is None:
            return frozenset(self.cluster.has)
        if self.new_cluster.compute is ComputeMode.AUTO:
            return AUTO_MODE_FEATURES
        return frozenset(Feature) - AUTO_MODE_FEATURES
