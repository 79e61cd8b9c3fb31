"""Pipelines: each setting reaches the manifests of both engines, every refusal names its key."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
import yaml
from pydantic import BaseModel

from components.jobs.names import PIPELINE_SCRIPTS
from components.jobs.scripts import pipeline as script
from components.settings.base import Model
from components.settings.pipeline_rules import cycle
from components.settings.pipelines import Pipeline
from tests.program.argo_models import models, unknown
from tests.program.conftest import Settings, plan
from tests.program.pod_security import containers, violations
from tests.program.reading import environment
from tools.common import ROOT, Failure
from tools.offline import Plan
from tools.offline.wire import plain

pytestmark = pytest.mark.program

GIT = {"repo": "https://git.example.com/team/churn.git"}
WORKLOADS: dict[str, Any] = {
    "jobs": {
        "load": {"git": GIT, "concurrency": "Allow"},
        "train": {"git": GIT, "parameters": {"alpha": 0.1}, "env": {"BRACES": "{{workflow.name}} {{x}}"}},
        "check": {"git": GIT, "module": "check"},
    },
    "services": {"web": {"git": GIT, "module": "web"}},
    "modelServers": {"churn": {"model": "models:/churn@champion"}},
}
STAGES: dict[str, Any] = {
    "load": {"job": "load"},
    "train": {"job": "train", "after": ["load"], "parameters": {"alpha": 0.5}},
    "web": {"service": "web", "after": ["load"]},
    "churn": {"modelServer": "churn", "after": ["train", "web"]},
}
ARGO: dict[str, Any] = {"engine": "argo"}


def pipeline_plan(pipeline: Settings, **more: Any) -> Plan:
    """The plan of the dev stack with one pipeline, ``daily``."""
    settings = {**WORKLOADS, "pipelines": {"daily": {"stages": STAGES, **pipeline}}, **more}
    if pipeline.get("engine") == "argo":
        settings.setdefault("cluster", {"argoWorkflows": True})
    return plan(settings)


class Made(NamedTuple):
    """A pipeline's parts, as plain JSON."""

    plan: Plan

    @property
    def cron(self) -> dict[str, Any]:
        return self.object("CronJob", "mlflow-pipelines-daily")

    @property
    def job(self) -> dict[str, Any]:
        return self.cron["spec"]["jobTemplate"]["spec"]

    @property
    def pod(self) -> dict[str, Any]:
        return self.job["template"]["spec"]

    @property
    def stages(self) -> dict[str, Any]:
        command = self.pod["containers"][0]["command"]
        (text,) = [word.removeprefix("--stages=") for word in command if word.startswith("--stages=")]
        return json.loads(text)

    @property
    def rules(self) -> list[dict[str, Any]]:
        return self.object("Role", "mlflow-pipelines-daily")["rules"]

    def rule(self, resource: str) -> dict[str, Any]:
        (found,) = [rule for rule in self.rules if resource in rule["resources"]]
        return found

    @property
    def workflow(self) -> dict[str, Any]:
        return self.object("WorkflowTemplate", "mlflow-pipelines-daily")["spec"]

    @property
    def schedule(self) -> dict[str, Any]:
        return self.object("CronWorkflow", "mlflow-pipelines-daily")["spec"]

    def template(self, name: str) -> dict[str, Any]:
        (found,) = [each for each in self.workflow["templates"] if each["name"] == name]
        return found

    def task(self, name: str) -> dict[str, Any]:
        (found,) = [each for each in self.template("pipeline")["dag"]["tasks"] if each["name"] == name]
        return found

    def manifest(self, stage: str) -> dict[str, Any]:
        return json.loads(self.template(f"stage-{stage}")["resource"]["manifest"])

    def object(self, kind: str, name: str) -> dict[str, Any]:
        return plain(self.plan.one(kind, name).inputs)


def made(pipeline: Settings) -> Made:
    planned = pipeline_plan(pipeline)
    assert planned.problems == []
    return Made(planned)


class Row(NamedTuple):
    """A setting by its path, a pipeline that sets it, and what must then hold under each engine."""

    path: str
    pipeline: Settings
    plain: Callable[[Made], Any]
    argo: Callable[[Made], Any]


def stage(**settings: Any) -> Settings:
    return {"stages": {**STAGES, "train": {"job": "train", **settings}}}


