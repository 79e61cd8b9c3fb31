"""The AWS stack as a throw-away project on the real engine, with all its providers stood in for by tables.

What the tables know of AWS is in ``anyprovider/tables``, a source for each line; nothing here reaches a
cloud or a cluster.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.engine.conftest import Outcome, Project, place_plugins
from tools.common import ROOT
from tools.engine.workspace import root_program

INSTANCE = "aws:rds/instance:Instance"
SETTINGS: dict[str, Any] = {
    "aws:region": "eu-west-1",
    "mlflow:cloud": "aws",
    "mlflow:localState": True,
    "mlflow:tags": {"team": "data"},
    "mlflow:exposure": {
        "external": {
            "host": "mlflow.example.com",
            "allow": ["203.0.113.0/24"],
            "certificate": "arn:aws:acm:eu-west-1:123456789012:certificate/1",
        }
    },
    "mlflow:auth": {"mode": "basic"},
    "mlflow:server": {"replicas": 2},
}
EXISTING = {
    "cluster": {"existing": "data-platform", "has": ["auto-mode"]},
    "images": {f"{image}": f"registry.example.com/{image}@sha256:{'a' * 64}" for image in ("server", "job")},
    "protect": False,
}
"""A small stack: everything that can be there already is."""
PROGRAM = f"import runpy\nrunpy.run_path({str(ROOT / '__main__.py')!r}, run_name='__main__')\n"


class AwsProject(Project):
    """A throw-away project whose program is this checkout's own, with stack ``aws``."""

    def __post_init__(self) -> None:
        super().__post_init__()
        shutil.copy(ROOT / "Pulumi.yaml", self.root)
        (self.root / "__main__.py").write_text(PROGRAM)
        self.configure(SETTINGS)

    def change(self, **settings: Any) -> None:
        """Other values for some of the keys below ``mlflow:``."""
        self.configure(SETTINGS | {f"mlflow:{key}": value for key, value in settings.items()})

    def bring_up(self, **options: Any) -> Outcome:
        return self.up(root_program(self.root), **options)

    def plan(self) -> Outcome:
        return self.preview(root_program(self.root))

    def ids(self) -> dict[str, str]:
        """URN → identifier, of everything that exists."""
        resources = (self.stack.export_stack().deployment or {}).get("resources") or []
        return {each["urn"]: each["id"] for each in resources if each.get("id")}


def copy_of(project: AwsProject, folder: Path) -> AwsProject:
    shutil.copytree(project.root, folder / "aws", symlinks=True)
    return AwsProject(folder / "aws", "aws")


@pytest.fixture(scope="module", autouse=True)
def nowhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """No credentials, no network, no cluster, and an ``aws`` that tells when somebody runs it."""
    folder = tmp_path_factory.mktemp("nowhere")
    place_plugins(folder / "bin", "aws", "docker-build", "kubernetes", "random")
    called = folder / "called"
    for tool in ("aws", "kubectl", "docker", "helm"):
        script = folder / "bin" / tool
        script.write_text(f'#!/bin/sh\necho {tool} "$@" >> {called}\nexit 1\n')
        script.chmod(script.stat().st_mode | stat.S_IXUSR)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", str(folder / "bin"), prepend=":")
        patch.setenv("KUBECONFIG", str(folder / "none"))
        patch.setenv("no_proxy", "127.0.0.1,localhost")
        for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
            patch.setenv(name, "http://127.0.0.1:9")
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            patch.delenv(name)
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        yield called
