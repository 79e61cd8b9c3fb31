"""Images built by Cloud Build, for machines without a build engine: what it needs, and the step of ``up``.

There is no Pulumi resource that builds. What was built is what the repository holds: the step asks it for the
tag, which is the hash of the image's files, and builds only what is not there. So it needs no state, and may
be interrupted at any point.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable
from dataclasses import dataclass

import pulumi
import pulumi_gcp as gcp

from ...image_context import OWN_IMAGES, tag
from ...third_party import PYTHON
from ..builds import PLATFORM
from ..state import OFFLINE
from .build_step import ImageBuild, build, built
from .provider import Project

artifactregistry, storage = gcp.artifactregistry, gcp.storage

WRITER = "roles/artifactregistry.writer"
"""Push and pull in the one repository; nothing is deleted or overwritten."""
LOGS = "roles/logging.logWriter"
SOURCE_READER = "roles/storage.objectViewer"
SOURCE_DAYS = 1
"""How long an uploaded context stays: a build reads it once."""


@dataclass(frozen=True, kw_only=True)
class CloudBuildArgs:
    """Inputs of :class:`CloudBuild`.

    :param repository: where images are pushed.
    """

    project: Project
    repository: gcp.artifactregistry.Repository


class CloudBuild(pulumi.ComponentResource):
    """A service account that may push into one repository, a private bucket for what it builds from, and the
    builds.

    Source: Cloud Build, "Configure user-specified service accounts".
    """

    def __init__(self, name: str, args: CloudBuildArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("mlflow:gcp:CloudBuild", name, {}, opts)
        self._name, self._args = name, args
        self._child = pulumi.ResourceOptions(parent=self)
        self._account = gcp.serviceaccount.Account(
            name,
            display_name="MLflow: image builds",
            opts=pulumi.ResourceOptions(parent=self, depends_on=args.project.apis.of("iam", "cloudbuild")),
        )
        self._bucket = self._source_bucket()
        self._rights = self._grants()
        self.register_outputs({"sources": self._bucket.name})

    def image(self, name: str) -> pulumi.Output[str]:
        """An image of ours by digest, built now if it is not there; unknown in a preview that would build it.

        :param name: its key in :data:`~components.image_context.OWN_IMAGES`.
        """
        project, repository = self._args.project, self._args.repository
        known = pulumi.Output.all(
            uri=repository.registry_uri,
            repository=repository.repository_id,
            account=self._account.name,
            bucket=self._bucket.name,
            # Nothing is built before its rights are there.
            rights=[right.id for right in self._rights],
        )

        def order(facts: dict[str, str]) -> Awaitable[str] | str:
            wanted = ImageBuild(
                project=project.id,
                image=name,
                address=f"{facts['uri']}/{OWN_IMAGES[name].repository}",
                repository=f"projects/{project.id}/locations/{project.region}/repositories/{facts['repository']}",
                tag=tag(name, base=PYTHON.reference, platform=PLATFORM.value),
                base=PYTHON.reference,
                account=facts["account"],
                bucket=facts["bucket"],
            )
            return asyncio.to_thread(_step, wanted) if not os.environ.get(OFFLINE) else _unknown()

        return known.apply(order)

    def _source_bucket(self) -> gcp.storage.Bucket:
        return storage.Bucket(
            f"{self._name}-sources",
            location=self._args.project.region,
            uniform_bucket_level_access=True,
            public_access_prevention="enforced",
            # Of no use once built: the image is the copy.
            soft_delete_policy=storage.BucketSoftDeletePolicyArgs(retention_duration_seconds=0),
            lifecycle_rules=[
                storage.BucketLifecycleRuleArgs(
                    action=storage.BucketLifecycleRuleActionArgs(type="Delete"),
                    condition=storage.BucketLifecycleRuleConditionArgs(age=SOURCE_DAYS),
                )
            ],
            force_destroy=True,
            opts=pulumi.ResourceOptions(parent=self, depends_on=self._args.project.apis.of("storage")),
        )

    def _grants(self) -> list[pulumi.CustomResource]:
        project, repository, member = self._args.project, self._args.repository, self._account.member
        return [
            artifactregistry.RepositoryIamMember(
                f"{self._name}-writer",
                project=repository.project,
                location=repository.location,
                repository=repository.name,
                role=WRITER,
                member=member,
                opts=self._child,
            ),
            storage.BucketIAMMember(
                f"{self._name}-reader",
                bucket=self._bucket.name,
                role=SOURCE_READER,
                member=member,
                opts=self._child,
            ),
            gcp.projects.IAMMember(
                f"{self._name}-logs", project=project.id, role=LOGS, member=member, opts=self._child
            ),
        ]


def _step(wanted: ImageBuild) -> str:
    """The reference by digest; a preview looks, and builds nothing."""
    digest = built(wanted)
    if digest is None and pulumi.runtime.is_dry_run():
        return _unknown()
    return f"{wanted.address}@{digest or build(wanted)}"


def _unknown() -> str:
    """Known after ``up``."""
    unknown: str = pulumi.UNKNOWN  # pyright: ignore[reportAssignmentType] - stands for any value
    return unknown