ROWS = [
    Row(
        "stages.*.job",
        {},
        lambda m: m.stages["train"]["job"] == "train",
        lambda m: m.manifest("train")["metadata"]["labels"]["mlflow/job"] == "train",
    ),
    Row(
        "stages.*.service",
        {},
        lambda m: m.stages["web"] == {"deployment": "web", "after": ["load"]},
        lambda m: m.template("stage-web")["container"]["command"][-2:] == ["launcher.rollout", "web"],
    ),
    Row(
        "stages.*.modelServer",
        {},
        lambda m: m.stages["churn"]["deployment"] == "churn",
        lambda m: m.template("stage-churn")["container"]["command"][-2:] == ["launcher.rollout", "churn"],
    ),
    Row(
        "stages.*.after",
        {},
        lambda m: m.stages["churn"]["after"] == ["train", "web"],
        lambda m: m.task("churn")["dependencies"] == ["train", "web"],
    ),
    Row(
        "stages.*.parameters",
        {},
        lambda m: m.stages["train"]["parameters"] == ["alpha=0.5"],
        lambda m: main_of(m.manifest("train"))["command"][-2:] == ["--param=alpha=0.1", "--param=alpha=0.5"],
    ),
    Row(
        "stages.*.retries",
        stage(retries=0),
        lambda m: m.stages["train"]["retries"] == 0,
        lambda m: m.manifest("train")["spec"]["backoffLimit"] == 0,
    ),
    Row(
        "stages.*.deadlineSeconds",
        stage(deadlineSeconds=60),
        lambda m: m.stages["train"]["deadlineSeconds"] == 60,
        lambda m: m.manifest("train")["spec"]["activeDeadlineSeconds"] == 60,
    ),
    Row("engine", {}, lambda m: m.cron, lambda m: m.workflow["entrypoint"] == "pipeline"),
    Row(
        "schedule",
        {"schedule": "0 6 * * 1"},
        lambda m: (m.cron["spec"]["schedule"], m.cron["spec"]["suspend"]) == ("0 6 * * 1", False),
        lambda m: m.schedule["schedules"] == ["0 6 * * 1"],
    ),
    Row(
        "timeZone",
        {"schedule": "@daily", "timeZone": "Europe/Berlin"},
        lambda m: m.cron["spec"]["timeZone"] == "Europe/Berlin",
        lambda m: m.schedule["timezone"] == "Europe/Berlin",
    ),
    Row(
        "suspended",
        {"schedule": "@daily", "suspended": True},
        lambda m: m.cron["spec"]["suspend"] is True,
        lambda m: m.schedule["suspend"] is True,
    ),
    Row(
        "concurrency",
        {"schedule": "@daily", "concurrency": "Replace"},
        lambda m: m.cron["spec"]["concurrencyPolicy"] == "Replace",
        lambda m: m.schedule["concurrencyPolicy"] == "Replace",
    ),
    Row(
        "deadlineSeconds",
        {"deadlineSeconds": 999},
        lambda m: m.job["activeDeadlineSeconds"] == 999,
        lambda m: m.workflow["activeDeadlineSeconds"] == 999,
    ),
    Row(
        "history.succeeded",
        {"schedule": "@daily", "history": {"succeeded": 7}},
        lambda m: m.cron["spec"]["successfulJobsHistoryLimit"] == 7,
        lambda m: m.schedule["successfulJobsHistoryLimit"] == 7,
    ),
    Row(
        "history.failed",
        {"schedule": "@daily", "history": {"failed": 8}},
        lambda m: m.cron["spec"]["failedJobsHistoryLimit"] == 8,
        lambda m: m.schedule["failedJobsHistoryLimit"] == 8,
    ),
    Row(
        "history.seconds",
        {"history": {"seconds": 77}},
        lambda m: m.job["ttlSecondsAfterFinished"] == 77,
        lambda m: m.workflow["ttlStrategy"] == {"secondsAfterCompletion": 77},
    ),
]


def main_of(job: dict[str, Any]) -> dict[str, Any]:
    (found,) = [each for each in job["spec"]["template"]["spec"]["containers"] if each["name"] == "job"]
    return found


