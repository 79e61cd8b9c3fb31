"""A kubeconfig without credentials: whoever uses it signs in with the cloud's own command."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

API_VERSION = "client.authentication.k8s.io/v1beta1"
"""What `aws eks get-token`, gke-gcloud-auth-plugin and kubelogin all speak (Kubernetes, "client-go credential
plugins")."""


def exec_kubeconfig(
    name: str,
    *,
    server: str,
    certificate_authority: str,
    command: str,
    arguments: Sequence[str],
    environment: Mapping[str, str] | None = None,
    install_hint: str = "",
) -> str:
    """A kubeconfig as JSON, fit for a provider's ``kubeconfig`` and for the stack's ``kubeconfig`` export.

    :param name: of cluster, user and context.
    :param server: ``https://`` address of the Kubernetes API.
    :param certificate_authority: its authority's PEM in base64, as clouds hand it out.
    :param command: prints a short-lived token; it takes the caller's own credentials from where they are.
    :param environment: what the command needs beside that; never a secret.
    """
    plugin = {
        "apiVersion": API_VERSION,
        "command": command,
        "args": list(arguments),
        "env": [{"name": key, "value": value} for key, value in (environment or {}).items()],
        "interactiveMode": "IfAvailable",
        "provideClusterInfo": False,
        "installHint": install_hint,
    }
    cluster = {"server": server, "certificate-authority-data": certificate_authority}
    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": name,
            "clusters": [{"name": name, "cluster": cluster}],
            "users": [{"name": name, "user": {"exec": plugin}}],
            "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
        }
    )
