"""What a job needs to reach the server: its address and how much to log."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
import pulumi_kubernetes as kubernetes

from ..contracts import ArtifactStore
from ..settings import Stack
from .labels import labels

core = kubernetes.core.v1
meta = kubernetes.meta.v1


@dataclass(frozen=True, kw_only=True)
class ClientArgs:
    """Inputs of :class:`Client`."""

    settings: Stack
    namespace: pulumi.Output[str]
    url: str
    artifacts: ArtifactStore


class Client(pulumi.ComponentResource):
    """The ConfigMap that every job takes its environment from.

    :ivar config_map: its name.
    """

    config_map: pulumi.Output[str]

    def __init__(self, name: str, args: ClientArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("mlflow:tracking:Client", name, {}, opts)
        config = core.ConfigMap(
            f"{name}-environment",
            metadata=meta.ObjectMetaArgs(namespace=args.namespace, labels=labels("jobs")),
            data={
                "MLFLOW_TRACKING_URI": args.url,
                "MLFLOW_LOGGING_LEVEL": args.settings.log_level.jobs,
                "LAUNCHER_LOG_LEVEL": args.settings.log_level.launcher,
                "MLFLOW_DISABLE_TELEMETRY": "true",
                "DO_NOT_TRACK": "true",
                **args.artifacts.client_env,
            },
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.config_map = config.metadata.name
        self.register_outputs({})
