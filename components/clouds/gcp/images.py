"""Images in Artifact Registry: built from this repository by ``up``, scanned, and deployed by digest."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
import pulumi_docker_build as docker_build
import pulumi_gcp as gcp

from ...contracts import Images, Text
from ...image_context import OWN_IMAGES
from ...settings.gcp import Builder, GcpStack
from ..builds import build, pull_credentials, third_party
from ..names import stack_name
from .cloud_build import CloudBuild, CloudBuildArgs
from .provider import Project

artifactregistry = gcp.artifactregistry

KEPT_IMAGES = 20
"""Versions of each, of which an image is two or three (its attestation is one): enough to see what ran
lately. What runs is the newest."""
READER = "roles/artifactregistry.reader"
TOKEN_USER = "oauth2accesstoken"  # noqa: S105 - a user name
"""Who signs in with an access token (Artifact Registry, "Configure authentication to Artifact Registry for
Docker")."""


@dataclass(frozen=True, kw_only=True)
class ImageRegistryArgs:
    """Inputs of :class:`ImageRegistry`.

    :param nodes: member who pulls.
    """

    settings: GcpStack
    project: Project
    nodes: pulumi.Input[str]


class ImageRegistry(pulumi.ComponentResource):
    """The images of server and jobs, built unless the settings name ready ones.

    :ivar images: the contract.
    :ivar repository: its address; None where nothing is built.
    """

    images: Images
    repository: pulumi.Output[str] | None

    def __init__(
        self, name: str, args: ImageRegistryArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("mlflow:gcp:ImageRegistry", name, {}, opts)
        self._name, self._args = name, args
        self._child = pulumi.ResourceOptions(parent=self)
        ready = args.settings.images
        grants: list[pulumi.Resource] = []
        self._builds: CloudBuild | None = None
        made = None if ready.server and ready.job else self._repository(grants)
        self.repository = made.registry_uri if made else None
        self.images = Images(
            server=ready.server or self._built("tracking-server", made),
            job=ready.job or self._built("job", made),
            third_party=third_party(),
            pull_credentials=pull_credentials(args.settings.secrets, args.settings.gcp.pull_credentials),
            ready=grants,
        )
        self.register_outputs({})

    def _repository(self, grants: list[pulumi.Resource]) -> gcp.artifactregistry.Repository:
        repository = artifactregistry.Repository(
            self._name,
            repository_id=stack_name(),
            location=self._args.project.region,
            format="DOCKER",
            description="MLflow: images of server and jobs",
            docker_config=artifactregistry.RepositoryDockerConfigArgs(immutable_tags=True),
            vulnerability_scanning_config=artifactregistry.RepositoryVulnerabilityScanningConfigArgs(
                enablement_config="INHERITED"
            ),
            cleanup_policies=[
                artifactregistry.RepositoryCleanupPolicyArgs(
                    id="keep-newest",
                    action="KEEP",
                    most_recent_versions=artifactregistry.RepositoryCleanupPolicyMostRecentVersionsArgs(
                        keep_count=KEPT_IMAGES
                    ),
                ),
                artifactregistry.RepositoryCleanupPolicyArgs(
                    id="delete-others",
                    action="DELETE",
                    condition=artifactregistry.RepositoryCleanupPolicyConditionArgs(tag_state="ANY"),
                ),
            ],
            opts=pulumi.ResourceOptions(
                parent=self,
                depends_on=self._args.project.apis.of("artifactregistry"),
                delete_before_replace=True,
            ),
        )
        grants.append(
            artifactregistry.RepositoryIamMember(
                f"{self._name}-nodes",
                project=repository.project,
                location=repository.location,
                repository=repository.name,
                role=READER,
                member=self._args.nodes,
                opts=self._child,
            )
        )
        return repository

    def _built(self, name: str, repository: gcp.artifactregistry.Repository | None) -> Text:
        assert repository is not None, "there is one unless both images are ready"  # noqa: S101
        if self._args.settings.gcp.builder is Builder.CLOUD_BUILD:
            return self._cloud_build(repository).image(name)
        project = self._args.project
        token = gcp.organizations.get_client_config_output(
            opts=pulumi.InvokeOptions(provider=project.provider)
        ).access_token
        return build(
            f"{self._name}-{name}",
            name,
            repository=pulumi.Output.concat(repository.registry_uri, f"/{OWN_IMAGES[name].repository}"),
            login=docker_build.RegistryArgs(
                address=f"{project.region}-docker.pkg.dev",
                username=TOKEN_USER,
                password=pulumi.Output.secret(token),
            ),
            opts=self._child,
        )

    def _cloud_build(self, repository: gcp.artifactregistry.Repository) -> CloudBuild:
        """One for all images."""
        if self._builds is None:
            self._builds = CloudBuild(
                f"{self._name}-builds",
                CloudBuildArgs(project=self._args.project, repository=repository),
                opts=self._child,
            )
        return self._builds
