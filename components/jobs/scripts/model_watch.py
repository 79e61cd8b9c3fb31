"""Have each model server serve what its model's address leads to.

Runs as ``python -m launcher.model_watch NAME…``, names of Deployments. What each is to serve, and in how many
pods, stands in its annotations; the resolved version is written into its pods' template, so that all of them
serve the same one and a moved alias rolls them. What has served once keeps serving.
The standard library only, Python 3.10 and newer.
"""

import logging
import signal
import sys
import threading

from .kubernetes import Api, Refused, Unreachable
from .models import NotYet, Registry

DEPLOYMENTS = "apps/v1/deployments"
MODEL, REPLICAS, STATUS = "mlflow/model", "mlflow/replicas", "mlflow/status"
"""Annotations of a Deployment: what it serves, its wanted pods, what keeps it from it."""
VERSION = "mlflow/model-version"
"""Annotation of its pods: the one version that they serve."""
PERIOD = 10
"""Seconds between two looks."""

log = logging.getLogger("model-watch")


def change(deployment, resolve):
    """The merge patch that brings a Deployment to what it is to serve; None where all is as it should be.

    :param resolve: a model's address → the address of one version; raises NotYet.
    """
    said = deployment["metadata"].get("annotations") or {}
    template = deployment["spec"]["template"].get("metadata") or {}
    serves = (template.get("annotations") or {}).get(VERSION)
    try:
        wanted, status = resolve(said[MODEL]), None
    except NotYet as reason:
        wanted, status = serves, f"keeps serving {serves}: {reason}" if serves else f"no model yet: {reason}"
    patch = {}
    if said.get(STATUS) != status:
        patch["metadata"] = {"annotations": {STATUS: status}}
    if wanted is None:
        return patch or None
    spec = {}
    if wanted != serves:
        spec["template"] = {"metadata": {"annotations": {VERSION: wanted}}}
    if deployment["spec"].get("replicas") != int(said[REPLICAS]):
        spec["replicas"] = int(said[REPLICAS])
    if spec:
        patch["spec"] = spec
    return patch or None


class Watch:
    """The looks, and what was last said of each server: a line for each change, none for the rest."""

    def __init__(self, api, registry, names):
        self.api, self.registry, self.names = api, registry, names
        self.last = {}

    def look(self):
        """Bring every server to what it is to serve; one that cannot be asked about is left as it is."""
        for name in self.names:
            try:
                self._say(name, self._one(name))
            except (OSError, Refused, Unreachable, KeyError, ValueError) as error:
                self._say(name, f"{type(error).__name__}: {error}")

    def _one(self, name):
        live = self.api.get(DEPLOYMENTS, name)
        if live is None:
            return "there is no such Deployment"
        if patch := change(live, self.registry.resolved):
            # Refused (409) where somebody changed it meanwhile: a pipeline may know a newer version.
            seen = {"resourceVersion": live["metadata"]["resourceVersion"]}
            patch["metadata"] = {**patch.get("metadata", {}), **seen}
            live = self.api.patch(DEPLOYMENTS, name, patch)
        annotations = live["spec"]["template"]["metadata"].get("annotations") or {}
        serves = f"{live['spec']['replicas']} pods for {annotations.get(VERSION)}"
        return live["metadata"]["annotations"].get(STATUS) or serves

    def _say(self, name, text):
        if self.last.get(name) != text:
            log.info("%s: %s", name, text)
        self.last[name] = text


def main():
    logging.basicConfig(level=logging.INFO, format="%(name)s: %(message)s", stream=sys.stdout)
    stopped = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopped.set())
    watch = Watch(Api(patience=PERIOD), Registry(), sys.argv[1:])
    while not stopped.is_set():
        watch.look()
        stopped.wait(PERIOD)
    return 0


if __name__ == "__main__":
    sys.exit(main())
