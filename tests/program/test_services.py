"""Services and model servers: each setting reaches the manifest, every refusal names its key."""

from __future__ import annotations

from typing import Any

import pytest

from components.jobs.names import ROLLING_SCRIPTS, SCRIPTS, SERVING_SCRIPTS
from components.jobs.scripts import model_watch, rollout
from components.reserved import RESERVED_IN_JOBS
from components.settings.service_rules import SERVED
from components.settings.services import ModelServer, Service
from components.settings.workloads import Pod, Workload
from tests.program import test_jobs
from tests.program.conftest import Settings, plan
from tests.program.pod_security import containers, violations
from tests.program.reading import environment
from tests.program.test_jobs import GIT, GROUPS, Row, git, setting_paths
from tools.common import Failure
from tools.offline import Plan, Resource
from tools.offline.wire import plain

pytestmark = pytest.mark.program

MODEL = "models:/churn@champion"
ENTRANCE = {"host": "mlflow.example.com", "className": "nginx", "internal": False}
RANGES = {"allow": ["203.0.113.0/24"], "annotations": {"nginx/allow": "203.0.113.0/24"}}
OPEN: dict[str, Any] = {"exposure": {"ingress": {**ENTRANCE, **RANGES, "anonymous": True}}}
"""An entrance on a stack without sign-in."""
GUARDED = {"auth": {"mode": "basic"}, "exposure": {"ingress": {**ENTRANCE, **RANGES}}}


def service_plan(service: Settings, **more: Any) -> Plan:
    """The plan of the dev stack with one service, ``train``."""
    described = {"git": GIT, "module": "app", **service}
    return plan({"jobs": None, "services": {"train": described}, "secrets": GROUPS, **more})


def model_plan(server: Settings, **more: Any) -> Plan:
    """The plan of the dev stack with one model server, ``train``."""
    described = {"model": MODEL, **server}
    return plan({"jobs": None, "modelServers": {"train": described}, "secrets": GROUPS, **more})


class Made(test_jobs.Made):
    """A Deployment's parts, in the words of the tests of jobs."""

    @property
    def spec(self) -> dict[str, Any]:
        return self.cron["spec"]

    @property
    def pod(self) -> dict[str, Any]:
        return self.spec["template"]["spec"]

    def env(self) -> dict[str, str]:
        return environment(self.plan, deployment_of(self.plan), self.main)

    def of(self, kind: str) -> dict[str, Any]:
        """The one object of a kind that is called as the service is."""
        (found,) = [one for one in objects(self.plan, kind) if one["metadata"].get("name") == "train"]
        return found


def deployment_of(planned: Plan) -> Resource:
    return planned.one("Deployment", "mlflow-services-train")


def objects(planned: Plan, kind: str) -> list[dict[str, Any]]:
    found = [one for one in planned.of_type(kind) if one.type.startswith("kubernetes:")]
    return [plain(one.inputs) for one in found]


def made(planned: Plan) -> Made:
    assert planned.problems == []
    return Made(planned, plain(deployment_of(planned).inputs))


def ingress(**more: Any) -> Settings:
    return {"readyPath": "/health", "ingress": {"host": "churn.example.com", **more}}


def _has(text: str) -> Any:
    return lambda m: text in m.command


