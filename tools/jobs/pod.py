"""An MLproject as a Kubernetes Job: made, followed to its end, and explained when it fails."""

from __future__ import annotations

import re
import secrets
import time
from typing import Any

from tools.common import Failure, console, step
from tools.deployed import Deployed
from tools.jobs.project import LAUNCHER, Project

UID = GID = 10001
"""User and group of the job image (its Dockerfile's USER)."""
START_LIMIT = 180
"""Seconds for a pod to be scheduled and its image to be pulled."""
END_LIMIT = 60
"""Seconds for the Job to be marked finished after its container has ended."""
KEPT = 3600
"""Seconds for which a finished Job stays, for `make logs JOB=…`; Kubernetes then removes it."""
STOP_SECONDS = 30
HOPELESS = {
    "CreateContainerConfigError",
    "CreateContainerError",
    "ErrImageNeverPull",
    "ErrImagePull",
    "ImagePullBackOff",
    "InvalidImageName",
    "RunContainerError",
}
"""Waiting reasons that do not pass by themselves within START_LIMIT."""
RUN_LINE = re.compile(r"^launcher: experiment (\d+) run ([0-9a-f]{32})$")
RESOURCES = {
    "requests": {"cpu": "250m", "memory": "768Mi"},
    "limits": {"cpu": "2", "memory": "2Gi"},
}
"""Two MLflow processes and the project itself: 0.2 GB each plus its data."""


def labels(project: Project) -> dict[str, str]:
    """Labels of what a training run makes; `make logs` and `make status` find it by them."""
    return {
        "app.kubernetes.io/name": "mlflow",
        "app.kubernetes.io/component": "training",
        "app.kubernetes.io/part-of": "mlflow",
        "app.kubernetes.io/managed-by": "make-train",
        "mlflow/project": re.sub(r"[^A-Za-z0-9._-]", "-", project.name)[:63].strip("-._"),
    }


def job_manifest(
    deployed: Deployed,
    project: Project,
    name: str,
    items: list[dict[str, str]],
    parameters: list[str],
    limit: int,
) -> dict[str, Any]:
    """The Job. It passes the restricted Pod Security standard.

    :param items: volume items that restore the project's files from the ConfigMap ``name``.
    :param limit: seconds after which Kubernetes ends it.
    """
    outputs = deployed.outputs
    environment: list[dict[str, Any]] = [{"configMapRef": {"name": outputs["jobsConfigMap"]}}]
    if outputs.get("jobsSecret"):
        environment.append({"secretRef": {"name": outputs["jobsSecret"]}})
    command = ["python", "/launcher/launcher.py", "/project", "--experiment", project.name]
    command += [word for text in parameters for word in ("--param", text)]
    command += [word for tag in project.tags().items() for word in ("--tag", "=".join(tag))]
    container = {
        "name": "train",
        "image": outputs["images"]["job"],
        "imagePullPolicy": "IfNotPresent",
        "command": command,
        "env": [{"name": "HOME", "value": "/tmp"}, {"name": "TMPDIR", "value": "/tmp"}],  # noqa: S108
        "envFrom": environment,
        "volumeMounts": [
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 - an emptyDir of the pod's own
            {"name": "project", "mountPath": "/project", "readOnly": True},
            {"name": "launcher", "mountPath": "/launcher", "readOnly": True},
        ],
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "resources": RESOURCES,
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }
    pod = {
        "restartPolicy": "Never",
        "serviceAccountName": outputs["jobsServiceAccount"],
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": STOP_SECONDS,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": UID,
            "runAsGroup": GID,
            "fsGroup": GID,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [container],
        "volumes": [
            {"name": "tmp", "emptyDir": {"sizeLimit": "5Gi"}},
            {"name": "project", "configMap": {"name": name, "items": items}},
            {
                "name": "launcher",
                "configMap": {"name": name, "items": [{"key": LAUNCHER.name, "path": LAUNCHER.name}]},
            },
        ],
    }
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "labels": labels(project)},
        "spec": {
            "backoffLimit": 0,  # each retry would be another run
            "activeDeadlineSeconds": limit,
            "ttlSecondsAfterFinished": KEPT,
            "template": {"metadata": {"labels": labels(project)}, "spec": pod},
        },
    }


