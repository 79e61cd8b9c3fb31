"""The AWS stack on the real engine: the real program, with all its providers stood in for by tables.

What the tables know of AWS is in ``anyprovider/tables``, a source for each line; nothing here reaches a
cloud or a cluster. Every test that changes something works on a copy of one stack that came up.
"""

from __future__ import annotations

import json
from pathlib import Path

import pulumi
import pytest

from tests.engine.anyprovider.plugin import DELAY, DRIFT, FAIL
from tests.engine.aws_order import AUTO_MODE, NETWORK, PODS_AND_DATA, unordered
from tests.engine.aws_project import (
    EXISTING,
    INSTANCE,
    SETTINGS,
    AwsProject,
    copy_of,
    nowhere,  # noqa: F401 - a fixture
)
from tests.engine.conftest import Outcome
from tests.engine.test_interrupted import being_made, kill_when
from tools.common import Failure
from tools.engine import verbs
from tools.engine.progress import kind_of, name_of
from tools.engine.workspace import root_program

pytestmark = [
    pytest.mark.engine,
    # The SDK complains of its own classes when it loads them.
    pytest.mark.filterwarnings("ignore::DeprecationWarning:pulumi_aws"),
]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[AwsProject, Outcome, Outcome]:
    """A stack that came up, what was planned before, and what was done; not to be changed."""
    project = AwsProject(tmp_path_factory.mktemp("aws"), "aws")
    planned = project.plan()
    assert not planned.failed, planned.text
    done = project.bring_up()
    assert not done.failed, done.text
    return project, planned, done


@pytest.fixture
def stack(made: tuple[AwsProject, Outcome, Outcome], tmp_path: Path) -> AwsProject:
    """A copy of it, to be changed."""
    return copy_of(made[0], tmp_path)