OTHER_WAYS = ("folder", "volume.path", "command")
"""Where a service's first process takes other words than a job's."""
SERVING: list[Row] = [
    Row("replicas", {"replicas": 3}, lambda m: m.cron["metadata"]["annotations"]["mlflow/replicas"] == "3"),
    Row(
        "startSeconds",
        {"startSeconds": 300},
        lambda m: (
            m.main["startupProbe"]["failureThreshold"] * m.main["startupProbe"]["periodSeconds"] == 300
            and m.spec["progressDeadlineSeconds"] > 300
        ),
    ),
    Row(
        "drainSeconds",
        {"drainSeconds": 100},
        lambda m: m.pod["terminationGracePeriodSeconds"] == 5 + 100 + 10,
    ),
    Row(
        "ingress.host",
        ingress(),
        lambda m: m.of("Ingress")["spec"]["rules"][0]["host"] == "churn.example.com",
    ),
    Row(
        "ingress.tlsSecret",
        ingress(tlsSecret="churn-tls"),
        lambda m: (
            m.of("Ingress")["spec"]["tls"] == [{"hosts": ["churn.example.com"], "secretName": "churn-tls"}]
        ),
    ),
]
SERVICE_ROWS = [
    *(row for row in test_jobs.ROWS if row.path in setting_paths(Workload) and row.path not in OTHER_WAYS),
    Row(
        "folder",
        {"git": None, "folder": "/opt/project", "image": "r.example/j:1"},
        lambda m: m.command[3] == "/opt/project" and not m.pod.get("initContainers"),
    ),
    Row(
        "volume.path",
        {"git": None, "volume": {"claim": "code", "path": "churn"}},
        lambda m: m.command[3:5] == ["/volume", "--path=churn"],
    ),
    Row("command", {"module": None, "command": ["a", "b"]}, lambda m: m.command[-3:] == ["--", "a", "b"]),
    *SERVING,
    Row(
        "port",
        {"port": 9000},
        lambda m: (
            m.main["ports"] == [{"name": "http", "containerPort": 9000}]
            and m.env()["PORT"] == "9000"
            and m.of("NetworkPolicy")["spec"]["ingress"][0]["ports"] == [{"port": 9000}]
        ),
    ),
    Row(
        "readyPath",
        {"readyPath": "/health"},
        lambda m: (
            m.main["readinessProbe"]["httpGet"]["path"]
            == "/health"
            == m.main["startupProbe"]["httpGet"]["path"]
        ),
    ),
    Row("waits", {"waits": True}, lambda m: m.spec["replicas"] == 0),
    Row(
        "schedule",
        {"schedule": "0 6 * * *"},
        lambda m: (
            m.of("CronJob")["spec"]["schedule"] == "0 6 * * *" and not m.of("CronJob")["spec"].get("suspend")
        ),
    ),
    Row(
        "timeZone",
        {"schedule": "0 6 * * *", "timeZone": "Europe/Berlin"},
        lambda m: m.of("CronJob")["spec"]["timeZone"] == "Europe/Berlin",
    ),
]
MODEL_ROWS = [
    *(row for row in test_jobs.ROWS if row.path in setting_paths(Pod)),
    *SERVING,
    Row(
        "model",
        {"model": "models:/other/3"},
        lambda m: m.cron["metadata"]["annotations"]["mlflow/model"] == "models:/other/3",
    ),
    Row("installRequirements", {"installRequirements": True}, _has("--install")),
]
ANONYMOUS = "ingress.anonymous"
"""Reaches no manifest: it is what a refusal asks for."""


def _plan_of(kind: str, described: Settings) -> Plan:
    if kind == "model":
        described = {key: value for key, value in described.items() if key != "readyPath"}
        return model_plan(described, **OPEN)
    return service_plan(described, **OPEN)


CASES = [("service", row) for row in SERVICE_ROWS] + [("model", row) for row in MODEL_ROWS]
each_row = pytest.mark.parametrize(("kind", "row"), CASES, ids=[f"{kind}-{row.path}" for kind, row in CASES])


@each_row
def test_each_setting_reaches_its_object(kind: str, row: Row) -> None:
    assert row.holds(made(_plan_of(kind, row.job)))


@each_row
def test_no_row_holds_by_itself(kind: str, row: Row) -> None:
    try:
        held = row.holds(made(_plan_of(kind, {})))
    except (KeyError, LookupError, ValueError):
        held = False
    assert not held


def test_no_setting_of_services_and_model_servers_is_left_out() -> None:
    assert sorted([*(row.path for row in SERVICE_ROWS), ANONYMOUS]) == sorted(setting_paths(Service))
    assert sorted([*(row.path for row in MODEL_ROWS), ANONYMOUS]) == sorted(setting_paths(ModelServer))


# -- what holds for every one -----------------------------------------------------------------------

EVERY: dict[str, Plan] = {}


