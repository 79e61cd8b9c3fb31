"""What the two halves agree on: a cloud (or the dev stack) provides these, the in-cluster half uses them.

The words are those of Kubernetes, SQLAlchemy and MLflow, never of a cloud. Nothing here creates
anything, and nothing here imports a cloud's SDK.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import pulumi
import pulumi_kubernetes as kubernetes

from .database_engines import Engine

Text: TypeAlias = pulumi.Input[str]
"""A string, known now or only once the cloud has answered."""


@dataclass(frozen=True, kw_only=True)
class LoadBalancerFlavor:
    """How this cluster makes an internal or an external load balancer from a Service.

    :param annotations: put on the Service.
    :param load_balancer_class: ``spec.loadBalancerClass``; None for the cluster's default.
    """

    annotations: Mapping[str, Text] = field(default_factory=dict)
    load_balancer_class: str | None = None


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """A Kubernetes cluster that can be deployed into.

    :param provider: the only way to reach it; it never uses the caller's current context.
    :param identity: tells it from every other cluster; None where the cloud protects it by name.
    :param storage_class: named in each volume claim; None for the cluster's default class.
    :param node_address: host name or address at which a NodePort answers; None where none is known.
    :param internal_load_balancer: None where the cluster gives Services no private address.
    :param external_load_balancer: None where the cluster gives Services no public address.
    :param ready: what must exist before anything is scheduled (node pools, controllers).
    """

    provider: kubernetes.Provider
    identity: str | None = None
    storage_class: str | None = None
    node_address: str | None = None
    internal_load_balancer: LoadBalancerFlavor | None = None
    external_load_balancer: LoadBalancerFlavor | None = None
    ready: Sequence[pulumi.Resource] = ()


@dataclass(frozen=True, kw_only=True)
class FileFromText:
    """A small text file mounted read-only into pods, such as a CA bundle.

    :param path: absolute path in the container.
    :param text: its content; a secret Output is kept in a Secret, anything else in a ConfigMap.
    """

    path: str
    text: Text
    secret: bool = False


@dataclass(frozen=True, kw_only=True)
class VolumeMount:
    """An existing volume claim mounted into the server.

    :param claim: its name in the stack's namespace.
    :param path: absolute path in the container.
    :param single_node: pods that share it must run on one node (ReadWriteOnce).
    """

    claim: Text
    path: str
    single_node: bool


@dataclass(frozen=True, kw_only=True)
class Database:
    """The tracking database.

    :param uri: SQLAlchemy URI with an explicit driver; it may hold a password and is always kept in a Secret.
    :param files: what the driver needs beside the URI (CA bundle).
    :param volume: the volume of a database that is a file (sqlite).
    :param env: plain environment that the sign-in needs (a token source's region or client id).
    :param sidecars: native sidecars that every pod which opens the database needs (a proxy).
    :param single_writer: only one server process at a time.
    :param client_labels: pod labels that admit a pod to the database (network policies).
    :param ready: what must exist before the first connection.
    """

    engine: Engine
    uri: Text
    files: Sequence[FileFromText] = ()
    volume: VolumeMount | None = None
    env: Mapping[str, Text] = field(default_factory=dict)
    sidecars: Sequence[kubernetes.core.v1.ContainerArgs] = ()
    single_writer: bool = False
    client_labels: Mapping[str, str] = field(default_factory=dict)
    ready: Sequence[pulumi.Resource] = ()


@dataclass(frozen=True, kw_only=True)
class ArtifactStore:
    """Where the server keeps artifacts.

    :param destination: ``--artifacts-destination``: an object store URI or a path in the container.
    :param env: plain environment the store's SDK needs (endpoint, region).
    :param secret_env: environment from a Secret's values: variable name → secret Output.
    :param files: credentials or CA bundles mounted as files.
    :param volume: the volume behind a path.
    :param ready: what must exist before the first transfer.
    """

    destination: Text
    env: Mapping[str, Text] = field(default_factory=dict)
    secret_env: Mapping[str, pulumi.Output[str]] = field(default_factory=dict)
    files: Sequence[FileFromText] = ()
    volume: VolumeMount | None = None
    ready: Sequence[pulumi.Resource] = ()


@dataclass(frozen=True, kw_only=True)
class Images:
    """Image references that the cluster's nodes can pull or already hold.

    :param third_party: name in the table of third-party images → reference.
    :param pull_secrets: names of docker-registry Secrets in the stack's namespace.
    """

    server: Text
    job: Text
    third_party: Mapping[str, Text]
    pull_secrets: Sequence[Text] = ()
    ready: Sequence[pulumi.Resource] = ()


@dataclass(frozen=True, kw_only=True)
class Identity:
    """What makes a ServiceAccount somebody in the cloud.

    :param annotations: on the ServiceAccount.
    :param pod_labels: on every pod that runs as it.
    """

    annotations: Mapping[str, Text] = field(default_factory=dict)
    pod_labels: Mapping[str, str] = field(default_factory=dict)
    ready: Sequence[pulumi.Resource] = ()


@dataclass(frozen=True, kw_only=True)
class WorkloadIdentity:
    """One identity for the server (and its migration), one for jobs."""

    server: Identity = Identity()
    jobs: Identity = Identity()


@dataclass(frozen=True, kw_only=True)
class Foundation:
    """Everything a cloud provides.

    :param database: None where the in-cluster half runs or addresses the database itself.
    :param artifacts: None where the in-cluster half keeps the volume or addresses the store itself.
    """

    cluster: Cluster
    images: Images
    identity: WorkloadIdentity = WorkloadIdentity()
    database: Database | None = None
    artifacts: ArtifactStore | None = None
