"""Job templates of a running stack: found, and turned into a Job of their own for one run."""

from __future__ import annotations

import base64
import copy
import json
import secrets
import time
from typing import Any

from components.contracts import CodeArchive
from components.jobs.names import (
    ARCHIVE,
    ARCHIVE_VOLUME,
    COMMIT,
    FETCH,
    JOB_LABEL,
    MAIN,
    PIPELINE_LABEL,
)
from components.local_code import NotServable, archived
from components.settings.pipelines import PipelineEngine
from tools.common import ROOT, Failure, console, step
from tools.deployed import Deployed
from tools.jobs.follow import ended
from tools.settings import settings_of

REF_FLAG = "--ref="
ENTRY_POINT_FLAG = "--entry-point="
STOP_LIMIT = 90
"""Seconds; above the grace period of a job's pod, 45, and of a pipeline's, 70."""
MANUAL = {"cronjob.kubernetes.io/instantiate": "manual"}
"""What `kubectl create job --from` notes as well."""


def templates(deployed: Deployed) -> dict[str, dict[str, Any]]:
    """Name → CronJob, of jobs and pipelines."""
    found = deployed.objects("cronjobs", "--selector", JOB_LABEL)
    return {each["metadata"]["name"]: each for each in found}


def template(deployed: Deployed, name: str) -> dict[str, Any]:
    """The template of this name.

    :raises Failure: when there is none, with those there are.
    """
    known = templates(deployed)
    if name not in known:
        if name in argo_pipelines(deployed):
            raise Failure(
                f"{name} is a pipeline of Argo Workflows, whose own tools start, show and stop it",
                f"argo submit --namespace {deployed.namespace} --from workflowtemplate/{name} --watch",
            )
        listed = ", ".join(sorted(known)) or "none; mlflow:jobs describes them"
        raise Failure(f"there is no job {name} in stack {deployed.stack}", f"the jobs are: {listed}")
    return known[name]


def argo_pipelines(deployed: Deployed) -> list[str]:
    """The pipelines that Argo Workflows runs, as the stack file has them."""
    described = settings_of(deployed.stack).pipelines
    return sorted(name for name, one in described.items() if one.engine is PipelineEngine.ARGO)


def is_pipeline(found: dict[str, Any]) -> bool:
    """Whether a template is a pipeline's."""
    return PIPELINE_LABEL in found["metadata"]["labels"]


def jobs_of(deployed: Deployed, name: str) -> list[dict[str, Any]]:
    """The Jobs of a template that are still there, newest first."""
    found = deployed.objects("jobs", "--selector", f"{JOB_LABEL}={name}")
    return sorted(found, key=lambda job: job["metadata"]["creationTimestamp"], reverse=True)


def working(deployed: Deployed, name: str) -> list[str]:
    """The Jobs of a template that have not ended, newest first."""
    return [job["metadata"]["name"] for job in jobs_of(deployed, name) if ended(job) is None]


def end(deployed: Deployed, job: str) -> None:
    """Delete a Job and wait until its pod has closed its run, or a pipeline's its stages.

    :raises Failure: when that takes too long.
    """
    with step(f"ending Job {job}"):
        deployed.kubectl("delete", "job", job, "--cascade=foreground", "--wait=false")
        deadline = time.monotonic() + STOP_LIMIT
        while deployed.objects("jobs", "--field-selector", f"metadata.name={job}"):
            if time.monotonic() > deadline:
                raise Failure(
                    f"Job {job} is still there after {STOP_LIMIT} s", "Kubernetes goes on ending it"
                )
            time.sleep(0.4)


def make_room(deployed: Deployed, found: dict[str, Any]) -> None:
    """What `concurrency` says of runs by hand as well, which the CronJob controller does not count.

    :raises Failure: under Forbid, naming the run that works and what to do.
    """
    name, policy = found["metadata"]["name"], found["spec"]["concurrencyPolicy"]
    others = working(deployed, name) if policy != "Allow" else []
    if policy == "Replace":
        for job in others:
            end(deployed, job)
    if policy != "Forbid" or not others:
        return
    volumes = found["spec"]["jobTemplate"]["spec"]["template"]["spec"]["volumes"]
    kept = any("persistentVolumeClaim" in each for each in volumes if each["name"] == "workspace")
    also = " (with a ReadWriteMany workspace, whose claim is made anew and empty)" if kept else ""
    section = "pipelines" if is_pipeline(found) else "jobs"
    raise Failure(
        f"{name} is already running, as Job {others[0]}, and mlflow:{section}.{name}.concurrency is Forbid",
        f"wait for it (make logs JOB={name}), end it (make stop JOB={name}), or set concurrency Allow{also}",
    )


def start(deployed: Deployed, found: dict[str, Any], parameters: list[str], ref: str | None) -> str:
    """Make a Job of a template.

    :param parameters: ``name=value`` texts over the template's own.
    :param ref: branch, tag or commit instead of the template's; None for that.
    :returns: the Job's name.
    :raises Failure: when the template takes no such thing.
    """
    name = found["metadata"]["name"]
    if is_pipeline(found) and (parameters or ref):
        raise Failure(
            f"{name} is a pipeline, which takes neither PARAMS nor REF",
            f"set mlflow:pipelines.{name}.stages.<stage>.parameters, or its jobs' git.ref",
        )
    job = f"{name}-{secrets.token_hex(3)}"
    manifest = manifest_of(found, job)
    pod = manifest["spec"]["template"]["spec"]
    add_parameters(name, _container(pod, "containers", MAIN), parameters)
    code = _code_of_this_machine(deployed, name, pod, ref)
    if ref and code is None:
        set_ref(name, pod, ref)
    with step(f"Job {job}" + (f" at {code.commit[:12]}" if code else f" at {ref}" if ref else "")):
        if code:
            _use_archive(pod, job, code)
        uid = deployed.kubectl("create", "-f", "-", "-o", "jsonpath={.metadata.uid}", manifest=manifest)
        if code:
            deployed.kubectl("create", "-f", "-", manifest=_archive(job, uid, code, found))
    note_run(deployed, name, job, uid)
    return job