def every_plan(name: str) -> Plan:
    plans = {
        "git over https": lambda: service_plan({**git(credentials="git", caBundle="PEM"), "replicas": 2}),
        "git over ssh": lambda: service_plan({"git": test_jobs.SSH, "schedule": "@daily"}),
        "this machine": lambda: service_plan({"git": {"local": "."}}),
        "an image": lambda: service_plan({"git": None, "folder": "/opt/x", "image": "r.example/j:1"}),
        "a volume": lambda: service_plan({"git": None, "volume": {"claim": "code"}, "waits": True}),
        "exposed": lambda: service_plan({**ingress(anonymous=True), "replicas": 2}, **GUARDED),
        "a model": lambda: model_plan({"replicas": 2, "installRequirements": True}),
        "a model with sign-in": lambda: model_plan({}, auth={"mode": "basic"}),
    }
    return plans[name]()


every = pytest.mark.parametrize(
    "name",
    [
        "git over https",
        "git over ssh",
        "this machine",
        "an image",
        "a volume",
        "exposed",
        "a model",
        "a model with sign-in",
    ],
)


@every
@pytest.mark.core
def test_every_pod_passes_the_restricted_standard_and_is_bounded(name: str) -> None:
    planned = every_plan(name)
    assert planned.problems == []
    pods = [plain(one.inputs)["spec"]["template"]["spec"] for one in planned.of_type("Deployment")]
    pods += [one["spec"]["jobTemplate"]["spec"]["template"]["spec"] for one in objects(planned, "CronJob")]
    for pod in pods:
        assert violations(pod) == []
        assert pod["enableServiceLinks"] is False
        assert pod["automountServiceAccountToken"] is False
        for where, container in containers(pod):
            assert container["securityContext"]["readOnlyRootFilesystem"] is True, where
            assert {"cpu", "memory"} <= container["resources"]["requests"].keys(), where
            assert "memory" in container["resources"]["limits"], where
        for volume in pod["volumes"]:
            assert "sizeLimit" in volume.get("emptyDir", {"sizeLimit": ""}), volume


@every
@pytest.mark.core
def test_no_secret_stands_in_clear_text(name: str) -> None:
    planned = every_plan(name)
    assert "planted" not in str(plain([one.inputs for one in planned.resources]))


