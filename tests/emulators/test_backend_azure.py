"""`make backend` on Azure: what it asks Azure for, and what it leaves alone."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.emulators.azure_manager import ME, SUBSCRIPTION, TENANT, Azure, managed
from tools.backend.azure import account_name, ensure, vault_name
from tools.common import Failure

pytestmark = pytest.mark.emulators

CONFIG = {"azure-native:location": "westeurope", "azure-native:subscriptionId": SUBSCRIPTION}


@pytest.fixture
def azure(tmp_path: Path) -> Iterator[Azure]:
    """A subscription in which nothing is."""
    found = Azure()
    with managed(found, tmp_path):
        yield found


def test_account_and_key_are_private_versioned_and_open_to_entra_alone(azure: Azure, tmp_path: Path) -> None:
    backend = ensure("mlflow", CONFIG)
    account, vault = azure.of_type("storageAccounts"), azure.of_type("vaults")
    assert backend.url == f"azblob://state?storage_account={account['name']}"
    # With its version: gocloud decrypts by the latest, and a rotation would lock the secrets away.
    assert backend.secrets_provider == (
        f"azurekeyvault://{vault['name']}.vault.azure.net/keys/secrets/{'f' * 32}"
    )
    assert account["location"] == vault["location"] == "westeurope"
    assert account["properties"]["allowSharedKeyAccess"] is False
    assert account["properties"]["allowBlobPublicAccess"] is False
    assert account["properties"]["minimumTlsVersion"] == "TLS1_2"
    service = azure.resources[f"{account['id']}/blobServices/default"]["properties"]
    assert service["isVersioningEnabled"] is True
    assert service["deleteRetentionPolicy"]["enabled"] is True
    (rule,) = azure.of_type("managementPolicies")["properties"]["policy"]["rules"]
    assert rule["definition"]["actions"] == {"version": {"delete": {"daysAfterCreationGreaterThan": 365}}}, (
        "a state in use must never expire"
    )
    assert azure.of_type("containers")["properties"]["publicAccess"] == "None"
    assert vault["properties"]["enableRbacAuthorization"] is True
    assert vault["properties"]["enablePurgeProtection"] is True
    assert vault["properties"]["tenantId"] == TENANT
    assert azure.of_type("keys")["properties"]["keyOps"] == ["encrypt", "decrypt"]
    assert {each["tags"]["purpose"] for each in (account, vault)} == {"pulumi-state"}
    assert f"--subscription {SUBSCRIPTION}" in (tmp_path / "asked").read_text()


def test_whoever_runs_it_gets_the_rights_on_container_and_key_and_no_more(azure: Azure) -> None:
    ensure("mlflow", CONFIG)
    found = {id_: each for id_, each in azure.resources.items() if "/roleAssignments/" in id_}
    assert {re.sub(r"/providers/Microsoft.Authorization.*", "", id_).split("/")[-2] for id_ in found} == {
        "containers", "keys"
    }  # fmt: skip
    for each in found.values():
        assert (each["properties"]["principalId"], each["properties"]["principalType"]) == (ME, "User")


def test_a_service_principal_is_told_from_a_user(tmp_path: Path) -> None:
    azure = Azure()
    with managed(azure, tmp_path, idtyp="app"):
        ensure("mlflow", CONFIG)
    kinds = [
        each["properties"]["principalType"] for id_, each in azure.resources.items() if "/roleAssign" in id_
    ]
    assert kinds == ["ServicePrincipal"] * 2


def test_a_second_run_changes_nothing(azure: Azure) -> None:
    first = ensure("mlflow", CONFIG)
    assert first.made
    azure.calls.clear()
    again = ensure("mlflow", CONFIG)
    assert again.made == []
    assert (again.url, again.secrets_provider) == (first.url, first.secrets_provider)
    assert azure.calls
    assert azure.changes == []


@pytest.mark.parametrize("after", range(9))
def test_a_run_that_ended_in_between_is_finished_by_the_next(
    azure: Azure, after: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = azure.answer

    def until(method: str, *words: Any) -> tuple[int, Any]:
        if len(azure.changes) == after and method != "GET":
            return 500, {"error": {"code": "Gone", "message": "the run ends here"}}
        return answer(method, *words)

    with monkeypatch.context() as patch:
        patch.setattr(azure, "answer", until)
        with pytest.raises(Failure, match="the run ends here"):
            ensure("mlflow", CONFIG)
    ensure("mlflow", CONFIG)
    assert ensure("mlflow", CONFIG).made == []


def test_what_somebody_took_away_is_put_back_and_what_they_added_stays(azure: Azure) -> None:
    ensure("mlflow", CONFIG)
    account, vault = azure.of_type("storageAccounts"), azure.of_type("vaults")
    account["tags"]["team"] = vault["tags"]["team"] = "ml"
    account["properties"]["allowSharedKeyAccess"] = True
    account["sku"] = {"name": "Standard_GZRS"}
    azure.resources[f"{account['id']}/blobServices/default"]["properties"]["isVersioningEnabled"] = False
    vault["properties"]["enableRbacAuthorization"] = False
    assert ensure("mlflow", CONFIG).made == [
        "no keys, no public blobs",
        "versioning and soft delete",
        "roles instead of access policies, protection against purging",
    ]
    account, vault = azure.of_type("storageAccounts"), azure.of_type("vaults")
    assert account["properties"]["allowSharedKeyAccess"] is False
    assert account["sku"] == {"name": "Standard_GZRS"}
    assert account["tags"]["team"] == vault["tags"]["team"] == "ml"


def test_a_deleted_vault_is_brought_back_with_its_key(azure: Azure) -> None:
    before = ensure("mlflow", CONFIG)
    vault = azure.of_type("vaults")["id"]
    azure.deleted.add(vault)
    kept = {id_: azure.resources.pop(id_) for id_ in [vault]}
    assert kept
    after = ensure("mlflow", CONFIG)
    assert after.secrets_provider == before.secrets_provider
    assert [line for line in after.made if "brought back" in line]


def test_a_group_that_holds_something_else_is_left_alone(azure: Azure) -> None:
    group = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/mlflow-state-westeurope"
    azure.resources[group] = {"id": group, "name": "mlflow-state-westeurope", "tags": {}, "properties": {}}
    with pytest.raises(Failure, match="did not make it") as refused:
        ensure("mlflow", CONFIG)
    assert "purpose=pulumi-state" in refused.value.hint
    assert azure.changes == []


@pytest.mark.parametrize(
    ("part", "answer", "words"),
    [
        ("storageAccounts", (409, "StorageAccountAlreadyTaken"), "somebody else's"),
        ("roleAssignments", (403, "AuthorizationFailed"), "Azure refused: AuthorizationFailed"),
    ],
)
def test_a_refusal_says_what_to_do(azure: Azure, part: str, answer: tuple[int, str], words: str) -> None:
    azure.refuses[part] = answer
    with pytest.raises(Failure, match=words) as refused:
        ensure("mlflow", CONFIG)
    assert refused.value.hint


def test_a_right_that_is_there_under_another_name_is_enough(azure: Azure) -> None:
    azure.refuses["roleAssignments"] = (409, "RoleAssignmentExists")
    assert not [line for line in ensure("mlflow", CONFIG).made if "role" in line]


def test_a_disabled_key_is_told_with_the_way_back(azure: Azure) -> None:
    ensure("mlflow", CONFIG)
    azure.of_type("keys")["properties"]["attributes"] = {"enabled": False}
    with pytest.raises(Failure, match="disabled: secrets in the state cannot be read") as refused:
        ensure("mlflow", CONFIG)
    assert "--enabled" in refused.value.hint


def test_without_a_location_nothing_is_asked(azure: Azure) -> None:
    with pytest.raises(Failure, match="names no location"):
        ensure("mlflow", {})
    assert azure.calls == []


@pytest.mark.parametrize("project", ["mlflow", "A.Very-long_Project" * 4, "1-2-3", "---"])
def test_names_are_valid_whatever_the_project_is_called(project: str) -> None:
    names = {
        (account_name(project, SUBSCRIPTION, place), vault_name(project, SUBSCRIPTION, place))
        for place in ("westeurope", "northeurope")
    }
    assert len(names) == 2
    for account, vault in names:
        assert re.fullmatch(r"[a-z0-9]{3,24}", account)
        assert re.fullmatch(r"[a-z](?!.*--)[a-z0-9-]{1,22}[a-z0-9]", vault)
