"""The Google Cloud stack on the real engine: the real program, with all its providers stood in for by tables.

What the tables know is in ``anyprovider/tables``, a source for each line; nothing here reaches a cloud or a
cluster. Every test that changes something works on a copy of one stack that came up.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.engine.anyprovider.plugin import DELAY, FAIL
from tests.engine.aws_order import unordered
from tests.engine.cloud_project import CloudProject
from tests.engine.cloud_project import nowhere as isolated
from tests.engine.conftest import Outcome
from tests.engine.test_interrupted import being_made, kill_when
from tools.common import Failure
from tools.engine import verbs
from tools.engine.progress import kind_of
from tools.engine.workspace import root_program

pytestmark = [
    pytest.mark.engine,
    # The SDK complains of its own classes when it loads them.
    pytest.mark.filterwarnings("ignore::DeprecationWarning:pulumi_gcp"),
]

INSTANCE = "gcp:sql/databaseInstance:DatabaseInstance"
SETTINGS: dict[str, Any] = {
    "gcp:project": "acme-ml",
    "gcp:region": "europe-west1",
    "mlflow:cloud": "gcp",
    "mlflow:localState": True,
    "mlflow:tags": {"team": "data"},
    "mlflow:exposure": {"ingress": {"host": "mlflow.example.com", "allow": ["203.0.113.0/24"]}},
    "mlflow:auth": {"mode": "basic"},
    "mlflow:server": {"replicas": 2},
}

ORDER = [
    # Pods go before the rights and the user with which they sign in, and those before what they open.
    ("Deployment", "Job"),
    ("Deployment", "User mlflow-database-user"),
    ("Deployment", "IAMMember mlflow-database-mlflow-server-client"),
    ("Deployment", "BucketIAMMember"),
    ("Deployment", "DatabaseInstance"),
    ("Deployment", "Bucket"),
    ("DatabaseInstance", "Connection"),
    ("Connection", "GlobalAddress mlflow-private-services-range"),
    ("DatabaseInstance", "Network"),
    # Entrances before the namespace, the namespace before the nodes, the nodes before what they stand on.
    ("Ingress", "BackendConfig"),
    ("Ingress", "GlobalAddress mlflow-entrances-ingress"),
    ("BackendConfig", "SecurityPolicy"),
    ("Ingress", "Namespace"),
    ("Service mlflow-exposure-service", "Namespace"),
    ("Namespace", "NodePool"),
    ("NodePool", "Cluster"),
    ("NodePool", "IAMMember mlflow-nodes-role"),
    ("Cluster", "RouterNat"),
    ("Cluster", "Subnetwork"),
    ("IAMMember mlflow-server-mlflow-server", "Cluster"),
    ("Subnetwork", "Network"),
    ("Network", "Service mlflow-apis-compute"),
    ("DatabaseInstance", "Service mlflow-apis-sqladmin"),
    ("Deployment", "Repository"),
]
"""What is destroyed first, and what only then."""


@dataclass
class GcpProject(CloudProject):
    """A throw-away project whose program is this checkout's own, with stack ``gcp``."""

    settings: Mapping[str, Any] = field(default_factory=lambda: SETTINGS)


Made = tuple[GcpProject, Outcome, Outcome]


@pytest.fixture(scope="module", autouse=True)
def nowhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """No credentials, no network, no cluster, and a ``gcloud`` that tells when somebody runs it."""
    folder = tmp_path_factory.mktemp("nowhere")
    packages = ("gcp", "docker-build", "kubernetes", "random")
    tools = ("gcloud", "gke-gcloud-auth-plugin", "kubectl", "docker")
    with isolated(folder, *packages, tools=tools, prefixes=("GOOGLE_", "CLOUDSDK_", "GCLOUD_")) as called:
        yield called


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """A stack that came up, what was planned before, and what was done; not to be changed."""
    project = GcpProject(tmp_path_factory.mktemp("gcp"), "gcp")
    planned = project.preview(root_program(project.root))
    assert not planned.failed, planned.text
    done = project.bring_up()
    assert not done.failed, done.text
    return project, planned, done