def note_run(deployed: Deployed, name: str, job: str, uid: str) -> None:
    """Put a run by hand among the active ones of its template's status.

    The CronJob controller goes by that list alone when a run is due, and takes what has ended off it: without
    this, a schedule starts a second run beside one by hand, whatever `concurrency` says.
    """
    reference = {"apiVersion": "batch/v1", "kind": "Job", "name": job, "uid": uid}
    try:
        (known,) = deployed.objects("cronjobs", "--field-selector", f"metadata.name={name}")
        active = [*known.get("status", {}).get("active", []), {**reference, "namespace": deployed.namespace}]
        patch = json.dumps({"status": {"active": active}})
        deployed.kubectl("patch", "cronjob", name, "--subresource=status", "--type=merge", "--patch", patch)
    except Failure:
        console.print(
            f"[yellow]…[/] {name}: its schedule will not know of this run: you may not patch cronjobs/status"
        )


def manifest_of(found: dict[str, Any], job: str) -> dict[str, Any]:
    """The Job that a CronJob would make, by this name and owned by it."""
    source = found["spec"]["jobTemplate"]
    owner = {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "name": found["metadata"]["name"],
        "uid": found["metadata"]["uid"],
        "controller": True,
    }
    metadata = copy.deepcopy(source.get("metadata", {}))
    metadata["annotations"] = {**metadata.get("annotations", {}), **MANUAL}
    metadata |= {"name": job, "ownerReferences": [owner]}
    spec = copy.deepcopy(source["spec"])
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": spec}


def add_parameters(name: str, container: dict[str, Any], parameters: list[str]) -> None:
    """Hand parameters to the launcher, after the template's own: the last one of a name counts.

    :raises Failure: for a malformed one, or when no entry point runs.
    """
    if not parameters:
        return
    command = container["command"]
    if not any(word.startswith(ENTRY_POINT_FLAG) for word in command):
        raise Failure(f"{name} runs a module or a command, which take no PARAMS", "change the job's settings")
    for text in parameters:
        parameter, equals, _ = text.partition("=")
        if not equals or not parameter or parameter.startswith("-"):
            raise Failure(f"{text!r} is no parameter", 'name=value, such as PARAMS="alpha=0.3 seed=7"')
    command += [f"--param={text}" for text in parameters]


def set_ref(name: str, pod: dict[str, Any], ref: str) -> None:
    """Have git-sync fetch another ref.

    :raises Failure: when the code comes from elsewhere.
    """
    fetch = _container(pod, "initContainers", FETCH)
    flags = fetch.get("args", [])
    if not any(flag.startswith(REF_FLAG) for flag in flags):
        raise Failure(
            f"the code of {name} comes with its image or volume, not from Git", "run it without REF"
        )
    fetch["args"] = [REF_FLAG + ref if flag.startswith(REF_FLAG) else flag for flag in flags]


def _code_of_this_machine(
    deployed: Deployed, name: str, pod: dict[str, Any], ref: str | None
) -> CodeArchive | None:
    """The commit to run of a job whose code is a checkout on this machine; None for any other job."""
    if not any(volume["name"] == ARCHIVE_VOLUME for volume in pod["volumes"]):
        return None
    job = settings_of(deployed.stack).jobs.get(name)
    if job is None or job.git is None or job.git.local is None:
        raise Failure(f"the settings of {deployed.stack} no longer have {name}", "make up")
    try:
        return archived(ROOT / job.git.local, ref or job.git.ref, job.git.path)
    except NotServable as error:
        raise Failure(f"{name}: {error}") from None


def _use_archive(pod: dict[str, Any], job: str, code: CodeArchive) -> None:
    for volume in pod["volumes"]:
        if volume["name"] == ARCHIVE_VOLUME:
            volume["configMap"]["name"] = job
    fetch = _container(pod, "initContainers", FETCH)
    fetch["env"] = [
        {**each, "value": code.commit} if each["name"] == COMMIT else each for each in fetch["env"]
    ]


def _archive(job: str, uid: str, code: CodeArchive, found: dict[str, Any]) -> dict[str, Any]:
    """The commit's files, owned by the Job, so that they go with it; its pod waits for them."""
    owner = {"apiVersion": "batch/v1", "kind": "Job", "name": job, "uid": uid}
    labels = found["metadata"]["labels"]
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": job, "labels": labels, "ownerReferences": [owner]},
        "binaryData": {ARCHIVE: base64.b64encode(code.tar_gz).decode()},
        "immutable": True,
    }


def _container(pod: dict[str, Any], kind: str, name: str) -> dict[str, Any]:
    """A container of a pod; an empty one where there is none of that name."""
    return next((each for each in pod.get(kind, []) if each["name"] == name), {})
