"""The schema migration: a Job that must succeed before the server rolls."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pulumi
import pulumi_kubernetes as kubernetes

from ..contracts import Database, Identity, Images
from ..settings.base import ResourceAmounts, Resources
from .environment import Environment
from .labels import labels
from .pods import TMP, container_security, env_from, pod_security, resource_requirements
from .server import IMAGE_GID, IMAGE_UID

batch = kubernetes.batch.v1
core = kubernetes.core.v1
meta = kubernetes.meta.v1

SCRIPT = Path(__file__).parent / "scripts" / "migrate.py"
MOUNTED = "/etc/mlflow/migrate.py"
RETRIES = 3
"""A database that is still starting refuses connections; the script waits 100 s by itself each time."""
LIMIT = "30m"
"""How long ``up`` waits. The Job itself has no deadline: a migration that is cut off half-way leaves
MySQL, whose schema changes are not transactional, with half of one (mlflow#17896)."""
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


class Migration(pulumi.ComponentResource):
    """Runs again whenever the image, the script or the database's address changes.

    The Job's name is generated and it stays after it finished: a Job removed by a time limit would be
    found missing by the next refresh and run again.
    """

    job: batch.Job

    def __init__(self, name: str, args: MigrationArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("mlflow:tracking:Migration", name, {}, opts)
        script = core.ConfigMap(
            f"{name}-script",
            metadata=meta.ObjectMetaArgs(namespace=args.namespace, labels=labels("migration")),
            data={SCRIPT.name: SCRIPT.read_text()},
            opts=pulumi.ResourceOptions(parent=self),
        )
        mounts = args.environment.mounts(name, artifacts=False)
        mounts.scratch("tmp", TMP, "1Gi").config_file("script", MOUNTED, script.metadata.name, SCRIPT.name)
        container = core.ContainerArgs(
            name="migrate",
            image=args.images.server,
            image_pull_policy="IfNotPresent",
            command=["python", MOUNTED],
            env_from=env_from([args.environment.config_map], args.environment.migration_secrets),
            volume_mounts=mounts.mounts,
            security_context=container_security(),
            resources=resource_requirements(RESOURCES),
            # With this the pod's status, and so the error of `up`, holds the last lines of the log.
            termination_message_policy="FallbackToLogsOnError",
        )
        self.job = batch.Job(
            name,
            metadata=meta.ObjectMetaArgs(namespace=args.namespace, labels=labels("migration")),
            spec=batch.JobSpecArgs(
                backoff_limit=RETRIES,
                template=core.PodTemplateSpecArgs(
                    metadata=meta.ObjectMetaArgs(
                        labels={
                            **labels("migration"),
                            **args.database.client_labels,
                            **args.identity.pod_labels,
                        }
                    ),
                    spec=core.PodSpecArgs(
                        restart_policy="Never",
                        service_account_name=args.account,
                        automount_service_account_token=False,
                        enable_service_links=False,
                        image_pull_secrets=[
                            core.LocalObjectReferenceArgs(name=pull) for pull in args.images.pull_secrets
                        ],
                        security_context=pod_security(IMAGE_UID, IMAGE_GID),
                        init_containers=list(args.database.sidecars),
                        containers=[container],
                        volumes=mounts.volumes,
                    ),
                ),
            ),
            opts=pulumi.ResourceOptions(
                parent=self,
                depends_on=[*args.database.ready, *args.images.ready, *args.identity.ready],
                custom_timeouts=pulumi.CustomTimeouts(create=LIMIT, update=LIMIT, delete="2m"),
            ),
        )
        self.register_outputs({})
