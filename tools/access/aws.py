"""An EKS cluster that the stack's settings name, before the stack is up."""

from __future__ import annotations

import json

from components.kubeconfig import exec_kubeconfig
from tools.common import run

INSTALL_HINT = "install the AWS CLI: https://docs.aws.amazon.com/cli/latest/userguide/getting-started-install"
LIMIT = 30
"""Seconds for one answer of AWS."""


def kubeconfig(cluster: str, region: str, profile: str | None = None) -> str:
    """A kubeconfig for the cluster, which signs in as whoever uses it.

    :raises Failure: when the AWS CLI is missing or may not describe the cluster.
    """
    common = ["--region", region, "--output", "json", *(["--profile", profile] if profile else [])]
    answer = run(
        ["aws", "eks", "describe-cluster", "--name", cluster, *common],
        timeout=LIMIT,
        hint=f"{INSTALL_HINT}; its user needs eks:DescribeCluster",
    )
    found = json.loads(answer)["cluster"]
    return exec_kubeconfig(
        cluster,
        server=found["endpoint"],
        certificate_authority=found["certificateAuthority"]["data"],
        command="aws",
        arguments=["eks", "get-token", "--cluster-name", cluster, *common],
        install_hint=INSTALL_HINT,
    )
