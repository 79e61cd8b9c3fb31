"""What the two halves agree on: a cloud (or the dev stack) provides these, the in-cluster half uses them.

The words are those of Kubernetes, SQLAlchemy and MLflow, never of a cloud. Nothing here creates
anything, and nothing here imports a cloud's SDK.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import pulumi
import pulumi_kubernetes as kubernetes

from .database_engines import Engine

Text: TypeAlias = pulumi.Input[str]
"""A string, known now or only once the cloud has answered."""


SERVER_ACCOUNT = "mlflow-server"
JOBS_ACCOUNT = "mlflow-jobs"
DATABASE_ADMIN_ACCOUNT = "mlflow-database-admin"
"""ServiceAccounts in the stack's namespace; a cloud binds its identities to exactly these names."""


@dataclass(frozen=True, kw_only=True)
class LoadBalancerFlavor:
    """How this cluster makes an internal or an external load balancer from a Service.

    :param annotations: put on the Service.
    :param load_balancer_class: ``spec.loadBalancerClass``; None for the cluster's default.
    :param tls: it terminates TLS: people come by https on 443, and there is no port 80.
    :param drain_seconds: how long it may send new requests to a pod that is going; 0 where it follows the
        Service's endpoints. To take on a new pod may take it as long.
    """

    annotations: Mapping[str, Text] = field(default_factory=dict)
    load_balancer_class: str | None = None
    tls: bool = False
    drain_seconds: int = 0


