"""PostgreSQL or MySQL as one pod with a volume, reachable only by the pods that need it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

import pulumi
import pulumi_kubernetes as kubernetes
import pulumi_random as random

from ..contracts import Images, Text, VolumeMount
from ..database_engines import PORTS, Engine
from ..settings.base import ResourceAmounts, Resources
from ..settings.database import Database as DatabaseSettings
from ..third_party import MYSQL, POSTGRESQL, ThirdPartyImage
from .labels import labels, selector
from .pods import Mounts, container_security, pod_security, resource_requirements
from .volumes import volume_claim

apps = kubernetes.apps.v1
core = kubernetes.core.v1
meta = kubernetes.meta.v1
networking = kubernetes.networking.v1

NAME = "mlflow-database"
USER = "mlflow"
DATABASE = "mlflow"
PASSWORD_LENGTH = 32
PASSWORD_FILE = "/run/secrets/mlflow/db_password"  # noqa: S105 - a path
ROOT_PASSWORD_FILE = "/run/secrets/mlflow/root_password"  # noqa: S105 - a path
SHARED_MEMORY = "256Mi"
"""PostgreSQL's parallel queries need more than the 64 MiB that container runtimes give /dev/shm."""
CLIENT_LABELS = {"mlflow/database-client": "true"}
START_LIMIT = "5m"
"""A first start initialises the data directory; it takes 5 to 30 s here."""

DEFAULT_RESOURCES = Resources(
    requests=ResourceAmounts(cpu="100m", memory="256Mi"), limits=ResourceAmounts(cpu="2", memory="1Gi")
)


@dataclass(frozen=True, kw_only=True)
class EngineProfile:
    """What differs between the engines' official images.

    :param environment: how the image is told to make user and database; the password comes by file.
    :param alive: command that succeeds when the server answers over TCP, which the images' own
        temporary server during initialisation does not.
    """

    image: ThirdPartyImage
    arguments: tuple[str, ...]
    environment: Mapping[str, str]
    alive: tuple[str, ...]
    sockets: str
    limits: Resources


PROFILES = {
    Engine.POSTGRESQL: EngineProfile(
        image=POSTGRESQL,
        arguments=("-c", "max_connections=200", "-c", "password_encryption=scram-sha-256"),
        environment={
            # A folder of the volume: its root may hold lost+found, which initdb refuses.
            "PGDATA": f"{POSTGRESQL.data_path}/pgdata",
            "POSTGRES_USER": USER,
            "POSTGRES_DB": DATABASE,
            "POSTGRES_PASSWORD_FILE": PASSWORD_FILE,
            "POSTGRES_INITDB_ARGS": "--auth-host=scram-sha-256 --data-checksums",
        },
        alive=("pg_isready", "--host=127.0.0.1", f"--username={USER}", f"--dbname={DATABASE}", "--timeout=3"),
        sockets="/var/run/postgresql",
        limits=DEFAULT_RESOURCES,
    ),
    Engine.MYSQL: EngineProfile(
        image=MYSQL,
        # MLflow's schema has a trigger, which MySQL refuses to a plain user while it writes a binary log;
        # the log would serve replicas, and there are none.
        arguments=(f"--datadir={MYSQL.data_path}/data", "--loose-mysqlx=OFF", "--disable-log-bin"),
        environment={
            "MYSQL_USER": USER,
            "MYSQL_DATABASE": DATABASE,
            "MYSQL_PASSWORD_FILE": PASSWORD_FILE,
            # Never MYSQL_RANDOM_ROOT_PASSWORD, which writes the password to the log.
            "MYSQL_ROOT_PASSWORD_FILE": ROOT_PASSWORD_FILE,
            "MYSQL_ROOT_HOST": "localhost",
        },
        alive=("mysqladmin", "ping", "--protocol=tcp", "--host=127.0.0.1", "--silent"),
        sockets="/var/run/mysqld",
        limits=Resources(
            requests=ResourceAmounts(cpu="100m", memory="512Mi"),
            limits=ResourceAmounts(cpu="2", memory="1Gi"),
        ),
    ),
}


@dataclass(frozen=True, kw_only=True)
class DatabaseServerArgs:
    """Inputs of :class:`DatabaseServer`."""

    settings: DatabaseSettings
    namespace: pulumi.Output[str]
    storage_class: Text | None
    images: Images
    protect: bool


