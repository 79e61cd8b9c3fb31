"""Images in Amazon ECR: built from this repository by ``up``, scanned, and deployed by digest."""

from __future__ import annotations

import json
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws
import pulumi_docker_build as docker_build
import pulumi_random as random

from ...contracts import Images, Text
from ...image_context import OWN_IMAGES, OwnImage, engine_hash, tag
from ...settings.aws import AwsStack
from ...third_party import ON_THE_CLUSTER, PYTHON, THIRD_PARTY
from .provider import Account

KEPT_IMAGES = 20
"""Per repository: enough to see what ran lately. What runs is the newest."""
LIFECYCLE = json.dumps(
    {
        "rules": [
            {
                "rulePriority": 1,
                "description": f"Keep the newest {KEPT_IMAGES}",
                "selection": {
                    "tagStatus": "any",
                    "countType": "imageCountMoreThan",
                    "countNumber": KEPT_IMAGES,
                },
                "action": {"type": "expire"},
            }
        ]
    }
)
PLATFORM = docker_build.Platform.LINUX_AMD64
"""The nodes'; the settings refuse machines with other processors."""


@dataclass(frozen=True, kw_only=True)
class BuiltImageArgs:
    """Inputs of :class:`BuiltImage`."""

    image: OwnImage
    account: Account


class BuiltImage(pulumi.ComponentResource):
    """A repository with one of our images in it.

    :ivar reference: with the image's digest, so that what was scanned is what runs.
    :ivar repository: the repository's address.
    """

    reference: pulumi.Output[str]
    repository: pulumi.Output[str]

    def __init__(self, name: str, args: BuiltImageArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("mlflow:aws:BuiltImage", name, {}, opts)
        self._name, self._args = name, args
        self._child = pulumi.ResourceOptions(parent=self)
        repository = self._repository()
        image = self._image(repository)
        self.repository = repository.repository_url
        self.reference = pulumi.Output.concat(self.repository, "@", image.digest)
        self.register_outputs({"reference": self.reference})

    def _repository(self) -> aws.ecr.Repository:
        repository = aws.ecr.Repository(
            self._name,
            image_tag_mutability="IMMUTABLE",
            image_scanning_configuration=aws.ecr.RepositoryImageScanningConfigurationArgs(scan_on_push=True),
            encryption_configurations=[
                aws.ecr.RepositoryEncryptionConfigurationArgs(encryption_type="AES256")
            ],
            # It holds nothing that cannot be built again, and images left in it would keep it from going.
            force_delete=True,
            opts=self._child,
        )
        aws.ecr.LifecyclePolicy(
            f"{self._name}-lifecycle", repository=repository.name, policy=LIFECYCLE, opts=self._child
        )
        return repository

    def _image(self, repository: aws.ecr.Repository) -> docker_build.Image:
        token = aws.ecr.get_authorization_token_output(
            registry_id=repository.registry_id, opts=self._args.account.invoke
        )
        return docker_build.Image(
            self._name,
            # Relative to the folder of Pulumi.yaml: elsewhere the same checkout is the same context.
            context=docker_build.BuildContextArgs(location=self._args.image.context),
            build_args={"BASE_IMAGE": PYTHON.reference},
            platforms=[PLATFORM],
            # By name rather than by tag: what has tags is looked for by a refresh, with a token that has
            # expired by then, and would be given up as gone (pulumi-docker-build, image.go, Read).
            push=False,
            exports=[
                docker_build.ExportArgs(
                    registry=docker_build.ExportRegistryArgs(
                        names=[pulumi.Output.concat(repository.repository_url, ":", self._tag())]
                    )
                )
            ],
            registries=[
                docker_build.RegistryArgs(
                    address=repository.repository_url,
                    username=token.user_name,
                    password=pulumi.Output.secret(token.password),
                )
            ],
            # A preview builds nothing: it takes minutes and needs a build engine.
            build_on_preview=False,
            opts=self._child,
        )

    def _tag(self) -> pulumi.Output[str]:
        """What it is built from, and one of a kind: the same files built again have another digest, which a
        tag that is immutable would not take. A new one whenever the provider pushes again."""
        built_from = tag(self._args.image.name, base=PYTHON.reference, platform=PLATFORM.value)
        build = random.RandomId(
            f"{self._name}-build",
            byte_length=3,
            keepers={"builtFrom": built_from, "asSeen": engine_hash(self._args.image.name)},
            opts=self._child,
        )
        return pulumi.Output.concat(built_from, "-", build.hex)


@dataclass(frozen=True, kw_only=True)
class ImageRegistryArgs:
    """Inputs of :class:`ImageRegistry`."""

    settings: AwsStack
    account: Account


class ImageRegistry(pulumi.ComponentResource):
    """The images of server and jobs, built unless the settings name ready ones.

    :ivar images: the contract.
    :ivar repositories: image → address of its repository; only for those that are built.
    """

    images: Images
    repositories: dict[str, pulumi.Output[str]]

    def __init__(
        self, name: str, args: ImageRegistryArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("mlflow:aws:ImageRegistry", name, {}, opts)
        self._name, self._args = name, args
        self.repositories = {}
        ready = args.settings.images
        self.images = Images(
            server=ready.server or self._built("tracking-server"),
            job=ready.job or self._built("job"),
            third_party={name: THIRD_PARTY[name].reference for name in ON_THE_CLUSTER},
        )
        self.register_outputs({})

    def _built(self, image: str) -> Text:
        built = BuiltImage(
            f"{self._name}-{image}",
            BuiltImageArgs(image=OWN_IMAGES[image], account=self._args.account),
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.repositories[image] = built.repository
        return built.reference
