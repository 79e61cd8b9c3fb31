"""Roll services and model servers to their newest code or model, and wait until they serve it.

Runs in a pod as ``python -m launcher.rollout NAME…``, by a pipeline's stage or a service's schedule. What a
Deployment offers is all it takes: a new pod template, and the status that tells how far its pods are.
"""

import logging
import signal
import sys
import time
from datetime import datetime, timezone

from .kubernetes import PERIOD, Api, Late, Refused, Unreachable
from .models import NotYet, Registry
from .pods import newest, why

DEPLOYMENTS = "apps/v1/deployments"
ROLLED = "mlflow/rolled-at"
"""Annotation of the pods: another value makes new ones."""
ROLLED_BY = "mlflow/rolled-by"
"""Annotation of the pods: the pipeline's run and stage, so that its next pod does not roll again."""
WANTED = "mlflow/replicas"
"""Annotation of a Deployment: how many pods it has once there is something to serve."""
MODEL, VERSION = "mlflow/model", "mlflow/model-version"
"""Annotations of a model server: what it serves, and of its pods: the one version that they serve."""
SERVICE = "mlflow/service"
"""Label of a Deployment and its pods: the name in the settings."""
ANSWER_LIMIT = 120
"""Seconds for which a tracking server that does not answer is asked again: it may be rolling itself."""
LIMIT = 600
"""progressDeadlineSeconds of a Deployment that names none. Source: Kubernetes, "Deployments"."""

log = logging.getLogger("rollout")


class Failed(Exception):  # noqa: N818 - what a person sees
    """A rollout that did not come to its end; the pods from before go on serving."""


class Away(Unreachable):
    """The tracking server does not answer, which is no fault of the model's."""


def roll(api, name, by="", patience=ANSWER_LIMIT):
    """Begin a rollout: new pods one after the other, and the first ones where there were none.

    A model server whose pods are for the right version already is left as it is.

    :param by: who asks, kept on the pods; :func:`rolled_by` tells it.
    :param patience: seconds for which a tracking server that does not answer is asked again.
    :returns: the Deployment.
    :raises Away: when it still does not.
    """
    found = _deployment(api.get(DEPLOYMENTS, name), name)
    said = found["metadata"].get("annotations") or {}
    now = datetime.now(timezone.utc).isoformat(timespec="microseconds")  # noqa: UP017 - Python 3.10
    pods = {ROLLED: now, ROLLED_BY: by or None}
    if MODEL in said:
        pods[VERSION] = _version(name, said[MODEL], patience)
        now_served = (found["spec"]["template"]["metadata"].get("annotations") or {}).get(VERSION)
        if now_served == pods[VERSION] and found["spec"].get("replicas") and not _stuck(found):
            log.info("%s has pods for %s already", name, now_served)
            return found
    spec = {"template": {"metadata": {"annotations": pods}}}
    if found["spec"].get("replicas") == 0:
        wanted = said.get(WANTED)
        if not wanted:
            raise Failed(f"{name} was scaled to no pods by hand; scale it up")
        spec["replicas"] = int(wanted)
    log.info("rolling %s", name)
    return api.patch(DEPLOYMENTS, name, {"spec": spec})


def rolled_by(deployment):
    """Who asked for the last rollout."""
    return deployment["spec"]["template"]["metadata"].get("annotations", {}).get(ROLLED_BY)


def wait(api, deployment):
    """Wait until all pods are of a rollout that has begun, and serve.

    :param deployment: as :func:`roll` returned it.
    :raises Failed: at the startup limit, with what its newest pod says.
    """
    name, wanted = deployment["metadata"]["name"], deployment["spec"].get("replicas", 1)
    # The controller tells when one step is over; this is for a Deployment that nobody looks after.
    limit = (deployment["spec"].get("progressDeadlineSeconds") or LIMIT) * (wanted + 1) + 60
    start = time.monotonic()
    try:
        api.until(DEPLOYMENTS, name, lambda found: done(found, name) or None, seconds=limit)
    except (Failed, Late) as trouble:
        raise explained(api, name, trouble) from None
    log.info("%s serves after %.0f s", name, time.monotonic() - start)


def done(found, name):
    """Whether the last rollout of a Deployment is through. Source: kubectl's rollout status.

    :raises Failed: when it cannot be any more.
    """
    _deployment(found, name)
    status, wanted = found.get("status", {}), found["spec"].get("replicas", 1)
    if status.get("observedGeneration", 0) < found["metadata"]["generation"]:
        return False
    if wanted == 0:
        raise Failed("somebody scaled it to no pods")
    if _stuck(found):
        conditions = {each["type"]: each for each in status["conditions"]}
        limit, refused = found["spec"].get("progressDeadlineSeconds"), conditions.get("ReplicaFailure", {})
        blocked = f" ({refused['message']})" if refused.get("status") == "True" else ""
        raise Failed(f"no new pod became ready within {limit} s{blocked}")
    counts = [status.get(each, 0) for each in ("replicas", "updatedReplicas", "availableReplicas")]
    return counts == [wanted] * 3


def _stuck(found):
    """Whether the controller has given a rollout up."""
    conditions = {each["type"]: each for each in found.get("status", {}).get("conditions", [])}
    return conditions.get("Progressing", {}).get("reason") == "ProgressDeadlineExceeded"


def explained(api, name, trouble):
    """A failed rollout with what the newest pod says of it."""
    try:
        said = why(newest(api.list("v1/pods", labels=f"{SERVICE}={name}")) or {})
    except Refused:  # what rolls a service on its schedule may look at the one Deployment only
        said = f"`make logs JOB={name}` has what its pods wrote"
    return Failed(f"{name}: {trouble}" + (f"; {said}" if said else ""))


def _version(name, model, patience):
    """What a model's address leads to now: the watch, which looks every few seconds, may not know it yet."""
    deadline = time.monotonic() + patience
    while True:
        try:
            return Registry().resolved(model)
        except NotYet as error:
            raise Failed(f"{name}: {model}: {error}") from None
        except OSError as error:
            if time.monotonic() >= deadline:
                raise Away(f"{name}: {model}: the tracking server does not answer: {error}") from None
        time.sleep(PERIOD)


def _deployment(found, name):
    if found is None:
        raise Failed(f"there is no Deployment {name}; `make up` makes it")
    return found


def main(names):
    # As a pod's first process it would ignore SIGTERM otherwise.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
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