@every
def test_a_new_pod_is_ready_before_an_old_one_goes_and_that_one_finishes_what_it_has(name: str) -> None:
    found = made(every_plan(name))
    assert found.spec["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}
    leave = found.main["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert leave >= 5
    assert found.pod["terminationGracePeriodSeconds"] >= leave + 30
    assert (
        found.main["livenessProbe"]["failureThreshold"] * found.main["livenessProbe"]["periodSeconds"] >= 60
    )


@every
def test_what_the_program_sets_is_reserved(name: str) -> None:
    signs_in = {"MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"}
    assert set(made(every_plan(name)).env()) <= RESERVED_IN_JOBS.keys() | SERVED.keys() | signs_in


@every
def test_it_is_reached_from_its_namespace_and_where_it_is_exposed_by_the_controller(name: str) -> None:
    found = made(every_plan(name))
    policy = found.of("NetworkPolicy")["spec"]
    assert (
        policy["podSelector"]["matchLabels"].items() <= found.spec["template"]["metadata"]["labels"].items()
    )
    assert policy["policyTypes"] == ["Ingress"]
    assert policy["ingress"][0]["from"] == [{"podSelector": {}}]
    assert len(policy["ingress"]) == (2 if name == "exposed" else 1)
    assert bool(objects(found.plan, "Ingress")) == (name == "exposed")
    assert found.of("Service")["spec"]["type"] == "ClusterIP"
    selected = found.of("Service")["spec"]["selector"].items()
    assert selected <= found.spec["template"]["metadata"]["labels"].items()
    budgets = [
        one for one in objects(found.plan, "PodDisruptionBudget") if one["metadata"]["name"] == "train"
    ]
    assert len(budgets) == (1 if found.cron["metadata"]["annotations"]["mlflow/replicas"] != "1" else 0)


@every
@pytest.mark.parametrize("waiting", ["known", "unknown"])
def test_it_is_planned_with_everything_known_and_with_nothing(name: str, waiting: str) -> None:
    settings = {
        "git over https": {"services": {"train": {"git": GIT, "module": "a", "schedule": "@daily"}}},
        "a model": {"modelServers": {"train": {"model": MODEL}}},
    }.get(name, {"services": {"train": {"git": {"local": "."}, "module": "a"}}})
    assert plan({"jobs": None, **settings}, preview=waiting == "unknown").problems == []


# -- models -----------------------------------------------------------------------------------------


def test_a_model_server_is_made_without_pods_and_nobody_but_the_watch_names_its_version() -> None:
    """That an update keeps the pods that the watch gave it: tests/engine/test_services.py."""
    planned = model_plan({"replicas": 3})
    assert made(planned).spec["replicas"] == 0
    # Not a word of the stack's about the version: what the watch writes there is nobody else's.
    assert "annotations" not in made(planned).spec["template"]["metadata"]
    version = {"fieldRef": {"fieldPath": f"metadata.annotations['{model_watch.VERSION}']"}}
    assert {"name": "MODEL_URI", "valueFrom": version} in made(planned).main["env"]


def test_the_same_pods_serve_another_model_only_once_the_watch_has_found_it() -> None:
    """The pods' template names no model: a changed setting stops nothing that serves."""
    one, other = (made(model_plan({"model": model})) for model in (MODEL, "models:/other/1"))
    assert one.spec["template"] == other.spec["template"]


def test_one_watch_serves_all_model_servers_and_there_is_none_without() -> None:
    servers = {name: {"model": f"models:/{name}/1"} for name in ("b", "a")}
    planned = plan({"jobs": None, "modelServers": servers, "auth": {"mode": "basic"}})
    watch = planned.one("Deployment", "mlflow-services-watch-deployment")
    pod = plain(watch.inputs)["spec"]["template"]["spec"]
    assert pod["containers"][0]["command"] == ["python", "-m", "launcher.model_watch", "a", "b"]
    known = environment(planned, watch)
    assert known["MLFLOW_TRACKING_URI"] == "http://mlflow-server.mlflow.svc.cluster.local"
    assert known["MLFLOW_TRACKING_USERNAME"] == "jobs"
    names = [one.name for one in service_plan({}).resources]
    assert not [name for name in names if "watch" in name]


def test_nothing_of_services_is_made_without_them() -> None:
    assert not [one.name for one in plan({"jobs": None}).resources if "services" in one.name]


EXISTING: dict[str, Any] = {
    "cloud": "existing",
    "tracking": {
        "url": "https://mlflow.example.com",
        "namespace": "team",
        "caBundle": "PEM",
        "credentials": "tracking",
    },
    "secrets": {"tracking": {"user": {"MLFLOW_TRACKING_TOKEN": {"secure": "planted-tracking-token"}}}},
    "exposure": None,
    "jobs": None,
}
"""A stack for a tracking server that is there already."""


def test_beside_a_server_that_is_there_already_the_watch_signs_in_there_and_checks_its_certificate() -> None:
    planned = plan({**EXISTING, "modelServers": {"train": {"model": MODEL}}})
    assert planned.problems == []
    watch = planned.one("Deployment", "watch-deployment")
    pod = plain(watch.inputs)["spec"]["template"]["spec"]
    known = environment(planned, watch)
    assert known["MLFLOW_TRACKING_URI"] == "https://mlflow.example.com"
    assert known["MLFLOW_TRACKING_TOKEN"] == "planted-tracking-token"
    mounts = [mount["mountPath"] for mount in pod["containers"][0]["volumeMounts"]]
    assert any(known["MLFLOW_TRACKING_SERVER_CERT_PATH"].startswith(f"{mount}/") for mount in mounts)
    for account in objects(planned, "ServiceAccount"):
        assert account["metadata"]["namespace"] == "team"


def test_a_stack_without_an_entrance_exposes_nothing() -> None:
    exposed = {"model": MODEL, "ingress": {"host": "c.example.com"}}
    with pytest.raises(Failure, match=r"modelServers\.train\.ingress: needs the entrance of a stack"):
        plan({**EXISTING, "modelServers": {"train": exposed}})


# -- rights -----------------------------------------------------------------------------------------


def test_who_rolls_may_get_and_patch_exactly_its_deployments() -> None:
    scheduled = {"git": GIT, "module": "a", "schedule": "@daily"}
    planned = plan(
        {
            "jobs": None,
            "services": {"b": scheduled, "c": {"git": GIT, "module": "a"}},
            "modelServers": {"a": {"model": MODEL}},
        }
    )
    rules = {one["metadata"]["name"]: one["rules"] for one in objects(planned, "Role")}
    expected = {
        name: [
            {
                "apiGroups": ["apps"],
                "resources": ["deployments"],
                "resourceNames": [deployment],
                "verbs": ["get", "patch"],
            }
        ]
        for name, deployment in (("mlflow-services-watch", "a"), ("b-roll", "b"))
    }
    assert rules == expected
    assert not planned.of_type("ClusterRole")
    for binding in objects(planned, "RoleBinding"):
        name = binding["metadata"]["name"]
        assert binding["roleRef"] == {
            "apiGroup": "rbac.authorization.k8s.io",
            "kind": "Role",
            "name": name,
        }
        assert binding["subjects"] == [{"kind": "ServiceAccount", "name": name, "namespace": "mlflow"}]


def test_a_scheduled_roll_is_tried_once_and_begins_anew_when_its_pod_is_evicted() -> None:
    spec = made(service_plan({"schedule": "@daily"})).of("CronJob")["spec"]["jobTemplate"]["spec"]
    assert spec["backoffLimit"] == 0
    (rule,) = spec["podFailurePolicy"]["rules"]
    assert rule["action"] == "Ignore"
    assert rule["onPodConditions"] == [{"type": "DisruptionTarget", "status": "True"}]
    assert spec["template"]["spec"]["restartPolicy"] == "Never"


def test_only_who_rolls_is_given_a_token() -> None:
    planned = plan(
        {
            "jobs": None,
            "services": {"b": {"git": GIT, "module": "a", "schedule": "@daily"}},
            "modelServers": {"a": {"model": MODEL}},
        }
    )
    with_token = {
        one["metadata"]["name"]
        for kind in ("Deployment", "CronJob")
        for one in objects(planned, kind)
        if "serviceAccountToken" in str(one)
    }
    assert with_token == {"mlflow-services-watch", "b"}
    for account in objects(planned, "ServiceAccount"):
        assert account["automountServiceAccountToken"] is False


def test_pods_find_the_scripts_that_their_commands_name() -> None:
    planned = service_plan({"schedule": "@daily"})
    scripts = {
        one.name: set(one.inputs["data"])
        for one in planned.of_type("ConfigMap")
        if one.name.startswith("mlflow-services")
    }
    assert scripts == {
        "mlflow-services-scripts": set(SERVING_SCRIPTS),
        "mlflow-services-rolling-scripts": set(ROLLING_SCRIPTS),
    }
    for names in (SERVING_SCRIPTS, ROLLING_SCRIPTS):
        for name in names:
            for line in (SCRIPTS / name).read_text().splitlines():
                if line.strip().startswith("from ."):
                    module = line.split()[1].lstrip(".") or line.split()[3]
                    assert f"{module}.py" in names, f"{name}: {line}"
    assert rollout.WANTED == model_watch.REPLICAS == "mlflow/replicas"


# -- entrances --------------------------------------------------------------------------------------


def test_an_entrance_follows_the_servers_class_and_annotations() -> None:
    found = made(service_plan(ingress(anonymous=True), **GUARDED))
    spec = found.of("Ingress")["spec"]
    assert spec["ingressClassName"] == "nginx"
    assert found.of("Ingress")["metadata"]["annotations"]["nginx/allow"] == "203.0.113.0/24"
    assert spec["rules"][0]["http"]["paths"][0]["backend"] == {
        "service": {"name": "train", "port": {"name": "http"}}
    }


def test_with_the_controllers_namespace_nobody_else_is_let_in() -> None:
    entrance = {"ingress": {**OPEN["exposure"]["ingress"], "controllerNamespace": "ingress"}}
    found = made(service_plan(ingress(), exposure=entrance))
    controller = found.of("NetworkPolicy")["spec"]["ingress"][1]
    assert controller["from"] == [
        {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "ingress"}}}
    ]
    anywhere = made(service_plan(ingress(), **OPEN)).of("NetworkPolicy")["spec"]["ingress"][1]
    assert "from" not in anywhere


