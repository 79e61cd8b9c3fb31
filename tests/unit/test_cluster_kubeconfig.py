"""The user's kubeconfig is read as kubectl reads it, and only the named context leaves it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from tools.cluster.existing import skew
from tools.cluster.kubeconfigs import merge, only_context, read, user_kubeconfig
from tools.common import Failure


def config(*names: str, server: str = "https://one") -> dict[str, Any]:
    return {
        "clusters": [
            {"name": n, "cluster": {"server": server, "certificate-authority": "ca.crt"}} for n in names
        ],
        "users": [{"name": n, "user": {"token": f"token of {n}"}} for n in names],
        "contexts": [{"name": n, "context": {"cluster": n, "user": n, "namespace": "x"}} for n in names],
    }


def write(path: Path, content: dict[str, Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(content))
    return path


def test_only_the_named_context_with_its_cluster_and_user_is_kept() -> None:
    cut = only_context(config("dev", "prod"), "dev")
    assert [[entry["name"] for entry in cut[part]] for part in ("contexts", "clusters", "users")] == [
        ["dev"]
    ] * 3
    assert cut["current-context"] == "dev"
    assert "prod" not in yaml.safe_dump(cut)


def test_a_misspelt_context_is_refused_with_the_nearest_first() -> None:
    with pytest.raises(Failure, match="no context 'prodd'") as failure:
        only_context(config("dev", "prod"), "prodd")
    assert failure.value.hint == "it has: prod, dev"


def test_a_context_whose_user_is_missing_is_refused() -> None:
    broken = config("dev")
    broken["users"] = []
    with pytest.raises(Failure, match="names a user"):
        only_context(broken, "dev")


def test_the_first_file_wins_when_two_have_the_same_name() -> None:
    merged = merge([config("dev", server="https://first"), config("dev", "prod", server="https://second")])
    servers = {entry["name"]: entry["cluster"]["server"] for entry in merged["clusters"]}
    assert servers == {"dev": "https://first", "prod": "https://second"}


def test_relative_file_names_still_lead_to_the_same_files_from_elsewhere(tmp_path: Path) -> None:
    path = write(tmp_path / "a/config", config("dev"))
    assert read(path)["clusters"][0]["cluster"]["certificate-authority"] == str(tmp_path / "a/ca.crt")


def test_kubeconfig_in_the_environment_names_several_files(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    one, two = write(tmp_path / "one", config("dev")), write(tmp_path / "two", config("prod"))
    monkeypatch.setenv("KUBECONFIG", f"{one}:{tmp_path / 'missing'}:{two}")
    assert [entry["name"] for entry in user_kubeconfig()["contexts"]] == ["dev", "prod"]


def test_reading_leaves_the_users_file_as_it_was(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = write(tmp_path / "one", config("dev"))
    before = path.read_bytes()
    monkeypatch.setenv("KUBECONFIG", str(path))
    only_context(user_kubeconfig(), "dev")
    assert path.read_bytes() == before


@pytest.mark.parametrize("text", ["- a list", ": : :", ""])
def test_a_file_that_is_no_kubeconfig_is_refused_by_its_name(tmp_path: Path, text: str) -> None:
    path = tmp_path / "config"
    path.write_text(text)
    with pytest.raises(Failure, match=str(path)):
        read(path)


@pytest.mark.parametrize(
    ("client", "server", "apart"), [("v1.36.3", "v1.36.0", 0), ("v1.32.4-x", "v1.36.3-gke.1", 4)]
)
def test_the_distance_between_kubectl_and_server_is_counted_in_minor_versions(
    client: str, server: str, apart: int
) -> None:
    assert skew({"clientVersion": {"gitVersion": client}, "serverVersion": {"gitVersion": server}}) == apart
