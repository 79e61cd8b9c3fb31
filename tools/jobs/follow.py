"""A Job followed to its end, through all its pods and their containers, and explained when it fails."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from typing import Any

from rich.markup import escape

from components.jobs.names import FETCH
from tools.common import Failure, console, step
from tools.deployed import Deployed

PATIENCE = 180
"""Seconds of silence before it is said why; an autoscaler's node or an image of 10 GB takes longer."""
BACK_OFF = 20
"""Seconds without a pod before it is said that the next attempt is due later: the controller waits 10 s, then
twice as long each time, up to 6 min. Source: Kubernetes, "Jobs", Pod backoff failure policy."""
CUTS = 6
"""How often a log that brings nothing is asked for again, after 1, 2, 4 … s: half a minute in all."""
PULLS = {"ErrImagePull", "ImagePullBackOff"}
"""Waiting reasons that may pass: a registry that was busy."""
HOPELESS = {
    "CreateContainerConfigError",
    "CreateContainerError",
    "ErrImageNeverPull",
    "InvalidImageName",
    "RunContainerError",
}
"""Waiting reasons that do not pass by themselves."""
STAMPED = re.compile(r"(\d{4}-\d\d-\d\dT\S+) (.*)", re.DOTALL)
"""A line of a log with its time; the kubelet writes nine digits: as text, later ones are greater."""
RUN_LINE = re.compile(r"^launcher: experiment (\d+) run ([0-9a-f]{32})$")
POLL = 0.4


def follow(deployed: Deployed, job: str) -> tuple[str, str] | None:
    """Pass a Job's log on, attempt after attempt, until it has ended.

    Only the Job itself says that it has failed; its deadline limits every wait.

    :returns: ids of experiment and run of the attempt that succeeded; None when its launcher told none.
    :raises Failure: when it has failed, cannot start, or is deleted.
    """
    found: tuple[str, str] | None = None
    seen: list[str] = []
    while pod := _next_pod(deployed, job, seen):
        if seen:
            console.print(f"[yellow]…[/] attempt {len(seen) + 1}, pod {pod}")
        seen.append(pod)
        for container in _containers(deployed, job, pod):
            for line in log_of(deployed, pod, container):
                print(line, end="", flush=True)
                if told := RUN_LINE.match(line.strip()):
                    found = (told[1], told[2])
    return found


def ended(job: dict[str, Any]) -> str | None:
    """Complete or Failed, or None while it works."""
    for condition in job["status"].get("conditions", []):
        if condition["status"] == "True" and condition["type"] in ("Complete", "Failed"):
            return condition["type"]
    return None


def failure(job: str, reason: str) -> Failure:
    """What a person is told about a Job that did not succeed."""
    return Failure(f"Job {job} failed: {reason}", f"its whole log: make logs JOB={job}")


def unstarted(job: str, reason: str) -> Failure:
    """What a person is told about a Job that is there and does not begin."""
    return Failure(
        f"Job {job} does not start: {reason}",
        "Kubernetes goes on trying until the Job's deadline; mend the cause, or end it: make stop",
    )


def log_of(deployed: Deployed, pod: str, container: str) -> Iterator[str]:
    """A container's log to its end, each line once; one that is cut is taken up where it was.

    An API server that restarts cuts it, and so may a load balancer before it when nothing is written for
    minutes, without an error (kubernetes/kubernetes#115836).

    :raises Failure: when it cannot be read.
    """
    last, cuts = "", 0
    while True:
        try:
            if (found := _pod(deployed, pod)) is None:
                return
            over = "terminated" in _state(found, container)
            shown = last
            for stamp, text in _stamped(deployed, pod, container, shown):
                if stamp is not None and stamp > last:
                    last, cuts = stamp, 0
                if stamp is None or stamp > shown:
                    yield text
            if over:
                return
            time.sleep(POLL)
        except Failure:
            cuts += 1
            if cuts == CUTS:
                raise
            time.sleep(2 ** (cuts - 1))


def _stamped(deployed: Deployed, pod: str, container: str, since: str) -> Iterator[tuple[str | None, str]]:
    """Lines with their times, from the second of ``since`` on.

    What has none is the rest of the line before (of progress bars, parts end with a carriage return), or
    kubectl's own complaint.
    """
    words = ["logs", "--follow", "--timestamps", pod, "--container", container]
    stamp = None
    for line in deployed.lines(*words, *([f"--since-time={since}"] if since else [])):
        found = STAMPED.match(line)
        stamp = found[1] if found else stamp
        yield stamp, found[2] if found else line


def _next_pod(deployed: Deployed, job: str, seen: list[str]) -> str | None:
    """The pod of the next attempt, or None when the Job has succeeded.

    :raises Failure: when it has failed, or the controller may make no pod.
    """
    if seen:
        return _wait_for_pod(deployed, job, seen)
    with step("pod starts"):
        return _wait_for_pod(deployed, job, seen)


