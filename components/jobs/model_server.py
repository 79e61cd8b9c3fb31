"""A model server: a model of the registry behind MLflow's own scoring server."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
import pulumi_kubernetes as kubernetes

from ..contracts import Images, IngressFlavor, Text, TrackingAccess
from ..settings.services import ModelServer as ModelServerSettings
from ..tracking.labels import labels
from .names import MODEL, SERVED_VERSION, SERVICE_LABEL
from .pod import PodArgs, container_of, pod_of
from .served import PART, Served, ServedArgs, http_probe
from .source import Code

core = kubernetes.core.v1

MAIN = "model"
"""The container that serves it."""
PORT = 8080
LOADED = "/health"
"""Answers once the model is loaded: the port opens only then (MLflow 3.17, pyfunc/scoring_server)."""


@dataclass(frozen=True, kw_only=True)
class ModelServerArgs:
    """Inputs of :class:`ModelServer`.

    :param server: its name in the cluster.
    :param scripts: ConfigMap that holds what its pods run.
    """

    server: str
    settings: ModelServerSettings
    access: TrackingAccess
    images: Images
    scripts: Text
    ingress: IngressFlavor | None = None


class ModelServer(pulumi.ComponentResource):
    """Everything that serves one model, and no pod of it: the watch starts them once there is a model.

    Which version they serve stands in their template's annotations, which the watch writes. A stack that was
    brought up again neither stops them nor takes them back to another version.

    :ivar served: its Deployment and the ways to it.
    """

    served: Served

    def __init__(self, name: str, args: ModelServerArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("mlflow:jobs:ModelServer", name, {}, opts)
        pod, container = _pod(args)
        self.served = Served(
            f"{name}-served",
            ServedArgs(
                service=args.server,
                settings=args.settings,
                access=args.access,
                pod=pod,
                container=container,
                port=PORT,
                ready=http_probe(LOADED),
                alive=http_probe(LOADED),
                annotations={MODEL: args.settings.model},
                waits=True,
                ingress=args.ingress,
                after=args.images.ready,
            ),
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.register_outputs({})


def _pod(args: ModelServerArgs) -> tuple[core.PodSpecArgs, core.ContainerArgs]:
    settings = args.settings
    version = core.EnvVarSourceArgs(
        field_ref=core.ObjectFieldSelectorArgs(field_path=f"metadata.annotations['{SERVED_VERSION}']")
    )
    command = ["python", "-m", "launcher.serve_model", f"--port={PORT}", f"--drain={settings.drain_seconds}"]
    command += ["--install"] if settings.install_requirements else []
    pod = PodArgs(
        main=MAIN,
        command=command,
        code=Code(place=""),
        access=args.access,
        images=args.images,
        launcher=args.scripts,
        env=[core.EnvVarArgs(name="MODEL_URI", value_from=version)],
        labels={**labels(PART), SERVICE_LABEL: args.server},
    )
    container = container_of(settings, pod)
    container.working_dir = "/"  # where the scripts' package is
    return pod_of(settings, pod, container), container
