"""Pods that measure: restricted, bounded, their script from a ConfigMap, their findings from their log."""

from __future__ import annotations

import json
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from components.tracking.labels import SERVER
from tools import cluster
from tools.benchmark.place import NAMESPACE, images, kubectl, say
from tools.common import Failure

SCRIPTS = Path(__file__).parent / "scripts"
UID = GID = 10001
"""User and group of our own images (their Dockerfiles' USER)."""
START_LIMIT = 120
NEAR_THE_SERVER = {
    "podAffinity": {
        "requiredDuringSchedulingIgnoredDuringExecution": [
            {
                "topologyKey": "kubernetes.io/hostname",
                "labelSelector": {"matchLabels": {"app.kubernetes.io/component": "server"}},
            }
        ]
    }
}
"""On the server's node: a volume that one node can mount, and no network between the two."""


def pod(
    name: str, container: Mapping[str, Any], volumes: list[dict[str, Any]], **spec: Any
) -> dict[str, Any]:
    """A pod that passes the restricted standard."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": NAMESPACE, "labels": {"mlflow/benchmark": name}},
        "spec": {
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "terminationGracePeriodSeconds": 5,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": UID,
                "runAsGroup": GID,
                "fsGroup": GID,
                "fsGroupChangePolicy": "OnRootMismatch",
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [{**container, **CONTAINER}],
            "volumes": [{"name": "tmp", "emptyDir": {}}, *volumes],
            **spec,
        },
    }


CONTAINER = {
    "imagePullPolicy": "IfNotPresent",
    "securityContext": {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    },
    "terminationMessagePolicy": "FallbackToLogsOnError",
}
TMP = {"name": "tmp", "mountPath": "/tmp"}  # noqa: S108 - an emptyDir of the pod's own


def run_script(
    script: str, plan: Mapping[str, Any], limit: int, told: Callable[[dict[str, Any]], None], claim: str = ""
) -> list[dict[str, Any]]:
    """Run one of ``scripts`` as a pod of the job image; the lines of JSON it wrote.

    :param limit: seconds after which Kubernetes ends it.
    :param told: called with each line as it comes.
    :param claim: a volume claim to mount at ``plan["volume"]``.
    :raises Failure: when it does not start, or fails.
    """
    name = f"bench-{Path(script).stem}"
    text = (SCRIPTS / script).read_text()
    mounts = [TMP, {"name": "script", "mountPath": "/script", "readOnly": True}]
    volumes: list[dict[str, Any]] = [{"name": "script", "configMap": {"name": name}}]
    if claim:
        mounts.append({"name": "volume", "mountPath": plan["volume"]})
        volumes.append({"name": "volume", "persistentVolumeClaim": {"claimName": claim}})
    container = {
        "name": "main",
        "image": images()["job"],
        "command": ["python", f"/script/{script}", json.dumps(plan)],
        "volumeMounts": mounts,
        "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "512Mi"}},
    }
    metadata = {"name": name, "namespace": NAMESPACE}
    items = [
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {script: text}},
        pod(name, container, volumes, activeDeadlineSeconds=limit, affinity=NEAR_THE_SERVER),
    ]
    kubectl("create", "-f", "-", manifest={"apiVersion": "v1", "kind": "List", "items": items})
    try:
        started(name)
        found = []
        for line in _log(name, limit):
            found.append(json.loads(line))
            told(found[-1])
        _succeeded(name)
        return found
    finally:
        names = (f"pod/{name}", f"configmap/{name}", "-n", NAMESPACE)
        kubectl("delete", *names, "--ignore-not-found", "--now", timeout=90)


def started(name: str) -> None:
    """Wait until a pod runs or has run."""
    deadline = time.monotonic() + START_LIMIT
    while time.monotonic() < deadline:
        if (
            json.loads(kubectl("get", "pod", name, "-n", NAMESPACE, "-o", "json"))["status"]["phase"]
            != "Pending"
        ):
            return
        time.sleep(0.5)
    events = kubectl("get", "events", "-n", NAMESPACE, "--field-selector", f"involvedObject.name={name}")
    raise Failure(
        f"pod {name} did not start within {START_LIMIT} s:\n{events[-500:]}", "make images; make bench"
    )


def ready(name: str, limit: int) -> None:
    """Wait until a pod is ready.

    :param limit: seconds.
    :raises Failure: with the end of its log when it does not become ready.
    """
    words = ("wait", "pod", name, "-n", NAMESPACE, "--for=condition=Ready", f"--timeout={limit}s")
    try:
        kubectl(*words, timeout=limit + 10)
    except Failure as failure:
        log = kubectl("logs", name, "-n", NAMESPACE, "--all-containers", "--tail=15")
        raise Failure(f"{failure}\n{log}", "make bench") from None


def address(name: str) -> str:
    """A pod's IP address."""
    return kubectl("get", "pod", name, "-n", NAMESPACE, "-o", "jsonpath={.status.podIP}")


