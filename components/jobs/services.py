"""All services and model servers of a stack, and what rolls them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pulumi
import pulumi_kubernetes as kubernetes

from ..contracts import CodeArchive, Images, IngressFlavor, TrackingAccess
from ..settings import services as settings
from ..tracking.labels import labels
from .model_server import ModelServer, ModelServerArgs
from .names import ROLLING_SCRIPTS, SCRIPTS, SERVING_SCRIPTS
from .rolling import ModelWatch, ModelWatchArgs
from .served import PART
from .service import Service, ServiceArgs

core = kubernetes.core.v1
meta = kubernetes.meta.v1


@dataclass(frozen=True, kw_only=True)
class ServicesArgs:
    """Inputs of :class:`Services`.

    :param services: name → settings of code that serves.
    :param model_servers: name → settings of models that are served.
    :param access: the tracking server that they use.
    :param ingress: how this cluster makes entrances; None where it has none.
    :param local_code: (checkout, ref, folder in it) → its files, on a development machine.
    """

    services: Mapping[str, settings.Service]
    model_servers: Mapping[str, settings.ModelServer]
    access: TrackingAccess
    images: Images
    ingress: IngressFlavor | None = None
    local_code: Mapping[tuple[str, str, str], CodeArchive] = field(default_factory=dict)


class Services(pulumi.ComponentResource):
    """Services, model servers, and the watch that starts and rolls the latter."""

    services: Mapping[str, Service]
    model_servers: Mapping[str, ModelServer]

    def __init__(self, name: str, args: ServicesArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("mlflow:jobs:Services", name, {}, opts)
        self._name, self._args = name, args
        self._child = pulumi.ResourceOptions(parent=self)
        scripts = self._scripts("scripts", SERVING_SCRIPTS)
        rolling = self._scripts("rolling-scripts", ROLLING_SCRIPTS)
        self.services = {
            service: Service(
                f"{name}-{service}",
                ServiceArgs(
                    service=service,
                    settings=described,
                    access=args.access,
                    images=args.images,
                    scripts=scripts,
                    rolling_scripts=rolling,
                    ingress=args.ingress,
                    local_code=args.local_code,
                ),
                opts=self._child,
            )
            for service, described in args.services.items()
        }
        self.model_servers = {
            server: ModelServer(
                f"{name}-{server}",
                ModelServerArgs(
                    server=server,
                    settings=described,
                    access=args.access,
                    images=args.images,
                    scripts=scripts,
                    ingress=args.ingress,
                ),
                opts=self._child,
            )
            for server, described in args.model_servers.items()
        }
        if args.model_servers:
            ModelWatch(
                f"{name}-watch",
                ModelWatchArgs(
                    servers=sorted(args.model_servers),
                    access=args.access,
                    images=args.images,
                    scripts=rolling,
                ),
                opts=self._child,
            )
        self.register_outputs({})

    def _scripts(self, short: str, names: Sequence[str]) -> pulumi.Output[str]:
        """A package of scripts. Its name changes with its content, so that pods which run them roll."""
        made = core.ConfigMap(
            f"{self._name}-{short}",
            metadata=meta.ObjectMetaArgs(namespace=self._args.access.namespace, labels=labels(PART)),
            data={name: (SCRIPTS / name).read_text() for name in names},
            opts=self._child,
        )
        return made.metadata.name