def paths(model: type[BaseModel], prefix: str = "") -> set[str]:
    """Every setting of a section by its path; those of each stage under ``stages.*``."""
    found: set[str] = set()
    for name, field in model.model_fields.items():
        key = prefix + (field.alias or name)
        inner = field.annotation
        if name == "stages":
            inner, key = inner.__args__[1], f"{key}.*"  # pyright: ignore
        if isinstance(inner, type) and issubclass(inner, Model):
            found |= paths(inner, f"{key}.")
        else:
            found.add(key)
    return found


def test_every_setting_of_a_pipeline_has_a_row() -> None:
    assert paths(Pipeline) == {row.path for row in ROWS}


@pytest.mark.parametrize("row", ROWS, ids=[row.path for row in ROWS])
def test_a_setting_reaches_the_plain_manifest(row: Row) -> None:
    assert row.plain(made(row.pipeline))


@pytest.mark.parametrize("row", ROWS, ids=[row.path for row in ROWS])
def test_a_setting_reaches_the_manifest_for_argo(row: Row) -> None:
    assert row.argo(made({**row.pipeline, **ARGO}))


both = pytest.mark.parametrize("engine", [{}, ARGO], ids=["plain", "argo"])


@both
@pytest.mark.parametrize("preview", [False, True], ids=["known", "unknown"])
def test_a_pipeline_is_planned_with_everything_known_and_with_nothing(
    engine: Settings, preview: bool
) -> None:
    settings = {**WORKLOADS, "pipelines": {"daily": {"stages": STAGES, "schedule": "@daily", **engine}}}
    found = plan({**settings, "cluster": {"argoWorkflows": bool(engine)}}, preview=preview)
    assert found.problems == []


# -- the plain way ----------------------------------------------------------------------------------


def test_the_pod_that_starts_stages_passes_the_restricted_standard_and_alone_holds_a_token() -> None:
    found = made({})
    assert violations(found.pod) == []
    assert found.pod["serviceAccountName"] == "pipeline-daily"
    assert found.pod["automountServiceAccountToken"] is False
    (container,) = [each for _, each in containers(found.pod)]
    assert [mount["name"] for mount in container["volumeMounts"] if "serviceaccount" in mount["mountPath"]]
    assert container["command"][:4] == ["python", "-m", "launcher.pipeline", "daily"]
    for job in ("load", "train", "check"):
        pod = found.object("CronJob", f"mlflow-jobs-{job}")["spec"]["jobTemplate"]["spec"]["template"]["spec"]
        assert pod["serviceAccountName"] == "mlflow-jobs"
        assert pod["automountServiceAccountToken"] is False


@pytest.mark.core
def test_its_rights_are_those_its_stages_need_in_its_namespace() -> None:
    found = made({})
    assert found.rule("cronjobs")["resourceNames"] == ["load", "train"]
    assert found.rule("cronjobs")["verbs"] == ["get"]
    assert found.rule("deployments")["resourceNames"] == ["churn", "web"]
    assert found.rule("deployments")["verbs"] == ["get", "patch"]
    assert set(found.rule("jobs")["verbs"]) == {"get", "list", "create", "delete"}
    assert found.rule("pods") == {"apiGroups": [""], "resources": ["pods", "events"], "verbs": ["list"]}
    assert len(found.rules) == 4
    only_services = made({"stages": {"web": {"service": "web"}}})
    assert set(only_services.rule("jobs")["verbs"]) == {"get", "list"}
    only_jobs = made({"stages": {"load": {"job": "load"}}})
    assert not [rule for rule in only_jobs.rules if "deployments" in rule["resources"]]
    assert not found.plan.of_type("ClusterRole")


def test_it_signs_in_to_the_tracking_server_only_to_look_up_models() -> None:
    secret = {"auth": {"mode": "basic"}}
    tracking = {"MLFLOW_TRACKING_URI", "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"}

    def finds(pipeline: Settings) -> set[str]:
        found = Made(pipeline_plan(pipeline, **secret))
        cron = found.plan.one("CronJob", "mlflow-pipelines-daily")
        return tracking & environment(found.plan, cron, found.pod["containers"][0]).keys()

    assert finds({}) == tracking
    assert finds({"stages": {"load": {"job": "load"}}}) == set()


