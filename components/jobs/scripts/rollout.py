"""Roll services and model servers to their newest code or model, and wait until they serve it.

Runs in a pod as ``python -m scripts.rollout NAME…``, by a pipeline's stage or a service's schedule. What a
Deployment offers is all it takes: a new pod template, and the status that tells how far its pods are.
"""

import logging
import sys
import time
from datetime import datetime, timezone

from .kubernetes import Api, Late, Refused, Unreachable
from .pods import newest, why

DEPLOYMENTS = "apps/v1/deployments"
ROLLED = "mlflow/rolled-at"
"""Annotation of the pods: another value makes new ones."""
WANTED = "mlflow/replicas"
"""Annotation of a Deployment: how many pods it has once there is something to serve."""
SERVICE = "mlflow/service"
"""Label of a Deployment and its pods: the name in the settings."""
LIMIT = 600
"""progressDeadlineSeconds of a Deployment that names none. Source: Kubernetes, "Deployments"."""

log = logging.getLogger("rollout")


class Failed(Exception):  # noqa: N818 - what a person sees
    """A rollout that did not come to its end; the pods from before go on serving."""


def roll(api, name):
    """Begin a rollout: new pods one after the other, and the first ones where there were none.

    :returns: the Deployment.
    """
    found = api.get(DEPLOYMENTS, name)
    if found is None:
        raise Failed(f"there is no Deployment {name}; `make up` makes it")
    now = datetime.now(timezone.utc).isoformat(timespec="microseconds")  # noqa: UP017 - Python 3.10
    spec = {"template": {"metadata": {"annotations": {ROLLED: now}}}}
    wanted = found["metadata"].get("annotations", {}).get(WANTED)
    if found["spec"].get("replicas") == 0:
        if not wanted:
            raise Failed(f"{name} was scaled to no pods by hand; scale it up")
        spec["replicas"] = int(wanted)
    log.info("rolling %s", name)
    return api.patch(DEPLOYMENTS, name, {"spec": spec})


def wait(api, deployment):
    """Wait until all pods are of a rollout that has begun, and serve.

    :param deployment: as :func:`roll` returned it.
    :raises Failed: at the startup limit, with what its newest pod says.
    """
    name, wanted = deployment["metadata"]["name"], deployment["spec"].get("replicas", 1)
    generation, start = deployment["metadata"]["generation"], time.monotonic()
    # Of one step; the controller tells when it is over. This is for a Deployment that nobody looks after.
    limit = (deployment["spec"].get("progressDeadlineSeconds") or LIMIT) * (wanted + 1) + 60
    try:
        api.until(DEPLOYMENTS, name, lambda found: done(found, name, generation), seconds=limit)
    except (Failed, Late) as trouble:
        pods = api.list("v1/pods", labels=f"{SERVICE}={name}")
        raise Failed(f"{name}: {trouble}; {why(newest(pods) or {}) or 'its pods say nothing'}") from None
    log.info("%s serves with %s of %s pods after %.0f s", name, wanted, wanted, time.monotonic() - start)


def done(found, name, generation):
    """Whether a rollout is through: True, or None while it is not.

    :raises Failed: when it cannot be any more.
    """
    if found is None:
        raise Failed(f"Deployment {name} was deleted")
    status, wanted = found.get("status", {}), found["spec"].get("replicas", 1)
    if status.get("observedGeneration", 0) < generation:
        return None
    if found["metadata"]["generation"] > generation and wanted == 0:
        raise Failed("somebody scaled it to no pods")
    conditions = {each["type"]: each for each in status.get("conditions", [])}
    if conditions.get("Progressing", {}).get("reason") == "ProgressDeadlineExceeded":
        limit, refused = found["spec"].get("progressDeadlineSeconds"), conditions.get("ReplicaFailure", {})
        blocked = f" ({refused['message']})" if refused.get("status") == "True" else ""
        raise Failed(f"no new pod became ready within {limit} s{blocked}")
    counts = [status.get(each, 0) for each in ("replicas", "updatedReplicas", "availableReplicas")]
    return True if counts == [wanted] * 3 else None


def main(names):
    logging.basicConfig(level=logging.INFO, format="%(name)s: %(message)s", stream=sys.stdout)
    try:
        api = Api()
        for begun in [roll(api, name) for name in names]:
            wait(api, begun)
    except (Failed, Refused, Unreachable) as error:
        log.error("%s", error)  # noqa: TRY400 - the line is the message
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
