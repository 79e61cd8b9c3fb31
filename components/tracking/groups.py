"""Secret groups: what people store by `make secret`, as Secrets of the namespace."""

from __future__ import annotations

from collections.abc import Mapping

import pulumi
import pulumi_kubernetes as kubernetes

from ..contracts import Text
from ..settings.base import Secret
from .labels import labels

core = kubernetes.core.v1
meta = kubernetes.meta.v1


def group_secret(
    name: str,
    group: str,
    values: Mapping[str, Secret],
    namespace: Text,
    opts: pulumi.ResourceOptions,
) -> pulumi.Output[str]:
    """One Secret of a group; its name, made up from ``name``."""
    made = core.Secret(
        name,
        metadata=meta.ObjectMetaArgs(
            namespace=namespace, labels={**labels("secrets"), "mlflow/secret-group": group}
        ),
        string_data={key: pulumi.Output.secret(value.reveal()) for key, value in values.items()},
        opts=opts,
    )
    return made.metadata.name