# -- refusals ---------------------------------------------------------------------------------------

S, M = "mlflow:services.train", "mlflow:modelServers.train"
REFUSED: list[tuple[str, Settings, Settings, str, str]] = [
    ("service", {"git": None}, {}, S, "has no code"),
    ("service", {"module": None}, {}, S, "says nothing to run"),
    ("service", {"module": "a", "command": ["b"]}, {}, f"{S}.command", "set beside module"),
    ("service", {"port": 80}, {}, f"{S}.port", "greater than or equal to 1024"),
    ("service", {"replicas": 0}, {}, f"{S}.replicas", "greater than or equal to 1"),
    ("service", {"readyPath": "health"}, {}, f"{S}.readyPath", "must be a path"),
    ("service", {"timeZone": "Etc/UTC"}, {}, f"{S}.timeZone", "only fits a service with a schedule"),
    ("service", {"schedule": "61 * * * *"}, {}, f"{S}.schedule", "allowed are 0 to 59"),
    ("service", {"git": {"local": "."}, "schedule": "@daily"}, {}, f"{S}.schedule", "the same commit again"),
    ("service", {"secrets": ["nope"]}, {}, f"{S}.secrets[0]", "there is no secret group nope"),
    ("service", {"env": {"PORT": "1"}}, {}, f"{S}.env.PORT", "use port"),
    ("service", {"env": {"HOME": "/x"}}, {}, f"{S}.env.HOME", "is set by the program"),
    ("service", {"image": "r.example/j:latest"}, {}, f"{S}.image", "latest is refused"),
    ("service", {"entryPoint": "main"}, {}, f"{S}.entryPoint", "is unknown"),
    ("service", ingress(), {}, f"{S}.ingress", "needs an ingress controller"),
    ("service", {"ingress": {"host": "c.example.com"}}, OPEN, f"{S}.readyPath", "is missing"),
    ("service", ingress(host="mlflow.example.com"), OPEN, f"{S}.ingress.host", "is that of mlflow:exposure"),
    ("service", ingress(), GUARDED, f"{S}.ingress.anonymous", "guards the tracking server only"),
    ("model", {"model": "models:/churn"}, {}, f"{M}.model", "must be models:/name@alias"),
    ("model", {"model": "models:/churn/latest"}, {}, f"{M}.model", "must be models:/name@alias"),
    ("model", {"model": "runs:/1/model"}, {}, f"{M}.model", "must be models:/name@alias"),
    ("model", {"git": GIT}, {}, f"{M}.git", "is unknown"),
    ("model", {"env": {"MODEL_URI": "x"}}, {}, f"{M}.env.MODEL_URI", "use model"),
    ("model", {"image": "r.example/j"}, {}, f"{M}.image", "needs a fixed tag"),
    ("model", {"secrets": ["nope"]}, {}, f"{M}.secrets[0]", "there is no secret group nope"),
    ("model", {"ingress": {"host": "c.example.com"}}, GUARDED, f"{M}.ingress.anonymous", "say true"),
]


