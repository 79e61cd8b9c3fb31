"""The Job of a pipeline's stage: its name, what it is made of, how it ended.

The standard library only, Python 3.10 and newer.
"""

import copy
import hashlib

JOB = "mlflow/job"
"""Label of a job's CronJob, its Jobs and their pods: its name in the settings."""
RUN = "mlflow/pipeline-run"
"""Label of the stages' Jobs: the name of the pipeline's own Job."""
STAGE = "mlflow/stage"
"""Label of a stage's Job."""
MAIN = "job"
"""The container that runs the code."""
NAME_LIMIT = 63
"""Of a Job's name, which is a label of its pods. Source: Kubernetes, "Jobs"."""


def job_of(template, name, stage, *, pipeline, run, uid):
    """The Job of a stage: what the CronJob would make, with the stage's own words.

    :param template: the CronJob of the stage's job.
    :param stage: as :class:`launcher.pipeline.Pipeline` takes it.
    :param pipeline: its name; ``run`` and ``uid`` of its own Job, which the stage's belongs to.
    """
    source = copy.deepcopy(template["spec"]["jobTemplate"])
    spec, labels = source["spec"], {RUN: run, STAGE: name}
    # It stays as long as the pipeline's own Job: gone, it would be taken for one not yet started.
    spec.pop("ttlSecondsAfterFinished", None)
    for field, key in (("backoffLimit", "retries"), ("activeDeadlineSeconds", "deadlineSeconds")):
        if stage.get(key) is not None:
            spec[field] = stage[key]
    pod = spec["template"]
    pod.setdefault("metadata", {}).setdefault("labels", {}).update(labels)
    main = next(each for each in pod["spec"]["containers"] if each["name"] == MAIN)
    main.setdefault("env", []).append({"name": "JOB_TRIGGER", "value": f"pipeline/{pipeline}"})
    main["command"] += [f"--param={parameter}" for parameter in stage.get("parameters", [])]
    owner = {"apiVersion": "batch/v1", "kind": "Job", "name": run, "uid": uid}
    metadata = source.get("metadata") or {}
    metadata = {
        "name": name_of(run, name),
        "labels": {**metadata.get("labels", {}), **labels},
        "annotations": metadata.get("annotations", {}),
        "ownerReferences": [owner],
    }
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": spec}


def name_of(run, stage):
    """A stage's Job: the same at each attempt, so that none is started twice."""
    name = f"{run}-{stage}"
    if len(name) <= NAME_LIMIT:
        return name
    mark = hashlib.sha256(name.encode()).hexdigest()[:8]
    return f"{name[: NAME_LIMIT - 9]}-{mark}"


def ended(job):
    """The condition Complete or Failed of a Job; None while it works."""
    for condition in job.get("status", {}).get("conditions", []):
        if condition["status"] == "True" and condition["type"] in ("Complete", "Failed"):
            return condition
    return None


def owned(job, uid):
    """Whether it belongs to the object of this uid."""
    return any(owner["uid"] == uid for owner in job["metadata"].get("ownerReferences", []))
