"""Where measuring happens: throw-away projects for the engine, namespaces of our own, all gone at the end."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

import yaml

from tools import cluster
from tools.common import LOCAL, ROOT, Failure, console, local_dir, step

NAMESPACE = "mlflow-bench"
PLAIN_NAMESPACE = "mlflow-bench-plain"
STACK = "dev"
"""Stack name in the throw-away projects: with the name come the dev stack's defaults (nothing protected)."""
VERB_LIMIT = 420
"""Seconds for one run of the engine: its own waits give up after 5 minutes."""
DELETE_LIMIT = 180
BENCH_PORTS = range(32200, 32700)


def kubectl(*words: str, manifest: Any = None, timeout: float = 60) -> str:
    """kubectl on the cluster that `make cluster` gave; ``manifest`` goes to standard input as JSON."""
    return cluster.kubectl(*words, stdin=None if manifest is None else json.dumps(manifest), timeout=timeout)


def free_node_ports(number: int) -> list[int]:
    """NodePorts that no Service of the cluster uses."""
    services = json.loads(kubectl("get", "services", "--all-namespaces", "-o", "json"))["items"]
    used = {port.get("nodePort") for each in services for port in each["spec"].get("ports") or []}
    return [port for port in BENCH_PORTS if port not in used][:number]


def dev_settings(namespace: str, port: int) -> dict[str, Any]:
    """The dev stack's settings file, with a namespace and a node port that are free."""
    settings = yaml.safe_load((ROOT / f"Pulumi.{STACK}.yaml").read_text())
    config = settings["config"]
    exposure = {**(config.get("mlflow:exposure") or {})}
    exposure["nodePort"] = {**(exposure.get("nodePort") or {}), "port": port}
    return {"config": {**config, "mlflow:namespace": namespace, "mlflow:exposure": exposure}}


class Project:
    """A folder that the engine takes for a project, with its state and passphrase inside.

    :param program: text of its ``__main__.py``; an empty program where there is none.
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any], program: str = "") -> None:
        self.folder = folder
        self.said = ""
        self.kind = [] if program else ["empty"]
        (folder / ".local").mkdir(mode=0o700, parents=True)
        shutil.copy(ROOT / "Pulumi.yaml", folder)
        (folder / f"Pulumi.{STACK}.yaml").write_text(yaml.safe_dump(dict(settings)))
        if program:
            (folder / "__main__.py").write_text(program)
        shutil.copy(cluster.INFO, folder / ".local")

    def verb(self, name: str) -> float:
        """Run a verb in a process of its own, as `make` does; how long it took, in seconds.

        What it said stands in ``said`` afterwards.

        :raises Failure: with what it said last.
        """
        state = self.folder / ".local" / "state"
        state.mkdir(exist_ok=True)
        # Whatever backend the user is logged in to: this state is nobody's business but the benchmark's.
        env = {
            **os.environ,
            "PULUMI_BACKEND_URL": f"file://{state}",
            "PULUMI_CONFIG_PASSPHRASE": "benchmark",
            "PYTHONPATH": str(ROOT),
        }
        env.pop("PULUMI_CONFIG_PASSPHRASE_FILE", None)
        start = time.monotonic()
        try:
            done = subprocess.run(
                [sys.executable, "-m", "tools.benchmark.verb", name, STACK, self.folder, *self.kind],
                cwd=ROOT,
                env=env,
                capture_output=True,
                text=True,
                timeout=VERB_LIMIT,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise Failure(f"{name} did not end within {VERB_LIMIT} s", "make status; make logs") from None
        seconds = time.monotonic() - start
        self.said = done.stderr
        if done.returncode:
            tail = "\n".join(done.stderr.strip().splitlines()[-8:])
            raise Failure(f"{name} of the benchmark's stack failed:\n{tail}", "correct that, then make bench")
        return seconds


def _providers_only() -> str:
    """A program that starts both provider plugins and makes next to nothing."""
    info = cluster.info()
    where = f"kubeconfig={info['kubeconfig']!r}, context={info['context']!r}"
    return (
        "import pulumi_kubernetes\nimport pulumi_random\n\n"
        f"pulumi_kubernetes.Provider('cluster', {where})\n"
        "pulumi_random.RandomPassword('password', length=8)\n"
    )


class Bench:
    """One run of the benchmark: its folder, its stack, and everything it must take away again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ports = free_node_ports(2)
        main = f"import runpy\n\nrunpy.run_path({str(ROOT / '__main__.py')!r}, run_name='__main__')\n"
        self.mlflow = Project(folder / "mlflow", dev_settings(NAMESPACE, self.ports[0]), main)
        self.empty = Project(folder / "empty", {"config": {"mlflow:cloud": "dev"}})
        self.providers = Project(folder / "providers", {"config": {"mlflow:cloud": "dev"}}, _providers_only())
        self.is_up = False

    def up(self) -> float:
        """Bring the stack up; seconds."""
        with step("up of the benchmark's stack"):
            seconds = self.mlflow.verb("up")
        self.is_up = True
        return seconds

    def ensure_up(self) -> None:
        if not self.is_up:
            self.up()

    def take_down(self) -> None:
        """Destroy the stack through the engine, so that the next `up` starts from nothing."""
        with step("down of the benchmark's stack"):
            self.mlflow.verb("down")
        self.is_up = False


