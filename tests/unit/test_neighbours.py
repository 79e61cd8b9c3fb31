"""Who else is in a resource group that goes with a stack; on the engine: tests/engine/test_azure_stack.py."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

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
