"""The role for whoever runs ``up`` on Google Cloud covers what the stack makes, and makes nobody an owner."""

from __future__ import annotations

import json
import re

import pytest

from tests.program.conftest import plan_of
from tests.program.gcp_cases import GCP_CASES
from tools import gcp_rights
from tools.common import ROOT
from tools.gcp_rights import GIVES, MAKES
from tools.offline import Resource
from tools.offline.wire import plain

pytestmark = pytest.mark.program


def of_google(case: str) -> list[Resource]:
    return [one for one in plan_of(case).resources if one.type.startswith("gcp:")]


def permissions() -> list[str]:
    return gcp_rights.role()["includedPermissions"]


def test_the_role_and_its_condition_are_what_the_table_says() -> None:
    how = "run `python -m tools.gcp_rights`"
    assert json.loads(gcp_rights.ROLE.read_text()) == gcp_rights.role(), how
    assert json.loads(gcp_rights.CONDITION.read_text()) == gcp_rights.condition(), how


def test_it_covers_every_resource_of_every_stack_and_nothing_that_no_stack_makes() -> None:
    assert {f"gcp:{each}" for each in MAKES} == {one.type for case in GCP_CASES for one in of_google(case)}


def test_its_permissions_are_named_and_make_nobody_an_owner() -> None:
    assert all(re.fullmatch(r"[a-z]+\.[A-Za-z]+\.[A-Za-z]+", each) for each in permissions())
    kept_out = {
        "resourcemanager.projects.setIamPolicy",
        "iam.roles.create",
        "iam.roles.update",
        "iam.serviceAccountKeys.create",
        "iam.serviceAccounts.getAccessToken",
        "iam.serviceAccounts.signBlob",
        "serviceusage.services.disable",
        "cloudsql.instances.login",
    }
    assert not kept_out & set(permissions())


def test_its_holder_gives_the_roles_of_the_program_in_the_project_and_no_other() -> None:
    members = [
        one for case in GCP_CASES for one in of_google(case) if one.type == "gcp:projects/iAMMember:IAMMember"
    ]
    assert {plain(one.inputs)["role"] for one in members} == set(GIVES)
    assert set(re.findall(r"roles/[A-Za-z.]+", gcp_rights.condition()["expression"])) == set(GIVES)


def test_the_docs_say_how_to_make_it_and_what_else_it_takes() -> None:
    page = (ROOT / "docs/gcp.md").read_text()
    assert f"--file docs/{gcp_rights.ROLE.name}" in page
    assert f"--condition-from-file=docs/{gcp_rights.CONDITION.name}" in page
    assert "--role roles/container.admin" in page
