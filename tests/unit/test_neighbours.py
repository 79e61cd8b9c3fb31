"""Who else is in a resource group that goes with a stack; on the engine: tests/engine/test_azure_stack.py."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from components.settings.database import NOT_RESTORED
from tools.common import Failure
from tools.engine import neighbours
from tools.engine.neighbours import refuse_neighbours

pytestmark = pytest.mark.unit

GROUP = "/subscriptions/11111111-1111-1111-1111-111111111111/resourceGroups/mlflow1a2b3c4d"


def test_without_the_azure_cli_a_group_that_goes_is_named_with_what_nobody_could_see(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    (line,) = refuse_neighbours("azure", [{"type": neighbours.GROUP, "id": GROUP}])
    assert line.startswith("ResourceGroup mlflow1a2b3c4d, with whatever others put into it")
    assert line.endswith("az is not installed")


def test_a_stack_that_made_no_resource_group_asks_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    def asked(*_: Any) -> None:
        raise AssertionError("Azure was asked")

    monkeypatch.setattr(neighbours, "AzureApi", asked)
    others = [{"type": "kubernetes:core/v1:Namespace", "id": "mlflow"}, {"type": neighbours.GROUP}]
    assert refuse_neighbours("dev", others) == []


def test_a_group_that_may_hold_the_database_of_today_stays_when_nobody_can_look(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever signs in to Azure without az has no one to look; FORCE asks nobody."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("FORCE", "azure")
    group = {"type": neighbours.GROUP, "id": GROUP}

    def down(restored: str) -> list[str]:
        outputs = {"dataPlaces": {"mlflow:database.restored": restored}}
        return refuse_neighbours("azure", [{"type": "pulumi:pulumi:Stack", "outputs": outputs}, group])

    with pytest.raises(Failure, match=r"may hold ml-restored, where its database is now"):
        down("ml-restored")
    assert len(down(NOT_RESTORED)) == 1
