"""The registry-built cluster from nothing to nothing: a second one beside the developer's, with real pods."""

from __future__ import annotations

import json
import os
import platform
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from string import Template
from typing import Any

import pytest

from tools.cluster.addons import own_images
from tools.cluster.registry import kubectl_path
from tools.common import ROOT

NAME, RANGE = "mlflow-test", "10.202.0.0/16"
NODE = "10.202.0.2"
KERNEL = ("vm/overcommit_memory", "kernel/panic", "kernel/panic_on_oops", "net/ipv4/ip_forward")

# A web server as a production pod is: restricted, not root, on a volume, with a native sidecar.
WORKLOAD = """
apiVersion: v1
kind: Namespace
metadata: { name: try, labels: { pod-security.kubernetes.io/enforce: restricted } }
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: { name: data, namespace: try }
spec: { accessModes: [ReadWriteOnce], resources: { requests: { storage: 1Mi } } }
---
apiVersion: apps/v1
kind: Deployment
metadata: { name: web, namespace: try }
spec:
  selector: { matchLabels: { app: web } }
  template:
    metadata: { labels: { app: web } }
    spec:
      terminationGracePeriodSeconds: 0
      securityContext:
        { runAsNonRoot: true, runAsUser: 10001, fsGroup: 10001, seccompProfile: { type: RuntimeDefault } }
      initContainers:
        - name: sidecar
          image: $IMAGE
          imagePullPolicy: Never
          restartPolicy: Always
          command: [busybox, sleep, "86400"]
          securityContext: &restricted
            { allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: { drop: [ALL] } }
      containers:
        - name: web
          image: $IMAGE
          imagePullPolicy: Never
          workingDir: /data
          command: [sh, -c, "echo started; echo $$HOSTNAME >> starts; exec busybox httpd -f -p 8080"]
          readinessProbe: { httpGet: { path: /starts, port: 8080 }, periodSeconds: 1 }
          securityContext: *restricted
          volumeMounts: [{ name: data, mountPath: /data }]
      volumes: [{ name: data, persistentVolumeClaim: { claimName: data } }]
---
apiVersion: v1
kind: Service
metadata: { name: web, namespace: try }
spec: { type: NodePort, selector: { app: web }, ports: [{ port: 80, targetPort: 8080, nodePort: 30900 }] }
"""


class Cluster:
    """A cluster of its own for this module, driven through the same functions as `make cluster`."""

    def __init__(self, home: Path) -> None:
        self.env = {**os.environ, "XDG_STATE_HOME": str(home), "CLUSTER_NAME": NAME, "CLUSTER_RANGE": RANGE}
        self.state = home / "mlflow-on-kubernetes/cluster"

    def verb(self, verb: str) -> str:
        """Run ``up`` or ``down``; returns what it printed."""
        program = "from tools.common import cli; from tools.cluster import registry; "
        program += f"cli(lambda _: registry.{verb}() and 0)"
        done = subprocess.run(
            [sys.executable, "-c", program],
            cwd=ROOT,
            env=self.env,
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, done.stderr
        return done.stderr

    def kubectl(self, *args: str, stdin: str | None = None) -> str:
        command = [str(kubectl_path()), "--kubeconfig", str(self.state / "kubeconfig"), *args]
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=90)
        assert done.returncode == 0, done.stderr
        return done.stdout

    @property
    def process(self) -> int:
        return json.loads((self.state / "pid").read_text())["pid"]

    def starts(self) -> list[str]:
        """What the web server's volume holds, through the NodePort: one line for each start of the pod."""
        return fetch(f"http://{NODE}:30900/starts").split()


