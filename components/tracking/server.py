"""The tracking server: its Deployment and what keeps it available."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pulumi
import pulumi_kubernetes as kubernetes

from ..contracts import ArtifactStore, Database, Identity, Images
from ..settings.base import ResourceAmounts, Resources
from ..settings.server import Auth, AuthMode
from ..settings.server import Server as ServerSettings
from .environment import Environment
from .labels import SERVER, labels, selector
from .migration import Migration
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

apps = kubernetes.apps.v1
core = kubernetes.core.v1
meta = kubernetes.meta.v1
policy = kubernetes.policy.v1

PORT = 5000
READY_QUERY = "/api/2.0/mlflow/experiments/search?max_results=1"
"""Answers only while the database does. ``/health`` is static: 200 with the database down (mlflow.md §1)."""
START_SECONDS = 180
"""MLflow retries an unreachable database for 104 s before it gives up (mlflow.md §1)."""
DRAIN_SECONDS = 5
"""Endpoints take a moment to learn that a pod is going; until then it still answers. Some load balancers
take longer (``drain_seconds`` of the contracts)."""
STOP_MARGIN_SECONDS = 10
"""Beyond the drain and the requests in flight, for the process to end."""
ROLL_SECONDS = 300
"""How long a roll may take, beside what an entrance needs to take on each pod."""
SERVE = Path(__file__).parent / "scripts" / "serve.py"
WORKERS = 2
"""Processes per pod where the settings name none; one with sqlite, which allows one writer. Two take 0.4 GB
and use two cores; a third would not stay below 0.6 GB (`make bench`)."""
MEMORY_REQUEST_MB, MEMORY_LIMIT_MB = 320, 768
"""Per worker process: 0.2 GB measured idle, little more under load (docs/performance.md); the limit leaves
room for large answers."""


@dataclass(frozen=True, kw_only=True)
class ServerArgs:
    """Inputs of :class:`Server`.

    :param drain_seconds: how long an entrance may send new requests to a pod that is going.
    """

    settings: ServerSettings
    auth: Auth
    namespace: pulumi.Output[str]
    account: pulumi.Output[str]
    images: Images
    identity: Identity
    database: Database
    artifacts: ArtifactStore
    environment: Environment
    group_secrets: list[pulumi.Output[str]]
    migration: Migration
    drain_seconds: int = 0


class Server(pulumi.ComponentResource):
    """The server's Deployment: rolls without downtime, except where the database is one file."""

    deployment: apps.Deployment

    def __init__(self, name: str, args: ServerArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("mlflow:tracking:Server", name, {}, opts)
        limit = f"{roll_seconds(args.settings.replicas, args.drain_seconds)}s"
        mounts = args.environment.mounts(name, artifacts=True).scratch("tmp", TMP, args.settings.tmp_size)
        self.deployment = apps.Deployment(
            f"{name}-deployment",
            metadata=meta.ObjectMetaArgs(name=SERVER, namespace=args.namespace, labels=labels("server")),
            spec=apps.DeploymentSpecArgs(
                replicas=args.settings.replicas,
                revision_history_limit=3,
                selector=meta.LabelSelectorArgs(match_labels=selector("server")),
                strategy=strategy(args.database),
                template=core.PodTemplateSpecArgs(
                    metadata=meta.ObjectMetaArgs(labels=_pod_labels(args)),
                    spec=self._pod(args, mounts),
                ),
            ),
            opts=pulumi.ResourceOptions(
                parent=self,
                depends_on=[
                    args.migration.job or args.migration,
                    *args.database.ready,
                    *args.artifacts.ready,
                ],
                custom_timeouts=pulumi.CustomTimeouts(create=limit, update=limit, delete="70m"),
            ),
        )
        policy.PodDisruptionBudget(
            f"{name}-disruption-budget",
            metadata=meta.ObjectMetaArgs(name=SERVER, namespace=args.namespace, labels=labels("server")),
            spec=policy.PodDisruptionBudgetSpecArgs(
                # Not minAvailable: with one replica that would block every node drain.
                max_unavailable=1,
                selector=meta.LabelSelectorArgs(match_labels=selector("server")),
            ),
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.register_outputs({})

    def _pod(self, args: ServerArgs, mounts: Mounts) -> core.PodSpecArgs:
        return core.PodSpecArgs(
            service_account_name=args.account,
            automount_service_account_token=False,
            enable_service_links=False,
            termination_grace_period_seconds=_drain(args) + args.settings.drain_seconds + STOP_MARGIN_SECONDS,
            image_pull_secrets=[
                core.LocalObjectReferenceArgs(name=pull) for pull in args.images.pull_secrets
            ],
            security_context=pod_security(IMAGE_UID, IMAGE_GID),
            topology_spread_constraints=[
                _spread("topology.kubernetes.io/zone"),
                _spread("kubernetes.io/hostname"),
            ],
            affinity=_affinity(args),
            init_containers=[*args.database.sidecars, *args.migration.init_containers(mounts)],
            containers=[_container(args, mounts)],
            volumes=mounts.volumes,
        )


def strategy(database: Database) -> apps.DeploymentStrategyArgs:
    """One pod at a time for a database that is a file; else a new pod is ready before an old one goes."""
    if database.single_writer:
        return apps.DeploymentStrategyArgs(type="Recreate")
    rolling = apps.RollingUpdateDeploymentArgs(max_surge=1, max_unavailable=0)
    return apps.DeploymentStrategyArgs(type="RollingUpdate", rolling_update=rolling)


def roll_seconds(replicas: int, drain_seconds: int) -> int:
    """Limit of a roll: one pod after the other, each with twice the time that an entrance usually takes."""
    return ROLL_SECONDS + 2 * drain_seconds * replicas


def _drain(args: ServerArgs) -> int:
    return max(DRAIN_SECONDS, args.drain_seconds)


def _container(args: ServerArgs, mounts: Mounts) -> core.ContainerArgs:
    workers = args.settings.workers or (1 if args.database.single_writer else WORKERS)
    command = ["python", "-c", SERVE.read_text(), "server"]
    command += ["--host=0.0.0.0", f"--port={PORT}", f"--workers={workers}"]
    if args.auth.mode is AuthMode.BASIC:
        command.append("--app-name=basic-auth")
    secrets = [*args.environment.server_secrets, *args.group_secrets]
    return core.ContainerArgs(
        name="server",
        image=args.images.server,
        image_pull_policy="IfNotPresent",
        command=command,
        env_from=env_from([args.environment.config_map], secrets),
        ports=[core.ContainerPortArgs(name="http", container_port=PORT)],
        volume_mounts=mounts.mounts,
        security_context=container_security(),
        resources=resource_requirements(args.settings.resources.over(default_resources(workers))),
        startup_probe=_probe("/health", period_seconds=1, failure_threshold=START_SECONDS),
        # Under sign-in every query wants a password, which a probe must not hold.
        readiness_probe=_probe(
            "/health" if args.auth.mode is AuthMode.BASIC else READY_QUERY,
            period_seconds=5,
            failure_threshold=3,
        ),
        liveness_probe=_probe("/health", period_seconds=10, failure_threshold=6),
        lifecycle=core.LifecycleArgs(
            pre_stop=core.LifecycleHandlerArgs(sleep=core.SleepActionArgs(seconds=_drain(args)))
        ),
        termination_message_policy="FallbackToLogsOnError",
    )


def default_resources(workers: int) -> Resources:
    """Requests and limits for this many worker processes."""
    return Resources(
        requests=ResourceAmounts(cpu="250m", memory=f"{MEMORY_REQUEST_MB * workers}Mi"),
        limits=ResourceAmounts(cpu="2", memory=f"{MEMORY_LIMIT_MB * workers}Mi"),
    )


def _probe(path: str, *, period_seconds: int, failure_threshold: int) -> core.ProbeArgs:
    return core.ProbeArgs(
        http_get=core.HTTPGetActionArgs(
            path=path,
            port="http",
            # The kubelet would send the pod's address, which the host check refuses.
            http_headers=[core.HTTPHeaderArgs(name="Host", value="localhost")],
        ),
        period_seconds=period_seconds,
        failure_threshold=failure_threshold,
        timeout_seconds=5,
    )


def _pod_labels(args: ServerArgs) -> dict[str, str]:
    return {**labels("server"), **args.database.client_labels, **args.identity.pod_labels}


def _spread(topology: str) -> core.TopologySpreadConstraintArgs:
    return core.TopologySpreadConstraintArgs(
        max_skew=1,
        topology_key=topology,
        when_unsatisfiable="ScheduleAnyway",
        label_selector=meta.LabelSelectorArgs(match_labels=selector("server")),
    )


def _affinity(args: ServerArgs) -> core.AffinityArgs | None:
    """Pods that share a ReadWriteOnce volume stay on its node, or a rolling update would wait for ever."""
    if not (args.artifacts.volume and args.artifacts.volume.single_node) or args.database.single_writer:
        return None
    term = core.PodAffinityTermArgs(
        topology_key="kubernetes.io/hostname",
        label_selector=meta.LabelSelectorArgs(match_labels=selector("server")),
    )
    return core.AffinityArgs(
        pod_affinity=core.PodAffinityArgs(required_during_scheduling_ignored_during_execution=[term])
    )
