"""Images in Azure Container Registry: built from this repository by ``up``, and deployed by digest."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
import pulumi_docker_build as docker_build
from pulumi_azure_native import authorization, containerregistry

from ...contracts import Images, Text
from ...image_context import OWN_IMAGES
from ...settings.azure import AzureStack
from ..builds import build, pull_credentials, third_party
from .registry_login import USER, push_password
from .resource_group import Place
from .roles import Role, assign

LOGICAL = "mlflowregistry"
"""Of the registry: 5 to 50 letters and digits, in all of Azure once; Pulumi adds eight."""

PULL_SECRET = "acr-secret"  # noqa: S105 - a name
"""Of the Secret with the user's pull-only credentials."""


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
            third_party=third_party(),
            pull_credentials=pull_credentials(args.settings.secrets, args.settings.azure.pull_credentials),
            pull_secret=PULL_SECRET,
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
        assert self.server is not None, "there is one unless both images are ready"  # noqa: S101
        return build(
            f"{self._name}-{name}",
            name,
            repository=pulumi.Output.concat(self.server, f"/{OWN_IMAGES[name].repository}"),
            login=docker_build.RegistryArgs(address=self.server, username=USER, password=password),
            opts=self._child,
        )