@pytest.fixture
def stack(made: Made, tmp_path: Path) -> GcpProject:
    """A copy of it, to be changed."""
    return _copy(made[0], tmp_path)


@pytest.fixture(scope="module")
def released(made: Made, tmp_path_factory: pytest.TempPathFactory) -> GcpProject:
    """A copy after ``make unprotect``; not to be changed."""
    project = _copy(made[0], tmp_path_factory.mktemp("released"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FORCE", "gcp")
        verbs.unprotect("gcp", project.root)
    return project


def _copy(project: GcpProject, folder: Path) -> GcpProject:
    return project.copy(folder)


@pytest.mark.core
def test_up_makes_what_the_preview_said_and_a_second_one_finds_nothing_to_do(made: Made, stack: GcpProject):
    _, planned, done = made
    assert sorted(done.steps) == sorted(planned.planned)
    assert {op for op, _ in done.steps} == {"create"}
    assert ("create", "mlflow-database") in done.steps
    again = stack.bring_up()
    assert not again.failed, again.text
    assert again.steps == []


@pytest.mark.core
def test_no_password_or_token_is_readable_in_what_is_kept(made: Made):
    project, _, _ = made
    shown = json.dumps(project.stack.export_stack().deployment)
    assert "planted-password-" in shown
    assert "planted-registry-password-" in shown, "an export shows secrets: both must have been there"
    kept = [path for path in project.root.rglob("*") if path.is_file()]
    for path in kept:
        assert b"planted-" not in path.read_bytes(), path
    assert [path for path in kept if path.name == "gcp.json"], "the state itself was read"


@pytest.mark.core
def test_sizes_backups_nodes_and_replicas_change_in_place(stack: GcpProject):
    ids = stack.ids()
    stack.change(
        database={"size": "db-custom-4-8192", "backupDays": 5, "storageGb": 40, "highAvailability": True},
        cluster={"create": {"nodes": {"total": 6}, "access": {"public": ["203.0.113.0/24"]}}},
        server={"replicas": 3},
    )
    changed = stack.bring_up()
    assert not changed.failed, changed.text
    assert sorted(changed.steps) == [
        ("update", "mlflow-cluster"),
        ("update", "mlflow-database"),
        ("update", "mlflow-pool"),
        ("update", "mlflow-server-deployment"),
    ]
    assert stack.ids() == ids
    storage = stack.state()["mlflow-database"]["inputs"]["settings"]
    assert (storage["diskSize"], storage["diskAutoresizeLimit"]) == (20, 400), "it grows by itself"


@pytest.mark.core
def test_a_number_of_nodes_that_follows_the_load_keeps_the_nodes_that_are_there(stack: GcpProject):
    ids = stack.ids()
    stack.change(cluster={"create": {"nodes": {"min": 3, "max": 6}}})
    changed = stack.bring_up()
    assert not changed.failed, changed.text
    assert changed.steps == [("update", "mlflow-pool")]
    assert stack.ids() == ids


@pytest.mark.core
def test_another_database_is_refused_before_anything_has_changed(stack: GcpProject):
    ids = stack.ids()
    stack.change(database={"engine": "mysql"})
    with pytest.raises(Failure, match=r"database\.engine: postgresql → mysql"):
        verbs.up("gcp", stack.root)
    assert stack.ids() == ids


def test_a_password_instead_of_an_identity_is_refused_and_where_forced_keeps_the_instance(stack: GcpProject):
    ids = stack.ids()
    stack.change(database={"signIn": "password"})
    with pytest.raises(Failure, match=r"database\.signIn: identity → password"):
        verbs.up("gcp", stack.root)
    assert stack.ids() == ids
    changed = stack.bring_up()
    assert not changed.failed, changed.text
    now = stack.ids()
    kept = [urn for urn in ids if kind_of(urn) in ("DatabaseInstance", "Bucket", "Cluster", "Network")]
    assert len(kept) == 4
    assert all(now[urn] == ids[urn] for urn in kept)


@pytest.mark.core
def test_nothing_is_destroyed_while_it_is_protected(stack: GcpProject, monkeypatch: pytest.MonkeyPatch):
    ids = stack.ids()
    monkeypatch.setenv("FORCE", "gcp")
    with pytest.raises(Failure, match="Instance mlflow-database") as refused:
        verbs.down("gcp", stack.root)
    assert "make unprotect STACK=gcp" in refused.value.hint
    assert stack.ids() == ids


def test_google_guards_what_pulumi_would_let_go(stack: GcpProject):
    deployment = stack.stack.export_stack()
    for each in (deployment.deployment or {})["resources"]:
        each.pop("protect", None)
    stack.stack.import_stack(deployment)
    refused = stack.destroy()
    assert "cannot be deleted while" in refused.text
    assert {"mlflow-database", "mlflow-artifacts", "mlflow-cluster"} <= stack.state().keys()


@pytest.mark.core
def test_after_unprotect_everything_goes_in_order_and_a_later_up_works(released: GcpProject, tmp_path: Path):
    stack = _copy(released, tmp_path)
    assert unordered(stack, ORDER) == []
    assert unordered(stack, [("Network", "DatabaseInstance")]) != [], "it can tell"
    gone = stack.destroy()
    assert not gone.failed, gone.text
    assert stack.state() == {}
    again = stack.bring_up()
    assert not again.failed, again.text


EXISTING = {
    "cluster": {"existing": "data-platform", "has": ["private-services-access", "network-policy"]},
    "gcp": {"proxy": "deployment"},
    "images": {f"{image}": f"registry.example.com/{image}@sha256:{'a' * 64}" for image in ("server", "job")},
    "protect": False,
}
"""A small stack in a cluster that is there, with a shared proxy."""


def test_an_up_that_a_quota_stopped_goes_on_and_an_existing_cluster_is_neither_made_nor_deleted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    project = GcpProject(tmp_path, "gcp")
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
    assert not {kind_of(urn) for urn in project.ids()} & {"Cluster", "Network", "NodePool", "Connection"}
    order = [
        ("Deployment mlflow-server-deployment", "Deployment mlflow-database-proxy-deployment"),
        ("Deployment mlflow-database-proxy-deployment", "NetworkPolicy"),
        ("Deployment mlflow-database-proxy-deployment", "DatabaseInstance"),
    ]
    assert unordered(project, order) == []
    gone = project.destroy()
    assert not gone.failed, gone.text


@pytest.mark.core
def test_an_up_that_was_killed_while_cloud_sql_worked_is_settled_by_its_owner_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    project = GcpProject(tmp_path, "gcp")
    project.change(**EXISTING)
    monkeypatch.setenv(DELAY, f"{INSTANCE}=60")
    kill_when(tmp_path, lambda: being_made(tmp_path, "gcp") == [INSTANCE], stack="gcp")
    monkeypatch.delenv(DELAY)
    ids = project.ids()
    assert ids, "it was in the middle"
    with pytest.raises(Failure, match="Instance mlflow-database, which may exist or not"):
        verbs.up("gcp", tmp_path)
    assert project.ids() == ids, "what was made is known, and nothing was made twice"

    # It was looked up, and was not there (the hint's `pulumi refresh` asks for each).
    project.stack.refresh(clear_pending_creates=True, suppress_progress=True)
    verbs.up("gcp", tmp_path)
    assert ids.items() <= project.ids().items()
    assert "mlflow-server-deployment" in project.state()


@pytest.mark.core
def test_state_in_a_folder_is_refused_unless_the_stack_says_so(tmp_path: Path):
    project = GcpProject(tmp_path, "gcp")
    project.change(localState=False)
    with pytest.raises(Failure, match="would lie on this machine only") as refused:
        verbs.up("gcp", tmp_path)
    assert "make backend STACK=gcp" in refused.value.hint


@pytest.mark.core
def test_nothing_of_a_cloud_or_a_cluster_was_called(made: Made, released: GcpProject, nowhere: Path):
    kubeconfig = json.dumps(made[2].outputs["kubeconfig"])
    assert "gke-gcloud-auth-plugin" in kubeconfig, "the kubeconfig asks for a token when it is used"
    assert not nowhere.exists(), nowhere.read_text()
