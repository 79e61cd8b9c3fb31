"""How an image of this repository gets into a cloud's registry, and what nodes elsewhere pull it with."""

from __future__ import annotations

import pulumi
import pulumi_docker_build as docker_build
import pulumi_random as random

from ..image_context import OWN_IMAGES, engine_hash, tag
from ..settings.cloud_rules import PULL_KEY
from ..settings.stack import Groups
from ..third_party import ON_THE_CLUSTER, PYTHON, THIRD_PARTY

PLATFORM = docker_build.Platform.LINUX_AMD64
"""The nodes'; the settings refuse machines with other processors."""


def third_party() -> dict[str, str]:
    """Other projects' images, by their own references: a cloud's nodes fetch them themselves."""
    return {name: THIRD_PARTY[name].reference for name in ON_THE_CLUSTER}


def build(
    name: str,
    image: str,
    *,
    repository: pulumi.Input[str],
    login: docker_build.RegistryArgs,
    opts: pulumi.ResourceOptions,
) -> pulumi.Output[str]:
    """Build one of our images and push it.

    :param image: its key in :data:`~components.image_context.OWN_IMAGES`.
    :param repository: where it goes, without a tag.
    :param login: who may push there.
    :returns: its reference by digest, so that what was scanned is what runs.
    """
    built = docker_build.Image(
        name,
        # Relative to the folder of Pulumi.yaml: elsewhere the same checkout is the same context.
        context=docker_build.BuildContextArgs(location=OWN_IMAGES[image].context),
        build_args={"BASE_IMAGE": PYTHON.reference},
        platforms=[PLATFORM],
        # By name rather than by tag: what has tags is looked for by a refresh, with a token that has
        # expired by then, and would be given up as gone (pulumi-docker-build, image.go, Read).
        push=False,
        exports=[
            docker_build.ExportArgs(
                registry=docker_build.ExportRegistryArgs(
                    names=[pulumi.Output.concat(repository, ":", _tag(name, image, opts))]
                )
            )
        ],
        registries=[login],
        # A preview builds nothing: it takes minutes and needs a build engine.
        build_on_preview=False,
        opts=opts,
    )
    return pulumi.Output.concat(repository, "@", built.digest)


def _tag(name: str, image: str, opts: pulumi.ResourceOptions) -> pulumi.Output[str]:
    """What it is built from, and one of a kind: the same files built again have another digest, which a tag
    that is immutable would not take. A new one whenever the provider pushes again."""
    built_from = tag(image, base=PYTHON.reference, platform=PLATFORM.value)
    build_id = random.RandomId(
        f"{name}-build",
        byte_length=3,
        keepers={"builtFrom": built_from, "asSeen": engine_hash(image)},
        opts=opts,
    )
    return pulumi.Output.concat(built_from, "-", build_id.hex)


def pull_credentials(secrets: Groups, group: str | None) -> pulumi.Output[str] | None:
    """What the user gave the nodes to pull with: the text of a ``config.json`` of Docker's; a secret."""
    if group is None:
        return None
    text = next(secret[PULL_KEY] for secret in secrets[group].values() if PULL_KEY in secret)
    return pulumi.Output.secret(text.reveal())
