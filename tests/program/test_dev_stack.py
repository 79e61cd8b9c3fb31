"""How the stack is put together: what is refused, what waits for what, what is kept, what is exported."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tests.program.conftest import Settings, plan, plan_of
from tests.program.reading import migration, pod_spec, server
from tools.common import ROOT, Failure
from tools.offline import Mocked, run
from tools.offline.wire import plain

pytestmark = pytest.mark.program

PROBES = ("startupProbe", "readinessProbe", "livenessProbe")


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ({"database": {"engine": "sqlite"}, "server": {"replicas": 2}}, "mlflow:server.replicas"),
        ({"server": {"replicas": 2}}, "mlflow:server.replicas"),
        ({"server": {"env": {"MLFLOW_PORT": "1"}}}, "mlflow:server.env.MLFLOW_PORT"),
        ({"database": {"url": "postgresql://plain@text/db"}}, "mlflow:database.url"),
        ({"databse": {"engine": "mysql"}}, "mlflow:databse: is unknown; did you mean database?"),
        (
            {"cluster": {"loadBalancer": True}, "exposure": {"external": {"allow": ["203.0.113.0/24"]}}},
            "mlflow:auth.mode",
        ),
    ],
)
def test_a_refused_stack_creates_nothing_and_names_the_key(settings: Settings, key: str) -> None:
    with pytest.raises(Failure, match="nothing was changed") as refused:
        plan(settings)
    assert key in str(refused.value)


def test_the_schema_is_migrated_before_the_server_rolls(case: str) -> None:
    planned = plan_of(case)
    deployment = planned.one("Deployment", "mlflow-server")
    job, container = migration(planned)
    assert container["image"] == pod_spec(deployment)["containers"][0]["image"]
    if "sqlite" in case:
        assert job is deployment, "a Job would write the file under the running server"
        return
    assert job.urn in deployment.depends_on
    order = [one.urn for one in planned.resources]
    assert order.index(job.urn) < order.index(deployment.urn)
    for stateful in planned.of_type("StatefulSet"):
        assert stateful.urn in job.depends_on


def test_no_two_migrations_run_at_once_and_a_failed_one_runs_again() -> None:
    job = plan().one("Job")
    assert job.options["deleteBeforeReplace"] is True
    assert job.inputs["metadata"]["annotations"]["pulumi.com/replaceUnready"] == "true"
    # One that is replaced while it works may finish: half a schema is worse than a wait.
    assert pod_spec(job)["terminationGracePeriodSeconds"] >= 3600


def test_a_log_level_does_not_run_the_migration_again() -> None:
    before, after = plan(), plan({"logLevel": {"server": "DEBUG"}})
    assert plain(before.one("Job").inputs) == plain(after.one("Job").inputs)


def test_a_changed_database_or_image_runs_the_migration_again() -> None:
    """The Job takes what it needs from objects whose generated names change with their content."""
    job = plan().one("Job")
    other = plan({"images": {"server": "r.example/s:2"}}).one("Job")
    assert plain(job.inputs) != plain(other.inputs)
    assert "name" not in job.inputs["metadata"]
    for kind in ("ConfigMap", "Secret"):
        named = [one.name for one in plan().of_type(kind) if "name" in one.inputs["metadata"]]
        assert named == (["mlflow-jobs-launcher"] if kind == "ConfigMap" else [])


def test_an_update_needs_no_downtime_except_where_the_database_is_a_file(case: str) -> None:
    strategy = plan_of(case).one("Deployment", "mlflow-server").inputs["spec"]["strategy"]
    if "sqlite" in case:
        assert strategy == {"type": "Recreate"}
    else:
        assert strategy["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}


def test_pods_that_share_a_volume_of_one_node_stay_on_it() -> None:
    affinity = pod_spec(plan_of("postgresql").one("Deployment"))["affinity"]["podAffinity"]
    (term,) = affinity["requiredDuringSchedulingIgnoredDuringExecution"]
    assert term["topologyKey"] == "kubernetes.io/hostname"
    assert "affinity" not in pod_spec(plan_of("artifacts on S3").one("Deployment"))


def test_the_servers_pods_spread_over_zones_and_nodes_where_there_are_several() -> None:
    template = plain(plan().one("Deployment", "mlflow-server").inputs)["spec"]["template"]
    spread = template["spec"]["topologySpreadConstraints"]
    assert [each["topologyKey"] for each in spread] == [
        "topology.kubernetes.io/zone",
        "kubernetes.io/hostname",
    ]
    for each in spread:
        assert each["maxSkew"] == 1
        # On one node, or in one zone, the pods must still come up.
        assert each["whenUnsatisfiable"] == "ScheduleAnyway"
        wanted = each["labelSelector"]["matchLabels"].items()
        assert wanted, "an empty selector would count every pod"
        assert wanted <= template["metadata"]["labels"].items()


@pytest.mark.parametrize(
    ("case", "workers"), [("postgresql", 2), ("mysql", 2), ("sqlite", 1), ("basic sign-in on sqlite", 1)]
)
def test_the_server_says_its_port_and_has_one_worker_where_the_database_has_one_writer(
    case: str, workers: int
) -> None:
    container = server(plan_of(case))
    (port,) = container["ports"]
    assert f"--port={port['containerPort']}" in container["command"]
    assert f"--workers={workers}" in container["command"]


MLFLOW_RETRIES_SECONDS = 104
"""How long MLflow tries to reach its database before it ends."""


@pytest.mark.parametrize(
    ("case", "ready"),
    [
        ("postgresql", "/api/2.0/mlflow/experiments/search?max_results=1"),
        ("sqlite", "/api/2.0/mlflow/experiments/search?max_results=1"),
        ("basic sign-in", "/health"),  # a query wants a password, which no probe may hold
    ],
)
def test_readiness_asks_the_database_where_that_needs_no_password_and_no_other_probe_does(
    case: str, ready: str
) -> None:
    container = server(plan_of(case))
    paths = [container[kind]["httpGet"]["path"] for kind in PROBES]
    assert paths == ["/health", ready, "/health"]


def test_probes_outlast_a_slow_start_and_a_slow_answer_and_soon_see_a_dead_one() -> None:
    container = server(plan())
    patience = {
        kind: container[kind]["periodSeconds"] * container[kind]["failureThreshold"] for kind in PROBES
    }
    assert patience["startupProbe"] > MLFLOW_RETRIES_SECONDS
    assert container["startupProbe"]["periodSeconds"] == 1, "a server that is up is seen at once"
    assert patience["readinessProbe"] <= 15
    assert patience["livenessProbe"] == 60, "a busy server loses its requests before it is restarted"
    assert {container[kind]["timeoutSeconds"] for kind in PROBES} == {5}


def test_services_do_not_wait_with_the_slow_awaiter(case: str) -> None:
    for one in plan_of(case).of_type("Service"):
        if not one.is_kubernetes_object:
            continue  # Google calls its APIs services
        assert one.inputs["metadata"]["annotations"]["pulumi.com/waitFor"].startswith("jsonpath=")


def test_nothing_skips_the_wait_that_holds_on_delete_too(case: str) -> None:
    for kind in ("Deployment", "Namespace", "Job", "StatefulSet", "PersistentVolumeClaim"):
        for one in plan_of(case).of_type(kind):
            annotations = one.inputs.get("metadata", {}).get("annotations", {})
            assert "pulumi.com/skipAwait" not in annotations, one.name


def test_a_namespace_has_as_long_to_go_as_the_load_balancers_of_a_cloud_need(case: str) -> None:
    for one in plan_of(case).of_type("Namespace"):
        assert one.read or one.options["customTimeouts"]["delete"] == "20m"


def test_everything_is_reached_through_the_stacks_own_provider(case: str) -> None:
    planned = plan_of(case)
    provider = planned.one("kubernetes")
    for one in planned.resources:
        if one.is_kubernetes_object:
            assert one.provider.startswith(f"{provider.urn}::"), one.name


ALONE = {
    *("mlflow-gp3", "mlflow-balanced", "mlflow-ssd"),  # the class of a cluster's volumes
    "mlflow-alb",  # the class of its load balancers
    "mlflow-oidc",  # its issuer, known to IAM
    "mlflow-pool",  # the nodes of MLflow and jobs
    "mlflow",  # the resource group
}
"""Single objects of a cloud that no component groups."""


def test_every_resource_belongs_to_a_component_and_is_named_after_it(case: str) -> None:
    planned = plan_of(case)
    parents = {one.urn: one for one in planned.resources}
    for one in planned.resources:
        grouped = one.parent in parents or one.component or one.name in ALONE
        assert grouped or one.type.startswith("pulumi:providers:"), one.name
    assert all(one.type.startswith("mlflow:") for one in planned.resources if one.component)


def test_what_holds_data_is_protected_on_every_stack_but_dev(tmp_path: Path) -> None:
    (tmp_path / "Pulumi.yaml").write_text((ROOT / "Pulumi.yaml").read_text())
    settings = yaml.safe_load((ROOT / "Pulumi.dev.yaml").read_text())
    (tmp_path / "Pulumi.team.yaml").write_text(yaml.safe_dump(settings))
    (tmp_path / "__main__.py").symlink_to(ROOT / "__main__.py")
    team = {one.name for one in run("team", root=tmp_path, answers=Mocked()).resources if one.protect}
    assert {"mlflow-database-volume", "mlflow-artifacts-volume", "mlflow-database-password"} <= team
    assert not [one.name for one in plan().resources if one.protect]


def test_the_exports_are_what_a_person_needs_next() -> None:
    outputs = plain(plan_of("basic sign-in").outputs)
    assert outputs["inClusterUrl"] == "http://mlflow-server.mlflow.svc.cluster.local"
    assert outputs["adminUsername"] == "admin"
    assert outputs["adminPassword"] == "[secret]"
    assert any(line.startswith("export MLFLOW_TRACKING_URI=") for line in outputs["clientEnvironment"])
    assert "adminPassword" not in plan().outputs


def test_what_a_client_needs_is_exported_as_lines_for_a_shell_and_holds_no_password() -> None:
    first, *more = plain(plan().outputs)["clientEnvironment"]
    assert first == f"export MLFLOW_TRACKING_URI={plain(plan().outputs)['url']}"
    assert not [line for line in more if "USERNAME" in line or "PASSWORD" in line]
    signed_in = plan({"auth": {"mode": "basic", "adminUsername": "root.user"}})
    read = "pulumi stack output adminPassword --show-secrets --stack dev"
    assert plain(signed_in.outputs)["clientEnvironment"] == [
        first,
        *more,
        "export MLFLOW_TRACKING_USERNAME=root.user",
        f'export MLFLOW_TRACKING_PASSWORD="$({read})"',
    ]


def test_a_namespace_that_is_there_already_is_read_and_never_made_changed_or_guarded() -> None:
    planned = plan({"namespace": "team-a", "existingNamespace": True})
    namespace = planned.one("Namespace")
    assert namespace.read
    assert not namespace.protect
    assert "Namespace" not in {each["kind"] for each in planned.kubernetes_objects()}
    inside = {each["metadata"]["namespace"] for each in planned.kubernetes_objects()}
    assert inside == {"team-a"}
