"""Waiting until an object is ready: fail with the pod's reason and its last log lines, never hang."""

from __future__ import annotations

import json
import queue
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack

from tools.engine.standins import ready
from tools.engine.standins.diff import group_of
from tools.engine.standins.kubectl import Kubectl, KubectlError, Object
from tools.engine.standins.pods import Pods

DEFAULT_LIMIT = 600.0
"""Seconds, as with the official provider; pulumi.com/timeoutSeconds and customTimeouts change it."""

LOOK_EVERY = 10.0  # seconds between looks at why no pod is made
SKIP, FOR, SECONDS = "pulumi.com/skipAwait", "pulumi.com/waitFor", "pulumi.com/timeoutSeconds"

Report = Callable[[str], None]


class NotReadyError(Exception):
    """The object exists and is not ready; the text says why."""


def limit_of(manifest: Object, custom: float) -> float:
    """Seconds to wait: customTimeouts, else the annotation, else ten minutes."""
    annotations = manifest["metadata"].get("annotations") or {}
    return custom or float(annotations.get(SECONDS) or DEFAULT_LIMIT)


def skips(manifest: Object) -> bool:
    return (manifest["metadata"].get("annotations") or {}).get(SKIP) == "true"


def unready(live: Object) -> str:
    """What a live object still misses; empty when it is ready or is not waited for."""
    key = (group_of(live["apiVersion"]), live["kind"])
    annotations = live["metadata"].get("annotations") or {}
    if (
        key not in ready.JUDGES
        or live["kind"] == "PersistentVolumeClaim"
        or SKIP in annotations
        or FOR in annotations
    ):
        return ""
    verdict = ready.JUDGES[key][1](live)
    return "" if verdict.state == "ready" else verdict.text