def _wait_for_pod(deployed: Deployed, job: str, seen: list[str]) -> str | None:
    said, begin = not seen, time.monotonic()
    while True:
        found = deployed.objects("jobs", "--field-selector", f"metadata.name={job}")
        if not found:
            raise Failure(f"Job {job} is gone", "somebody deleted it, or its time to live is over")
        state = ended(found[0])
        pods = pods_of(deployed, job)
        for pod in pods:
            if pod["metadata"]["name"] not in seen:
                return pod["metadata"]["name"]
        if state == "Complete":
            return None
        if state == "Failed":
            raise failure(job, _verdict(found[0], pods))
        if not seen and (blocked := _blocked(deployed, job)):
            raise unstarted(job, blocked)
        if not said and time.monotonic() - begin > BACK_OFF:
            console.print("[yellow]…[/] the next attempt waits for Kubernetes' back-off, up to 6 min")
            said = True
        time.sleep(POLL)


def pods_of(deployed: Deployed, job: str) -> list[dict[str, Any]]:
    """A Job's pods, oldest first."""
    pods = deployed.objects("pods", "--selector", f"batch.kubernetes.io/job-name={job}")
    return sorted(pods, key=lambda pod: pod["metadata"]["creationTimestamp"])


def _containers(deployed: Deployed, job: str, pod: str) -> Iterator[str]:
    """The pod's containers, each once it has something to say; none after one that failed.

    :raises Failure: when one cannot start.
    """
    known = _pod(deployed, pod) or {"spec": {}}
    for name in [c["name"] for kind in ("initContainers", "containers") for c in known["spec"].get(kind, [])]:
        said, refused = time.monotonic(), None
        while True:
            found = _pod(deployed, pod)
            if found is None:
                return  # deleted; the Job makes another
            state = _state(found, name)
            if "running" in state or "terminated" in state:
                yield name
                break
            if found["status"]["phase"] in ("Failed", "Succeeded"):
                return
            waiting, now = state.get("waiting", {}), time.monotonic()
            reason = _waiting_for(found, waiting)
            if waiting.get("reason") in PULLS:
                refused = refused or now
            late = refused is not None and now - refused > PATIENCE
            if late or waiting.get("reason") in HOPELESS:
                raise unstarted(job, f"container {name}: {reason}")
            if now - said > PATIENCE:
                console.print(f"[yellow]…[/] {name} waits: {escape(reason)}")
                said = now
            time.sleep(POLL)


def _pod(deployed: Deployed, pod: str) -> Any:
    found = deployed.objects("pods", "--field-selector", f"metadata.name={pod}")
    return found[0] if found else None


def _state(pod: dict[str, Any], container: str) -> dict[str, Any]:
    status = pod["status"]
    for each in [*status.get("initContainerStatuses", []), *status.get("containerStatuses", [])]:
        if each["name"] == container:
            return each.get("state", {})
    return {}


def _waiting_for(pod: dict[str, Any], waiting: dict[str, Any]) -> str:
    for condition in pod["status"].get("conditions", []):
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            return f"{condition.get('reason')}: {condition.get('message')}"
    return ": ".join(filter(None, [waiting.get("reason"), waiting.get("message")])) or "pending"


def _blocked(deployed: Deployed, job: str) -> str | None:
    """Why the Job controller makes no pod (quota, admission), or None."""
    events = deployed.objects(
        "events", "--field-selector", f"involvedObject.name={job},involvedObject.kind=Job,reason=FailedCreate"
    )
    return events[-1]["message"] if events else None


def _verdict(job: dict[str, Any], pods: list[dict[str, Any]]) -> str:
    """Why a Job failed: Kubernetes' reason, and how its last pod ended."""
    condition = next(one for one in job["status"]["conditions"] if one["type"] == "Failed")
    if condition["reason"] == "DeadlineExceeded":
        return f"it took longer than its {job['spec']['activeDeadlineSeconds']} s, all attempts together"
    attempts = f"{len(pods)} attempts, the last one: " if len(pods) > 1 else ""
    return f"{condition['reason']}: {attempts}{death(pods[-1]) if pods else 'its pods are gone'}"


def death(pod: dict[str, Any]) -> str:
    """How a pod's container ended, with the last lines it wrote; an init container's where that failed."""
    status = pod["status"]
    for each in [*status.get("initContainerStatuses", []), *status.get("containerStatuses", [])]:
        end = each.get("state", {}).get("terminated")
        if not end or end["exitCode"] == 0:
            continue
        message = (end.get("message") or "").strip()
        if each["name"] == FETCH:
            return f"its code could not be fetched: {_git_error(message)}"
        last = "\n".join(message.splitlines()[-10:])
        return f"{end.get('reason', 'unknown')}, exit code {end['exitCode']}; last lines:\n{last}"
    return status.get("message") or "its pod was deleted or evicted"


def _git_error(message: str) -> str:
    """git's own complaint in git-sync's log, which is a line of JSON per event."""
    for line in reversed(message.splitlines()):
        try:
            told = json.loads(line)
        except ValueError:
            continue
        if isinstance(told, dict) and told.get("error"):
            return str(told["error"]).strip()
    return message.splitlines()[-1] if message else "it said nothing"
