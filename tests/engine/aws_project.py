"""The AWS stack as a throw-away project on the real engine, with all its providers stood in for by tables.

What the tables know of AWS is in ``anyprovider/tables``, a source for each line; nothing here reaches a
cloud or a cluster.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.engine.cloud_project import CloudProject
from tests.engine.cloud_project import nowhere as isolated

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


@dataclass
class AwsProject(CloudProject):
    """A throw-away project whose program is this checkout's own, with stack ``aws``."""

    settings: Mapping[str, Any] = field(default_factory=lambda: SETTINGS)


def copy_of(project: AwsProject, folder: Path) -> AwsProject:
    return project.copy(folder)


@pytest.fixture(scope="module", autouse=True)
def nowhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """No credentials, no network, no cluster, and an ``aws`` that tells when somebody runs it."""
    folder = tmp_path_factory.mktemp("nowhere")
    packages, tools = ("aws", "docker-build", "kubernetes", "random"), ("aws", "kubectl", "docker", "helm")
    with (
        isolated(folder, *packages, tools=tools, prefixes=("AWS_",)) as called,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        yield called