@pytest.fixture(scope="module")
def released(
    made: tuple[AwsProject, Outcome, Outcome], tmp_path_factory: pytest.TempPathFactory
) -> AwsProject:
    """A copy after ``make unprotect``; not to be changed."""
    project = copy_of(made[0], tmp_path_factory.mktemp("released"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FORCE", "aws")
        verbs.unprotect("aws", project.root)
    return project


@pytest.mark.core
def test_up_makes_what_the_preview_said_and_a_second_one_finds_nothing_to_do(
    made: tuple[AwsProject, Outcome, Outcome], stack: AwsProject
):
    _, planned, done = made
    assert sorted(done.steps) == sorted(planned.planned)
    assert {op for op, _ in done.steps} == {"create"}
    assert ("create", "mlflow-database") in done.steps

    again = stack.bring_up()
    assert not again.failed, again.text
    assert again.steps == []


@pytest.mark.core
def test_no_password_or_token_is_readable_in_what_is_kept(made: tuple[AwsProject, Outcome, Outcome]):
    project, _, _ = made
    shown = json.dumps(project.stack.export_stack().deployment)
    assert "planted-password-" in shown
    assert "planted-registry-password-" in shown, "an export shows secrets: both must have been there"
    kept = [path for path in project.root.rglob("*") if path.is_file()]
    for path in kept:
        text = path.read_bytes()
        assert b"planted-" not in text, path
        assert b"BEGIN PRIVATE" not in text, path
    assert [path for path in kept if path.name == "aws.json"], "the state itself was read"


def test_a_refresh_finds_no_drift_but_finds_what_somebody_else_changed(
    stack: AwsProject, monkeypatch: pytest.MonkeyPatch
):
    outputs = {name: each.get("outputs") for name, each in stack.state().items()}
    assert not stack.refresh().failed
    assert {name: each.get("outputs") for name, each in stack.state().items()} == outputs
    monkeypatch.setenv(DRIFT, json.dumps({INSTANCE: {"backupRetentionPeriod": 0}}))
    stack.refresh()
    assert stack.state()["mlflow-database"]["outputs"]["backupRetentionPeriod"] == 0
    monkeypatch.delenv(DRIFT)
    assert stack.bring_up().steps == [("update", "mlflow-database")]
    assert stack.state()["mlflow-database"]["outputs"]["backupRetentionPeriod"] == 7


@pytest.mark.core
def test_sizes_backups_ranges_and_replicas_change_in_place(stack: AwsProject):
    ids = stack.ids()
    external = SETTINGS["mlflow:exposure"]["external"]
    stack.change(
        database={"size": "db.m7g.large", "backupDays": 14, "storageGb": 40, "highAvailability": True},
        exposure={"external": external | {"allow": ["203.0.113.0/24", "198.51.100.0/24"]}},
        server={"replicas": 3},
    )
    changed = stack.bring_up()
    assert not changed.failed, changed.text
    assert sorted(changed.steps) == [
        ("update", "mlflow-database"),
        ("update", "mlflow-exposure-external"),
        ("update", "mlflow-server-deployment"),
    ]
    assert stack.ids() == ids


def test_new_tags_reach_every_resource_in_place_and_move_no_data(stack: AwsProject):
    ids = stack.ids()
    stack.change(tags={"team": "platform"})
    changed = stack.bring_up()
    assert not changed.failed, changed.text
    state = stack.stack.export_stack().deployment or {}
    tags = [r["outputs"]["tagsAll"] for r in state["resources"] if "tagsAll" in (r.get("outputs") or {})]
    assert len(tags) > 20
    assert {each["team"] for each in tags} == {"platform"}
    # A class of volumes never changes; the volumes that it made stay.
    anew = {name for op, name in changed.steps if op not in ("update", "replace")}
    assert anew <= {"mlflow-gp3"}
    now = stack.ids()
    moved = {name_of(urn) for urn, identifier in ids.items() if now.get(urn) != identifier}
    assert moved <= {"mlflow-gp3"}


@pytest.mark.core
def test_another_database_is_refused_before_anything_has_changed(stack: AwsProject):
    ids = stack.ids()
    stack.change(database={"engine": "mysql"})
    with pytest.raises(Failure, match=r"database\.engine: postgresql → mysql"):
        verbs.up("aws", stack.root)
    # Whatever else would replace it: a preview meets its protection before anything has changed.
    with pytest.raises(Failure, match="preview of stack aws failed") as refused:
        verbs.up("aws", stack.root, root_program(stack.root))
    assert "make unprotect STACK=aws" in refused.value.hint
    assert stack.ids() == ids


def test_another_engine_replaces_the_database_once_it_is_released(released: AwsProject, tmp_path: Path):
    stack = copy_of(released, tmp_path)
    before_it = stack.state()["mlflow-database"]["inputs"]["identifier"]
    stack.change(protect=False, database={"engine": "mysql"})
    changed = stack.bring_up()
    assert not changed.failed, changed.text
    urns = [(op, urn) for op, urn in changed.urns if INSTANCE in urn]
    assert [op for op, _ in urns if op != "replace"] == ["create-replacement", "delete-replaced"]
    after = stack.state()["mlflow-database"]["inputs"]
    assert after["identifier"] != before_it, (
        "a second one of its name could not be made, nor its last snapshot"
    )
    assert after["parameterGroupName"] == stack.state()["mlflow-database-parameters"]["outputs"]["name"]
    assert "create-replacement" not in [op for op, name in changed.steps if name == "mlflow-cluster"]


def test_a_restored_database_takes_over_and_hands_back_while_the_stacks_own_stays_guarded(
    stack: AwsProject, monkeypatch: pytest.MonkeyPatch
):
    ids, before_it = stack.ids(), stack.state()["mlflow-database"]
    found = {"vpcSecurityGroups": [stack.state()["mlflow-database-access"]["id"]]}
    monkeypatch.setenv(DRIFT, json.dumps({"aws:rds/getInstance:getInstance": found}))
    stack.change(database={"restored": "db-mlflow-restored"})
    with pytest.raises(Failure, match=r"database\.restored: not restored → db-mlflow-restored"):
        verbs.up("aws", stack.root)
    assert stack.ids() == ids
    monkeypatch.setenv("FORCE", "aws")
    verbs.up("aws", stack.root)
    gone = {name_of(urn) for urn in ids.keys() - stack.ids().keys()}
    assert gone
    assert all("bootstrap" in name or "database-admin" in name for name in gone), gone
    now = stack.state()["mlflow-database"]
    assert (now["id"], now["inputs"], now["protect"]) == (before_it["id"], before_it["inputs"], True)
    assert "db-mlflow-restored.existing" in json.dumps(stack.stack.export_stack().deployment)

    stack.change()
    verbs.up("aws", stack.root)
    assert {name_of(urn) for urn in stack.ids()} == {name_of(urn) for urn in ids}
    assert stack.state()["mlflow-database"]["id"] == before_it["id"]


@pytest.mark.core
def test_nothing_is_destroyed_while_it_is_protected(stack: AwsProject, monkeypatch: pytest.MonkeyPatch):
    ids = stack.ids()
    monkeypatch.setenv("FORCE", "aws")
    with pytest.raises(Failure, match="Instance mlflow-database") as refused:
        verbs.down("aws", stack.root)
    assert "make unprotect STACK=aws" in refused.value.hint
    assert stack.ids() == ids


def test_a_plain_destroy_takes_nothing_that_is_protected_and_its_services_guard_it_themselves(
    stack: AwsProject,
):
    held = {name for name, each in stack.state().items() if each.get("protect")}
    assert {"mlflow-database", "mlflow-artifacts"} <= held
    refused = stack.destroy()
    assert refused.failed
    assert held <= stack.state().keys()

    deployment = stack.stack.export_stack()
    for each in (deployment.deployment or {})["resources"]:
        each.pop("protect", None)
    stack.stack.import_stack(deployment)
    refused = stack.destroy()
    assert "cannot be deleted while deletionProtection is true" in refused.text
    assert {"mlflow-database", "mlflow-artifacts", "mlflow-cluster"} <= stack.state().keys()


@pytest.mark.core
def test_after_unprotect_everything_goes_in_order_and_a_later_up_works(released: AwsProject, tmp_path: Path):
    stack = copy_of(released, tmp_path)
    assert unordered(stack, [*PODS_AND_DATA, *NETWORK, *AUTO_MODE]) == []
    assert unordered(stack, [("Vpc", "Instance")]) == [("Vpc", "Instance")], "it can tell"
    gone = stack.destroy()
    assert not gone.failed, gone.text
    assert stack.state() == {}
    again = stack.bring_up()
    assert not again.failed, again.text


@pytest.mark.core
def test_an_up_that_was_killed_while_rds_worked_is_settled_by_its_owner_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    project = AwsProject(tmp_path, "aws")
    project.change(**EXISTING)
    monkeypatch.setenv(DELAY, f"{INSTANCE}=60")
    kill_when(tmp_path, lambda: being_made(tmp_path, "aws") == [INSTANCE], stack="aws")
    monkeypatch.delenv(DELAY)
    ids = project.ids()
    with pytest.raises(Failure, match="Instance mlflow-database, which may exist or not"):
        verbs.up("aws", tmp_path)
    assert project.ids() == ids, "what was made is known, and nothing was made twice"

    # It was looked up, and was not there (the hint's `pulumi refresh` asks for each).
    project.stack.refresh(clear_pending_creates=True, suppress_progress=True)
    verbs.up("aws", tmp_path)
    assert ids.items() <= project.ids().items()
    assert "mlflow-server-deployment" in project.state()


def test_an_up_that_a_quota_stopped_goes_on_and_an_existing_cluster_is_neither_made_nor_deleted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    project = AwsProject(tmp_path, "aws")
    project.change(**EXISTING)
    monkeypatch.setenv(FAIL, INSTANCE)
    stopped = project.bring_up()
    assert "the quota is used up" in stopped.text
    ids = project.ids()
    assert "mlflow-server-deployment" not in project.state()

    monkeypatch.delenv(FAIL)
    made = project.bring_up()
    assert not made.failed, made.text
    assert ids.items() <= project.ids().items(), "nothing was made twice"
    kinds = {kind_of(urn) for urn in project.ids()}
    assert not kinds & {"Cluster", "Vpc", "Subnet", "NodeClass", "NodePool", "Addon"}
    assert unordered(project, PODS_AND_DATA) == []
    gone = project.destroy()
    assert not gone.failed, gone.text


@pytest.mark.core
def test_state_in_a_folder_is_refused_unless_the_stack_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    project = AwsProject(tmp_path, "aws")
    project.change(localState=False)
    with pytest.raises(Failure, match="would lie on this machine only") as refused:
        verbs.preview("aws", tmp_path)
    assert "make backend STACK=aws" in refused.value.hint

    # The program refuses it too: a plain `pulumi up` goes through no verb.
    project.change()
    monkeypatch.setenv("PULUMI_BACKEND_URL", f"file://{tmp_path}")
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE", "one")

    def program() -> None:
        pulumi.runtime.set_config("mlflow:localState", "false")
        root_program(tmp_path)()

    planned = project.preview(program)
    assert "mlflow:localState" in planned.text
    assert planned.planned == []


@pytest.mark.core
def test_nothing_of_a_cloud_or_a_cluster_was_called(
    made: tuple[AwsProject, Outcome, Outcome],
    released: AwsProject,
    nowhere: Path,  # noqa: F811 - the fixture
):
    kubeconfig = json.dumps(made[2].outputs["kubeconfig"])
    assert "get-token" in kubeconfig, "the kubeconfig asks aws for a token when it is used"
    assert not nowhere.exists(), nowhere.read_text()
