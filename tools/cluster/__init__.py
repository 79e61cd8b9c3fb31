"""The development cluster: made, found or removed behind one command, seen by the rest as a kubeconfig."""

from __future__ import annotations

import json
import os
from typing import Any

from tools.common import LOCAL, Failure, run

INFO = LOCAL / "cluster.json"
KUBECONFIG = LOCAL / "kubeconfig"
NAME = os.environ.get("CLUSTER_NAME") or "mlflow-dev"
"""Name of the node, its kubeconfig context, network link, firewall rules and cgroup, and of the kind cluster.

``CLUSTER_NAME`` sets it (at most 14 characters): the lifecycle test makes a second cluster beside the first.
"""


def info() -> dict[str, Any]:
    """What ``make cluster`` wrote about the cluster.

    Keys: ``kind`` (registry, kind or context), ``context``, ``kubeconfig`` and ``kubectl`` (absolute
    paths), ``loader`` (how an image archive gets in; null: images come from a registry), ``canPull``
    (its nodes reach public image registries), ``nodeAddress`` (where NodePorts answer),
    ``hostAddress`` (where pods reach this machine; null: unknown) and ``identity`` (the UID of its
    kube-system namespace).

    :raises Failure: when there is no cluster yet.
    """
    try:
        return json.loads(INFO.read_text())
    except FileNotFoundError:
        raise Failure("no cluster has been made for this checkout", "run `make cluster`") from None
    except json.JSONDecodeError as error:
        raise Failure(f"{INFO.name} is not JSON ({error})", "run `make cluster` to write it again") from None


def kubectl(*args: str, stdin: str | None = None, timeout: float = 60) -> str:
    """Run a kubectl that fits the cluster, on the project's own kubeconfig, and return its output.

    :param timeout: seconds.
    :raises Failure: when there is no cluster, or when kubectl fails.
    """
    cluster = info()
    command = [cluster["kubectl"], "--kubeconfig", cluster["kubeconfig"], "--context", cluster["context"]]
    return run([*command, *args], input=stdin, timeout=timeout)
