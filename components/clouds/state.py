"""Where the state of a cloud stack may be kept: not in a folder that one person has."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pulumi
import yaml

from ..local_state import lies_on_this_machine, way_out
from ..settings import Cloud
from ..settings.errors import Problem, SettingsError
from ..settings.stack import CloudCommon

ROOT = Path(__file__).resolve().parents[2]
OFFLINE = "MLFLOW_OFFLINE"
"""Set for plans, which have no state (tools/offline)."""


def refuse_local_state(settings: CloudCommon, cloud: Cloud) -> None:
    """Stop a run whose state would lie in a folder: whoever loses it loses the hold on what runs and costs.

    :raises SettingsError: unless the stack says that it is meant so.
    """
    if settings.local_state or os.environ.get(OFFLINE):
        return
    if not lies_on_this_machine(backend_url()):
        return
    stack = pulumi.get_stack()
    remedy = f"this stack's state is in a folder of this machine; {way_out(stack, cloud)}"
    raise SettingsError([Problem("mlflow:localState", remedy)], stack=stack)


def backend_url() -> str | None:
    """The backend that the engine uses, found where the CLI looks, in its order (Pulumi, "State and
    backends"); None where nobody has logged in to any."""
    if backend := os.environ.get("PULUMI_BACKEND_URL"):
        return backend
    project = yaml.safe_load((ROOT / "Pulumi.yaml").read_text())
    if backend := (project.get("backend") or {}).get("url"):
        return backend
    home = os.environ.get("PULUMI_HOME") or Path.home() / ".pulumi"
    credentials = Path(os.environ.get("PULUMI_CREDENTIALS_PATH") or home) / "credentials.json"
    if credentials.exists() and (backend := json.loads(credentials.read_text()).get("current")):
        return backend
    return "https://api.pulumi.com" if os.environ.get("PULUMI_ACCESS_TOKEN") else None
