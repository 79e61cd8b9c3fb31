"""A project of its own for each engine test, and a namespace of its own on the cluster."""

from __future__ import annotations

import gc
import json
import os
import secrets
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pulumi
import pulumi_kubernetes as k8s
import pytest
import yaml
from pulumi import automation as auto

from tests.needs import known_cluster
from tools.common import ROOT
from tools.engine.workspace import OpenedStack, open_stack

Program = Callable[[], None]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The SDK's event loop is cut short when an update fails, and complains; that is no finding here."""
    for item in items:
        if item.path.parent == Path(__file__).parent:
            item.add_marker(pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"))


@dataclass
class Outcome:
    """What one operation did.

    :ivar steps: ``(operation, resource name)`` in the order in which they ended, without unchanged ones.
    :ivar urns: ``(operation, URN)`` of every step in that order.
    :ivar errors: the engine's error texts.
    """

    steps: list[tuple[str, str]] = field(default_factory=list)
    urns: list[tuple[str, str]] = field(default_factory=list)
    planned: list[tuple[str, str]] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    outputs: dict[str, Any] = field(default_factory=dict)
    failed: bool = False

    @property
    def text(self) -> str:
        return "\n".join(self.errors)

    def take(self, event: auto.EngineEvent) -> None:
        if event.res_outputs_event:
            self._note(self.steps, event.res_outputs_event.metadata)
            self.urns.append(
                (event.res_outputs_event.metadata.op.value, event.res_outputs_event.metadata.urn)
            )
        elif event.resource_pre_event:
            self._note(self.planned, event.resource_pre_event.metadata)
        elif event.diagnostic_event and event.diagnostic_event.severity == "error":
            self.errors.append(event.diagnostic_event.message)

    @staticmethod
    def _note(steps: list[tuple[str, str]], step: Any) -> None:
        quiet = step.type.startswith("pulumi:") or step.op.value in ("same", "refresh", "read")
        if not quiet:
            steps.append((step.op.value, step.urn.rsplit("::", 1)[1]))


@dataclass
class Project:
    """A throw-away project with one stack, whose program each operation is given."""

    root: Path
    name: str = "dev"

    def __post_init__(self) -> None:
        (self.root / "Pulumi.yaml").write_text("name: mlflow\nruntime: python\n")
        self.configure({"mlflow:cloud": self.name})

    def configure(self, settings: Mapping[str, Any]) -> None:
        """Write the stack's settings file; the stack is opened anew by the next operation."""
        # In block style, as people write it: verbs append keys of the engine's own.
        file = self.root / f"Pulumi.{self.name}.yaml"
        file.write_text(yaml.safe_dump({"config": dict(settings)}, sort_keys=False))
        self._stack: OpenedStack | None = None

    @property
    def stack(self) -> OpenedStack:
        if self._stack is None:
            self._stack = open_stack(self.name, self.root, lambda: None)
        return self._stack

    def up(self, program: Program, **options: Any) -> Outcome:
        return self._run(self.stack.up, program, **options)

    def preview(self, program: Program) -> Outcome:
        return self._run(self.stack.preview, program)

    def refresh(self) -> Outcome:
        return self._run(self.stack.refresh, None)

    def destroy(self) -> Outcome:
        return self._run(self.stack.destroy, None)

    def _run(self, operation: Callable[..., Any], program: Program | None, **options: Any) -> Outcome:
        outcome = Outcome()
        if program:
            options["program"] = program
        try:
            result = operation(on_event=outcome.take, suppress_progress=True, **options)
        except auto.CommandError as error:
            outcome.failed = True
            outcome.errors = outcome.errors or [str(error)]
        else:
            outputs = getattr(result, "outputs", {})
            outcome.outputs = {name: output.value for name, output in outputs.items()}
        return outcome

    def state(self) -> dict[str, dict[str, Any]]:
        """The resources of the state, by name, without components and providers."""
        deployment = self.stack.export_stack().deployment or {}
        found = deployment.get("resources") or []
        return {r["urn"].rsplit("::", 1)[1]: r for r in found if not r["type"].startswith("pulumi:")}


@pytest.fixture(autouse=True)
def nothing_left_for_the_garbage_collector() -> Iterator[None]:
    """A program that failed leaves the SDK's coroutine behind, whose end prints a traceback.

    Collected in the middle of an ``ast.parse`` (pytest imports modules at any time) it makes Python 3.11
    fail with "AST constructor recursion depth mismatch": seen at the end of a session.
    """
    yield
    gc.collect()


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


@pytest.fixture
def demo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The plugin for package ``demo`` on PATH, where the engine finds it."""
    place_plugins(tmp_path / "bin", "demo")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=":")


def place_plugins(folder: Path, *packages: str) -> None:
    """Make launchers of the test-only plugin for these packages.

    On PATH the engine takes them for the official plugins, and so does this project: no door of the product
    is opened for them.
    """
    folder.mkdir()
    for package in packages:
        launcher = folder / f"pulumi-resource-{package}"
        launcher.write_text(
            f'#!/bin/sh\nPYTHONPATH="{ROOT}" exec "{sys.executable}" '
            f'-m tests.engine.anyprovider.plugin {package} "$@"\n'
        )
        launcher.chmod(0o755)


@pytest.fixture
def stand_in(project: Project) -> None:
    """For promises that go beyond the official plugin's: it waits for its limit where ours fails early."""
    if "kubernetes" not in project.stack.providers.stand_ins:
        pytest.skip("the official kubernetes plugin is installed; this is a promise of the stand-in")


@dataclass
class Cluster:
    """The cluster that `make cluster` gave, and one namespace on it.

    :ivar image: an image with a shell that the nodes have or can pull.
    """

    facts: dict[str, Any]
    namespace: str
    image: str

    def kubectl(self, *words: str, check: bool = True, stdin: str | None = None) -> str:
        command = [self.facts["kubectl"], "--kubeconfig", self.facts["kubeconfig"]]
        done = subprocess.run(
            [*command, "--context", self.facts["context"], "--namespace", self.namespace, *words],
            input=stdin, capture_output=True, text=True, check=False, timeout=120,
        )  # fmt: skip
        assert done.returncode == 0 or not check, done.stderr
        return done.stdout

    def get(self, kind: str, name: str) -> dict[str, Any] | None:
        text = self.kubectl("get", kind, name, "-o", "json", "--ignore-not-found")
        return json.loads(text) if text.strip() else None

    def options(self, **more: Any) -> pulumi.ResourceOptions:
        """Options of a resource on this cluster; call it once per program, it makes the provider."""
        provider = k8s.Provider("cluster", kubeconfig=self.facts["kubeconfig"], context=self.facts["context"])
        return pulumi.ResourceOptions(provider=provider, **more)

    def metadata(self, name: str | None = None, **annotations: str) -> dict[str, Any]:
        """Metadata in the namespace; annotation names are given without ``pulumi.com/``."""
        found: dict[str, Any] = {"namespace": self.namespace}
        if name:
            found["name"] = name
        if annotations:
            found["annotations"] = {f"pulumi.com/{key}": value for key, value in annotations.items()}
        return found

    def pod(self, script: str, **container: Any) -> dict[str, Any]:
        """A pod spec that runs a shell script and passes the restricted standard."""
        return {
            "enableServiceLinks": False,
            "terminationGracePeriodSeconds": 1,
            "securityContext": {
                "runAsNonRoot": True, "runAsUser": 1000, "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [{
                "name": "main", "image": self.image, "command": ["sh", "-c", script],
                "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
                **container,
            }],
        }  # fmt: skip


def _image(facts: dict[str, Any]) -> str:
    if os.environ.get("MLFLOW_TEST_IMAGE"):
        return os.environ["MLFLOW_TEST_IMAGE"]
    if facts["canPull"]:
        return "docker.io/library/busybox:1.37.0"
    command = [facts["kubectl"], "--kubeconfig", facts["kubeconfig"], "--context", facts["context"]]
    nodes = json.loads(subprocess.check_output([*command, "get", "nodes", "-o", "json"], text=True))
    names = [name for node in nodes["items"] for image in node["status"]["images"] for name in image["names"]]
    found = [name for name in names if "/busybox:" in name]
    assert found, "the cluster can pull nothing and has no busybox image: set MLFLOW_TEST_IMAGE"
    return found[0]


@pytest.fixture(scope="session")
def cluster_facts() -> dict[str, Any]:
    return known_cluster()


@pytest.fixture(scope="module")
def cluster(cluster_facts: dict[str, Any]) -> Iterator[Cluster]:
    found = Cluster(cluster_facts, f"engine-{secrets.token_hex(3)}", _image(cluster_facts))
    found.kubectl("create", "namespace", found.namespace)
    yield found
    found.kubectl("delete", "namespace", found.namespace, "--wait=false")