def fetch(url: str, seconds: float = 30) -> str:
    """Read a URL, waiting until it answers."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            with urllib.request.urlopen(url, timeout=3) as answer:
                return answer.read().decode()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.3)


def machine() -> dict[str, Any]:
    """Everything of this machine that the cluster touches and has to give back."""
    rules = subprocess.run(["iptables-save"], capture_output=True, text=True, check=True).stdout
    mounts = Path("/proc/self/mounts").read_text().splitlines()
    groups = [str(path) for path in Path("/sys/fs/cgroup").glob(f"**/{NAME}")]
    return {
        "rules": [line for line in rules.splitlines() if NAME in line],
        "links": [path.name for path in Path("/sys/class/net").iterdir() if path.name.startswith(NAME)],
        "mounts": [line for line in mounts if NAME in line or "cluster/kubelet" in line],
        "cgroups": groups,
        "kernel": {name: (Path("/proc/sys") / name).read_text() for name in KERNEL},
        "folders": [
            path for path in ("/var/lib/cni", "/var/lib/kubelet", "/run/containerd") if Path(path).exists()
        ],
    }


@pytest.fixture(scope="module")
def before() -> dict[str, Any]:
    if platform.system() != "Linux" or os.geteuid() != 0:
        pytest.skip("building a cluster takes root on Linux")
    return machine()


@pytest.fixture(scope="module")
def cluster(before: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    made = Cluster(tmp_path_factory.mktemp("state"))
    try:
        made.verb("up")
        made.kubectl(
            "apply", "-f", "-", stdin=Template(WORKLOAD).substitute(IMAGE=own_images()[1]["BUSYBOX"])
        )
        made.kubectl("-n", "try", "rollout", "status", "deployment/web", "--timeout=60s")
        yield made
    finally:
        made.verb("down")


def test_a_restricted_pod_with_a_sidecar_writes_to_a_volume_and_answers_at_the_node_port(
    cluster: Cluster,
) -> None:
    assert len(cluster.starts()) == 1


def test_logs_and_exec_reach_the_pod(cluster: Cluster) -> None:
    assert cluster.kubectl("-n", "try", "logs", "deployment/web", "-c", "web").strip() == "started"
    assert (
        cluster.kubectl("-n", "try", "exec", "deployment/web", "-c", "web", "--", "sh", "-c", "id -u").strip()
        == "10001"
    )


def test_port_forward_reaches_the_pod(cluster: Cluster) -> None:
    command = [str(kubectl_path()), "--kubeconfig", str(cluster.state / "kubeconfig"), "-n", "try"]
    forward = subprocess.Popen(
        [*command, "port-forward", "service/web", ":80"], stdout=subprocess.PIPE, text=True
    )
    try:
        assert forward.stdout is not None
        local = forward.stdout.readline().split(" -> ")[0].rpartition(":")[2]
        assert fetch(f"http://127.0.0.1:{local}/starts").split() == cluster.starts()
    finally:
        forward.terminate()
        forward.wait(10)


def test_a_pod_finds_a_service_by_its_name(cluster: Cluster) -> None:
    answer = cluster.kubectl(
        *("-n", "try", "exec", "deployment/web", "-c", "web", "--"),
        *("busybox", "nslookup", "web.try.svc.cluster.local"),
    )
    address = cluster.kubectl("-n", "try", "get", "service", "web", "-o", "jsonpath={.spec.clusterIP}")
    assert address in answer


def test_a_pod_that_breaks_the_restricted_standard_is_refused(cluster: Cluster) -> None:
    with pytest.raises(AssertionError, match="violates PodSecurity"):
        cluster.kubectl("-n", "try", "run", "bad", "--image=localhost/x:1")


def test_up_on_a_healthy_cluster_changes_nothing_and_takes_seconds(cluster: Cluster) -> None:
    process, start = cluster.process, time.monotonic()
    cluster.verb("up")
    assert time.monotonic() - start < 5
    assert cluster.process == process


def test_up_after_a_crash_of_the_node_keeps_the_data(cluster: Cluster) -> None:
    starts = cluster.starts()
    os.kill(cluster.process, signal.SIGKILL)
    cluster.verb("up")
    deadline = time.monotonic() + 30
    while (now := cluster.starts()) == starts and time.monotonic() < deadline:
        time.sleep(0.5)
    assert now[: len(starts)] == starts
    assert len(now) > len(starts)


def test_a_component_that_dies_stops_the_node_and_the_next_up_names_it(cluster: Cluster) -> None:
    node = str(cluster.process)
    scheduler = subprocess.run(
        ["nsenter", f"--target={node}", "--pid", "--mount", "pidof", "kube-scheduler"],
        capture_output=True,
        text=True,
    ).stdout.strip()
    subprocess.run(["nsenter", f"--target={node}", "--pid", "--mount", "kill", "-9", scheduler], check=True)
    deadline = time.monotonic() + 30
    while Path(f"/proc/{node}").exists() and time.monotonic() < deadline:
        time.sleep(0.2)
    assert "kube-scheduler ended with status -9" in cluster.verb("up")
    assert cluster.starts()


def test_a_range_in_use_is_refused_before_anything_is_made(cluster: Cluster, tmp_path: Path) -> None:
    other = Cluster(tmp_path)
    other.env["CLUSTER_NAME"] = "mlflow-other"
    with pytest.raises(AssertionError, match="is in use"):
        other.verb("up")
    assert not (tmp_path / "mlflow-on-kubernetes/cluster").exists()


def test_down_leaves_nothing_and_up_works_again(cluster: Cluster, before: dict[str, Any]) -> None:
    cluster.verb("down")
    assert machine() == before
    assert not cluster.state.exists()
    cluster.verb("up")
    assert "mlflow-test" in cluster.kubectl("get", "nodes")
