"""The kubernetes provider's own configuration: which cluster, and the options that the stand-in knows."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import yaml

from tools.engine.standins.kubectl import Kubectl, Object
from tools.engine.standins.plugin import Properties

OPTIONS = {
    "kubeconfig", "context", "cluster", "namespace", "clusterIdentifier", "enableConfigMapMutable",
    "enableSecretMutable", "deleteUnreachable", "upsertExistingObjects", "enableServerSideApply",
    "suppressDeprecationWarnings", "suppressHelmHookWarnings",
}  # fmt: skip
"""Provider options that are honoured, or that change nothing here (the last three)."""


class Configuration:
    """One provider resource's configuration."""

    def __init__(self, values: Properties) -> None:
        self.values = values
        self._kubectl: Kubectl | None = None

    def mistakes(self) -> list[tuple[str, str]]:
        """Pairs of option and reason to refuse it."""
        ignored = ("version", "pluginDownloadURL")
        unknown = [key for key in self.values if key not in OPTIONS and key not in ignored]
        found = [(key, "the stand-in for kubernetes does not know this option") for key in unknown]
        if str(self.values.get("enableServerSideApply", "true")).lower() == "false":
            found.append(("enableServerSideApply", "the stand-in for kubernetes only does server-side apply"))
        if not self.values.get("kubeconfig") and not self.values.get("context"):
            found.append(("kubeconfig", "missing: give a kubeconfig or a context, none is guessed"))
        return found

    @property
    def kubectl(self) -> Kubectl:
        if self._kubectl is None:
            given = self.values.get("kubeconfig")
            text = yaml.safe_dump(given) if isinstance(given, dict) else given
            self._kubectl = Kubectl(text, self.values.get("context"), self.values.get("cluster"))
        return self._kubectl

    def is_on(self, option: str) -> bool:
        return str(self.values.get(option, "")).lower() == "true"

    @property
    def mutable(self) -> frozenset[str]:
        """Kinds whose data changes in place."""
        names = {"ConfigMap": "enableConfigMapMutable", "Secret": "enableSecretMutable"}
        return frozenset(kind for kind, option in names.items() if self.is_on(option))

    @property
    def forgets_unreachable(self) -> bool:
        """Whether objects of a cluster that does not answer count as deleted."""
        variable = os.environ.get("PULUMI_K8S_DELETE_UNREACHABLE", "")
        return self.is_on("deleteUnreachable") or variable.lower() == "true"


def same_cluster(olds: Properties, news: Properties) -> bool:
    """Whether two provider configurations mean the same cluster, by its identifier, else by its server.

    A kubeconfig that cannot be read any more, such as that of another clone, tells nothing: the same.
    """
    old, new = _cluster_of(olds), _cluster_of(news)
    return old is None or new is None or old == new


def _cluster_of(config: Properties) -> object:
    if config.get("clusterIdentifier"):
        return config["clusterIdentifier"]
    try:
        content = _kubeconfig(config.get("kubeconfig"))
        name = config.get("context") or content["current-context"]
        chosen = next(each["context"] for each in content["contexts"] if each["name"] == name)
        cluster = config.get("cluster") or chosen["cluster"]
        return next(each["cluster"]["server"] for each in content["clusters"] if each["name"] == cluster)
    except (TypeError, KeyError, StopIteration, OSError, yaml.YAMLError):
        return None


def _kubeconfig(given: Any) -> Object:
    """A kubeconfig's content, given as such, as a text or as a path."""
    if isinstance(given, str):
        is_content = "\n" in given or given.lstrip().startswith("{")
        given = yaml.safe_load(given if is_content else Path(given).expanduser().read_text())
    return given