def refusal(kind: str, described: Settings, more: Settings) -> str:
    with pytest.raises(Failure, match="nothing was changed") as refused:
        (service_plan if kind == "service" else model_plan)(described, **more)
    return str(refused.value)


@pytest.mark.parametrize(
    ("kind", "described", "more", "key", "words"), REFUSED, ids=[f"{row[3]} {row[4]}" for row in REFUSED]
)
def test_what_cannot_work_is_refused_with_its_key(
    kind: str, described: Settings, more: Settings, key: str, words: str
) -> None:
    told = refusal(kind, described, more)
    lines = [line for line in told.splitlines() if f"- {key}: " in line]
    assert lines, told
    assert words in lines[0]


def test_an_entrance_for_the_whole_world_is_refused_as_nobody_signs_in_there() -> None:
    world = {**ENTRANCE, "allow": ["0.0.0.0/0"], "world": True}
    exposed = {"auth": {"mode": "basic"}, "exposure": {"ingress": world}}
    told = refusal("model", {"ingress": {"host": "c.example.com", "anonymous": True}}, exposed)
    assert "mlflow:modelServers.train.ingress: lets in the whole world without sign-in" in told


@pytest.mark.parametrize("name", ["mlflow", "mlflow-server", "mlflow-x"])
def test_a_name_that_the_program_uses_is_refused(name: str) -> None:
    with pytest.raises(Failure, match=f"mlflow:modelServers.{name}: .*choose another"):
        plan({"jobs": None, "modelServers": {name: {"model": MODEL}}})


