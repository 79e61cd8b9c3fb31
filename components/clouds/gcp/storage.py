"""The class of the volumes in the cluster: balanced disks, which Google always encrypts."""

from __future__ import annotations

from collections.abc import Mapping

import pulumi
import pulumi_kubernetes as kubernetes

from ..storage_class import made_class

PROVISIONER = "pd.csi.storage.gke.io"
"""Part of every GKE cluster (GKE, "Using the Compute Engine persistent disk CSI Driver")."""


def storage_class(
    disk: str, labels: Mapping[str, str], opts: pulumi.ResourceOptions
) -> tuple[str, kubernetes.storage.v1.StorageClass]:
    """A class for encrypted SSD volumes that can grow, and its name.

    GKE's own default class stays the default: a second one would make both ambiguous.

    :param disk: a type that the nodes' machines take.
    """
    parameters = {
        "type": disk,
        "labels": ",".join(f"{key}={value}" for key, value in sorted(labels.items())),
    }
    return made_class("balanced", PROVISIONER, parameters, opts=opts)
