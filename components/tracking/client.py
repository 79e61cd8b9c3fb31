"""What a job needs to reach the server: its address and how much to log."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
import pulumi_kubernetes as kubernetes

from ..contracts import Text
from ..settings.server import JobLogLevels
from .labels import labels

core = kubernetes.core.v1
meta = kubernetes.meta.v1


@dataclass(frozen=True, kw_only=True)
class ClientArgs:
    """Inputs of :class:`Client`.

    :param url: of the tracking server, as pods reach it.
    :param env: more environment of every client.
    """

    log_level: JobLogLevels
    namespace: Text
    url: Text
    env: Mapping[str, Text]


class Client(pulumi.ComponentResource):
    """The ConfigMap that every job takes its environment from.

    :ivar config_map: its name.
    :ivar environment: its content.
    """

    config_map: pulumi.Output[str]
    environment: Mapping[str, Text]

    def __init__(self, name: str, args: ClientArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("mlflow:tracking:Client", name, {}, opts)
        self.environment = {
            "MLFLOW_TRACKING_URI": args.url,
            "MLFLOW_LOGGING_LEVEL": args.log_level.jobs,
            "LAUNCHER_LOG_LEVEL": args.log_level.launcher,
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "DO_NOT_TRACK": "true",
            **args.env,
        }
        config = core.ConfigMap(
            f"{name}-environment",
            metadata=meta.ObjectMetaArgs(namespace=args.namespace, labels=labels("jobs")),
            data=self.environment,
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.config_map = config.metadata.name
        self.register_outputs({})