def test_two_entrances_do_not_share_a_host() -> None:
    one = {"model": MODEL, "ingress": {"host": "c.example.com"}}
    with pytest.raises(Failure, match=r"modelServers\.b\.ingress\.host: is that of mlflow:modelServers\.a"):
        plan({"jobs": None, "modelServers": {"a": one, "b": one}, **OPEN})


def test_gkes_own_controller_serves_one_host() -> None:
    exposed = {
        "modelServers": {"a": {"model": MODEL, "ingress": {"host": "c.example.com", "anonymous": True}}},
        "exposure": {"ingress": {"host": "mlflow.example.com", "allow": ["203.0.113.0/24"]}},
    }
    with pytest.raises(Failure, match=r"mlflow:modelServers\.a\.ingress: needs another controller"):
        plan(exposed, stack="gcp")


def test_a_service_beside_an_https_entrance_names_a_certificate_of_its_own() -> None:
    entrance = {"ingress": {**OPEN["exposure"]["ingress"], "tlsSecret": "server-tls"}}
    told = refusal("service", ingress(), {"exposure": entrance})
    assert "mlflow:services.train.ingress.tlsSecret: is missing" in told
    assert made(service_plan(ingress(tlsSecret="churn-tls"), exposure=entrance)).of("Ingress")["spec"]["tls"]
    own = {"host": "mlflow.example.com", "allow": ["203.0.113.0/24"]}
    exposed = {"model": MODEL, "ingress": {"host": "c.example.com", "anonymous": True, "tlsSecret": "x"}}
    with pytest.raises(Failure, match=r"modelServers\.a\.ingress\.tlsSecret: only fits a controller"):
        plan({"modelServers": {"a": exposed}, "exposure": {"ingress": own}}, stack="aws")


def test_a_gateway_has_no_place_for_services_so_far() -> None:
    gateway = {
        "api": "gateway",
        "host": "mlflow.example.com",
        "className": "approuting-istio",
        "allow": ["203.0.113.0/24"],
    }
    exposed = {"model": MODEL, "ingress": {"host": "c.example.com", "anonymous": True}}
    with pytest.raises(Failure, match=r"mlflow:modelServers\.a\.ingress: needs an Ingress"):
        plan({"modelServers": {"a": exposed}, "exposure": {"ingress": gateway}}, stack="azure")


def test_a_namespace_is_told_of_a_named_controller_only() -> None:
    exposed = {"exposure": {"ingress": {"host": "m.example.com", "controllerNamespace": "ingress"}}}
    with pytest.raises(Failure, match=r"mlflow:exposure\.ingress\.controllerNamespace: only fits"):
        plan(exposed, stack="aws")


def test_on_aws_the_load_balancer_asks_the_service_where_it_is_ready() -> None:
    entrance = {"host": "mlflow.example.com", "allow": ["203.0.113.0/24"]}
    planned = plan(
        {
            "jobs": None,
            "services": {"train": {"git": GIT, "module": "a", **ingress(anonymous=True)}},
            "exposure": {"ingress": entrance},
        },
        stack="aws",
    )
    (found,) = [one for one in objects(planned, "Ingress") if one["metadata"]["name"] == "train"]
    annotations = found["metadata"]["annotations"]
    assert annotations["alb.ingress.kubernetes.io/healthcheck-path"] == "/health"
    assert annotations["alb.ingress.kubernetes.io/target-type"] == "ip"
    assert made(planned).main["lifecycle"]["preStop"]["sleep"]["seconds"] > 5
