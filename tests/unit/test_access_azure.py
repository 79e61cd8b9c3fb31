"""An existing AKS cluster is reached by a command that signs in, before its stack is up."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from tools.access.azure import kubeconfig
from tools.common import Failure

pytestmark = pytest.mark.unit

CLUSTER = {"server": "https://aks.example.com:443", "certificate-authority-data": "Q0E="}


def signed_in(folder: Path, user: dict, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An `az` that hands out a kubeconfig with this user, and notes what it was asked."""
    given = yaml.safe_dump(
        {"clusters": [{"name": "c", "cluster": CLUSTER}], "users": [{"name": "u", "user": user}]}
    )
    script = folder / "az"
    script.write_text(f"#!/bin/sh\necho \"$@\" > {folder}/asked\ncat <<'END'\n{given}END\n")
    script.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=":")
    return folder / "asked"


def test_the_kubeconfig_holds_an_address_and_a_command_but_no_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = signed_in(tmp_path, {"exec": {"command": "kubelogin"}}, monkeypatch)
    config = json.loads(kubeconfig("data", "platform", "0000"))
    assert config["clusters"][0]["cluster"]["server"] == CLUSTER["server"]
    (user,) = config["users"]
    assert set(user["user"]) == {"exec"}
    assert user["user"]["exec"]["command"] == "kubelogin"
    words = asked.read_text()
    assert "--name data --resource-group platform --subscription 0000 --format exec" in words


def test_a_cluster_that_hands_out_keys_is_refused_with_the_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    signed_in(tmp_path, {"client-key-data": "planted-key"}, monkeypatch)
    with pytest.raises(Failure, match="does not know Entra") as refused:
        kubeconfig("data", "platform", None)
    assert "--enable-aad" in refused.value.hint
    assert "planted-key" not in str(refused.value)
