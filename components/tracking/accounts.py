"""ServiceAccounts, each with the cloud identity that its pods take on."""

from __future__ import annotations

from collections.abc import Sequence

import pulumi
import pulumi_kubernetes as kubernetes

from ..contracts import Identity, Text
from .labels import labels

core = kubernetes.core.v1
meta = kubernetes.meta.v1


def service_account(
    name: str,
    identity: Identity,
    namespace: Text,
    opts: pulumi.ResourceOptions,
    pull_secrets: Sequence[Text] = (),
) -> pulumi.Output[str]:
    """A ServiceAccount of this fixed name; a cloud binds its identities to it by name.

    :param pull_secrets: names of Secrets with which its pods pull their images.
    """
    made = core.ServiceAccount(
        f"{name}-account",
        metadata=meta.ObjectMetaArgs(
            name=name, namespace=namespace, labels=labels("account"), annotations=dict(identity.annotations)
        ),
        # Nothing here talks to the Kubernetes API; a cloud's identity brings its own token.
        automount_service_account_token=False,
        image_pull_secrets=[core.LocalObjectReferenceArgs(name=one) for one in pull_secrets] or None,
        opts=opts,
    )
    return made.metadata.name
