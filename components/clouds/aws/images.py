"""Images in Amazon ECR: built from this repository by ``up``, scanned, and deployed by digest."""

from __future__ import annotations

import json
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws
import pulumi_docker_build as docker_build

from ...contracts import Images, Text
from ...settings.aws import AwsStack
from ..builds import build, third_party
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


@dataclass(frozen=True, kw_only=True)
class BuiltImageArgs:
    """Inputs of :class:`BuiltImage`.

    :param image: which of ours.
    """

    image: str
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
        self.repository = repository.repository_url
        self.reference = self._image(repository)
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

    def _image(self, repository: aws.ecr.Repository) -> pulumi.Output[str]:
        token = aws.ecr.get_authorization_token_output(
            registry_id=repository.registry_id, opts=self._args.account.invoke
        )
        return build(
            self._name,
            self._args.image,
            repository=repository.repository_url,
            login=docker_build.RegistryArgs(
                address=repository.repository_url,
                username=token.user_name,
                password=pulumi.Output.secret(token.password),
            ),
            opts=self._child,
        )


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
            third_party=third_party(),
        )
        self.register_outputs({})

    def _built(self, image: str) -> Text:
        built = BuiltImage(
            f"{self._name}-{image}",
            BuiltImageArgs(image=image, account=self._args.account),
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.repositories[image] = built.repository
        return built.reference
