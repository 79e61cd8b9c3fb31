"""The class of the volumes in the cluster: balanced persistent disks, which Google always encrypts."""

from __future__ import annotations

from collections.abc import Mapping

import pulumi
import pulumi_kubernetes as kubernetes

from ..names import stack_name

meta = kubernetes.meta.v1

PROVISIONER = "pd.csi.storage.gke.io"
"""Part of every GKE cluster (GKE, "Using the Compute Engine persistent disk CSI Driver")."""


def storage_class(
    labels: Mapping[str, str], opts: pulumi.ResourceOptions
) -> tuple[str, kubernetes.storage.v1.StorageClass]:
    """A class for encrypted SSD volumes that can grow, and its name.

    Whoever claims a volume names it by this text, not by the resource's output: a class cannot be changed,
    and a claim that followed its replacement (new labels are enough) would be replaced too, with the data in
    it.

    GKE's own default class stays the default: a second one would make both ambiguous.
    """
    name = stack_name("balanced")
    made = kubernetes.storage.v1.StorageClass(
        "mlflow-balanced",
        metadata=meta.ObjectMetaArgs(name=name),
        provisioner=PROVISIONER,
        # A volume lies in one zone: it is made in that of the first pod that needs it.
        volume_binding_mode="WaitForFirstConsumer",
        allow_volume_expansion=True,
        reclaim_policy="Delete",
        parameters={
            "type": "pd-balanced",
            "labels": ",".join(f"{key}={value}" for key, value in sorted(labels.items())),
        },
        opts=opts,
    )
    return name, made
