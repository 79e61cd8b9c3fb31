"""The class of the volumes in the cluster: SSDs, which Azure always encrypts."""

from __future__ import annotations

from collections.abc import Mapping

import pulumi
import pulumi_kubernetes as kubernetes

from ..storage_class import made_class

PROVISIONER = "disk.csi.azure.com"
"""Part of every AKS cluster (AKS, "Azure Disk CSI driver")."""


def storage_class(
    tags: Mapping[str, str], opts: pulumi.ResourceOptions
) -> tuple[str, kubernetes.storage.v1.StorageClass]:
    """A class like AKS's ``managed-csi``, but with the stack's tags on each disk, and its name.

    AKS's own default class stays the default: a second one would make both ambiguous.
    """
    parameters = {
        "skuName": "StandardSSD_LRS",
        "tags": ",".join(f"{key}={value}" for key, value in sorted(tags.items())),
    }
    return made_class("ssd", PROVISIONER, parameters, opts=opts)
