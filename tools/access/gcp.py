"""A GKE cluster that the stack's settings name, before the stack is up, and who signs in to it."""

from __future__ import annotations

import json
import os
import shutil

from components.kubeconfig import exec_kubeconfig
from tools.common import Failure, run

PLUGIN = "gke-gcloud-auth-plugin"

INSTALL_HINT = "install it: https://cloud.google.com/kubernetes-engine/docs/how-to/cluster-access-for-kubectl"
LIMIT = 30
"""Seconds for one answer of Google's."""

IMPERSONATED, IMPERSONATED_BY_GCLOUD = (
    "GOOGLE_IMPERSONATE_SERVICE_ACCOUNT",
    "CLOUDSDK_AUTH_IMPERSONATE_SERVICE_ACCOUNT",
)
"""The same wish, once for Google's SDKs and Pulumi, and once for gcloud."""
FILE = "CLOUDSDK_AUTH_CREDENTIAL_FILE_OVERRIDE"
"""gcloud's own way to take credentials from a file."""


def signed_in() -> str:
    """Who kubectl and Pulumi's Kubernetes provider will be: gcloud's account, whoever Google's SDKs are.

    The plugin asks gcloud in the same way (kubernetes/cloud-provider-gcp, gke-gcloud-auth-plugin/cred.go).

    :raises Failure: when gcloud gives no token, or the token of somebody whom the SDKs do not impersonate.
    """
    if shutil.which(PLUGIN) is None:
        raise Failure(f"{PLUGIN} is not installed: it signs in to the cluster", INSTALL_HINT)
    answer = run(
        ["gcloud", "config", "config-helper", "--format", "json"],
        timeout=LIMIT,
        hint=f"gcloud, with which the cluster is signed in to, has no account: gcloud auth login; without a "
        f"person set {FILE} to the file of credentials (docs/gcp.md)",
    )
    properties = json.loads(answer)["configuration"]["properties"]
    account = properties.get("core", {}).get("account")
    given = os.environ.get(IMPERSONATED_BY_GCLOUD) or properties.get("auth", {}).get(
        "impersonate_service_account"
    )
    wanted = os.environ.get(IMPERSONATED)
    if wanted and wanted != given:
        raise Failure(
            f"{IMPERSONATED} is {wanted}, and gcloud, which signs in to the cluster, does not know of it",
            f"export {IMPERSONATED_BY_GCLOUD}={wanted}",
        )
    return given or os.environ.get(FILE) or account or "gcloud's account"


def kubeconfig(cluster: str, location: str, project: str) -> str:
    """A kubeconfig for the cluster, which signs in as whoever uses it.

    :param location: its region or zone.
    :raises Failure: when gcloud is missing or may not describe the cluster, or it has no address.
    """
    place = ["--location", location, "--project", project]
    answer = run(
        ["gcloud", "container", "clusters", "describe", cluster, *place, "--format", "json"],
        timeout=LIMIT,
        hint="install the gcloud CLI and sign in; its user needs container.clusters.get in the project",
    )
    found = json.loads(answer)
    if not found.get("endpoint"):
        raise Failure(
            f"cluster {cluster} answers by its DNS name only, which is not supported",
            "switch the IP endpoints of its control plane on",
        )
    return exec_kubeconfig(
        cluster,
        server=f"https://{found['endpoint']}",
        certificate_authority=found["masterAuth"]["clusterCaCertificate"],
        command=PLUGIN,
        arguments=[],
        install_hint=INSTALL_HINT,
    )
