"""Reading the user's kubeconfig without ever writing it, and cutting out the one context that was named."""

from __future__ import annotations

import difflib
import os
from pathlib import Path
from typing import Any

import yaml

from tools.common import Failure

_FILES = {
    "clusters": ("certificate-authority",),
    "users": ("client-certificate", "client-key", "tokenFile"),
}


def user_kubeconfig() -> dict[str, Any]:
    """What kubectl would use: the files of ``KUBECONFIG`` merged, else ``~/.kube/config``."""
    named = [Path(part) for part in os.environ.get("KUBECONFIG", "").split(os.pathsep) if part]
    files = [path for path in named or [Path.home() / ".kube/config"] if path.exists()]
    return merge([read(path) for path in files])


def read(path: Path) -> dict[str, Any]:
    """A kubeconfig with relative file names made absolute, so that it can be written elsewhere.

    :raises Failure: when the file is missing or is no kubeconfig.
    """
    try:
        config = yaml.safe_load(path.read_text())
    except (OSError, yaml.YAMLError) as error:
        raise Failure(f"{path} cannot be read as a kubeconfig: {error}", "check --kubeconfig") from None
    if not isinstance(config, dict):
        raise Failure(f"{path} is not a kubeconfig", "check --kubeconfig")
    for part, keys in _FILES.items():
        for entry in config.get(part) or []:
            body = entry.get(part[:-1]) or {}
            body.update({key: str(path.absolute().parent / body[key]) for key in keys if body.get(key)})
    return config


def merge(configs: list[dict[str, Any]]) -> dict[str, Any]:
    """Merge as kubectl does: for each name, the first file that has it wins."""
    merged: dict[str, Any] = {}
    for part in ("clusters", "users", "contexts"):
        entries: dict[str, Any] = {}
        for config in configs:
            for entry in config.get(part) or []:
                entries.setdefault(entry["name"], entry)
        merged[part] = list(entries.values())
    return merged


def only_context(config: dict[str, Any], name: str) -> dict[str, Any]:
    """The smallest kubeconfig that holds context ``name``; everything else stays behind.

    :raises Failure: when there is no such context; the hint has those there are, the nearest first.
    """
    contexts = {entry["name"]: entry for entry in config.get("contexts") or []}
    if name not in contexts:
        near = difflib.get_close_matches(name, contexts, n=1)
        known = near + [other for other in contexts if other not in near]
        raise Failure(f"the kubeconfig has no context {name!r}", f"it has: {', '.join(known) or 'none'}")
    context = contexts[name]["context"]
    cut: dict[str, Any] = {"apiVersion": "v1", "kind": "Config", "current-context": name}
    cut["contexts"] = [contexts[name]]
    for part in ("clusters", "users"):
        cut[part] = [e for e in config.get(part) or [] if e["name"] == context.get(part[:-1])]
        if not cut[part]:
            raise Failure(
                f"context {name!r} names a {part[:-1]} that the kubeconfig lacks", "repair that file"
            )
    return cut
