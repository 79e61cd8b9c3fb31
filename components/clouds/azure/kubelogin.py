"""How people and programs sign in to an AKS cluster: by Entra, as whoever `az` is signed in as."""

from __future__ import annotations

from typing import Any

import yaml

from ...kubeconfig import exec_kubeconfig

KUBELOGIN = "kubelogin"
INSTALL_HINT = "install it: az aks install-cli, or https://azure.github.io/kubelogin"
AKS = "6dae42f8-4368-4678-94ff-3960e28e3630"
"""Entra's application of every AKS cluster (kubelogin, "Concepts: Azure Kubernetes Service AAD Server")."""


class NoEntraError(Exception):
    """The cluster does not know Entra, and hands out keys instead."""


def entra_kubeconfig(name: str, given: str | bytes) -> str:
    """The address and authority of a kubeconfig that Azure gave, and a command that signs in.

    :raises NoEntraError: when it holds a key.
    """
    found: dict[str, Any] = yaml.safe_load(given)
    if "exec" not in found["users"][0]["user"]:
        raise NoEntraError
    cluster = found["clusters"][0]["cluster"]
    return exec_kubeconfig(
        name,
        server=cluster["server"],
        certificate_authority=cluster["certificate-authority-data"],
        command=KUBELOGIN,
        # As whom `az` is signed in; AAD_LOGIN_METHOD says otherwise where there is no `az`.
        arguments=["get-token", "--login", "azurecli", "--server-id", AKS],
        install_hint=INSTALL_HINT,
    )
