"""What everything in the namespace stands on: the namespace, the accounts, the secret groups."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
import pulumi_kubernetes as kubernetes

from ..contracts import JOBS_ACCOUNT, SERVER_ACCOUNT, Cluster, Images, WorkloadIdentity
from ..settings.stack import Groups
from .accounts import service_account
from .groups import group_secret
from .labels import labels

core = kubernetes.core.v1
meta = kubernetes.meta.v1

POD_SECURITY = "restricted"


@dataclass(frozen=True, kw_only=True)
class BaseArgs:
    """Inputs of :class:`Base`."""

    namespace: str
    cluster: Cluster
    identity: WorkloadIdentity
    images: Images
    groups: Groups
    protect: bool


class Base(pulumi.ComponentResource):
    """The namespace, which enforces the restricted standard, and what lives in it from the start.

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
                parent=self, protect=args.protect, depends_on=list(args.cluster.ready)
            ),
        )
        self.namespace = namespace.metadata.name
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
