"""A GKE cluster that the stack's settings name, before the stack is up."""

from __future__ import annotations

import json

from components.kubeconfig import exec_kubeconfig
from tools.common import run

INSTALL_HINT = "install it: https://cloud.google.com/kubernetes-engine/docs/how-to/cluster-access-for-kubectl"
LIMIT = 30
"""Seconds for one answer of Google's."""


def kubeconfig(cluster: str, location: str, project: str) -> str:
    """A kubeconfig for the cluster, which signs in as whoever uses it.

    :param location: its region or zone.
    :raises Failure: when gcloud is missing or may not describe the cluster.
    """
    place = ["--location", location, "--project", project]
    answer = run(
        ["gcloud", "container", "clusters", "describe", cluster, *place, "--format", "json"],
        timeout=LIMIT,
        hint="install the gcloud CLI and sign in; its user needs container.clusters.get in the project",
    )
    found = json.loads(answer)
    return exec_kubeconfig(
        cluster,
        server=f"https://{found['endpoint']}",
        certificate_authority=found["masterAuth"]["clusterCaCertificate"],
        command="gke-gcloud-auth-plugin",
        arguments=[],
        install_hint=INSTALL_HINT,
    )