def run_as_pod(deployed: Deployed, project: Project, parameters: list[str], limit: int) -> tuple[str, str]:
    """Run a project as a pod, its log on standard output.

    :returns: ids of experiment and run.
    :raises Failure: when it cannot start or fails.
    """
    short = re.sub(r"[^a-z0-9]+", "-", project.name.lower()).strip("-")[:40]
    name = f"train-{short}-{secrets.token_hex(3)}"
    with step(f"Job {name} with the files of {project.folder.name}"):
        _create(deployed, project, name, parameters, limit)
    try:
        with step("pod starts"):
            pod = _started(deployed, name)
        found = _follow(deployed, pod)
        _finished(deployed, name, pod)
    except KeyboardInterrupt:
        console.print("[yellow]Interrupted:[/] ending the Job; its run is marked KILLED")
        deployed.kubectl("delete", "job", name, "--cascade=foreground", "--timeout=50s")
        raise
    if found is None:
        raise Failure(f"Job {name} succeeded but opened no run", f"make logs JOB={name}")
    return found


def _create(deployed: Deployed, project: Project, name: str, parameters: list[str], limit: int) -> None:
    content, items = project.config_map()
    content["data"][LAUNCHER.name] = LAUNCHER.read_text()
    manifest = job_manifest(deployed, project, name, items, parameters, limit)
    uid = deployed.kubectl("create", "-f", "-", "-o", "jsonpath={.metadata.uid}", manifest=manifest)
    # Owned by the Job, so that it goes with it, whoever deletes the Job; the pod waits for it.
    owner = {"apiVersion": "batch/v1", "kind": "Job", "name": name, "uid": uid}
    metadata = {"name": name, "labels": labels(project), "ownerReferences": [owner]}
    config_map = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, **content, "immutable": True}
    deployed.kubectl("create", "-f", "-", manifest=config_map)


def _started(deployed: Deployed, job: str) -> str:
    """Wait until the Job's container runs or has run; the pod's name."""
    deadline = time.monotonic() + START_LIMIT
    reason = "no pod was made"
    while time.monotonic() < deadline:
        for pod in deployed.objects("pods", "--selector", f"batch.kubernetes.io/job-name={job}"):
            state = (pod["status"].get("containerStatuses") or [{}])[0].get("state", {})
            if "running" in state or "terminated" in state:
                return pod["metadata"]["name"]
            waiting = state.get("waiting", {})
            reason = _waiting_for(pod, waiting)
            if waiting.get("reason") in HOPELESS:
                raise _failure(job, f"its container cannot start: {reason}")
        if blocked := _blocked(deployed, job):
            raise _failure(job, blocked)
        time.sleep(0.5)
    raise _failure(job, f"its pod did not start within {START_LIMIT} s: {reason}")


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


def _follow(deployed: Deployed, pod: str) -> tuple[str, str] | None:
    """Pass the pod's log on; the ids its launcher told, if it did."""
    found = None
    for line in deployed.lines("logs", "--follow", pod):
        print(line, end="", flush=True)
        if told := RUN_LINE.match(line.strip()):
            found = (told[1], told[2])
    return found


def _finished(deployed: Deployed, job: str, pod: str) -> None:
    """Wait for the Job's verdict.

    :raises Failure: when it is anything but success.
    """
    deadline = time.monotonic() + END_LIMIT
    while time.monotonic() < deadline:
        status = deployed.objects("jobs", "--field-selector", f"metadata.name={job}")[0]["status"]
        for condition in status.get("conditions", []):
            if condition["status"] == "True" and condition["type"] == "Complete":
                return
            if condition["status"] == "True" and condition["type"] == "Failed":
                raise _failure(job, f"{condition['reason']}: {_death(deployed, pod)}")
        time.sleep(0.3)
    raise _failure(job, f"not marked finished {END_LIMIT} s after its log ended")


def _death(deployed: Deployed, pod: str) -> str:
    """How the pod's container ended, with the last lines it wrote."""
    found = deployed.objects("pods", "--field-selector", f"metadata.name={pod}")
    if not found:
        return "its pod was deleted"
    state = (found[0]["status"].get("containerStatuses") or [{}])[0].get("state", {})
    ended = state.get("terminated") or {}
    last = "\n".join((ended.get("message") or "").strip().splitlines()[-10:])
    return f"{ended.get('reason', 'unknown')}, exit code {ended.get('exitCode', '?')}; last lines:\n{last}"


def _failure(job: str, reason: str) -> Failure:
    return Failure(f"Job {job} failed: {reason}", f"its whole log: make logs JOB={job}")
