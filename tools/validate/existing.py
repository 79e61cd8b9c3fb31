"""What a stack without a server of its own takes for granted: its ServiceAccount and its pull secrets."""

from __future__ import annotations

from collections.abc import Iterator

from components.settings.existing import ExistingStack
from tools.common import Failure
from tools.validate import Finding, Subject, reason


def existing(subject: Subject) -> Iterator[Finding]:
    """Without its account no pod is ever made, and without a pull secret none starts; nothing says so but
    events."""
    settings, cluster = subject.settings, subject.cluster
    if cluster is None or not isinstance(settings, ExistingStack):
        return
    wanted = {"mlflow:tracking.serviceAccount": ("ServiceAccount", settings.tracking.service_account)}
    for index, name in enumerate(settings.images.pull_secrets):
        wanted[f"mlflow:images.pullSecrets[{index}]"] = ("Secret", name)
    for key, (kind, name) in wanted.items():
        words = (kind.lower(), name, "--namespace", settings.namespace, "--ignore-not-found", "-o", "name")
        try:
            if not cluster.kubectl("get", *words).strip():
                place = f"in namespace {settings.namespace}"
                yield Finding(key, f"there is no {kind} {name} {place}; have it made, or correct it")
        except Failure as failure:
            yield Finding(key, f"could not be looked for: {reason(failure)}", fails=False)
