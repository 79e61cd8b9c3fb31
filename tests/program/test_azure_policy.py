"""The role for whoever runs ``up`` on Azure covers what the stack makes, and gives no right over others."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from components.clouds.azure.roles import Role
from components.settings.azure import AzureStack
from tests.emulators.azure_manager import Azure, managed
from tests.program.azure_cases import AZURE_CASES
from tests.program.conftest import plan_of
from tests.program.test_azure import azure_resources
from tools import azure_rights
from tools.azure_rights import GIVES, MAKES, missing, needed
from tools.common import ROOT
from tools.settings import settings_of
from tools.validate.azure import rights

pytestmark = pytest.mark.program

FOLDER = ROOT / "docs"


def test_the_role_and_its_condition_are_what_the_table_says() -> None:
    how = "run `python -m tools.azure_rights`"
    assert json.loads((FOLDER / "azure-role.json").read_text()) == azure_rights.role(), how
    assert (FOLDER / "azure-role-condition.txt").read_text().strip() == azure_rights.condition(), how


def test_it_covers_every_resource_of_every_stack_and_nothing_that_no_stack_makes() -> None:
    made = {one.type for case in AZURE_CASES for one in azure_resources(plan_of(case))}
    assert {f"azure-native:{each}" for each in MAKES} == made
    allowed = [{"actions": azure_rights.role()["Actions"]}]
    for case in AZURE_CASES:
        assert missing(needed(one.type for one in azure_resources(plan_of(case))), allowed) == [], case


def test_whatever_it_may_change_is_named() -> None:
    wide = [each for each in azure_rights.role()["Actions"] if "*" in each]
    assert all(each.endswith("/read") for each in wide), wide
    assert azure_rights.role()["DataActions"] == [], "it makes stores and reads none"


def test_its_holder_gives_the_roles_of_the_program_to_identities_and_no_other() -> None:
    assert set(GIVES) == {str(each) for each in Role}
    text = azure_rights.condition()
    assert text.count("'ServicePrincipal'") == 2
    for verb in ("write", "delete"):
        assert f"roleAssignments/{verb}'" in text
    assert set(re.findall(r"[0-9a-f]{8}-[0-9a-f-]{27}", text)) == set(GIVES)


@pytest.mark.parametrize(
    ("permissions", "lacks"),
    [
        ([{"actions": ["*"], "notActions": []}], []),
        ([{"actions": ["Microsoft.X/*"], "notActions": ["microsoft.x/a/DELETE"]}], ["Microsoft.X/a/delete"]),
        # What one role takes away another may give: they add up.
        (
            [
                {"actions": ["*"], "notActions": ["Microsoft.X/*/delete"]},
                {"actions": ["Microsoft.X/a/delete"]},
            ],
            [],
        ),
        ([{"actions": ["*/read"]}], ["Microsoft.X/a/write", "Microsoft.X/a/delete"]),
        ([], ["Microsoft.X/a/read", "Microsoft.X/a/write", "Microsoft.X/a/delete"]),
    ],
)
def test_missing_rights_are_found_as_azure_adds_roles_up(permissions: list[dict], lacks: list[str]) -> None:
    wanted = ["Microsoft.X/a/read", "Microsoft.X/a/write", "Microsoft.X/a/delete"]
    assert missing(wanted, permissions) == lacks


def azure_settings() -> AzureStack:
    settings = settings_of("azure")
    assert isinstance(settings, AzureStack)
    return settings


def test_validate_names_the_rights_that_the_caller_lacks(tmp_path: Path) -> None:
    azure = Azure()
    azure.permissions = [{"actions": ["*"], "notActions": ["Microsoft.ContainerService/*/write"]}]
    with managed(azure, tmp_path):
        (said,) = rights(azure_settings(), plan_of("azure by default"), {})
        azure.permissions.append({"actions": ["*"]})
        assert list(rights(azure_settings(), plan_of("azure by default"), {})) == []
    assert "Microsoft.ContainerService/managedClusters/agentPools/write" in said.text
    assert "docs/azure-role.json" in said.text
    assert said.fails


def test_validate_says_when_it_cannot_ask(tmp_path: Path) -> None:
    azure = Azure()
    azure.refuses_reading = True
    with managed(azure, tmp_path):
        (said,) = rights(azure_settings(), plan_of("azure by default"), {})
    assert not said.fails
    assert "could not be asked for" in said.text
