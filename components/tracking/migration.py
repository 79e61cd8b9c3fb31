"""The schema migration: a Job that must succeed before the server rolls.

For a database that is one file (sqlite) it is an init container of the server's only pod instead: a Job would
write the file under the running server, and could land on another node than the volume.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pulumi
import pulumi_kubernetes as kubernetes

from ..contracts import Database, Identity, Images
from ..settings.base import ResourceAmounts, Resources
from .bootstrap import Bootstrap
from .environment import Environment
from .labels import labels
from .pods import (
    IMAGE_GID,
    IMAGE_UID,
    TMP,
    Mounts,
    container_security,
    env_from,
    pod_security,
    resource_requirements,
)

batch = kubernetes.batch.v1
core = kubernetes.core.v1
meta = kubernetes.meta.v1

SCRIPT = Path(__file__).parent / "scripts" / "migrate.py"
MOUNTED = "/etc/mlflow/migrate.py"
RETRIES = 3
"""A database that is still starting refuses connections; the script waits 100 s by itself each time."""
LIMIT = "30m"
"""How long ``up`` waits; the Job goes on in the cluster, and the next ``up`` waits for it again."""
GRACE_SECONDS = 3600
"""A migration that is being replaced ends its work first: as PID 1 Python ignores SIGTERM. Cut off half-way,
it would leave MySQL, whose schema changes are not transactional, with half a schema (mlflow#17896)."""
RESOURCES = Resources(
    requests=ResourceAmounts(cpu="100m", memory="512Mi"), limits=ResourceAmounts(cpu="2", memory="1Gi")
)


@dataclass(frozen=True, kw_only=True)
class MigrationArgs:
    """Inputs of :class:`Migration`."""

    namespace: pulumi.Output[str]
    account: pulumi.Output[str]
    images: Images
    identity: Identity
    database: Database
    environment: Environment
    bootstrap: Bootstrap | None = None


class Migration(pulumi.ComponentResource):
    """Runs again whenever the image, the script or the database's address changes, or when it had failed.

    The Job's name is generated and it stays after it finished: a Job removed by a time limit would be
    found missing by the next refresh and run again.

    :ivar job: the Job; None where the server's pod migrates.
    """

    job: batch.Job | None

    def __init__(self, name: str, args: MigrationArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("mlflow:tracking:Migration", name, {}, opts)
        self._args = args
        script = core.ConfigMap(
            f"{name}-script",
            metadata=meta.ObjectMetaArgs(namespace=args.namespace, labels=labels("migration")),
            data={SCRIPT.name: SCRIPT.read_text()},
            opts=pulumi.ResourceOptions(parent=self),
        )
        self._script = script.metadata.name
        self.job = None if args.database.single_writer else self._job(name)
        self.register_outputs({})

    def init_containers(self, mounts: Mounts) -> list[core.ContainerArgs]:
        """What the server's pod runs first: the migration where there is no Job, else nothing."""
        return [] if self.job else [self._container(mounts)]

    def _container(self, mounts: Mounts) -> core.ContainerArgs:
        mounts.config_file("migration", MOUNTED, self._script, SCRIPT.name)
        environment = self._args.environment
        return core.ContainerArgs(
            name="migrate",
            image=self._args.images.server,
            image_pull_policy="IfNotPresent",
            command=["python", MOUNTED],
            env=[core.EnvVarArgs(name=key, value=value) for key, value in environment.migration_env.items()],
            env_from=env_from([], environment.migration_secrets),
            volume_mounts=list(mounts.mounts),
            security_context=container_security(),
            resources=resource_requirements(RESOURCES),
            # With this the pod's status, and so the error of `up`, holds the last lines of the log.
            termination_message_policy="FallbackToLogsOnError",
        )

    def _job(self, name: str) -> batch.Job:
        args = self._args
        mounts = args.environment.mounts(name, artifacts=False).scratch("tmp", TMP, "1Gi")
        container = self._container(mounts)
        pod = core.PodSpecArgs(
            restart_policy="Never",
            service_account_name=args.account,
            automount_service_account_token=False,
            enable_service_links=False,
            termination_grace_period_seconds=GRACE_SECONDS,
            image_pull_secrets=[
                core.LocalObjectReferenceArgs(name=pull) for pull in args.images.pull_secrets
            ],
            security_context=pod_security(IMAGE_UID, IMAGE_GID),
            init_containers=list(args.database.sidecars),
            containers=[container],
            volumes=mounts.volumes,
        )
        pod_labels = {**labels("migration"), **args.database.client_labels, **args.identity.pod_labels}
        return batch.Job(
            name,
            metadata=meta.ObjectMetaArgs(
                namespace=args.namespace,
                labels=labels("migration"),
                # One that failed runs again at the next `up`, even when nothing else has changed.
                annotations={"pulumi.com/replaceUnready": "true"},
            ),
            spec=batch.JobSpecArgs(
                backoff_limit=RETRIES,
                template=core.PodTemplateSpecArgs(metadata=meta.ObjectMetaArgs(labels=pod_labels), spec=pod),
            ),
            opts=pulumi.ResourceOptions(
                parent=self,
                depends_on=[
                    *([args.bootstrap.job] if args.bootstrap else []),
                    *args.database.ready,
                    *args.images.ready,
                    *args.identity.ready,
                ],
                # Never two at once: MLflow takes no lock.
                delete_before_replace=True,
                custom_timeouts=pulumi.CustomTimeouts(create=LIMIT, update=LIMIT, delete="70m"),
            ),
        )
