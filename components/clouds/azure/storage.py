"""The class of the volumes in the cluster: SSDs, which Azure always encrypts."""

from __future__ import annotations

from collections.abc import Mapping

import pulumi
import pulumi_kubernetes as kubernetes

from ..names import stack_name

meta = kubernetes.meta.v1

PROVISIONER = "disk.csi.azure.com"
"""Part of every AKS cluster (AKS, "Azure Disk CSI driver")."""


def storage_class(
    tags: Mapping[str, str], opts: pulumi.ResourceOptions
) -> tuple[str, kubernetes.storage.v1.StorageClass]:
    """A class like AKS's ``managed-csi``, but with the stack's tags on each disk, and its name.

    Whoever claims a volume names it by this text, not by the resource's output: a class cannot be changed,
    and a claim that followed its replacement (new tags are enough) would be replaced too, with the data in
    it.

    AKS's own default class stays the default: a second one would make both ambiguous.
    """
    name = stack_name("ssd")
    made = kubernetes.storage.v1.StorageClass(
        "mlflow-ssd",
        metadata=meta.ObjectMetaArgs(name=name),
        provisioner=PROVISIONER,
        # A volume lies in one zone: it is made in that of the first pod that needs it.
        volume_binding_mode="WaitForFirstConsumer",
        allow_volume_expansion=True,
        reclaim_policy="Delete",
        parameters={
            "skuName": "StandardSSD_LRS",
            "tags": ",".join(f"{key}={value}" for key, value in sorted(tags.items())),
        },
        opts=opts,
    )
    return name, made
