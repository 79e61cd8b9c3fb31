"""The class of the volumes in the cluster: encrypted EBS."""

from __future__ import annotations

from collections.abc import Mapping

import pulumi
import pulumi_kubernetes as kubernetes

from ...settings.aws import Feature
from ..storage_class import made_class

PROVISIONERS = {Feature.AUTO_MODE: "ebs.csi.eks.amazonaws.com", Feature.EBS_CSI: "ebs.csi.aws.com"}
"""Who makes volumes: EKS Auto Mode, or the EBS CSI driver. The first that a cluster has is used."""


def storage_class(
    features: frozenset[Feature],
    tags: Mapping[str, str],
    *,
    default: bool,
    opts: pulumi.ResourceOptions,
) -> tuple[str, kubernetes.storage.v1.StorageClass] | None:
    """A class for gp3 volumes that are encrypted and can grow, and its name; None where nobody makes volumes.

    :param tags: put on each volume.
    :param default: whether claims without a class get it; only in a cluster of our own.
    """
    provisioner = next((PROVISIONERS[one] for one in PROVISIONERS if one in features), None)
    if provisioner is None:
        return None
    parameters = {
        "type": "gp3",
        "encrypted": "true",
        **{
            f"tagSpecification_{index}": f"{key}={value}"
            for index, (key, value) in enumerate(sorted(tags.items()), start=1)
        },
    }
    return made_class("gp3", provisioner, parameters, default=default, opts=opts)
