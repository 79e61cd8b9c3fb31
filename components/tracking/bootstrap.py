"""The Job that makes the user of a database that a cloud provides."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
import pulumi_kubernetes as kubernetes

from ..contracts import DATABASE_ADMIN_ACCOUNT, Database, DatabaseBootstrap, Images
from ..settings.base import ResourceAmounts, Resources
from .accounts import service_account
from .environment import POD_ENV
from .labels import labels
from .pods import (
    IMAGE_GID,
    IMAGE_UID,
    TMP,
    Mounts,
    container_security,
    env_from,
    mount_texts,
    pod_security,
    resource_requirements,
)

batch = kubernetes.batch.v1
core = kubernetes.core.v1
meta = kubernetes.meta.v1

RETRIES = 3
"""A fresh cloud identity takes a while to be known everywhere; the command itself waits as well."""
LIMIT = "15m"
RESOURCES = Resources(
    requests=ResourceAmounts(cpu="50m", memory="256Mi"), limits=ResourceAmounts(cpu="1", memory="512Mi")
)


@dataclass(frozen=True, kw_only=True)
class BootstrapArgs:
    """Inputs of :class:`Bootstrap`."""

    bootstrap: DatabaseBootstrap
    database: Database
    namespace: pulumi.Output[str]
    images: Images
    pull_secrets: Sequence[pulumi.Output[str]] = ()


class Bootstrap(pulumi.ComponentResource):
    """Runs again whenever its command, environment or image changes, or when it had failed.

    Like the migration its Job stays after it finished, so that a refresh finds it.

    :ivar job: the Job.
    """

    job: batch.Job

    def __init__(self, name: str, args: BootstrapArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("mlflow:tracking:Bootstrap", name, {}, opts)
        child = pulumi.ResourceOptions(parent=self)
        bootstrap = args.bootstrap
        account = service_account(
            DATABASE_ADMIN_ACCOUNT, bootstrap.identity, args.namespace, child, args.pull_secrets
        )
        secrets = []
        if bootstrap.secret_env:
            secret = core.Secret(
                f"{name}-secret",
                metadata=meta.ObjectMetaArgs(namespace=args.namespace, labels=labels("bootstrap")),
                string_data={key: pulumi.Output.secret(value) for key, value in bootstrap.secret_env.items()},
                opts=child,
            )
            secrets.append(secret.metadata.name)
        mounts = Mounts().scratch("tmp", TMP, "64Mi")
        mount_texts(name, args.database.files, mounts, args.namespace, child)
        env = {**POD_ENV, **args.database.env, **bootstrap.env}
        container = core.ContainerArgs(
            name="bootstrap",
            image=args.images.server,
            image_pull_policy="IfNotPresent",
            command=list(bootstrap.command),
            env=[core.EnvVarArgs(name=key, value=value) for key, value in env.items()],
            env_from=env_from([], secrets),
            volume_mounts=mounts.mounts,
            security_context=container_security(),
            resources=resource_requirements(RESOURCES),
            # With this the pod's status, and so the error of `up`, holds the last lines of the log.
            termination_message_policy="FallbackToLogsOnError",
        )
        pod = core.PodSpecArgs(
            restart_policy="Never",
            service_account_name=account,
            automount_service_account_token=False,
            enable_service_links=False,
            image_pull_secrets=[core.LocalObjectReferenceArgs(name=one) for one in args.images.pull_secrets],
            security_context=pod_security(IMAGE_UID, IMAGE_GID),
            init_containers=list(args.database.sidecars),
            containers=[container],
            volumes=mounts.volumes,
        )
        pod_labels = {
            **labels("bootstrap"),
            **args.database.client_labels,
            **bootstrap.identity.pod_labels,
        }
        self.job = batch.Job(
            name,
            metadata=meta.ObjectMetaArgs(
                namespace=args.namespace,
                labels=labels("bootstrap"),
                annotations={"pulumi.com/replaceUnready": "true"},
            ),
            spec=batch.JobSpecArgs(
                backoff_limit=RETRIES,
                template=core.PodTemplateSpecArgs(metadata=meta.ObjectMetaArgs(labels=pod_labels), spec=pod),
            ),
            opts=pulumi.ResourceOptions(
                parent=self,
                depends_on=[*args.database.ready, *args.images.ready, *bootstrap.identity.ready],
                # Never two at once: both would make the same user.
                delete_before_replace=True,
                custom_timeouts=pulumi.CustomTimeouts(create=LIMIT, update=LIMIT),
            ),
        )
        self.register_outputs({})
