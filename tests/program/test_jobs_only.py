"""A stack without a server of its own, as plans: what it makes, where, and what its pods are told."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest
import yaml

from components.third_party import GIT_SYNC
from tests.program.conftest import Fitting
from tests.program.pod_security import violations
from tools.offline import Plan, Preview, run
from tools.offline.wire import plain
from tools.plan import offline

pytestmark = pytest.mark.program

ROOT = Path(__file__).resolve().parents[2]
GIT = {"repo": "https://git.example.com/team/churn.git", "path": "train"}
PASSWORD = "planted-team-password"
STACK: dict[str, Any] = {
    "cloud": "existing",
    "tracking": {
        "url": "https://mlflow.example.com",
        "namespace": "team-a",
        "serviceAccount": "runner",
        "credentials": "sign-in",
        "caBundle": "PEM",
    },
    "cluster": {"context": "team", "storageClass": "fast"},
    "images": {"job": "registry.example.com/mlflow-job:1"},
    "logLevel": {"jobs": "DEBUG"},
    "secrets": {
        "sign-in": {
            "user": {
                "MLFLOW_TRACKING_USERNAME": {"secure": "planted-team-user"},
                "MLFLOW_TRACKING_PASSWORD": {"secure": PASSWORD},
            }
        },
        "git": {"token": {"GIT_TOKEN": {"secure": "planted-git-token"}}},
    },
    "jobs": {
        "churn": {
            "git": {**GIT, "credentials": "git", "caBundle": "PEM"},
            "workspace": {"claim": {}},
            "schedule": "@daily",
        }
    },
    "services": {"web": {"git": GIT, "module": "app", "schedule": "@weekly", "replicas": 2}},
    "modelServers": {"model": {"model": "models:/churn@champion"}},
    "pipelines": {
        "all": {"stages": {"train": {"job": "churn"}, "serve": {"service": "web", "after": ["train"]}}}
    },
}


def stack_plan(tmp_path: Path, stack: str = "team", *, preview: bool = False, **more: Any) -> Plan:
    """The real program's plan of a stack file that names nothing but what is given."""
    (tmp_path / "Pulumi.yaml").write_text((ROOT / "Pulumi.yaml").read_text())
    (tmp_path / f"Pulumi.{stack}.yaml").write_text(yaml.safe_dump({"config": {}}))
    (tmp_path / "__main__.py").write_text((ROOT / "__main__.py").read_text())
    answers = Preview() if preview else Fitting()
    return run(stack, answers=answers, overrides={**STACK, **more}, root=tmp_path)


READ = ("get", "list", "watch")
Right = tuple[str, str, str]
"""API group, resource, verb."""
AWAITED = {
    # Source: pulumi-kubernetes, provider/pkg/await/deployment.go: the awaiter subscribes to all four, and is
    # through when it has seen the ReplicaSet of the Deployment's revision.
    "Deployment": [("apps", "deployments"), ("apps", "replicasets"), ("", "pods"),
                   ("", "persistentvolumeclaims")],
}  # fmt: skip
VERBS = {
    "make run": [("batch", "jobs", "create"), ("batch", "jobs", "list"), ("", "pods", "list"),
                 ("batch", "cronjobs/status", "get"), ("batch", "cronjobs/status", "patch")],
    "make train": [("batch", "jobs", "create"), ("", "configmaps", "create")],
    "make stop": [("batch", "jobs", "delete")],
    "make logs": [("", "pods/log", "get"), ("apps", "deployments", "list")],
    "make jobs": [("batch", "cronjobs", "list"), ("batch", "jobs", "list"), ("", "secrets", "get"),
                  ("apps", "deployments", "list"), ("networking.k8s.io", "ingresses", "list")],
    "make status": [("", "pods", "list"), ("batch", "jobs", "list")],
    "make validate": [("", "serviceaccounts", "get")],
    "a failed run's words": [("", "events", "list")],
}  # fmt: skip
"""What the verbs ask of the API server, beside what `up` makes."""