def test_kubernetes_replaces_none_of_the_users_words_on_their_way_to_a_stage() -> None:
    """In a pod's command it takes $(NAME) for a variable's value, and $$ for a dollar."""
    price = "$(JOB_RUN) for $$5 and $x"
    found = made({"stages": {"load": {"job": "load", "parameters": {"price": price}}}})
    (word,) = [one for one in found.pod["containers"][0]["command"] if one.startswith("--stages=")]
    assert re.sub(r"\$\$", "", word).count("$") == 0
    stages = json.loads(word.removeprefix("--stages=").replace("$$", "$"))
    assert stages["load"]["parameters"] == [f"price={price}"]


def test_a_failed_stage_is_final_and_a_killed_pod_has_a_successor() -> None:
    spec = made({}).job
    final, evicted = spec["podFailurePolicy"]["rules"]
    assert final["action"] == "FailJob"
    assert final["onExitCodes"]["containerName"] == "main"
    assert script.FAILED in final["onExitCodes"]["values"]
    assert not {script.STOPPED, script.UNANSWERED, 137} & set(final["onExitCodes"]["values"])
    assert evicted["action"] == "Ignore"
    assert spec["backoffLimit"] == 6
    assert spec["podReplacementPolicy"] == "Failed"
    grace = spec["template"]["spec"]["terminationGracePeriodSeconds"]
    assert grace > script.END_SECONDS > 45


def test_its_scripts_keep_their_name_and_are_all_there() -> None:
    config = made({}).object("ConfigMap", "mlflow-pipelines-scripts")
    assert config["metadata"]["name"] == "mlflow-pipelines-scripts"
    assert set(config["data"]) == set(PIPELINE_SCRIPTS)
    for text in config["data"].values():
        for line in text.splitlines():
            if line.startswith("from .") and not line.startswith("from . import"):
                assert f"{line.split()[1][1:]}.py" in config["data"], line


def test_without_a_schedule_it_is_suspended_and_found_as_a_job_is() -> None:
    cron = made({}).cron
    assert cron["metadata"]["name"] == "daily"
    assert cron["spec"]["suspend"] is True
    for where in (cron, cron["spec"]["jobTemplate"], cron["spec"]["jobTemplate"]["spec"]["template"]):
        assert where["metadata"]["labels"]["mlflow/job"] == "daily"
        assert where["metadata"]["labels"]["mlflow/pipeline"] == "daily"


def test_without_pipelines_nothing_of_theirs_is_made() -> None:
    names = [one.name for one in plan(WORKLOADS).resources]
    assert not [name for name in names if name.startswith("mlflow-pipelines")]


@pytest.mark.parametrize("count", [1, 20])
def test_a_pipeline_costs_its_own_objects_and_nothing_else(count: int) -> None:
    none = len(plan(WORKLOADS).resources)
    pipelines = {f"p-{n}": {"stages": STAGES} for n in range(count)}
    # The component of all, the scripts; for each its component, account, Role, RoleBinding and CronJob.
    assert len(plan({**WORKLOADS, "pipelines": pipelines}).resources) == none + 2 + 5 * count


def test_the_example_is_a_whole_stack() -> None:
    written = yaml.safe_load((ROOT / "examples" / "iris" / "pipeline.yaml").read_text())["config"]
    example = {key.removeprefix("mlflow:"): value for key, value in written.items()}
    planned = plan({"jobs": None, **example})
    assert planned.problems == []
    cron = plain(planned.one("CronJob", "mlflow-pipelines-iris").inputs)
    assert cron["metadata"]["name"] == "iris"


# -- Argo Workflows ---------------------------------------------------------------------------------


@pytest.mark.parametrize("job", ["load", "train"])
def test_argo_makes_the_very_job_that_the_cron_job_would(job: str) -> None:
    found = made(ARGO)
    template = found.object("CronJob", f"mlflow-jobs-{job}")["spec"]["jobTemplate"]
    manifest = found.manifest(job)
    spec, wanted = manifest["spec"], template["spec"]
    name = "{{workflow.name}}"
    assert manifest["metadata"] == {
        "name": f"{name}-{job}",
        "labels": {**template["metadata"]["labels"], "mlflow/pipeline-run": name, "mlflow/stage": job},
    }
    main = main_of(manifest)
    assert main["env"].pop() == {"name": "JOB_TRIGGER", "value": "pipeline/daily"}
    if job == "train":
        assert main["command"].pop() == "--param=alpha=0.5"
    for label in ("mlflow/pipeline-run", "mlflow/stage"):
        spec["template"]["metadata"]["labels"].pop(label)
    assert wanted.pop("ttlSecondsAfterFinished") == 3600
    assert spec == wanted


