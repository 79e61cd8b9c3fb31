"""Whether the cluster enforces network policies: tried, since no API says so.

Two pods in a namespace of their own. One calls the other: it must get through, then a policy that lets
nobody in is applied, and from then on it must not. A cluster without enforcement accepts the policy and
lets the calls through.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from tools.common import Failure
from tools.validate import ClusterAccess, Finding, Subject, reason
from tools.validate.scratch import scratch_namespace

KEY = "mlflow:cluster"
START_LIMIT = 120
"""Seconds for both pods to be scheduled, to pull an image and to run."""
POLICY_LIMIT = 20
"""Seconds for a policy to be in force; agents take one to a few."""
SURE = 3
"""Answers in a row that count as an answer: one refused call may be an accident."""
LIFE = 300
"""Seconds after which Kubernetes ends the pods, whoever forgot them."""
UID = 10001
LISTEN = """
import socket
everywhere = ("::", 8080) if socket.has_dualstack_ipv6() else ("0.0.0.0", 8080)
six = socket.has_dualstack_ipv6()
server = socket.create_server(
    everywhere, family=socket.AF_INET6 if six else socket.AF_INET, dualstack_ipv6=six
)
while True:
    server.accept()[0].close()
"""
CALL = """
import socket, sys, time
while True:
    try:
        socket.create_connection((sys.argv[1], 8080), timeout=1).close()
        print("open", flush=True)
    except OSError as error:
        print("closed", flush=True)
    time.sleep(0.5)
"""
NOBODY = {
    "apiVersion": "networking.k8s.io/v1",
    "kind": "NetworkPolicy",
    "metadata": {"name": "nobody"},
    "spec": {"podSelector": {"matchLabels": {"probe": "listener"}}, "policyTypes": ["Ingress"]},
}


def network_policy(subject: Subject) -> Iterator[Finding]:
    """One finding where policies are not enforced, or where that could not be found out."""
    if subject.cluster is None or not any(subject.of_kind("NetworkPolicy")):
        return
    if subject.image is None:
        text = "whether network policies are enforced is checked once there is a server image"
        yield Finding(KEY, text, fails=False)
        return
    try:
        enforced = _enforces(subject.cluster, subject.image)
    except Failure as failure:
        text = f"whether network policies are enforced could not be found out: {reason(failure)}"
        yield Finding(KEY, text, fails=False)
        return
    if not enforced:
        text = (
            "does not enforce network policies: a pod was reached in spite of one that lets nobody in, so "
            "any pod of the cluster reaches the database's port; turn enforcement on in the cluster's network"
        )
        yield Finding(KEY, text, fails=False)


def _enforces(cluster: ClusterAccess, image: str) -> bool:
    """:raises Failure: when the pods do not run, or cannot even talk without a policy."""
    with scratch_namespace(cluster) as namespace:
        probe = _Probe(cluster, namespace)
        probe.create(_pod("listener", image, LISTEN))
        address = probe.address("listener")
        probe.create(_pod("caller", image, CALL, address))
        if not probe.hears("open", START_LIMIT):
            raise Failure("two pods could not talk to each other even without a policy")
        probe.create(NOBODY)
        closed = probe.hears("closed", POLICY_LIMIT)
        probe.check_listener()
        return closed


class _Probe:
    """The pods of one attempt."""

    def __init__(self, cluster: ClusterAccess, namespace: str) -> None:
        self.cluster, self.here = cluster, ("--namespace", namespace)

    def create(self, manifest: dict[str, Any]) -> None:
        self.cluster.kubectl(*self.here, "create", "-f", "-", manifest=manifest)

    def address(self, name: str) -> str:
        """A pod's address once it runs.

        :raises Failure: when it does not run in time, with what it waits for.
        """
        deadline = time.monotonic() + START_LIMIT
        while True:
            (pod,) = self.cluster.objects("pods", *self.here, "--selector", f"probe={name}")
            if pod["status"].get("phase") == "Running" and pod["status"].get("podIP"):
                return pod["status"]["podIP"]
            if time.monotonic() > deadline:
                raise Failure(f"pod {name} did not start within {START_LIMIT} s: {_waits_for(pod)}")
            time.sleep(0.5)

    def hears(self, word: str, limit: float) -> bool:
        """Whether the caller's last calls all ended so within the time."""
        deadline = time.monotonic() + limit
        while time.monotonic() < deadline:
            try:
                log = self.cluster.kubectl(*self.here, "logs", "caller", f"--tail={SURE}").split()
            except Failure:  # its container does not run yet
                log = []
            if log == [word] * SURE:
                return True
            time.sleep(0.5)
        return False

    def check_listener(self) -> None:
        """A listener that died is no sign of a policy.

        :raises Failure: when it does not run, or was started again.
        """
        (pod,) = self.cluster.objects("pods", *self.here, "--selector", "probe=listener")
        states = pod["status"].get("containerStatuses") or [{}]
        if pod["status"].get("phase") != "Running" or states[0].get("restartCount"):
            raise Failure("the pod that was called ended in the middle")


def _waits_for(pod: dict[str, Any]) -> str:
    states = pod["status"].get("containerStatuses") or [{}]
    waiting = states[0].get("state", {}).get("waiting", {})
    conditions = [each.get("message", "") for each in pod["status"].get("conditions") or []]
    return waiting.get("reason") or next(filter(None, conditions), pod["status"].get("phase", "no state"))


def _pod(name: str, image: str, script: str, *arguments: str) -> dict[str, Any]:
    """A pod of the restricted standard that runs a script, gone by itself after a while."""
    container = {
        "name": "probe",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["python", "-c", script, *arguments],
        "resources": {
            "requests": {"cpu": "10m", "memory": "32Mi"},
            "limits": {"cpu": "200m", "memory": "64Mi"},
        },
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"probe": name}},
        "spec": {
            "restartPolicy": "Never",
            "activeDeadlineSeconds": LIFE,
            "terminationGracePeriodSeconds": 1,
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": UID,
                "runAsGroup": UID,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [container],
        },
    }
