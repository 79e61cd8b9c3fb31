"""The class of the volumes in the cluster: encrypted EBS."""

from __future__ import annotations

from collections.abc import Mapping

import pulumi
import pulumi_kubernetes as kubernetes

from ...settings.aws import Feature
from ..names import stack_name

meta = kubernetes.meta.v1

PROVISIONERS = {Feature.AUTO_MODE: "ebs.csi.eks.amazonaws.com", Feature.EBS_CSI: "ebs.csi.aws.com"}
"""Who makes volumes: EKS Auto Mode, or the EBS CSI driver. The first that a cluster has is used."""

DEFAULT_CLASS = "storageclass.kubernetes.io/is-default-class"


def storage_class(
    features: frozenset[Feature],
    tags: Mapping[str, str],
    *,
    default: bool,
    opts: pulumi.ResourceOptions,
) -> tuple[str, kubernetes.storage.v1.StorageClass] | None:
    """A class for gp3 volumes that are encrypted and can grow, and its name; None where nobody makes volumes.

    Whoever claims a volume names it by this text, not by the resource's output: a class never changes, and
    a claim that followed its replacement (new tags are enough) would be replaced too, with the data in it.

    :param tags: put on each volume.
    :param default: whether claims without a class get it; only in a cluster of our own.
    """
    provisioner = next((PROVISIONERS[one] for one in PROVISIONERS if one in features), None)
    if provisioner is None:
        return None
    name = stack_name("gp3")
    made = kubernetes.storage.v1.StorageClass(
        "mlflow-gp3",
        metadata=meta.ObjectMetaArgs(name=name, annotations={DEFAULT_CLASS: "true"} if default else None),
        provisioner=provisioner,
        # A volume lies in one zone: it is made in that of the first pod that needs it.
        volume_binding_mode="WaitForFirstConsumer",
        allow_volume_expansion=True,
        reclaim_policy="Delete",
        parameters={
            "type": "gp3",
            "encrypted": "true",
            **{
                f"tagSpecification_{index}": f"{key}={value}"
                for index, (key, value) in enumerate(sorted(tags.items()), start=1)
            },
        },
        opts=opts,
    )
    return name, made