@contextmanager
def bench() -> Iterator[Bench]:
    """A run of the benchmark; whatever happens, namespaces and files are gone afterwards.

    :raises Failure: when another run is at work in this checkout.
    """
    with (
        _only_one(),
        _terminated_like_interrupted(),
        tempfile.TemporaryDirectory(prefix="mlflow-bench-") as path,
    ):
        remove_namespaces("what an earlier run left")
        try:
            yield Bench(Path(path))
        finally:
            remove_namespaces("the benchmark's namespaces")


def remove_namespaces(what: str, *names: str) -> None:
    """Delete these namespaces (default: all of the benchmark's) and wait until they are gone."""
    wanted = names or (NAMESPACE, PLAIN_NAMESPACE)
    found = kubectl("get", "namespaces", *wanted, "--ignore-not-found", "-o", "name").split()
    if not found:
        return
    with step(f"Removing {what}: {', '.join(found)}"):
        for each in found:
            # Pods first and at once: a namespace that still holds some when it is deleted waits for half of
            # their grace period before it looks again. Nobody wants this data, so none need end gracefully.
            everything = ("--all", "-n", each.partition("/")[2])
            kubectl("delete", "deployments,replicasets,statefulsets,jobs", *everything, "--cascade=orphan")
            kubectl("delete", "pods", *everything, "--now", timeout=DELETE_LIMIT)
        kubectl("delete", *found, f"--timeout={DELETE_LIMIT}s", timeout=DELETE_LIMIT + 10)


@contextmanager
def _only_one() -> Iterator[None]:
    with (local_dir() / "benchmark.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Failure("another make bench is at work in this checkout", "wait until it ends") from None
        yield


@contextmanager
def _terminated_like_interrupted() -> Iterator[None]:
    """Clean up on SIGTERM too."""

    def stop(_number: int, _frame: FrameType | None) -> NoReturn:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def providers() -> dict[str, str]:
    """Package to ``official`` or ``stand-in``, as the last run of the engine chose them."""
    from tools.engine.cli import find_cli
    from tools.engine.plugins import STAND_INS, choose_providers

    chosen = choose_providers(find_cli(), STACK, "dev", LOCAL)
    return {name: "stand-in" if name in chosen.stand_ins else "official" for name in STAND_INS}


def images() -> dict[str, str]:
    """Image name to reference, as `make images` delivered them.

    :raises Failure: when it has not run.
    """
    path = LOCAL / "images.json"
    if not path.exists():
        raise Failure("there are no images yet", "run `make images`")
    return {name: each["reference"] for name, each in json.loads(path.read_text())["images"].items()}


def say(text: str) -> None:
    console.print(f"  [dim]{text}[/]")