@dataclass(frozen=True, kw_only=True)
class CustomObject:
    """An object of the cluster's own kind that an entrance needs beside it, in the stack's namespace.

    :param spec: plain JSON; may hold Outputs.
    """

    api_version: str
    kind: str
    name: str
    spec: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class IngressFlavor:
    """How this cluster makes an entrance from an Ingress.

    :param class_name: ``spec.ingressClassName``; None where the controller goes by an annotation.
    :param annotations: put on the Ingress.
    :param service_annotations: put on the Service behind it.
    :param objects: made before the Ingress.
    :param tls: its controller terminates TLS: people come by https.
    :param drain_seconds: as of a load balancer.
    :param health_annotation: of an Ingress, for the path that tells whether a pod is ready; None where the
        controller goes by the pods' own probes.
    :param controller_namespaces: where its controller's pods are, for network policies; empty where nobody
        knows, or it is no pod.
    :param gateway: annotations of the load balancer of a Gateway, which takes the Ingress's place; None for
        an Ingress.
    :param gateway_tls: options of a Gateway's https listener, where its controller has the certificate.
    :param gateway_address: name of a reserved address for a Gateway.
    """

    class_name: str | None
    annotations: Mapping[str, Text] = field(default_factory=dict)
    service_annotations: Mapping[str, Text] = field(default_factory=dict)
    objects: Sequence[CustomObject] = ()
    tls: bool = False
    drain_seconds: int = 0
    health_annotation: str | None = None
    controller_namespaces: Sequence[str] = ()
    gateway: Mapping[str, Text] | None = None
    gateway_tls: Mapping[str, Text] | None = None
    gateway_address: Text | None = None


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """A Kubernetes cluster that can be deployed into.

    :param provider: the only way to reach it; it never uses the caller's current context.
    :param identity: tells it from every other cluster; None where the cloud protects it by name.
    :param storage_class: named in each volume claim; None for the cluster's default class.
    :param node_address: host name or address at which a NodePort answers; None where none is known.
    :param job_annotations: on pods that run to an end, so that no node is taken from under them to save or to
        renew it.
    :param namespace_labels: on the stack's namespace, for what the cluster does in namespaces so marked.
    :param ingress: None where the stack has no Ingress.
    :param internal_load_balancer: None where the cluster gives Services no private address.
    :param external_load_balancer: None where the cluster gives Services no public address.
    :param ready: what must exist before anything is scheduled (node pools, controllers).
    """

    provider: kubernetes.Provider
    identity: str | None = None
    storage_class: Text | None = None
    node_address: str | None = None
    job_annotations: Mapping[str, str] = field(default_factory=dict)
    namespace_labels: Mapping[str, str] = field(default_factory=dict)
    internal_load_balancer: LoadBalancerFlavor | None = None
    external_load_balancer: LoadBalancerFlavor | None = None
    ingress: IngressFlavor | None = None
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
class DatabaseBootstrap:
    """Makes the database and the user that MLflow signs in as: a Job before the migration.

    It runs in the server image, as :data:`DATABASE_ADMIN_ACCOUNT`, with the database's files mounted. It may
    run any number of times and leaves nothing that needs the administrator's credentials afterwards.

    :param command: what the container runs (``images/tracking-server/packages/database_signin``).
    :param identity: who the Job is in the cloud; nobody else has the administrator's rights.
    :param env: plain environment.
    :param secret_env: environment from a Secret's values: variable name → secret Output.
    """

    command: Sequence[str]
    identity: Identity = Identity()
    env: Mapping[str, Text] = field(default_factory=dict)
    secret_env: Mapping[str, pulumi.Output[str]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class DatabaseProxy:
    """A proxy in front of the database, run in the stack's namespace as a Deployment of its own.

    Whoever reaches its port may be the database's user without any password: only pods with
    ``Database.client_labels`` are let in, in a cluster that enforces network policies.

    :param name: of its Deployment, Service and ServiceAccount: the host in ``Database.uri``.
    :param port: on which it listens, at every address, and under which the Service offers it.
    :param container: with its image, arguments and probes.
    :param uid: the image's user and group.
    :param stop_seconds: how long it may take to end after its last connection.
    """

    name: str
    port: int
    container: kubernetes.core.v1.ContainerArgs
    uid: int
    identity: Identity = Identity()
    replicas: int = 2
    stop_seconds: int = 60


@dataclass(frozen=True, kw_only=True)
class Database:
    """The tracking database.

    :param uri: SQLAlchemy URI with an explicit driver; it may hold a password and is always kept in a Secret.
    :param files: what the driver needs beside the URI (CA bundle).
    :param volume: the volume of a database that is a file (sqlite).
    :param env: plain environment that the sign-in needs (a token source's region or client id).
    :param sidecars: native sidecars that every pod which opens the database needs (a proxy).
    :param proxy: a proxy that those pods share, instead.
    :param single_writer: only one server process at a time.
    :param bootstrap: makes its user first; None where the URI already works.
    :param client_labels: pod labels that admit a pod to the database (network policies).
    :param ready: what must exist before the first connection.
    """

    engine: Engine
    uri: Text
    files: Sequence[FileFromText] = ()
    volume: VolumeMount | None = None
    env: Mapping[str, Text] = field(default_factory=dict)
    sidecars: Sequence[kubernetes.core.v1.ContainerArgs] = ()
    proxy: DatabaseProxy | None = None
    single_writer: bool = False
    bootstrap: DatabaseBootstrap | None = None
    client_labels: Mapping[str, str] = field(default_factory=dict)
    ready: Sequence[pulumi.Resource] = ()


THROUGH_THE_SERVER: Mapping[str, str] = {
    "MLFLOW_ENABLE_PROXY_MULTIPART_DOWNLOAD": "false",
    "MLFLOW_ENABLE_PROXY_MULTIPART_UPLOAD": "false",
}
"""Left to itself, a client takes large files straight from S3 and GCS, by signed URLs (MLflow 3.17's
server-info offers it, and no server setting stops it). Then each client would need a way to the store and
trust in its certificate, which only the server has."""


@dataclass(frozen=True, kw_only=True)
class ArtifactStore:
    """Where the server keeps artifacts.

    :param destination: ``--artifacts-destination``: an object store URI or a path in the container.
    :param default_root: ``--default-artifact-root``: what new experiments are told; by default the server.
    :param client_env: environment with which clients, jobs among them, transfer artifacts.
    :param env: plain environment the store's SDK needs in the server (endpoint, region).
    :param secret_env: environment from a Secret's values: variable name → secret Output.
    :param files: credentials or CA bundles mounted as files.
    :param volume: the volume behind a path.
    :param ready: what must exist before the first transfer.
    """

    destination: Text
    default_root: Text = "mlflow-artifacts:/"
    client_env: Mapping[str, Text] = field(default_factory=lambda: THROUGH_THE_SERVER)
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
    :param pull_credentials: text of a Docker ``config.json``, for a Secret that the in-cluster half makes and
        gives to the ServiceAccounts; None where the nodes may pull by themselves.
    :param pull_secret: name of that Secret; None where it may have any.
    """

    server: Text
    job: Text
    third_party: Mapping[str, Text]
    pull_secrets: Sequence[Text] = ()
    pull_credentials: pulumi.Output[str] | None = None
    pull_secret: str | None = None
    ready: Sequence[pulumi.Resource] = ()


CA_FOLDER, CA_FILE = "/etc/mlflow-ca", "ca.pem"
"""Where pods find the certificates that a tracking server's is checked against."""


@dataclass(frozen=True, kw_only=True)
class TrackingAccess:
    """How pods of jobs and services reach a tracking server, and as whom.

    :param namespace: where they run.
    :param account: their ServiceAccount.
    :param config_map: environment of every one of them: the server's address, log levels. Its name changes
        with its content, so that what uses it rolls.
    :param environment: the same as values, for pods whose next attempt must find what the first one had.
    :param secret: environment they sign in with; None without sign-in.
    :param groups: secret group → key → name of the Secret that holds it.
    :param authority: ConfigMap with :data:`CA_FILE`, mounted at :data:`CA_FOLDER`; None where public
        authorities will do.
    :param pod_labels: on every pod, for its identity in the cloud.
    :param job_annotations: on every pod that runs to an end.
    :param pull_secrets: for ServiceAccounts made beside ``account``: what its pods pull their images with.
    """

    namespace: Text
    account: Text
    config_map: Text
    environment: Mapping[str, Text] = field(default_factory=dict)
    secret: Text | None = None
    groups: Mapping[str, Mapping[str, Text]] = field(default_factory=dict)
    authority: Text | None = None
    pod_labels: Mapping[str, str] = field(default_factory=dict)
    job_annotations: Mapping[str, str] = field(default_factory=dict)
    pull_secrets: Sequence[Text] = ()


@dataclass(frozen=True, kw_only=True)
class CodeArchive:
    """The files of one commit of a checkout on this machine.

    :param commit: its full hash.
    :param tar_gz: small enough for a ConfigMap.
    """

    commit: str
    tar_gz: bytes


@dataclass(frozen=True, kw_only=True)
class Foundation:
    """Everything a cloud provides.

    :param database: None where the in-cluster half runs or addresses the database itself.
    :param artifacts: None where the in-cluster half keeps the volume or addresses the store itself.
    :param exports: what a person needs to find in the cloud: names of cluster, database and bucket; and
        ``kubeconfig`` (``kubeconfig.py``), by which the verbs reach the cluster.
    :param data_places: where the cloud keeps data, beyond what the settings say (``data_places.py``).
    :param local_code: (checkout, ref, folder in it) → its files, on a development machine.
    """

    cluster: Cluster
    images: Images
    identity: WorkloadIdentity = WorkloadIdentity()
    database: Database | None = None
    artifacts: ArtifactStore | None = None
    exports: Mapping[str, Any] = field(default_factory=dict)
    data_places: Mapping[str, str] = field(default_factory=dict)
    local_code: Mapping[tuple[str, str, str], CodeArchive] = field(default_factory=dict)
