"""The pods behind an object: which they are, and what they have to say when they do not run."""

from __future__ import annotations

from tools.engine.standins import ready
from tools.engine.standins.kubectl import Kubectl, KubectlError, Object
from tools.engine.standins.plugin import ProviderError

LOG_LINES = 15
REVISION = "deployment.kubernetes.io/revision"


class Pods:
    """The pods of one Deployment, StatefulSet, DaemonSet, Job, or the Pod itself.

    :param owner: the object as the server returned it.
    """

    def __init__(self, kubectl: Kubectl, owner: Object) -> None:
        self.kubectl, self.owner = kubectl, owner
        self.name = owner["metadata"]["name"]
        self.namespace = ("--namespace", owner["metadata"].get("namespace") or "default")
        self.known: dict[str, Object] = {}

    @property
    def selector(self) -> str | None:
        """The labels that select them; None for objects that have no pods."""
        if self.owner["kind"] == "Job":
            return f"batch.kubernetes.io/job-name={self.name}"
        labels = (self.owner["spec"].get("selector") or {}).get("matchLabels") or {}
        if self.owner["kind"] not in ("Deployment", "StatefulSet", "DaemonSet") or not labels:
            return None
        return ",".join(f"{key}={value}" for key, value in sorted(labels.items()))

    def take(self, event: Object) -> None:
        """Learn from a watch event."""
        if event["type"] in ("ADDED", "MODIFIED"):
            self.known[event["object"]["metadata"]["uid"]] = event["object"]
        elif event["type"] == "DELETED":
            self.known.pop(event["object"]["metadata"]["uid"], None)

    def look(self) -> None:
        """Ask for all of them."""
        if self.owner["kind"] == "Pod":
            self.known = {"": self.owner}
        elif self.selector:
            found = self.kubectl.list("pods", *self.namespace, "--selector", self.selector)
            self.known = {obj["metadata"]["uid"]: obj for obj in found}

    def is_current(self, obj: Object) -> bool:
        """Whether a pod is of the newest template: an old one that crashes is what is being replaced."""
        labels = obj["metadata"].get("labels") or {}
        if self.owner["kind"] == "StatefulSet":
            revision = (self.owner.get("status") or {}).get("updateRevision")
            return revision in (None, labels.get("controller-revision-hash"))
        if self.owner["kind"] != "Deployment":
            return True
        wanted = (self.owner["metadata"].get("annotations") or {}).get(REVISION)
        sets = self.kubectl.list("replicasets.apps", *self.namespace, "--selector", self.selector or "")
        newest = [
            entry["metadata"]["labels"].get("pod-template-hash")
            for entry in sets
            if (entry["metadata"].get("annotations") or {}).get(REVISION) == wanted
        ]
        return labels.get("pod-template-hash") in newest

    def refusal(self) -> str | None:
        """Why no pod is even made: a quota, Pod Security or a webhook refuses them."""
        text = ready.condition(self.owner, "ReplicaFailure").get("message")
        if text is None and self.owner["kind"] != "Deployment":
            text = next((line for line in self.warnings_of(self.name) if "FailedCreate" in line), None)
        return text and text.strip()

    def evidence(self) -> str:
        """Of the newest pod that is not ready: its trouble, the latest warnings, its last log lines."""
        by_age = sorted(self.known.values(), key=lambda obj: obj["metadata"]["creationTimestamp"])
        for obj in reversed(by_age):
            if ready.pod(obj).state == "ready":
                continue
            name, found, container = obj["metadata"]["name"], ready.trouble(obj), ready.failed_container(obj)
            failed = f"pod {name}, container {container} failed" if container else f"pod {name} is not ready"
            warnings = "" if found or container else self._warnings([name])
            log = self.log(obj, container or (found.container if found else ""))
            return f"\n{found or failed}{warnings}{log}"
        return self._warnings([self.name, *(obj["metadata"]["name"] for obj in by_age)])

    def log(self, obj: Object, container: str) -> str:
        """The last log lines of a pod, else its latest warnings."""
        name = obj["metadata"]["name"]
        words = ["logs", name, *self.namespace, f"--tail={LOG_LINES}"]
        words += ["--container", container] if container else []
        for extra in ([], ["--previous"]):
            try:
                text = self.kubectl.call(*words, *extra).strip()
            except KubectlError:
                continue
            if text:
                lines = "\n".join("  " + line for line in text.splitlines())
                return f"\nlast log lines of pod {name}:\n{lines}"
        return self._warnings([name])

    def _warnings(self, names: list[str]) -> str:
        lines = [line for name in names[:3] for line in self.warnings_of(name)]
        return "\nlatest warnings:\n" + "\n".join(lines) if lines else ""

    def warnings_of(self, name: str) -> list[str]:
        """The last three warning events about an object."""
        selector = f"type=Warning,involvedObject.name={name}"
        try:
            found = self.kubectl.list("events", *self.namespace, "--field-selector", selector)
        except ProviderError:
            return []
        return [f"  {event.get('reason')}: {event.get('message')}" for event in found[-3:]]
