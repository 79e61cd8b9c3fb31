"""When an object is ready, and when a pod will not be: pure judgements on what the API server reports.

What counts as ready follows the official provider's documentation
(https://www.pulumi.com/registry/packages/kubernetes/how-to-guides/, "await logic").
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

Object = dict[str, Any]


@dataclass(frozen=True)
class Verdict:
    """A judgement.

    :ivar text: what is still missing, or what failed.
    """

    state: Literal["ready", "waiting", "failed"]
    text: str = ""


READY = Verdict("ready")


def _waiting(text: str) -> Verdict:
    return Verdict("waiting", text)


def condition(obj: Object, kind: str) -> Object:
    """A status condition; empty when it is not there."""
    for entry in (obj.get("status") or {}).get("conditions") or []:
        if entry["type"] == kind:
            return entry
    return {}


def _observed(obj: Object) -> bool:
    return (obj.get("status") or {}).get("observedGeneration", 0) >= obj["metadata"].get("generation", 1)


def deployment(obj: Object) -> Verdict:
    if obj["spec"].get("paused"):
        return READY
    if not _observed(obj):
        return _waiting("not yet seen by its controller")
    progressing = condition(obj, "Progressing")
    if progressing.get("reason") == "ProgressDeadlineExceeded":
        return Verdict("failed", progressing.get("message", "progress deadline exceeded"))
    status, wanted = obj["status"], obj["spec"].get("replicas", 1)
    updated, total = status.get("updatedReplicas", 0), status.get("replicas", 0)
    available = status.get("availableReplicas", 0)
    if updated < wanted:
        return _waiting(f"{updated} of {wanted} pods made from the new template")
    if available < wanted or total > updated:
        old = f", {total - updated} old still there" if total > updated else ""
        return _waiting(f"{updated} new pods of {wanted} made, {available} pods ready{old}")
    return READY


def stateful_set(obj: Object) -> Verdict:
    if not _observed(obj):
        return _waiting("not yet seen by its controller")
    status, wanted = obj["status"], obj["spec"].get("replicas", 1)
    ready = status.get("readyReplicas", 0)
    if status.get("updateRevision") != status.get("currentRevision"):
        done = status.get("updatedReplicas", 0)
        partition = ((obj["spec"].get("updateStrategy") or {}).get("rollingUpdate") or {}).get("partition", 0)
        if done < wanted - partition:
            return _waiting(f"{done} of {wanted} pods made from the new template")
    if ready < wanted or status.get("replicas", 0) > wanted:
        return _waiting(f"{ready} of {wanted} pods ready")
    return READY


def daemon_set(obj: Object) -> Verdict:
    if not _observed(obj):
        return _waiting("not yet seen by its controller")
    status = obj["status"]
    wanted = status.get("desiredNumberScheduled", 0)
    updated, ready = status.get("updatedNumberScheduled", 0), status.get("numberAvailable", 0)
    if min(updated, ready) < wanted:
        return _waiting(f"{min(updated, ready)} of {wanted} pods ready")
    return READY


def job(obj: Object) -> Verdict:
    if condition(obj, "Complete").get("status") == "True":
        return READY
    for kind in ("Failed", "FailureTarget"):
        failed = condition(obj, kind)
        if failed.get("status") == "True":
            return Verdict("failed", f"{failed.get('reason', kind)}: {failed.get('message', '')}")
    if obj["spec"].get("suspend"):
        return _waiting("suspended; annotate it pulumi.com/skipAwait if that is meant")
    status = obj.get("status") or {}
    return _waiting(f"{status.get('active', 0)} pods running, {status.get('failed', 0)} failed")


def pod(obj: Object) -> Verdict:
    phase = (obj.get("status") or {}).get("phase", "Pending")
    if phase == "Succeeded" or condition(obj, "Ready").get("status") == "True":
        return READY
    if phase == "Failed":
        return Verdict("failed", (obj["status"].get("message") or obj["status"].get("reason") or "it failed"))
    return _waiting(f"phase {phase}")


def claim(obj: Object) -> Verdict:
    phase = (obj.get("status") or {}).get("phase", "Pending")
    if phase == "Bound":
        return READY
    if phase == "Lost":
        return Verdict("failed", "its volume is lost")
    return _waiting(f"phase {phase}")


def has_address(obj: Object) -> Verdict:
    """Load balancers and Ingresses."""
    balancer = (obj.get("status") or {}).get("loadBalancer") or {}
    return READY if balancer.get("ingress") else _waiting("no address yet")


def always(obj: Object) -> Verdict:  # noqa: ARG001
    return READY


JUDGES: dict[tuple[str, str], tuple[str, Callable[[Object], Verdict]]] = {
    ("apps", "Deployment"): ("deployments.apps", deployment),
    ("apps", "StatefulSet"): ("statefulsets.apps", stateful_set),
    ("apps", "DaemonSet"): ("daemonsets.apps", daemon_set),
    ("batch", "Job"): ("jobs.batch", job),
    ("", "Pod"): ("pods", pod),
    ("", "PersistentVolumeClaim"): ("persistentvolumeclaims", claim),
    ("networking.k8s.io", "Ingress"): ("ingresses.networking.k8s.io", has_address),
}
"""API group and kind to the name that kubectl watches and the judge; Services are judged in ``wait.py``."""


STUCK_LIMITS = {
    "ErrImageNeverPull": 5,
    "InvalidImageName": 5,
    "ErrImagePull": 60,
    "ImagePullBackOff": 60,
    "CreateContainerConfigError": 20,
    "CreateContainerError": 30,
    "RunContainerError": 30,
    "Unschedulable": 120,
}
"""Seconds a pod may stay in a state that seldom heals before the wait gives up."""

CRASHES_ALLOWED = 2
"""Restarts after which a container that crashes again fails the wait (about a minute of back-off)."""


@dataclass(frozen=True)
class Trouble:
    """Why a pod does not run.

    :ivar limit: seconds for which that may last.
    """

    pod: str
    container: str
    reason: str
    message: str
    limit: float

    def __str__(self) -> str:
        where = f"pod {self.pod}" + (f", container {self.container}" if self.container else "")
        return f"{where}: {self.reason}" + (f" ({self.message})" if self.message else "")


def trouble(obj: Object) -> Trouble | None:
    """What keeps a pod from running, if it is one of the states that seldom heal."""
    name, status = obj["metadata"]["name"], obj.get("status") or {}
    scheduled = condition(obj, "PodScheduled")
    if scheduled.get("reason") == "Unschedulable":
        return Trouble(name, "", "Unschedulable", scheduled.get("message", ""), STUCK_LIMITS["Unschedulable"])
    for entry in [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]:
        waiting = (entry.get("state") or {}).get("waiting") or {}
        reason = waiting.get("reason", "")
        if reason in STUCK_LIMITS:
            return Trouble(name, entry["name"], reason, waiting.get("message", ""), STUCK_LIMITS[reason])
        if reason == "CrashLoopBackOff" and entry.get("restartCount", 0) > CRASHES_ALLOWED:
            return Trouble(name, entry["name"], reason, _exit(entry), 0)
    return None


def _exit(entry: Object) -> str:
    last = (
        (entry.get("lastState") or {}).get("terminated") or (entry.get("state") or {}).get("terminated") or {}
    )
    text = f"restarted {entry.get('restartCount', 0)} times, last exit code {last.get('exitCode', '?')}"
    return text + (f", {last['reason']}" if last.get("reason") not in (None, "Error") else "")


def failed_container(obj: Object) -> str | None:
    """The container of a pod whose log tells why it failed: not running, and not ended well."""
    status = obj.get("status") or {}
    for entry in [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]:
        ended = (entry.get("state") or {}).get("terminated") or (entry.get("lastState") or {}).get(
            "terminated"
        )
        if ended and ended.get("exitCode") != 0:
            return entry["name"]
    return None
