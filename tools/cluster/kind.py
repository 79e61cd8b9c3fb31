"""A kind cluster: the way to a development cluster wherever a Docker engine answers."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

from tools.cluster import NAME
from tools.cluster.binaries import binaries
from tools.cluster.existing import fitting_kubectl
from tools.common import Failure, console, run, state_dir, step

NODE_PORTS = range(30500, 30520)
"""Open at 127.0.0.1: the dev stack's, and room for other stacks; kind maps ports only when it is made."""
CONTEXT = f"kind-{NAME}"
_CONFIG = {
    "kind": "Cluster",
    "apiVersion": "kind.x-k8s.io/v1alpha4",
    "nodes": [
        {
            "role": "control-plane",
            "extraPortMappings": [
                {"containerPort": port, "hostPort": port, "listenAddress": "127.0.0.1"} for port in NODE_PORTS
            ],
        }
    ],
}


def docker_answers(seconds: float = 5) -> bool:
    """Whether a Docker engine answers; the command alone being there says nothing."""
    command = ["docker", "info", "--format", "{{.ServerVersion}}"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    # an old client exits 0 and prints nothing when only the client is there
    return done.returncode == 0 and bool(done.stdout.strip())


def kind_command() -> str:
    """The kind on PATH, else one built from its Go module."""
    return shutil.which("kind") or str(binaries("kind") / "kind")


def exists() -> bool:
    """Whether the cluster is there, running or not; False too when no engine answers."""
    if not docker_answers() or not (shutil.which("kind") or (state_dir() / "kind-kubeconfig").exists()):
        return False
    return NAME in run([kind_command(), "get", "clusters"], timeout=30).split()


def up() -> dict[str, Any]:
    """Make or find the kind cluster and return what ``cluster.json`` holds.

    :raises Failure: when kind fails, or the cluster that is there does not come back.
    """
    kubeconfig = state_dir() / "kind-kubeconfig"
    if NAME in run([kind_command(), "get", "clusters"], timeout=30).split():
        _wake(kubeconfig)
    else:
        with step("Making a kind cluster (the first time pulls its node image)"):
            command = [kind_command(), "create", "cluster", "--name", NAME, "--config", "-", "--wait", "180s"]
            ports = f"{NODE_PORTS[0]} to {NODE_PORTS[-1]}"
            hint = f"are ports {ports} of 127.0.0.1 free, and can Docker pull images?"
            run([*command, "--kubeconfig", kubeconfig], input=json.dumps(_CONFIG), timeout=900, hint=hint)
    kubeconfig.chmod(0o600)
    return {
        "kind": "kind",
        "context": CONTEXT,
        "kubeconfig": str(kubeconfig),
        "loader": "kind",
        "canPull": True,
        "nodeAddress": "127.0.0.1",
        "hostAddress": _gateway(),
        "kubectl": fitting_kubectl(kubeconfig),
    }


def down() -> bool:
    """Delete the kind cluster; False when there was none."""
    if not exists():
        return False
    with step("Deleting the kind cluster"):
        kubeconfig = state_dir() / "kind-kubeconfig"
        run([kind_command(), "delete", "cluster", "--name", NAME, "--kubeconfig", kubeconfig], timeout=120)
        kubeconfig.unlink(missing_ok=True)
    return True


def _wake(kubeconfig: Path) -> None:
    """Start a cluster that was stopped with its engine, and wait until its API answers."""
    node = f"{NAME}-control-plane"
    if run(["docker", "inspect", "-f", "{{.State.Running}}", node], timeout=30).strip() != "true":
        with step("Starting the kind cluster again, with its data"):
            run(["docker", "start", node], timeout=120)
    kubeconfig.touch(mode=0o600)
    kubeconfig.write_text(run([kind_command(), "get", "kubeconfig", "--name", NAME], timeout=30))
    for attempt in range(30):
        try:
            fitting_kubectl(kubeconfig)
        except Failure as failure:
            if attempt == 29:
                raise Failure(
                    str(failure), "`make cluster-down`, then `make cluster` builds it anew"
                ) from None
        else:
            console.print(f"[green]✓[/] The kind cluster {NAME} runs")
            return


def _gateway() -> str | None:
    """Address of this machine on kind's network, where pods reach what listens here (Linux)."""
    form = "{{range .IPAM.Config}}{{.Gateway}} {{end}}"
    found = run(["docker", "network", "inspect", "kind", "-f", form], timeout=30).split()
    return next((address for address in found if ":" not in address), None)
