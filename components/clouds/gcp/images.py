"""Images in Artifact Registry: built from this repository by ``up``, scanned, and deployed by digest."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
import pulumi_docker_build as docker_build
import pulumi_gcp as gcp
import pulumi_random as random

from ...contracts import Images, Text
from ...image_context import OWN_IMAGES, tag
from ...settings.gcp import GcpStack
from ...settings.gcp_rules import PULL_KEY
from ...third_party import ON_THE_CLUSTER, PYTHON, THIRD_PARTY
from ..names import stack_name
from .provider import Project

artifactregistry = gcp.artifactregistry

KEPT_IMAGES = 20
"""Of each: enough to see what ran lately. What runs is the newest."""
READER = "roles/artifactregistry.reader"
TOKEN_USER = "oauth2accesstoken"  # noqa: S105 - a user name
"""Who signs in with an access token (Artifact Registry, "Configure authentication to Artifact Registry for
Docker")."""
PLATFORM = docker_build.Platform.LINUX_AMD64


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
        made = None if ready.server and ready.job else self._repository(grants)
        self.repository = made.registry_uri if made else None
        self.images = Images(
            server=ready.server or self._built("tracking-server", made),
            job=ready.job or self._built("job", made),
            third_party={name: THIRD_PARTY[name].reference for name in ON_THE_CLUSTER},
            pull_credentials=self._pull_credentials(),
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
        """The image's reference with its digest, so that what was scanned is what runs."""
        assert repository is not None, "there is one unless both images are ready"  # noqa: S101
        image, project = OWN_IMAGES[name], self._args.project
        address = pulumi.Output.concat(repository.registry_uri, f"/{image.repository}")
        token = gcp.organizations.get_client_config_output(
            opts=pulumi.InvokeOptions(provider=project.provider)
        ).access_token
        built = docker_build.Image(
            f"{self._name}-{name}",
            # Relative to the folder of Pulumi.yaml: elsewhere the same checkout is the same context.
            context=docker_build.BuildContextArgs(location=image.context),
            build_args={"BASE_IMAGE": PYTHON.reference},
            platforms=[PLATFORM],
            # By name rather than by tag: what has tags is looked for by a refresh, with a token that has
            # expired by then, and would be given up as gone (pulumi-docker-build, image.go, Read).
            push=False,
            exports=[
                docker_build.ExportArgs(
                    registry=docker_build.ExportRegistryArgs(
                        names=[pulumi.Output.concat(address, ":", self._tag(name))]
                    )
                )
            ],
            registries=[
                docker_build.RegistryArgs(
                    address=f"{project.region}-docker.pkg.dev",
                    username=TOKEN_USER,
                    password=pulumi.Output.secret(token),
                )
            ],
            # A preview builds nothing: it takes minutes and needs a build engine.
            build_on_preview=False,
            opts=self._child,
        )
        return pulumi.Output.concat(address, "@", built.digest)

    def _tag(self, name: str) -> pulumi.Output[str]:
        """What it is built from, and one of a kind: a build of old files again has another digest, and an
        immutable tag takes only one."""
        built_from = tag(name, base=PYTHON.reference, platform=str(PLATFORM.value))
        build = random.RandomId(
            f"{self._name}-{name}-build", byte_length=3, keepers={"builtFrom": built_from}, opts=self._child
        )
        return pulumi.Output.concat(built_from, "-", build.hex)

    def _pull_credentials(self) -> pulumi.Output[str] | None:
        group = self._args.settings.gcp.pull_credentials
        if group is None:
            return None
        held = self._args.settings.secrets[group].values()
        text = next(secret[PULL_KEY] for secret in held if PULL_KEY in secret)
        return pulumi.Output.secret(text.reveal())
