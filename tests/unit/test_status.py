"""What `make status` says of that which stands in for something else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tools import status
from tools.deployed import Deployed
from tools.engine.place import Place

pytestmark = pytest.mark.unit
OUTPUTS = {
    "namespace": "mlflow",
    "url": "http://127.0.0.1:30500",
    "inClusterUrl": "http://mlflow-server",
    "database": {"engine": "postgresql", "place": "in-cluster"},
    "artifacts": {"place": "in-cluster"},
    "images": {"job": "localhost/mlflow-job:1"},
}
POD = {
    "metadata": {"name": "mlflow-database-0", "creationTimestamp": "2026-11-23T09:00:00Z"},
    "spec": {"containers": [{"image": "localhost/postgresql:1"}]},
    "status": {"phase": "Running"},
}


class Up(Deployed):
    """A stack with a database's pod and nothing else."""

    def objects(self, *words: str) -> list[dict[str, Any]]:
        return [POD] if words == ("pods",) else []


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    """A checkout whose stack dev is up."""
    monkeypatch.setattr(status, "ROOT", tmp_path)
    monkeypatch.setattr(status, "find", lambda stack: Up(stack, OUTPUTS, ()))
    monkeypatch.setattr(status, "ask", lambda url: "OK" if url.endswith("/health") else "3.17.0")
    made = Place(tmp_path, "dev")
    made.mark.parent.mkdir(parents=True)
    return made


def told(capsys: pytest.CaptureFixture[str]) -> list[str]:
    """The lines about stand-ins of a run."""
    assert status.main([]) == 0
    lines = capsys.readouterr().out.splitlines()
    return [" ".join(line.split()[2:]) for line in lines if line.startswith("stands in")]


def test_the_images_and_plugins_that_stand_in_for_the_real_ones_are_told_on_each_run(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    place.mark.write_text('["kubernetes", "random"]\n')
    images = {
        "postgresql": {"reference": "localhost/postgresql:1", "substitute": True},
        "mysql": {"reference": "localhost/mysql:1", "substitute": True},  # built, but not this stack's
        "job": {"reference": "localhost/mlflow-job:1", "substitute": False},
    }
    (place.local / "images.json").write_text(json.dumps({"images": images}))
    assert told(capsys) == [
        "provider plugins kubernetes, random: the official ones are not here",
        "localhost/postgresql:1 for the upstream image of postgresql",
    ]


def test_where_everything_is_the_real_thing_nothing_is_told(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    assert told(capsys) == []