def _log(name: str, limit: int) -> Iterator[str]:
    """The lines of a pod's log that are JSON, as they come; others are shown."""
    info = cluster.info()
    command = [info["kubectl"], "--kubeconfig", info["kubeconfig"], "--context", info["context"]]
    with subprocess.Popen(
        [*command, "logs", "--follow", name, "-n", NAMESPACE], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        timer = threading.Timer(limit + 30, process.kill)  # Kubernetes ends the pod before
        timer.start()
        try:
            for line in process.stdout:
                if line.startswith("{"):
                    yield line
                else:
                    say(line.rstrip())
        finally:
            timer.cancel()
            process.kill()


def _succeeded(name: str) -> None:
    deadline = time.monotonic() + 30
    status: dict[str, Any] = {}
    while time.monotonic() < deadline:
        status = json.loads(kubectl("get", "pod", name, "-n", NAMESPACE, "-o", "json"))["status"]
        if status["phase"] == "Succeeded":
            return
        if status["phase"] == "Failed":
            break
        time.sleep(0.3)
    raise Failure(
        f"pod {name} of the benchmark failed: {status.get('reason') or 'see its log above'}", "make bench"
    )


def server_pod() -> dict[str, Any]:
    """The one server pod of the benchmark's stack that is ready."""
    selector = f"app.kubernetes.io/name=mlflow,app.kubernetes.io/component={SERVER.removeprefix('mlflow-')}"
    pods = json.loads(kubectl("get", "pods", "-n", NAMESPACE, "-l", selector, "-o", "json"))["items"]
    return next(each for each in pods if not each["metadata"].get("deletionTimestamp"))


def state(name: str) -> str:
    """Restarts of a pod's containers and the end of its log, for the report of a failure."""
    found = json.loads(kubectl("get", "pod", name, "-n", NAMESPACE, "-o", "json"))["status"]
    restarts = [
        f"{each['name']}: {each['restartCount']} restarts, last {json.dumps(each['lastState'])}"
        for each in found.get("containerStatuses") or []
    ]
    log = kubectl("logs", name, "-n", NAMESPACE, "--tail=5")
    return "\n".join([f"{name} ({found['phase']})", *restarts, log])


MEMORY = "cat /sys/fs/cgroup/memory.current /sys/fs/cgroup/memory.stat 2>/dev/null || " + (
    "cat /sys/fs/cgroup/memory/memory.usage_in_bytes /sys/fs/cgroup/memory/memory.stat"
)


def memory(name: str) -> float:
    """A pod's working set in MB, as Kubernetes counts it: what its cgroup uses without inactive page cache.

    Read from the cgroup itself (v2 or v1); metrics servers give the same number, up to a minute late.
    """
    return working_set(kubectl("exec", name, "-n", NAMESPACE, "--", "sh", "-c", MEMORY)) / 1e6


def working_set(text: str) -> int:
    """Bytes, from a cgroup's usage followed by its statistics."""
    usage, *lines = text.split("\n")
    stat = dict(line.split() for line in lines if line.strip())
    return max(int(usage) - int(stat.get("total_inactive_file", stat.get("inactive_file", 0))), 0)
