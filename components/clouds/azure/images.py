"""Images in Azure Container Registry: built from this repository by ``up``, and deployed by digest."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
import pulumi_docker_build as docker_build
from pulumi_azure_native import authorization, containerregistry

from ...contracts import Images, Text
from ...image_context import OWN_IMAGES, tag
from ...settings.azure import AzureStack
from ...settings.azure_rules import PULL_KEY
from ...third_party import ON_THE_CLUSTER, PYTHON, THIRD_PARTY
from .registry_login import USER, push_password
from .resource_group import Place
from .roles import Role, assign

LOGICAL = "mlflowregistry"
"""Of the registry: 5 to 50 letters and digits, in all of Azure once; Pulumi adds eight."""
PLATFORM = docker_build.Platform.LINUX_AMD64


@dataclass(frozen=True, kw_only=True)
class ImageRegistryArgs:
    """Inputs of :class:`ImageRegistry`.

    :param kubelet: object id of the nodes' identity, which pulls.
    """

    settings: AzureStack
    place: Place
    kubelet: pulumi.Input[str]


class ImageRegistry(pulumi.ComponentResource):
    """The images of server and jobs, built unless the settings name ready ones.

    :ivar images: the contract.
    :ivar server: the registry's host name; None where nothing is built.
    """

    images: Images
    server: pulumi.Output[str] | None

    def __init__(
        self, name: str, args: ImageRegistryArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("mlflow:azure:ImageRegistry", name, {}, opts)
        self._name, self._args = name, args
        self._child = pulumi.ResourceOptions(parent=self)
        ready = args.settings.images
        grants: list[pulumi.Resource] = []
        made = None if ready.server and ready.job else self._registry(grants)
        self.server = made.login_server if made else None
        password = self._password() if made else None
        self.images = Images(
            server=ready.server or self._built("tracking-server", password),
            job=ready.job or self._built("job", password),
            third_party={name: THIRD_PARTY[name].reference for name in ON_THE_CLUSTER},
            pull_credentials=self._pull_credentials(),
            ready=grants,
        )
        self.register_outputs({})

    def _registry(self, grants: list[pulumi.Resource]) -> containerregistry.Registry:
        place = self._args.place
        registry = containerregistry.Registry(
            LOGICAL,
            resource_group_name=place.group,
            location=place.location,
            sku=containerregistry.SkuArgs(name=containerregistry.SkuName.STANDARD),
            admin_user_enabled=False,
            anonymous_pull_enabled=False,
            tags=dict(place.tags),
            opts=self._child,
        )
        grants.append(
            assign(
                f"{self._name}-nodes",
                place,
                Role.ACR_PULL,
                principal=self._args.kubelet,
                scope=registry.id,
                opts=self._child,
            )
        )
        return registry

    def _password(self) -> pulumi.Output[str]:
        subscription = self._args.place.subscription
        token = authorization.get_client_token_output(opts=subscription.invoke).token
        return pulumi.Output.secret(
            pulumi.Output.all(self.server, subscription.tenant, token).apply(
                lambda known: push_password(*known)
            )
        )

    def _built(self, name: str, password: pulumi.Output[str] | None) -> Text:
        """The image's reference with its digest, so that what was built is what runs."""
        assert self.server is not None, "there is one unless both images are ready"  # noqa: S101
        image = OWN_IMAGES[name]
        address = pulumi.Output.concat(self.server, f"/{image.repository}")
        built_from = tag(name, base=PYTHON.reference, platform=str(PLATFORM.value))
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
                        names=[pulumi.Output.concat(address, ":", built_from)]
                    )
                )
            ],
            registries=[docker_build.RegistryArgs(address=self.server, username=USER, password=password)],
            # A preview builds nothing: it takes minutes and needs a build engine.
            build_on_preview=False,
            opts=self._child,
        )
        return pulumi.Output.concat(address, "@", built.digest)

    def _pull_credentials(self) -> pulumi.Output[str] | None:
        group = self._args.settings.azure.pull_credentials
        if group is None:
            return None
        held = self._args.settings.secrets[group].values()
        text = next(secret[PULL_KEY] for secret in held if PULL_KEY in secret)
        return pulumi.Output.secret(text.reveal())