def test_argo_replaces_none_of_the_users_words() -> None:
    resource = made(ARGO).template("stage-train")["resource"]
    assert {text.split("}}")[0] for text in resource["manifest"].split("{{")[1:]} == {"workflow.name"}
    assert {"name": "BRACES", "value": "{{workflow.name}} {{x}}"} in main_of(made(ARGO).manifest("train"))[
        "env"
    ]


def test_argo_ends_a_stages_job_with_its_workflow_and_sees_it_fail() -> None:
    found = made(ARGO)
    resource = found.template("stage-train")["resource"]
    assert resource["setOwnerReference"] is True
    assert resource["action"] == "create"
    assert resource["successCondition"] == "status.succeeded > 0"
    assert "status.conditions.0.type in (FailureTarget,Failed)" in resource["failureCondition"]
    assert found.workflow["onExit"] == "end"
    end = found.template("end")["container"]
    assert end["command"] == ["python", "-m", "launcher.pipeline", "daily"]
    assert {"name": "JOB_RUN", "value": "{{workflow.name}}"} in end["env"]
    assert {"name": "JOB_UID", "value": "{{workflow.uid}}"} in end["env"]


def test_argo_lets_a_job_run_once_at_a_time_unless_it_allows_more() -> None:
    found = made(ARGO)
    assert found.template("stage-train")["synchronization"] == {"mutexes": [{"name": "train"}]}
    assert "synchronization" not in found.template("stage-load")


def test_argos_pods_have_the_pipelines_rights_and_those_of_argos_own_process() -> None:
    found = made(ARGO)
    assert found.workflow["serviceAccountName"] == "pipeline-daily"
    assert found.workflow["automountServiceAccountToken"] is True
    assert found.rule("workflowtaskresults")["verbs"] == ["create", "patch"]
    for name in ("stage-web", "stage-churn", "end"):
        template = found.template(name)
        pod = {
            "securityContext": found.workflow["securityContext"],
            "containers": [template["container"]],
            "volumes": template["volumes"],
        }
        assert violations(pod) == [], name
    assert not found.plan.of_type("CronWorkflow")


# -- refusals ---------------------------------------------------------------------------------------

DAILY = "mlflow:pipelines.daily"


def stages(**changed: Any) -> Settings:
    return {"stages": {**STAGES, **changed}}


LONG = "s" * 46
REFUSED: list[tuple[Settings, str, str]] = [
    ({"stages": {}}, f"{DAILY}.stages", "is empty"),
    ({"stages": None}, f"{DAILY}.stages", "null is not allowed"),
    (stages(train={}), f"{DAILY}.stages.train", "names nothing to do; give job, service or modelServer"),
    (stages(train={"job": "train", "service": "web"}), f"{DAILY}.stages.train", "names job and service"),
    (stages(train={"job": "trian"}), f"{DAILY}.stages.train.job", "there is no trian in mlflow:jobs"),
    (stages(web={"service": "churn"}), f"{DAILY}.stages.web.service", "there are: web"),
    (stages(churn={"modelServer": "x"}), f"{DAILY}.stages.churn.modelServer", "there are: churn"),
    (
        stages(web={"service": "web", "after": ["loda"]}),
        f"{DAILY}.stages.web.after[0]",
        "there is no stage loda",
    ),
    (
        stages(web={"service": "web", "after": ["load", "load"]}),
        f"{DAILY}.stages.web.after[1]",
        "names load twice",
    ),
    (stages(load={"job": "load", "after": ["load"]}), f"{DAILY}.stages.load.after", "load after load"),
    (
        stages(load={"job": "load", "after": ["churn"]}),
        f"{DAILY}.stages.churn.after",
        "leads back to itself: churn after train after load after churn",
    ),
    (
        stages(web={"service": "web", "parameters": {"a": 1}}),
        f"{DAILY}.stages.web.parameters",
        "only fits a job; service takes none",
    ),
    (stages(web={"service": "web", "retries": 0}), f"{DAILY}.stages.web.retries", "only fits a job"),
    (
        stages(churn={"modelServer": "churn", "deadlineSeconds": 5}),
        f"{DAILY}.stages.churn.deadlineSeconds",
        "only fits a job; modelServer takes none",
    ),
    (
        stages(load={"job": "check", "parameters": {"a": 1}}),
        f"{DAILY}.stages.load.parameters",
        "only fit an entry point; check runs none",
    ),
    (
        stages(load={"job": "load", "parameters": {"a=b": 1}}),
        f"{DAILY}.stages.load.parameters.a=b",
        "is no parameter's name",
    ),
    ({"timeZone": "Etc/UTC"}, f"{DAILY}.timeZone", "only fits a pipeline with a schedule"),
    ({"suspended": True}, f"{DAILY}.suspended", "only fits a pipeline with a schedule"),
    ({"schedule": "61 * * * *"}, f"{DAILY}.schedule", "has a minute '61'"),
    ({"engine": "airflow"}, f"{DAILY}.engine", "plain"),
    (
        {**ARGO, **stages(**{LONG: {"job": "load"}})},
        f"{DAILY}.stages.{LONG}",
        "makes a Job's name too long; 50",
    ),
    ({"stage": {}}, f"{DAILY}.stage", "did you mean stages?"),
]


