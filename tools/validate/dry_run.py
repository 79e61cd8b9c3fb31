"""The rendered manifests, judged by the cluster's own API server, which stores nothing."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from typing import Any

from components.settings import AnyStack
from components.settings.existing import ExistingStack
from tools.common import Failure
from tools.offline import UNKNOWN_TEXT
from tools.validate import CALL_LIMIT, ClusterAccess, Finding, Subject, reason
from tools.validate.keys import key_of
from tools.validate.scratch import scratch_namespace

STAND_IN = "unknown"
"""For what only a cloud will say: valid as a name, an image and an address."""
PULL_SECRET = "kubernetes.io/dockerconfigjson"  # noqa: S105 - a type
AT_ONCE = 4
NOT_WRONG = (
    # Pulumi replaces such objects; only an apply in place is refused.
    "field is immutable",
    "updates to statefulset spec for fields other than",
    "spec is immutable after creation",
)


def dry_run(subject: Subject) -> Iterator[Finding]:
    """Send every manifest with ``--dry-run=server``, into the stack's namespace or, before the first `up`,
    into one for the time of the check."""
    cluster = subject.cluster
    if cluster is None:
        return
    namespace = subject.settings.namespace
    manifests = [_sendable(each) for each in subject.manifests]
    try:
        # Of a namespace that others made no more is asked than rights in it.
        there = isinstance(subject.settings, ExistingStack) or _exists(cluster, namespace)
        with nullcontext(namespace) if there else scratch_namespace(cluster) as place:
            moved = [_moved(each, namespace, place) for each in manifests]
            if _complaints(cluster, {"apiVersion": "v1", "kind": "List", "items": moved}):
                with ThreadPoolExecutor(AT_ONCE) as pool:
                    said = pool.map(lambda each: _complaints(cluster, each), moved)
                    for manifest, original, lines in zip(moved, subject.manifests, said, strict=True):
                        yield from _findings(manifest, original, lines, subject.settings)
    except Failure as failure:
        yield Finding("mlflow:namespace", f"manifests could not be checked: {reason(failure)}", fails=False)


def _exists(cluster: ClusterAccess, namespace: str) -> bool:
    return bool(cluster.kubectl("get", "namespace", namespace, "--ignore-not-found", "-o", "name").strip())


def _findings(
    manifest: Mapping[str, Any], original: Mapping[str, Any], lines: list[str], settings: AnyStack
) -> Iterator[Finding]:
    title = f"{manifest['kind']} {manifest['metadata']['name']}"
    guessed = UNKNOWN_TEXT in json.dumps(original, ensure_ascii=False)
    for line in lines:
        if any(part in line for part in NOT_WRONG):
            continue
        if manifest["kind"] == "RoleBinding" and line.endswith("not found"):
            continue  # its Role, which comes with it: who is no administrator binds none that is not there
        doubt = " (it holds values that only the cloud will say)" if guessed else ""
        yield Finding(key_of(manifest, settings), f"{title}: {line}{doubt}", fails=not guessed)


def _complaints(cluster: ClusterAccess, manifest: Mapping[str, Any]) -> list[str]:
    """What the API server says against it: errors, and the warnings that its pods would be refused."""
    done = subprocess.run(
        [*cluster.command, "apply", "--server-side", "--dry-run=server", "--force-conflicts",
         "--field-manager=make-validate", "-o", "name", "-f", "-"],
        input=json.dumps(manifest), capture_output=True, text=True, timeout=CALL_LIMIT * 2, check=False,
    )  # fmt: skip
    lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    warned = [line for line in lines if line.startswith("Warning:") and "PodSecurity" in line]
    errors = [line for line in lines if not line.startswith("Warning:")] if done.returncode else []
    return [_short(line) for line in dict.fromkeys([*errors, *warned])]


NOISE = (
    r"^(Error from server[^:]*: |The |Warning: )",
    r'^[\w.]+ "[^"]+" is invalid: ',
    r"failed to (convert new object|create typed patch object) \([^)]*\)( to proper version)?: ",
    r"unable to convert unstructured object to [^:]*: ",
)
"""What kubectl and the API server say around the reason."""


def _short(line: str) -> str:
    for pattern in NOISE:
        line = re.sub(pattern, "", line)
    return line


def _moved(manifest: dict[str, Any], namespace: str, place: str) -> dict[str, Any]:
    """The manifest in another namespace; the namespace itself under its own name."""
    if manifest["metadata"].get("namespace") != namespace:
        return manifest
    return manifest | {"metadata": manifest["metadata"] | {"namespace": place}}


def _sendable(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """The manifest with what the cluster takes where only the cloud will say something, or it is a secret."""
    known = _without_unknowns(manifest)
    if not isinstance(known.get("stringData", {}), Mapping):
        # One value that only the cloud knows hides the whole content.
        known["stringData"] = {}
    if known.get("type") == PULL_SECRET:
        known["stringData"] = {".dockerconfigjson": "{}"}
    return known


def _without_unknowns(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_unknowns(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_unknowns(item) for item in value]
    return value.replace(UNKNOWN_TEXT, STAND_IN) if isinstance(value, str) else value
