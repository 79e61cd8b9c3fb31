"""What ``make cluster`` and ``make images`` leave in ``.local`` for the program."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pulumi

from ...settings.errors import Problem, SettingsError

ROOT = Path(__file__).resolve().parents[3]
OFFLINE = "MLFLOW_OFFLINE"
"""``1``: a run that only shows what would be declared. There may be neither cluster nor images, and what
would come from them is left open. ``local``: the same, but with what `make images` left, where it did."""


def is_offline() -> bool:
    """Whether this run only shows what would be declared."""
    return os.environ.get(OFFLINE) in ("1", "local")


def refuse_stand_ins_state() -> None:
    """Stop official plugins on a stack whose state the project's stand-ins made.

    `make` verbs that run with stand-ins set MLFLOW_STAND_INS; a plain `pulumi up` does not.

    :raises SettingsError: naming the way out.
    """
    stack = pulumi.get_stack()
    mark = ROOT / ".local" / "stacks" / f"{stack}.stand-ins"
    if mark.exists() and not is_offline() and os.environ.get("MLFLOW_STAND_INS") != "1":
        remedy = f"stand-in plugins made this stack: `make down STACK={stack}` first, or go on with `make up`"
        raise SettingsError([Problem("mlflow:cloud", remedy)], stack=stack)


def read(name: str, key: str, remedy: str) -> dict[str, Any] | None:
    """``.local/<name>``; None when it is missing and the run is offline.

    :param key: settings key the error names.
    :param remedy: what to run.
    :raises SettingsError: when it is missing.
    """
    path = ROOT / ".local" / name
    if path.exists() and os.environ.get(OFFLINE) != "1":
        return json.loads(path.read_text())
    if is_offline():
        return None
    raise SettingsError([Problem(key, remedy)], stack=pulumi.get_stack())