@pytest.mark.parametrize(
    ("pipeline", "key", "words"), REFUSED, ids=[f"{key[:60]} {words}" for _, key, words in REFUSED]
)
def test_a_pipeline_that_cannot_work_is_refused_with_its_key(
    pipeline: Settings, key: str, words: str
) -> None:
    with pytest.raises(Failure, match="nothing was changed") as refused:
        pipeline_plan(pipeline)
    lines = [line for line in str(refused.value).splitlines() if f"- {key}: " in line]
    assert lines, str(refused.value)
    assert words in lines[0]


def test_argo_is_refused_where_the_cluster_is_not_said_to_have_it() -> None:
    with pytest.raises(
        Failure, match=r"mlflow:pipelines\.daily\.engine: is argo, .*mlflow:cluster\.argoWork"
    ):
        pipeline_plan(ARGO, cluster={})


@pytest.mark.parametrize(
    ("more", "key", "other"),
    [
        ({"pipelines": {"train": {"stages": STAGES}}}, "mlflow:pipelines.train", "mlflow:jobs.train"),
        ({"services": {"train": {"git": GIT, "module": "m"}}}, "mlflow:services.train", "mlflow:jobs.train"),
        (
            {"modelServers": {"web": {"model": "models:/m/1"}}},
            "mlflow:modelServers.web",
            "mlflow:services.web",
        ),
    ],
)
def test_two_workloads_of_one_name_are_refused(more: Settings, key: str, other: str) -> None:
    with pytest.raises(Failure, match=f"{key}: bears the name of {other}"):
        plan({**WORKLOADS, **more})


def test_a_circle_is_told_from_one_stage_back_to_itself() -> None:
    assert cycle({"a": [], "b": ["a"], "c": ["a", "b"]}) == []
    assert cycle({"a": ["missing"]}) == []
    assert cycle({"a": ["a"]}) == ["a", "a"]
    found = cycle({"start": [], "x": ["z", "start"], "y": ["x"], "z": ["y"], "end": ["x"]})
    assert found[0] == found[-1]
    assert set(found) == {"x", "y", "z"}


@pytest.mark.parametrize("kind", ["WorkflowTemplate", "CronWorkflow"])
def test_argos_published_types_know_every_field(kind: str) -> None:
    given = made({**ARGO, "schedule": "@daily"}).object(kind, "mlflow-pipelines-daily")
    assert misunderstood(kind, given) == []


def test_a_field_that_argo_does_not_know_is_found() -> None:
    given = made(ARGO).object("WorkflowTemplate", "mlflow-pipelines-daily")
    spec = {**given["spec"], "onexit": "end"}
    assert misunderstood("WorkflowTemplate", {**given, "spec": spec}) == [".spec.onexit is no field"]


def misunderstood(kind: str, given: dict[str, Any]) -> list[str]:
    """Where Argo's published types and an object differ."""
    read = getattr(models(), kind).model_validate(given)
    return unknown(given, json.loads(read.model_dump_json(by_alias=True, exclude_unset=True)))
