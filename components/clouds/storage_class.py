"""The class of a stack's volumes, which each cloud's ``storage.py`` describes in its own parameters."""

from __future__ import annotations

from collections.abc import Mapping

import pulumi
import pulumi_kubernetes as kubernetes

from .names import stack_name

meta = kubernetes.meta.v1

DEFAULT_CLASS = "storageclass.kubernetes.io/is-default-class"


def made_class(
    kind: str,
    provisioner: str,
    parameters: Mapping[str, str],
    *,
    default: bool = False,
    opts: pulumi.ResourceOptions,
) -> tuple[str, kubernetes.storage.v1.StorageClass]:
    """A class for volumes that can grow, and its name.

    Whoever claims a volume names it by this text, not by the resource's output: a class cannot be changed,
    and a claim that followed its replacement (new tags are enough) would be replaced too, with the data in
    it.

    :param kind: what the volumes are; the end of its name.
    :param default: whether claims without a class get it.
    """
    name = stack_name(kind)
    made = kubernetes.storage.v1.StorageClass(
        f"mlflow-{kind}",
        metadata=meta.ObjectMetaArgs(name=name, annotations={DEFAULT_CLASS: "true"} if default else None),
        provisioner=provisioner,
        # A volume lies in one zone: it is made in that of the first pod that needs it.
        volume_binding_mode="WaitForFirstConsumer",
        allow_volume_expansion=True,
        reclaim_policy="Delete",
        parameters=dict(parameters),
        opts=opts,
    )
    return name, made