class DatabaseServer(pulumi.ComponentResource):
    """A StatefulSet of one pod, its volume, Service, password and network policy.

    :ivar host: the Service's name in the namespace.
    :ivar password: generated once and stable over updates.
    :ivar client_labels: pods that carry them may connect.
    """

    user = USER
    database_name = DATABASE
    client_labels = CLIENT_LABELS
    host: pulumi.Output[str]
    password: pulumi.Output[str]

    def __init__(
        self, name: str, args: DatabaseServerArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("mlflow:tracking:DatabaseServer", name, {}, opts)
        child = pulumi.ResourceOptions(parent=self)
        profile = PROFILES[args.settings.engine]
        self.password = self._generated(f"{name}-password", args)
        passwords = {"db_password": self.password}
        if args.settings.engine is Engine.MYSQL:
            passwords["root_password"] = self._generated(f"{name}-root-password", args)
        secret = core.Secret(
            f"{name}-password",
            metadata=meta.ObjectMetaArgs(namespace=args.namespace, labels=labels("database")),
            string_data=passwords,
            opts=child,
        )
        claim = volume_claim(
            f"{name}-volume",
            claim=NAME,
            size=args.settings.volume.size,
            storage_class=args.settings.volume.storage_class or args.storage_class,
            namespace=args.namespace,
            opts=pulumi.ResourceOptions(parent=self, protect=args.protect),
        )
        service = self._service(name, args, child)
        self._network_policy(name, args, child)
        self._stateful_set(name, args, profile, secret, claim)
        self.host = service.metadata.name
        self.register_outputs({"host": self.host})

    def _generated(self, name: str, args: DatabaseServerArgs) -> pulumi.Output[str]:
        """A password of letters and digits only, which needs no quoting in any URI or file.

        Protected like the volume: without it the data cannot be opened.
        """
        return random.RandomPassword(
            name,
            length=PASSWORD_LENGTH,
            special=False,
            opts=pulumi.ResourceOptions(parent=self, protect=args.protect),
        ).result

    def _service(self, name: str, args: DatabaseServerArgs, opts: pulumi.ResourceOptions) -> core.Service:
        port = PORTS[args.settings.engine]
        return core.Service(
            f"{name}-service",
            metadata=meta.ObjectMetaArgs(
                name=NAME,
                namespace=args.namespace,
                labels=labels("database"),
                # The StatefulSet is the gate; the Service's own awaiter sleeps 10 s (pulumi.md).
                annotations={"pulumi.com/waitFor": "jsonpath={.spec.clusterIP}"},
            ),
            spec=core.ServiceSpecArgs(
                selector=selector("database"),
                ports=[core.ServicePortArgs(name="sql", port=port, target_port=port)],
            ),
            opts=opts,
        )

    def _network_policy(self, name: str, args: DatabaseServerArgs, opts: pulumi.ResourceOptions) -> None:
        networking.NetworkPolicy(
            f"{name}-clients",
            metadata=meta.ObjectMetaArgs(name=NAME, namespace=args.namespace, labels=labels("database")),
            spec=networking.NetworkPolicySpecArgs(
                pod_selector=meta.LabelSelectorArgs(match_labels=selector("database")),
                policy_types=["Ingress", "Egress"],
                ingress=[
                    networking.NetworkPolicyIngressRuleArgs(
                        from_=[
                            networking.NetworkPolicyPeerArgs(
                                pod_selector=meta.LabelSelectorArgs(match_labels=CLIENT_LABELS)
                            )
                        ],
                        ports=[networking.NetworkPolicyPortArgs(port=PORTS[args.settings.engine])],
                    )
                ],
                egress=[],
            ),
            opts=opts,
        )

    def _stateful_set(
        self,
        name: str,
        args: DatabaseServerArgs,
        profile: EngineProfile,
        secret: core.Secret,
        claim: core.PersistentVolumeClaim,
    ) -> None:
        row = profile.image
        assert row.data_path, "a database keeps data"  # noqa: S101
        mounts = (
            Mounts()
            .claim("data", VolumeMount(claim=claim.metadata.name, path=row.data_path, single_node=True))
            .scratch("tmp", "/tmp", "1Gi")  # noqa: S108
            .scratch("sockets", profile.sockets, "16Mi")
            .scratch("shared-memory", "/dev/shm", SHARED_MEMORY, memory=True)  # noqa: S108
            .secret_folder("passwords", PurePosixPath(PASSWORD_FILE).parent, secret.metadata.name)
        )
        probe = core.ExecActionArgs(command=list(profile.alive))
        container = core.ContainerArgs(
            name="database",
            image=args.images.third_party[row.name],
            image_pull_policy="IfNotPresent",
            args=list(profile.arguments),
            env=[core.EnvVarArgs(name=key, value=value) for key, value in profile.environment.items()],
            ports=[core.ContainerPortArgs(name="sql", container_port=PORTS[args.settings.engine])],
            volume_mounts=mounts.mounts,
            security_context=container_security(),
            resources=resource_requirements(args.settings.resources.over(profile.limits)),
            startup_probe=core.ProbeArgs(
                exec_=probe, period_seconds=1, failure_threshold=180, timeout_seconds=5
            ),
            readiness_probe=core.ProbeArgs(exec_=probe, period_seconds=5, timeout_seconds=5),
            liveness_probe=core.ProbeArgs(
                exec_=probe, period_seconds=10, failure_threshold=6, timeout_seconds=5
            ),
        )
        apps.StatefulSet(
            f"{name}-server",
            metadata=meta.ObjectMetaArgs(name=NAME, namespace=args.namespace, labels=labels("database")),
            spec=apps.StatefulSetSpecArgs(
                replicas=1,
                service_name=NAME,
                # OrderedReady would leave a pod that cannot start in the way of its own correction.
                pod_management_policy="Parallel",
                selector=meta.LabelSelectorArgs(match_labels=selector("database")),
                template=core.PodTemplateSpecArgs(
                    metadata=meta.ObjectMetaArgs(labels=labels("database")),
                    spec=core.PodSpecArgs(
                        enable_service_links=False,
                        automount_service_account_token=False,
                        # A clean shutdown writes everything; MySQL's takes longest.
                        termination_grace_period_seconds=120,
                        image_pull_secrets=[
                            core.LocalObjectReferenceArgs(name=pull) for pull in args.images.pull_secrets
                        ],
                        security_context=pod_security(row.uid, row.gid),
                        containers=[container],
                        volumes=mounts.volumes,
                    ),
                ),
            ),
            opts=pulumi.ResourceOptions(
                parent=self,
                protect=args.protect,
                custom_timeouts=pulumi.CustomTimeouts(
                    create=START_LIMIT, update=START_LIMIT, delete=START_LIMIT
                ),
            ),
        )
