"""ServiceAccounts, each with the cloud identity that its pods take on."""

from __future__ import annotations

import pulumi
import pulumi_kubernetes as kubernetes

from ..contracts import Identity, Text
from .labels import labels

core = kubernetes.core.v1
meta = kubernetes.meta.v1


def service_account(
    name: str, identity: Identity, namespace: Text, opts: pulumi.ResourceOptions
) -> pulumi.Output[str]:
    """A ServiceAccount of this fixed name; a cloud binds its identities to it by name."""
    made = core.ServiceAccount(
        f"{name}-account",
        metadata=meta.ObjectMetaArgs(
            name=name, namespace=namespace, labels=labels("account"), annotations=dict(identity.annotations)
        ),
        # Nothing here talks to the Kubernetes API; a cloud's identity brings its own token.
        automount_service_account_token=False,
        opts=opts,
    )
    return made.metadata.name