def granted() -> set[Right]:
    """What the Role of examples/jobs-only holds."""
    documents = yaml.safe_load_all((ROOT / "examples" / "jobs-only" / "namespace.yaml").read_text())
    (role,) = [each for each in documents if each["kind"] == "Role"]
    return {
        (group, resource, verb)
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def needed(objects: list[dict[str, Any]]) -> set[Right]:
    """What it takes to bring these up and down, to wait for them, and to use the verbs."""
    found = {right for rights in VERBS.values() for right in rights}
    for each in objects:
        group, _, _ = each["apiVersion"].rpartition("/")
        made = (*READ, "create", "patch", "delete")
        found |= {(group, plural(each["kind"]), verb) for verb in made}
        found |= {(*awaited, verb) for awaited in AWAITED.get(each["kind"], []) for verb in READ}
    return found


def plural(kind: str) -> str:
    """As Role rules name a kind."""
    return f"{kind.lower()}s".replace("policys", "policies")


def one_cron(plan: Plan, name: str) -> dict[str, Any]:
    """A CronJob by its name in the cluster."""
    crons = [each for each in plan.kubernetes_objects() if each["kind"] == "CronJob"]
    return next(each for each in crons if each["metadata"]["name"] == name)


@pytest.mark.parametrize("preview", [True, False])
def test_everything_is_in_the_one_namespace_and_nothing_is_the_clusters(
    tmp_path: Path, *, preview: bool
) -> None:
    planned = stack_plan(tmp_path, preview=preview)
    assert planned.problems == []
    objects = planned.kubernetes_objects()
    assert {each["metadata"]["namespace"] for each in objects} == {"team-a"}
    makers = {one.type.split(":")[0] for one in planned.resources if not one.component}
    assert makers <= {"kubernetes", "pulumi"}


def test_the_role_of_the_example_is_what_a_stack_and_its_verbs_need_and_names_no_other_kind(
    tmp_path: Path,
) -> None:
    wanted = needed(stack_plan(tmp_path).kubernetes_objects())
    assert wanted - granted() == set()
    assert {resource for _, resource, _ in granted()} == {resource for _, resource, _ in wanted}


def test_the_role_of_the_example_holds_what_the_stacks_own_roles_give(tmp_path: Path) -> None:
    """Kubernetes lets nobody give away rights that he has not."""
    roles = [one for one in stack_plan(tmp_path).kubernetes_objects() if one["kind"] == "Role"]
    assert len(roles) == 3
    given = {
        (group, resource, verb)
        for role in roles
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
    assert given - granted() == set()


def test_a_role_is_there_before_it_is_bound(tmp_path: Path) -> None:
    """Who is no administrator cannot bind another: Kubernetes looks whether he has what is in it."""
    made = [one for one in stack_plan(tmp_path).resources if one.type.startswith("kubernetes:rbac")]
    roles = {one.inputs["metadata"]["name"]: one.urn for one in made if one.type.endswith(":Role")}
    bindings = [one for one in made if one.type.endswith(":RoleBinding")]
    assert len(bindings) == len(roles) == 3
    for one in bindings:
        assert roles[one.inputs["roleRef"]["name"]] in one.depends_on


def test_where_its_workspaces_are_is_noted_for_the_next_up(tmp_path: Path) -> None:
    places = plain(stack_plan(tmp_path).outputs["dataPlaces"])
    assert places["mlflow:tracking.namespace"] == "team-a"
    assert places["mlflow:jobs.churn.workspace.claim.storageClass"] == "fast"


def test_jobs_alone_need_three_kinds_of_object(tmp_path: Path) -> None:
    alone = {
        "jobs": {"churn": {"git": GIT}}, "services": {}, "modelServers": {}, "pipelines": {}, "secrets": {},
        "tracking": {"url": "http://mlflow-server.mlflow.svc", "namespace": "team-a"},
    }  # fmt: skip
    planned = stack_plan(tmp_path, **alone)
    assert sorted(each["kind"] for each in planned.kubernetes_objects()) == [
        "ConfigMap", "ConfigMap", "CronJob",
    ]  # fmt: skip


def test_pods_are_told_the_server_and_who_they_are(tmp_path: Path) -> None:
    planned = stack_plan(tmp_path)
    spec = one_cron(planned, "churn")["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    main = spec["containers"][0]
    assert spec["serviceAccountName"] == "runner"
    assert main["image"] == "registry.example.com/mlflow-job:1"
    assert spec["initContainers"][0]["image"] == GIT_SYNC.reference
    config = plain(planned.one("ConfigMap", "client-environment").inputs)["data"]
    assert config["MLFLOW_TRACKING_URI"] == "https://mlflow.example.com"
    assert config["MLFLOW_LOGGING_LEVEL"] == "DEBUG"
    authority = config["MLFLOW_TRACKING_SERVER_CERT_PATH"]
    mount = next(each for each in main["volumeMounts"] if authority.startswith(each["mountPath"] + "/"))
    volume = next(each for each in spec["volumes"] if each["name"] == mount["name"])
    assert "mlflow-team-ca" in volume["configMap"]["name"]
    assert plain(planned.one("ConfigMap", "team-ca").inputs)["data"] == {"ca.pem": "PEM"}
    sources = [each.get("secretRef", {}).get("name") for each in main["envFrom"]]
    assert any(name and "sign-in-user" in name for name in sources)
    assert not any(name and "git-token" in name for name in sources)


def pods(objects: list[dict[str, Any]]) -> dict[tuple[str, str], dict[str, Any]]:
    """(Kind, name) → pod, of everything that makes pods."""
    found = {}
    for each in objects:
        spec = each.get("spec", {})
        spec = spec.get("jobTemplate", {}).get("spec", spec)
        if "template" in spec:
            found[each["kind"], each["metadata"]["name"]] = spec["template"]["spec"]
    return found


def test_every_pod_pulls_with_the_secrets_that_the_stack_names(tmp_path: Path) -> None:
    images = {**STACK["images"], "pullSecrets": ["registry", "mirror"]}
    made = pods(stack_plan(tmp_path, images=images).kubernetes_objects())
    # A job, a service with its schedule, a model server with the watch, a pipeline.
    assert len(made) == 6
    for place, pod in made.items():
        assert pod["imagePullSecrets"] == [{"name": "registry"}, {"name": "mirror"}], place
    # Where they name none, Kubernetes adds those of the pod's account.
    for place, pod in pods(stack_plan(tmp_path).kubernetes_objects()).items():
        assert not pod.get("imagePullSecrets"), place


def test_secrets_are_kept_secret_and_pods_are_restricted(tmp_path: Path) -> None:
    planned = stack_plan(tmp_path)
    assert PASSWORD not in str(planned.kubernetes_objects())
    assert PASSWORD not in str([plain(value) for value in planned.outputs.values()])
    for each in planned.kubernetes_objects():
        assert violations(each) == [], each["metadata"]["name"]


def test_two_stacks_in_one_namespace_make_nothing_of_one_name(tmp_path: Path) -> None:
    names = []
    for stack, job in (("team-a", "churn"), ("team-b", "fraud")):
        planned = stack_plan(
            tmp_path, stack, jobs={job: {"git": GIT}}, services={}, modelServers={}, pipelines={}
        )
        fixed = [each for each in planned.kubernetes_objects() if each["metadata"].get("name")]
        names.append({(each["kind"], each["metadata"]["name"]) for each in fixed})
    assert names[0]
    assert not names[0] & names[1]


def test_the_address_comes_from_the_stack_that_made_the_server(tmp_path: Path) -> None:
    tracking = {"stack": "acme/mlflow/prod", "namespace": "team-a"}
    planned = stack_plan(tmp_path, preview=True, tracking=tracking)
    assert planned.problems == []
    reference = next(one for one in planned.resources if one.type == "pulumi:pulumi:StackReference")
    assert reference.inputs["name"] == "acme/mlflow/prod"
    config = plain(planned.one("ConfigMap", "client-environment").inputs)["data"]
    assert config["MLFLOW_TRACKING_URI"] == "[unknown]"


def test_the_example_program_makes_the_same_of_the_same_job(tmp_path: Path) -> None:
    example = ROOT / "examples" / "jobs-only" / "program"
    (tmp_path / "Pulumi.yaml").write_text((example / "Pulumi.yaml").read_text())
    (tmp_path / "Pulumi.own.yaml").write_text("config: {}\n")
    given = {
        "context": "team", "trackingUrl": "https://mlflow.example.com", "namespace": "team-a",
        "jobImage": "registry.example.com/mlflow-job:1", "repo": GIT["repo"], "serviceAccount": "runner",
    }  # fmt: skip
    program = run(
        "own",
        answers=Fitting(),
        overrides=given,
        root=tmp_path,
        program=lambda: runpy.run_path(str(example / "__main__.py"), run_name="__main__"),
    )
    assert program.problems == []
    job = {
        "git": GIT, "parameters": {"alpha": 0.3}, "schedule": "0 6 * * 1", "timeZone": "Europe/Berlin",
    }  # fmt: skip
    stack = stack_plan(
        tmp_path,
        jobs={"churn": job},
        tracking={"url": given["trackingUrl"], "namespace": "team-a", "serviceAccount": "runner"},
    )

    def spec(planned: Plan) -> dict[str, Any]:
        return {**one_cron(planned, "churn")["spec"], "jobTemplate": None}

    assert spec(program) == spec(stack)
    assert {each["metadata"]["namespace"] for each in program.kubernetes_objects()} == {"team-a"}


def test_the_example_is_a_stack_that_can_be_planned(tmp_path: Path) -> None:
    example = ROOT / "examples" / "jobs-only" / "Pulumi.team-a.yaml"
    for name in ("Pulumi.yaml", "__main__.py"):
        (tmp_path / name).write_text((ROOT / name).read_text())
    (tmp_path / example.name).write_text(example.read_text())
    planned = offline("team-a", root=tmp_path)
    assert planned.problems == []
    assert any(each["kind"] == "CronJob" for each in planned.kubernetes_objects())
