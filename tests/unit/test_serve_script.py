"""scripts/serve.py against a stand-in for MLflow: it hands its process over, or says what it cannot do."""

from __future__ import annotations

import os
import runpy
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

SCRIPT = Path(__file__).parents[2] / "components" / "tracking" / "scripts" / "serve.py"


def mlflow_of(monkeypatch: pytest.MonkeyPatch, start: Callable[[ModuleType], None], **server: Any) -> None:
    """Put a stand-in for MLflow in place, whose command line calls ``start``."""
    package, module, commands = ModuleType("mlflow"), ModuleType("mlflow.server"), ModuleType("mlflow.cli")
    vars(module).update(server)
    vars(package)["server"] = module
    vars(commands)["cli"] = lambda prog_name: start(module)  # noqa: ARG005
    for each in (package, module, commands):
        monkeypatch.setitem(sys.modules, each.__name__, each)


def test_the_web_server_takes_the_process_over_with_its_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    def start(module: ModuleType) -> None:
        module._exec_cmd(["python", "-m", "uvicorn", 2], extra_env={"BOOT": "1"}, synchronous=False)

    became: list[Any] = []
    monkeypatch.setattr(os, "execvpe", lambda *given: became.append(given))
    monkeypatch.setenv("KEPT", "yes")
    mlflow_of(monkeypatch, start, _exec_cmd=lambda *_, **__: pytest.fail("started beside, not instead"))
    runpy.run_path(str(SCRIPT), run_name="__main__")
    [(file, words, environment)] = became
    assert (file, words) == ("python", ["python", "-m", "uvicorn", "2"])
    assert (environment["BOOT"], environment["KEPT"]) == ("1", "yes")


def test_an_mlflow_that_starts_otherwise_is_refused_by_name_of_the_script(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    mlflow_of(monkeypatch, lambda _: pytest.fail("it was started all the same"))
    with pytest.raises(SystemExit, match=r"mend components/tracking/scripts/serve\.py"):
        runpy.run_path(str(SCRIPT), run_name="__main__")
