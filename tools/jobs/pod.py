"""A folder of this machine as a Kubernetes Job: made, and followed to its end."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from typing import Any

from components.jobs.names import LAUNCHER
from tools.common import Failure, console, step
from tools.deployed import Deployed
from tools.jobs.follow import follow
from tools.jobs.project import Project

PROJECT = "/project"
"""Where the pod finds the project's files."""
KEPT = 3600
"""Seconds for which a finished Job stays, for `make logs JOB=…`; Kubernetes then removes it."""


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
    """The Job, whose pod is made as those of job templates are.

    :param items: volume items that restore the project's files from the ConfigMap ``name``.
    :param limit: seconds after which Kubernetes ends it.
    """
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "labels": labels(project)},
        "spec": {
            "backoffLimit": 0,  # each retry would be another run
            "activeDeadlineSeconds": limit,
            "ttlSecondsAfterFinished": KEPT,
            "template": _pod(deployed, project, name, items, parameters),
        },
    }


def _pod(
    deployed: Deployed, project: Project, name: str, items: list[dict[str, str]], parameters: list[str]
) -> dict[str, Any]:
    """The pod's template, of the stack's exports."""
    # Late: Pulumi's classes take a second to load.
    from pulumi_kubernetes.core import v1 as core

    from components.contracts import Images, TrackingAccess
    from components.jobs.pod import LAUNCHER_FOLDER, PodArgs, container_of, pod_labels, pod_of
    from components.jobs.source import Code
    from components.settings.workloads import Pod

    outputs = deployed.outputs
    shared = outputs.get("jobsPods") or {}
    files = [core.KeyToPathArgs(key=each["key"], path=each["path"]) for each in items]
    source = core.ConfigMapVolumeSourceArgs(name=name, items=files)
    command = ["python", f"{LAUNCHER_FOLDER}/{LAUNCHER.name}", PROJECT, "--experiment", project.name]
    command += [word for text in parameters for word in ("--param", text)]
    command += [word for tag in project.tags().items() for word in ("--tag", "=".join(tag))]
    image = outputs["images"]["job"]
    args = PodArgs(
        main="train",
        command=command,
        code=Code(
            place=PROJECT,
            volumes=[core.VolumeArgs(name="project", config_map=source)],
            mounts=[core.VolumeMountArgs(name="project", mount_path=PROJECT, read_only=True)],
        ),
        access=TrackingAccess(
            namespace=deployed.namespace,
            account=outputs["jobsServiceAccount"],
            config_map=outputs["jobsConfigMap"],
            secret=outputs.get("jobsSecret"),
            authority=shared.get("authority"),
            pod_labels=shared.get("labels", {}),
            job_annotations=shared.get("annotations", {}),
        ),
        images=Images(server=image, job=image, third_party={}, pull_secrets=shared.get("pullSecrets", ())),
        launcher=name,
        labels=labels(project),
    )
    settings = Pod()
    pod = pod_of(settings, args, container_of(settings, args), restart_policy="Never")
    metadata = {"labels": pod_labels(args), "annotations": dict(args.access.job_annotations)}
    return {"metadata": metadata, "spec": as_json(pod)}


def as_json(value: Any) -> Any:
    """Pulumi's classes for Kubernetes' objects as the API server takes them, without what is not set."""
    from pulumi import _types

    if _types.is_input_type(type(value)):
        value = _types.input_type_to_dict(value)
    if isinstance(value, Mapping):
        return {key: as_json(item) for key, item in value.items() if item is not None}
    return [as_json(item) for item in value] if isinstance(value, list | tuple) else value


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
