"""What a stack without a server of its own takes for granted: its namespace and its ServiceAccount."""

from __future__ import annotations

from collections.abc import Iterator

from components.settings.existing import ExistingStack
from tools.common import Failure
from tools.validate import Finding, Subject, reason

KEY = "mlflow:tracking.serviceAccount"


def existing(subject: Subject) -> Iterator[Finding]:
    """Without its account no pod is ever made, and nothing says so but the Job's events."""
    settings, cluster = subject.settings, subject.cluster
    if cluster is None or not isinstance(settings, ExistingStack):
        return
    account, namespace = settings.tracking.service_account, settings.namespace
    words = ("get", "serviceaccount", account, "--namespace", namespace, "--ignore-not-found", "-o", "name")
    try:
        if not cluster.kubectl(*words).strip():
            text = (
                f"there is no ServiceAccount {account} in namespace {namespace}; have it made, or correct it"
            )
            yield Finding(KEY, text)
    except Failure as failure:
        yield Finding(KEY, f"could not be looked for: {reason(failure)}", fails=False)
