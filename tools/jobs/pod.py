"""A folder of this machine as a Kubernetes Job: made, and followed to its end."""

from __future__ import annotations

import re
import secrets
from typing import Any

from components.jobs.names import LAUNCHER
from tools.common import Failure, console, step
from tools.deployed import Deployed
from tools.jobs.follow import follow
from tools.jobs.project import Project

UID = GID = 10001
"""User and group of the job image (its Dockerfile's USER)."""
KEPT = 3600
"""Seconds for which a finished Job stays, for `make logs JOB=…`; Kubernetes then removes it."""
STOP_SECONDS = 30
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
        found = follow(deployed, name)
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