class Waiter:
    """One wait for one object.

    :param live: the object as the server returned it.
    :param report: told what is still missing, whenever that changes.
    """

    def __init__(
        self, kubectl: Kubectl, live: Object, limit: float, report: Report, cancelled: threading.Event
    ) -> None:
        self.kubectl, self.live, self.report, self.cancelled = kubectl, live, report, cancelled
        self.limit, self.deadline = limit, time.monotonic() + limit
        self.namespace = live["metadata"].get("namespace")
        self.name = live["metadata"]["name"]
        self.pods = Pods(kubectl, live)
        self.since: dict[tuple[str, str], float] = {}
        self.said = ""
        self.next_look = time.monotonic() + LOOK_EVERY

    def wait(self) -> Object:
        """Return the object once it is ready.

        :raises NotReadyError: with the reason, at the latest when the limit is reached.
        """
        if skips(self.live):
            return self.live
        expressions = (self.live["metadata"].get("annotations") or {}).get(FOR)
        if expressions:
            return self._wait_for(expressions)
        key = (group_of(self.live["apiVersion"]), self.live["kind"])
        if key == ("", "Service"):
            return self._service()
        if key not in ready.JUDGES:
            return self.live
        resource, judge = ready.JUDGES[key]
        if self._is_lazy_claim(key):
            return self.live
        return self._follow(resource, judge)

    # -- the watch ---------------------------------------------------------

    def _follow(self, resource: str, judge: Callable[[Object], ready.Verdict]) -> Object:
        verdict = judge(self.live)
        if verdict.state == "ready":
            return self.live
        with ExitStack() as stack:
            one = ("--field-selector", f"metadata.name={self.name}")
            objects = stack.enter_context(self.kubectl.watch(resource, self.namespace, *one))
            pods = None
            if self.pods.selector:
                labels = ("--selector", self.pods.selector)
                pods = stack.enter_context(self.kubectl.watch("pods", self.namespace, *labels))
            while verdict.state == "waiting":
                self._tick(verdict)
                self._take_pods(pods)
                verdict = self._next(objects, judge, verdict)
        if verdict.state == "failed":
            self.pods.look()
            raise NotReadyError(verdict.text + self.pods.evidence())
        return self.live

    def _next(
        self, objects: queue.Queue[Object], judge: Callable[[Object], ready.Verdict], verdict: ready.Verdict
    ) -> ready.Verdict:
        try:
            event = objects.get(timeout=0.5)
        except queue.Empty:
            return verdict
        if event["type"] == "DELETED":
            return ready.Verdict("failed", "it was deleted while it was waited for")
        if event["type"] in ("ADDED", "MODIFIED"):
            event["object"]["metadata"].pop("managedFields", None)
            self.live = self.pods.owner = event["object"]
            return judge(self.live)
        return verdict

    def _take_pods(self, pods: queue.Queue[Object] | None) -> None:
        while pods is not None and not pods.empty():
            self.pods.take(pods.get())
        self._check_pods()
        self._check_refused()

    def _check_refused(self) -> None:
        """Give up when pods are not even made."""
        if self.pods.known or time.monotonic() < self.next_look or not self.pods.selector:
            return
        self.next_look = time.monotonic() + LOOK_EVERY
        refusal = self.pods.refusal()
        if refusal:
            raise NotReadyError(f"its pods are refused: {refusal}")

    def _check_pods(self) -> None:
        """Give up on a pod that has been stuck for longer than its kind of trouble may last."""
        now, seen = time.monotonic(), set()
        for uid, obj in self.pods.known.items():
            found = ready.trouble(obj)
            if found is None or obj["metadata"].get("deletionTimestamp"):
                continue
            key = (uid, found.reason)
            seen.add(key)
            if now - self.since.setdefault(key, now) >= found.limit and self.pods.is_current(obj):
                raise NotReadyError(str(found) + self.pods.log(obj, found.container))
        self.since = {key: value for key, value in self.since.items() if key in seen}

    def _tick(self, verdict: ready.Verdict) -> None:
        if self.cancelled.is_set():
            raise NotReadyError(f"cancelled while waiting: {verdict.text}")
        if time.monotonic() > self.deadline:
            self.pods.look()
            raise NotReadyError(f"not ready after {self.limit:.0f} s: {verdict.text}" + self.pods.evidence())
        troubles = sorted({str(found) for obj in self.pods.known.values() if (found := ready.trouble(obj))})
        text = "; ".join([verdict.text, *troubles[:1]])
        if text != self.said:
            self.said = text
            self.report(text)

    # -- the other kinds ---------------------------------------------------

    def _wait_for(self, text: str) -> Object:
        """pulumi.com/waitFor: one expression or a JSON list of them, in the words of ``kubectl wait``."""
        expressions = json.loads(text) if text.lstrip().startswith("[") else [text]
        for expression in expressions:
            left = max(1.0, self.deadline - time.monotonic())
            words = ["wait", "-f", "-", f"--for={expression}", f"--timeout={left:.0f}s"]
            try:
                self.kubectl.call(*words, manifest=self.live, limit=left + 30)
            except KubectlError as error:
                raise NotReadyError(f"not {expression} after {self.limit:.0f} s: {error}") from error
        return self.kubectl.get(self.live) or self.live

    def _is_lazy_claim(self, key: tuple[str, str]) -> bool:
        """A claim whose volume is made when its first pod comes: nothing happens before."""
        if key != ("", "PersistentVolumeClaim"):
            return False
        name = self.live["spec"].get("storageClassName")
        if not name:
            return False
        try:
            storage = self.kubectl.get(
                {"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": name}}
            )
        except KubectlError:  # some users may not read storage classes
            return False
        return bool(storage) and storage.get("volumeBindingMode") == "WaitForFirstConsumer"

    def _service(self) -> Object:
        spec = self.live["spec"]
        if spec.get("type") == "LoadBalancer":
            return self._follow("services", ready.has_address)
        if spec.get("clusterIP") == "None" or spec.get("type") == "ExternalName" or not spec.get("selector"):
            return self.live
        selector = ("--selector", f"kubernetes.io/service-name={self.name}")
        waiting = ready.Verdict("waiting", "no ready pod behind it")
        with self.kubectl.watch("endpointslices.discovery.k8s.io", self.namespace, *selector) as slices:
            while True:
                self._tick(waiting)
                try:
                    event = slices.get(timeout=0.5)
                except queue.Empty:
                    continue
                endpoints = (event.get("object") or {}).get("endpoints") or []
                if any((endpoint.get("conditions") or {}).get("ready") for endpoint in endpoints):
                    return self.live
