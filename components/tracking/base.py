"""What everything in the namespace stands on: the namespace, the accounts, the secret groups."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_kubernetes as kubernetes

from ..contracts import JOBS_ACCOUNT, SERVER_ACCOUNT, Cluster, Images, WorkloadIdentity
from ..settings.errors import Problem, SettingsError
from ..settings.stack import Groups
from .accounts import service_account
from .groups import group_secret
from .labels import labels

core = kubernetes.core.v1
meta = kubernetes.meta.v1

POD_SECURITY = "restricted"
GONE = pulumi.CustomTimeouts(delete="20m")
"""It goes when all in it has, load balancers of the cloud too, which hold it for ten minutes and more
(kubernetes/ingress-gce#1720). Pulumi would give up after five (pulumi-kubernetes, await/awaiters.go)."""


@dataclass(frozen=True, kw_only=True)
class BaseArgs:
    """Inputs of :class:`Base`.

    :param existing_namespace: whether the namespace is somebody else's, and stays as it is.
    """

    namespace: str
    existing_namespace: bool
    cluster: Cluster
    identity: WorkloadIdentity
    images: Images
    groups: Groups
    protect: bool


class Base(pulumi.ComponentResource):
    """The namespace, ours with the restricted standard enforced, and what lives in it from the start.

    :ivar namespace: its name, known once it exists.
    :ivar server_account: ServiceAccount of the server and its migration.
    :ivar jobs_account: ServiceAccount of jobs.
    :ivar pull_secrets: what other ServiceAccounts need to pull the images.
    :ivar group_secrets: secret group → names of its Secrets.
    """

    namespace: pulumi.Output[str]
    server_account: pulumi.Output[str]
    jobs_account: pulumi.Output[str]
    pull_secrets: list[pulumi.Output[str]]
    group_secrets: dict[str, list[pulumi.Output[str]]]

    def __init__(self, name: str, args: BaseArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("mlflow:tracking:Base", name, {}, opts)
        child = pulumi.ResourceOptions(parent=self)
        self.namespace = self._found(name, args) if args.existing_namespace else self._made(name, args)
        self.pull_secrets = self._pull_secret(name, args.images, child)
        self.server_account = service_account(
            SERVER_ACCOUNT, args.identity.server, self.namespace, child, self.pull_secrets
        )
        self.jobs_account = service_account(
            JOBS_ACCOUNT, args.identity.jobs, self.namespace, child, self.pull_secrets
        )
        self.group_secrets = {
            group: [
                group_secret(f"{group}-{secret}", group, values, self.namespace, child)
                for secret, values in named.items()
            ]
            for group, named in args.groups.items()
        }
        self.register_outputs({"namespace": self.namespace})

    def _made(self, name: str, args: BaseArgs) -> pulumi.Output[str]:
        modes = ("enforce", "audit", "warn")
        namespace = core.Namespace(
            f"{name}-namespace",
            metadata=meta.ObjectMetaArgs(
                name=args.namespace,
                labels={
                    **args.cluster.namespace_labels,
                    **labels("namespace"),
                    **{f"pod-security.kubernetes.io/{mode}": POD_SECURITY for mode in modes},
                    "pod-security.kubernetes.io/enforce-version": "latest",
                },
            ),
            # Deleting a namespace deletes the volume claims in it, protected or not.
            opts=pulumi.ResourceOptions(
                parent=self, protect=args.protect, depends_on=list(args.cluster.ready), custom_timeouts=GONE
            ),
        )
        return namespace.metadata.name

    def _found(self, name: str, args: BaseArgs) -> pulumi.Output[str]:
        """Of a namespace that somebody else owns: read, so that a missing one ends the run at its start."""
        namespace = core.Namespace.get(
            f"{name}-namespace",
            args.namespace,
            opts=pulumi.ResourceOptions(parent=self, depends_on=list(args.cluster.ready)),
        )
        return namespace.metadata.apply(lambda found: _fitting(found, args))

    def _pull_secret(
        self, name: str, images: Images, opts: pulumi.ResourceOptions
    ) -> list[pulumi.Output[str]]:
        if images.pull_credentials is None:
            return []
        made = core.Secret(
            f"{name}-pull",
            metadata=meta.ObjectMetaArgs(
                name=images.pull_secret, namespace=self.namespace, labels=labels("images")
            ),
            type="kubernetes.io/dockerconfigjson",
            string_data={".dockerconfigjson": pulumi.Output.secret(images.pull_credentials)},
            opts=opts,
        )
        return [made.metadata.name]


def _fitting(metadata: Any, args: BaseArgs) -> str:
    """The name of a namespace that carries the labels its cluster acts on.

    :raises SettingsError: names those that it lacks, and how to set them.
    """
    has = metadata.labels or {}
    lacks = [
        f"{key}={value}" for key, value in args.cluster.namespace_labels.items() if has.get(key) != value
    ]
    if lacks:
        text = (
            f"{args.namespace} lacks {', '.join(lacks)}, and requests are lost while pods are replaced; "
            f"kubectl label namespace {args.namespace} {' '.join(lacks)}"
        )
        raise SettingsError([Problem("mlflow:namespace", text)], stack=pulumi.get_stack())
    return args.namespace
