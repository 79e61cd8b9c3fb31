"""A tracking server that is there already, as workloads in one namespace use it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pulumi
import pulumi_kubernetes as kubernetes

from ..contracts import CA_FILE, CA_FOLDER, THROUGH_THE_SERVER, Text, TrackingAccess
from ..settings.server import JobLogLevels
from ..settings.stack import Groups
from .client import Client, ClientArgs
from .groups import group_secret
from .labels import labels

core = kubernetes.core.v1
meta = kubernetes.meta.v1


@dataclass(frozen=True, kw_only=True)
class ExistingServerArgs:
    """Inputs of :class:`ExistingServer`.

    :param url: its address as pods reach it.
    :param stack: instead: the stack that made it, as organization/project/stack.
    :param web_url: where people open it; None where that is ``url``.
    :param namespace: of the workloads; it and the account are there already.
    :param service_account: as which the workloads run.
    :param groups: secret group → Secret → key → value.
    :param credentials: the group that they sign in with; None without sign-in.
    :param ca_bundle: PEM that the server's certificate is checked against; None for public authorities.
    """

    namespace: str
    url: str | None = None
    stack: str | None = None
    web_url: str | None = None
    service_account: str = "default"
    groups: Groups = field(default_factory=dict)
    credentials: str | None = None
    ca_bundle: str | None = None
    log_level: JobLogLevels = field(default_factory=JobLogLevels)


class ExistingServer(pulumi.ComponentResource):
    """What workloads need to use a server that others run: a ConfigMap, and the Secrets of the groups.

    Everything is in the one namespace, and nothing outside it is read.

    :ivar access: the contract for jobs, pipelines and services.
    :ivar exports: what a person, and the verbs, need next.
    """

    access: TrackingAccess
    exports: dict[str, Any]

    def __init__(
        self, name: str, args: ExistingServerArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("mlflow:tracking:ExistingServer", name, {}, opts)
        if (args.url is None) == (args.stack is None):
            raise ValueError("ExistingServer needs one of url and stack")
        child = pulumi.ResourceOptions(parent=self)
        url, web_url = _addresses(name, args, child)
        authority = _authority(name, args, child)
        client = Client(
            f"{name}-client",
            ClientArgs(
                log_level=args.log_level,
                namespace=args.namespace,
                url=url,
                env={
                    **THROUGH_THE_SERVER,
                    **({"MLFLOW_TRACKING_SERVER_CERT_PATH": f"{CA_FOLDER}/{CA_FILE}"} if authority else {}),
                },
            ),
            opts=child,
        )
        # Of the stack's own name: other stacks may keep theirs in the same namespace.
        groups = {
            group: {
                key: made
                for secret, values in named.items()
                for made in [group_secret(f"{name}-{group}-{secret}", group, values, args.namespace, child)]
                for key in values
            }
            for group, named in args.groups.items()
        }
        sign_in = next(iter(groups[args.credentials].values())) if args.credentials else None
        self.access = TrackingAccess(
            namespace=args.namespace,
            account=args.service_account,
            config_map=client.config_map,
            environment=client.environment,
            secret=sign_in,
            groups=groups,
            authority=authority,
        )
        self.exports = {
            "url": web_url,
            "inClusterUrl": url,
            "namespace": args.namespace,
            "jobsServiceAccount": args.service_account,
            "jobsConfigMap": client.config_map,
            "jobsSecret": sign_in,
        }
        self.register_outputs({})


def _addresses(name: str, args: ExistingServerArgs, opts: pulumi.ResourceOptions) -> tuple[Text, Text]:
    """For pods and for people."""
    if args.url is not None:
        return args.url, args.web_url or args.url
    made = pulumi.StackReference(f"{name}-stack", stack_name=args.stack, opts=opts)
    return made.require_output("inClusterUrl"), args.web_url or made.require_output("url")


def _authority(
    name: str, args: ExistingServerArgs, opts: pulumi.ResourceOptions
) -> pulumi.Output[str] | None:
    """Name of the ConfigMap that holds the certificates."""
    if args.ca_bundle is None:
        return None
    made = core.ConfigMap(
        f"{name}-ca",
        metadata=meta.ObjectMetaArgs(namespace=args.namespace, labels=labels("jobs")),
        data={CA_FILE: args.ca_bundle},
        opts=opts,
    )
    return made.metadata.name
