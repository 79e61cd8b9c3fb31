"""The APIs that the stack needs, switched on in the project and never off again."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
import pulumi_gcp as gcp

ALWAYS = ("cloudresourcemanager", "compute", "container", "iam", "iamcredentials")
"""Resource Manager answers for the project's policy and number; iamcredentials hands out the tokens with
which pods become service accounts."""


@dataclass(frozen=True, kw_only=True)
class ApisArgs:
    """Inputs of :class:`Apis`: which parts the stack has, beside a cluster and identities.

    :param bucket: for artifacts, or for what Cloud Build builds from.
    :param private_services: a managed database gets its address by private services access.
    """

    database: bool
    private_services: bool
    bucket: bool
    registry: bool
    builds: bool
    iap: bool


class Apis(pulumi.ComponentResource):
    """The APIs, each a resource that what it serves depends on: see :meth:`of`."""

    def __init__(self, name: str, args: ApisArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("mlflow:gcp:Apis", name, {}, opts)
        wanted = {
            "sqladmin": args.database,
            "servicenetworking": args.private_services,
            "storage": args.bucket,
            "artifactregistry": args.registry,
            "cloudbuild": args.builds,
            "iap": args.iap,
        }
        self._services = {
            api: gcp.projects.Service(
                f"{name}-{api}",
                service=f"{api}.googleapis.com",
                # Others in the project may use it; what runs on it would stop.
                disable_on_destroy=False,
                disable_dependent_services=False,
                opts=pulumi.ResourceOptions(parent=self),
            )
            for api in (*ALWAYS, *(api for api, needed in wanted.items() if needed))
        }
        self.register_outputs({})

    def of(self, *names: str) -> list[pulumi.Resource]:
        """What depends on these APIs waits for.

        :raises KeyError: for one that the stack was not said to need.
        """
        return [self._services[name] for name in names]
