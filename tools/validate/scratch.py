"""A namespace for the time of a check, as strict as the stack's own."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

from tools.common import Failure
from tools.validate import ClusterAccess

LABELS = {"app.kubernetes.io/managed-by": "make-validate"}
STALE = timedelta(minutes=10)
"""No check takes that long: what is older was left by a run that was killed."""


@contextmanager
def scratch_namespace(cluster: ClusterAccess) -> Iterator[str]:
    """Make a namespace with the restricted Pod Security standard, and delete it whatever happens.

    :raises Failure: when it may not be made.
    """
    _remove_stale(cluster)
    name = f"mlflow-validate-{secrets.token_hex(3)}"
    labels = {**LABELS, "pod-security.kubernetes.io/enforce": "restricted"}
    manifest = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}
    cluster.kubectl("create", "-f", "-", manifest=manifest)
    try:
        yield name
    finally:
        cluster.kubectl("delete", "namespace", name, "--wait=false")


def _remove_stale(cluster: ClusterAccess) -> None:
    selector = ",".join(f"{key}={value}" for key, value in LABELS.items())
    try:
        found = cluster.objects("namespaces", "--selector", selector)
    except Failure:
        return  # who may not list namespaces may still make one
    for each in found:
        created = datetime.fromisoformat(each["metadata"]["creationTimestamp"])
        if datetime.now(UTC) - created > STALE:
            cluster.kubectl("delete", "namespace", each["metadata"]["name"], "--wait=false")
