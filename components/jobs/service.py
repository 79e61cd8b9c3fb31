"""A service: code that answers requests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import pulumi
import pulumi_kubernetes as kubernetes

from ..contracts import CodeArchive, Images, IngressFlavor, Text, TrackingAccess
from ..settings.services import Service as ServiceSettings
from ..tracking.labels import labels
from .names import SERVICE_LABEL
from .pod import PodArgs, container_of, image_of, pod_of
from .rolling import ScheduledRoll, ScheduledRollArgs
from .served import PART, Served, ServedArgs, http_probe, tcp_probe
from .source import Code, SourceArgs, code_of

core = kubernetes.core.v1

MAIN = "service"
"""The container that runs the code."""


@dataclass(frozen=True, kw_only=True)
class ServiceArgs:
    """Inputs of :class:`Service`.

    :param service: its name in the cluster.
    :param scripts: ConfigMap that holds what its pods run.
    :param rolling_scripts: ConfigMap that holds what rolls it.
    """

    service: str
    settings: ServiceSettings
    access: TrackingAccess
    images: Images
    scripts: Text
    rolling_scripts: Text
    ingress: IngressFlavor | None = None
    local_code: Mapping[tuple[str, str, str], CodeArchive] = field(default_factory=dict)


class Service(pulumi.ComponentResource):
    """Everything that serves one service's code.

    :ivar served: its Deployment and the ways to it.
    """

    served: Served

    def __init__(self, name: str, args: ServiceArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("mlflow:jobs:Service", name, {}, opts)
        child = pulumi.ResourceOptions(parent=self)
        settings = args.settings
        source = SourceArgs(
            access=args.access,
            images=args.images,
            image=image_of(settings, args.images),
            local_code=args.local_code,
        )
        pod, container = _pod(args, code_of(name, settings, source, child))
        self.served = Served(
            f"{name}-served",
            ServedArgs(
                service=args.service,
                settings=settings,
                access=args.access,
                pod=pod,
                container=container,
                port=settings.port,
                ready=http_probe(settings.ready_path) if settings.ready_path else tcp_probe(),
                # Not the path: one that asks a database would have it restarted when that is away.
                alive=tcp_probe(),
                waits=settings.waits,
                ingress=args.ingress,
                after=args.images.ready,
            ),
            opts=child,
        )
        if settings.schedule:
            ScheduledRoll(
                f"{name}-roll",
                ScheduledRollArgs(
                    service=args.service,
                    settings=settings,
                    access=args.access,
                    images=args.images,
                    scripts=args.rolling_scripts,
                ),
                opts=child,
            )
        self.register_outputs({})


def _pod(args: ServiceArgs, code: Code) -> tuple[core.PodSpecArgs, core.ContainerArgs]:
    pod = PodArgs(
        main=MAIN,
        command=command_of(args.settings, code),
        code=code,
        access=args.access,
        images=args.images,
        launcher=args.scripts,
        env=[core.EnvVarArgs(name="PORT", value=str(args.settings.port))],
        labels={**labels(PART), SERVICE_LABEL: args.service},
    )
    container = container_of(args.settings, pod)
    container.working_dir = "/"  # where the scripts' package is
    return pod_of(args.settings, pod, container), container


def command_of(settings: ServiceSettings, code: Code) -> list[str]:
    """The first process, with what it is to run."""
    command = ["python", "-m", "launcher.serve", code.place]
    command += [f"--path={code.folder}"] if code.folder else []
    command += [f"--requirement={requirement}" for requirement in settings.requirements]
    if settings.requirements_file:
        command.append(f"--requirements-file={settings.requirements_file}")
    if settings.module:
        return [*command, f"--module={settings.module}", "--", *settings.arguments]
    return [*command, "--", *settings.command]
