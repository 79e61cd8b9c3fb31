"""Job templates: each setting reaches the manifest, every refusal names its key, many cost no more each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
from pydantic import BaseModel

from components.jobs.names import FETCH, LAUNCHER
from components.reserved import RESERVED_IN_JOBS
from components.settings.base import Model
from components.settings.jobs import Job
from components.third_party import GIT_SYNC
from tests.program.conftest import Settings, plan
from tests.program.pod_security import containers, violations
from tests.program.reading import environment, name_of
from tools.common import Failure
from tools.offline import Plan
from tools.offline.wire import plain

pytestmark = pytest.mark.program

REPO = "https://git.example.com/team/churn.git"
GIT: dict[str, Any] = {"repo": REPO}
TOKEN_GROUP = {"git": {"token": {"GIT_TOKEN": {"secure": "planted-git-token"}}}}
KEY = "-----BEGIN OPENSSH PRIVATE KEY-----\nplanted-ssh-key\n-----END OPENSSH PRIVATE KEY-----\n"
SSH_GROUP = {
    "ssh": {
        "key": {"GIT_SSH_KEY": {"secure": KEY}},
        "hosts": {"GIT_KNOWN_HOSTS": {"secure": "git.example.com ssh-ed25519 AAAA"}},
    }
}
GROUPS = {**TOKEN_GROUP, **SSH_GROUP, "extra": {"keys": {"API_TOKEN": {"secure": "planted-api-token"}}}}


def job_plan(job: Settings, **more: Any) -> Plan:
    """The plan of the dev stack with one job, ``train``."""
    return plan({"jobs": {"train": {"git": GIT, **job}}, "secrets": GROUPS, **more})


class Made(NamedTuple):
    """A template's parts, as plain JSON."""

    plan: Plan
    cron: dict[str, Any]

    @property
    def job(self) -> dict[str, Any]:
        return self.cron["spec"]["jobTemplate"]["spec"]

    @property
    def pod(self) -> dict[str, Any]:
        return self.job["template"]["spec"]

    @property
    def main(self) -> dict[str, Any]:
        return self.pod["containers"][0]

    @property
    def command(self) -> list[str]:
        return self.main["command"]

    @property
    def fetch(self) -> dict[str, Any]:
        return next(each for each in self.pod["initContainers"] if each["name"] == FETCH)

    @property
    def flags(self) -> list[str]:
        return self.fetch["args"]

    def volume(self, name: str) -> dict[str, Any]:
        return next(each for each in self.pod["volumes"] if each["name"] == name)

    def env(self) -> dict[str, str]:
        return environment(self.plan, self.plan.one("CronJob", "mlflow-jobs-train"), self.main)

    def claim(self) -> dict[str, Any]:
        return plain(self.plan.one("PersistentVolumeClaim", "mlflow-jobs-train").inputs)


def made(job: Settings) -> Made:
    planned = job_plan(job)
    assert planned.problems == []
    return Made(planned, plain(planned.one("CronJob", "mlflow-jobs-train").inputs))


class Row(NamedTuple):
    """A setting by its path, a job that sets it, and what must then hold."""

    path: str
    job: Settings
    holds: Callable[[Made], Any]


def git(**settings: Any) -> Settings:
    return {"git": {**GIT, **settings}}


def claim(**settings: Any) -> Settings:
    return {"workspace": {"claim": settings}}


SSH = {"repo": "git@git.example.com:team/churn.git", "credentials": "ssh"}
ROWS = [
    Row(
        "git.repo", git(repo="https://x.example.com/y"), lambda m: "--repo=https://x.example.com/y" in m.flags
    ),
    Row("git.ref", git(ref="v1.2"), lambda m: "--ref=v1.2" in m.flags),
    Row("git.path", git(path="train"), lambda m: "--path=train" in m.command),
    Row("git.depth", git(depth=0), lambda m: "--depth=0" in m.flags),
    Row("git.submodules", git(submodules="off"), lambda m: "--submodules=off" in m.flags),
    Row(
        "git.credentials",
        git(credentials="git"),
        lambda m: "--password-file=/etc/git-secret/token" in m.flags and "--username=git" in m.flags,
    ),
    Row("git.username", git(credentials="git", username="u"), lambda m: "--username=u" in m.flags),
    Row(
        "git.caBundle",
        git(caBundle="PEM"),
        lambda m: (
            plain(m.plan.one("ConfigMap", "train-git-ca").inputs)["data"] == {"ca.pem": "PEM"}
            and {"name": "GIT_SSL_CAINFO", "value": "/etc/git-ca/ca.pem"} in m.fetch["env"]
        ),
    ),
    Row(
        "git.local",
        {"git": {"local": ".", "path": "examples/quickstart"}},
        lambda m: "tar -xzf" in m.fetch["command"][2] and m.volume("archive")["configMap"]["name"],
    ),
    Row(
        "folder",
        {"git": None, "folder": "/opt/project", "image": "r.example/j:1"},
        lambda m: m.command[2] == "/opt/project" and not m.pod.get("initContainers"),
    ),
    Row(
        "volume.claim",
        {"git": None, "volume": {"claim": "code", "path": "churn"}},
        lambda m: m.volume("code")["persistentVolumeClaim"] == {"claimName": "code", "readOnly": True},
    ),
    Row(
        "volume.path",
        {"git": None, "volume": {"claim": "code", "path": "churn"}},
        lambda m: m.command[2:4] == ["/volume", "--path=churn"],
    ),
    Row("module", {"module": "churn.train"}, lambda m: m.command[-2:] == ["--module=churn.train", "--"]),
    Row(
        "arguments",
        {"module": "a", "arguments": ["--alpha", 0.3]},
        lambda m: m.command[-3:] == ["--", "--alpha", "0.3"],
    ),
    Row(
        "command",
        {"command": ["python", "train.py"]},
        lambda m: m.command[-4:] == ["--command", "--", "python", "train.py"],
    ),
    Row("entryPoint", {"entryPoint": "tune"}, lambda m: "--entry-point=tune" in m.command),
    Row(
        "parameters",
        {"parameters": {"alpha": 0.3, "deep": True}},
        lambda m: m.command[-2:] == ["--param=alpha=0.3", "--param=deep=true"],
    ),
    Row("requirements", {"requirements": ["a==1", "b"]}, lambda m: "--requirement=b" in m.command),
    Row(
        "requirementsFile",
        {"requirementsFile": "requirements.txt"},
        lambda m: "--requirements-file=requirements.txt" in m.command,
    ),
    Row("experiment", {"experiment": "churn"}, lambda m: "--experiment=churn" in m.command),
    Row("image", {"image": "r.example/j:2"}, lambda m: m.main["image"] == "r.example/j:2"),
    Row(
        "resources.requests.cpu",
        {"resources": {"requests": {"cpu": "3"}}},
        lambda m: (
            m.main["resources"]["requests"]["cpu"] == "3" and m.main["resources"]["limits"]["cpu"] == "3"
        ),
    ),
    Row(
        "resources.requests.memory",
        {"resources": {"requests": {"memory": "8Gi"}}},
        lambda m: (
            m.main["resources"]["requests"]["memory"] == "8Gi" == m.main["resources"]["limits"]["memory"]
        ),
    ),
    Row(
        "resources.limits.cpu",
        {"resources": {"limits": {"cpu": "100m"}}},
        lambda m: m.main["resources"]["limits"]["cpu"] == "100m" == m.main["resources"]["requests"]["cpu"],
    ),
    Row(
        "resources.limits.memory",
        {"resources": {"limits": {"memory": "4Gi"}}},
        lambda m: m.main["resources"]["limits"]["memory"] == "4Gi",
    ),
    Row("gpus", {"gpus": 2}, lambda m: m.main["resources"]["limits"]["nvidia.com/gpu"] == "2"),
    Row(
        "gpuResource",
        {"gpus": 1, "gpuResource": "amd.com/gpu"},
        lambda m: m.main["resources"]["requests"]["amd.com/gpu"] == "1",
    ),
    Row(
        "nodeSelector", {"nodeSelector": {"pool": "big"}}, lambda m: m.pod["nodeSelector"] == {"pool": "big"}
    ),
    *(
        Row(
            f"tolerations.{key}",
            {"tolerations": [{"key": "gpu", "operator": "Equal", "value": "yes", "effect": "NoSchedule"}]},
            lambda m: (
                m.pod["tolerations"]
                == [{"key": "gpu", "operator": "Equal", "value": "yes", "effect": "NoSchedule"}]
            ),
        )
        for key in ("key", "operator", "value", "effect")
    ),
    Row("env", {"env": {"TEAM": "a"}}, lambda m: m.env()["TEAM"] == "a"),
    Row("secrets", {"secrets": ["extra"]}, lambda m: m.env()["API_TOKEN"] == "planted-api-token"),
    Row("tmpSize", {"tmpSize": "1Gi"}, lambda m: m.volume("tmp")["emptyDir"] == {"sizeLimit": "1Gi"}),
    Row(
        "workspace.size",
        {"workspace": {"size": "2Gi"}},
        lambda m: m.volume("workspace")["emptyDir"] == {"sizeLimit": "2Gi"},
    ),
    Row(
        "workspace.claim.name",
        claim(name="data"),
        lambda m: (
            m.claim()["metadata"]["name"] == "data"
            and m.volume("workspace")["persistentVolumeClaim"]["claimName"] == "data"
        ),
    ),
    Row(
        "workspace.claim.accessMode",
        claim(accessMode="ReadWriteMany"),
        lambda m: m.claim()["spec"]["accessModes"] == ["ReadWriteMany"],
    ),
    Row(
        "workspace.claim.size",
        claim(size="7Gi"),
        lambda m: m.claim()["spec"]["resources"]["requests"]["storage"] == "7Gi",
    ),
    Row(
        "workspace.claim.storageClass",
        claim(storageClass="fast"),
        lambda m: m.claim()["spec"]["storageClassName"] == "fast",
    ),
    Row("workspace.claim.keepDays", claim(keepDays=3), lambda m: "--keep-days=3" in m.command),
    Row(
        "schedule",
        {"schedule": "0 6 * * mon-fri"},
        lambda m: m.cron["spec"]["schedule"] == "0 6 * * mon-fri" and m.cron["spec"]["suspend"] is False,
    ),
    Row(
        "timeZone",
        {"schedule": "@daily", "timeZone": "Europe/Berlin"},
        lambda m: m.cron["spec"]["timeZone"] == "Europe/Berlin",
    ),
    Row(
        "suspended",
        {"schedule": "@daily", "suspended": True},
        lambda m: m.cron["spec"]["suspend"] is True and m.cron["spec"]["schedule"] == "@daily",
    ),
    Row("concurrency", {"concurrency": "Allow"}, lambda m: m.cron["spec"]["concurrencyPolicy"] == "Allow"),
    Row("retries", {"retries": 4}, lambda m: m.job["backoffLimit"] == 4),
    Row("deadlineSeconds", {"deadlineSeconds": 60}, lambda m: m.job["activeDeadlineSeconds"] == 60),
    Row(
        "history.succeeded",
        {"history": {"succeeded": 7}},
        lambda m: m.cron["spec"]["successfulJobsHistoryLimit"] == 7,
    ),
    Row(
        "history.failed", {"history": {"failed": 8}}, lambda m: m.cron["spec"]["failedJobsHistoryLimit"] == 8
    ),
    Row("history.seconds", {"history": {"seconds": 90}}, lambda m: m.job["ttlSecondsAfterFinished"] == 90),
]


def test_a_second_attempt_waits_for_nothing_that_an_up_may_have_replaced() -> None:
    """Only what has a fixed name, and what the pod can do without: else it hangs until its deadline."""
    described = {"secrets": ["extra"], "git": {**GIT, "credentials": "git", "caBundle": "PEM"}}
    one = made(described)
    names = [each.get("configMap") or {} for each in one.pod["volumes"]]
    names += [
        each["secret"]
        for volume in one.pod["volumes"]
        for each in volume.get("projected", {}).get("sources", [])
    ]
    names += [next(iter(each.values())) for each in one.main["envFrom"]]
    sources = [each for each in names if each]
    assert len(sources) >= 4
    needed = [each for each in sources if not each.get("optional")]
    assert [each["name"] for each in needed] == ["mlflow-jobs-launcher"]
    assert one.env()["MLFLOW_TRACKING_URI"].startswith("http://mlflow-server.")
    assert "--needs=API_TOKEN" in one.command


@pytest.mark.parametrize("row", ROWS, ids=[row.path for row in ROWS])
def test_each_setting_of_a_job_reaches_its_template(row: Row) -> None:
    assert row.holds(made(row.job))


@pytest.mark.parametrize("row", ROWS, ids=[row.path for row in ROWS])
def test_no_row_of_a_job_holds_by_itself(row: Row) -> None:
    try:
        held = row.holds(made({}))
    except (KeyError, LookupError):
        held = False
    assert not held


def test_no_setting_of_a_job_is_left_out() -> None:
    assert sorted(row.path for row in ROWS) == sorted(setting_paths(Job))


def setting_paths(model: type[BaseModel], above: str = "") -> list[str]:
    found = []
    for name, field in model.model_fields.items():
        path = f"{above}{field.alias or name}"
        inner = [
            kind for kind in _kinds(field.annotation) if isinstance(kind, type) and issubclass(kind, Model)
        ]
        found += setting_paths(inner[0], f"{path}.") if inner else [path]
    return found


def _kinds(kind: Any) -> list[Any]:
    return [kind, *(inner for part in getattr(kind, "__args__", ()) for inner in _kinds(part))]


# -- what holds for every template ------------------------------------------------------------------

EVERY: dict[str, Settings] = {
    "git over https": git(credentials="git", caBundle="PEM"),
    "git over ssh": {"git": SSH},
    "this machine": {"git": {"local": "."}},
    "an image": {"git": None, "folder": "/opt/project", "image": "r.example/j:1"},
    "a volume": {"git": None, "volume": {"claim": "code"}, "workspace": {"claim": {}}},
    "a module on a schedule": {"module": "a", "schedule": "@hourly", "requirements": ["a"], "gpus": 1},
}
every = pytest.mark.parametrize("job", EVERY.values(), ids=EVERY.keys())


@every
@pytest.mark.core
def test_a_jobs_pod_passes_the_restricted_standard_and_is_bounded(job: Settings) -> None:
    pod = made(job).pod
    assert violations(pod) == []
    assert pod["enableServiceLinks"] is False
    assert pod["automountServiceAccountToken"] is False
    assert pod["serviceAccountName"] == "mlflow-jobs"
    for where, container in containers(pod):
        assert container["securityContext"]["readOnlyRootFilesystem"] is True, where
        assert {"cpu", "memory"} <= container["resources"]["requests"].keys(), where
        assert "memory" in container["resources"]["limits"], where
    for volume in pod["volumes"]:
        assert "sizeLimit" in volume.get("emptyDir", {"sizeLimit": ""}), volume


@every
@pytest.mark.core
def test_no_secret_of_a_job_stands_in_clear_text(job: Settings) -> None:
    planned = job_plan(job)
    text = str(plain([one.inputs for one in planned.resources]))
    assert planned.problems == []
    assert "planted" not in text


@every
def test_an_evicted_pod_is_no_failure_and_two_never_work_at_once(job: Settings) -> None:
    spec = made(job).job
    assert spec["podReplacementPolicy"] == "Failed"
    vain, evicted = spec["podFailurePolicy"]["rules"]
    assert evicted == {
        "action": "Ignore",
        "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}],
    }
    assert vain["action"] == "FailJob"
    assert vain["onExitCodes"] == {"containerName": "job", "operator": "In", "values": [78]}
    assert "MISDESCRIBED = 78" in LAUNCHER.read_text()
    assert spec["backoffLimit"] == 1


@every
def test_what_the_program_sets_on_a_job_is_reserved(job: Settings) -> None:
    names = set(made(job).env())
    assert names <= RESERVED_IN_JOBS.keys()


@every
@pytest.mark.parametrize("preview", [False, True], ids=["known", "unknown"])
def test_a_template_is_planned_with_everything_known_and_with_nothing(job: Settings, preview: bool) -> None:
    settings = {"jobs": {"train": {"git": GIT, **job}}, "secrets": GROUPS}
    assert plan(settings, preview=preview).problems == []


def test_git_sync_is_upstreams_image_runs_once_and_hands_its_secret_to_nobody() -> None:
    found = made(git(credentials="git"))
    assert found.fetch["image"] == GIT_SYNC.reference == "registry.k8s.io/git-sync/git-sync:v4.7.1"
    assert "--one-time" in found.flags
    assert not [each for each in found.fetch["env"] if each["name"].startswith("GITSYNC_")]
    assert "git-secret" in [mount["name"] for mount in found.fetch["volumeMounts"]]
    assert not {"git-secret", "git-tmp"} & {mount["name"] for mount in found.main["volumeMounts"]}
    assert found.fetch["securityContext"]["runAsUser"] == 65533
    assert {"name": "GIT_CONFIG_KEY_0", "value": "safe.directory"} in found.main["env"]


def test_ssh_checks_hosts_against_the_given_keys() -> None:
    found = made({"git": SSH})
    sources = found.volume("git-secret")["projected"]["sources"]
    assert [item["path"] for source in sources for item in source["secret"]["items"]] == [
        "ssh",
        "known_hosts",
    ]
    assert "--ssh-known-hosts-file=/etc/git-secret/known_hosts" in found.flags
    assert not any(flag.startswith("--ssh-known-hosts=") for flag in found.flags)


def test_a_template_without_a_schedule_is_suspended() -> None:
    assert made({}).cron["spec"]["suspend"] is True


def test_a_workspace_that_holds_data_is_guarded_on_every_stack_but_dev() -> None:
    stack = {"jobs": {"train": {"git": GIT, "workspace": {"claim": {}}}}, "protect": True}
    assert plan(stack).one("PersistentVolumeClaim", "mlflow-jobs-train").protect
    assert not job_plan(claim()).one("PersistentVolumeClaim", "mlflow-jobs-train").protect


def test_without_jobs_nothing_of_theirs_is_made() -> None:
    planned = plan({"jobs": None})
    assert not planned.of_type("CronJob")
    assert not [one.name for one in planned.resources if one.name.startswith("mlflow-jobs-launcher")]


def test_a_template_is_named_after_its_job_and_the_launcher_keeps_its_name() -> None:
    found = made({})
    assert found.cron["metadata"]["name"] == "train"
    assert name_of(found.plan.one("ConfigMap", "mlflow-jobs-launcher")) == "mlflow-jobs-launcher"


# -- refusals ---------------------------------------------------------------------------------------

REFUSED: list[tuple[Settings, str, str]] = [
    ({"git": None}, "mlflow:jobs.train", "has no code"),
    ({"folder": "/opt/x", "image": "r/x:1"}, "mlflow:jobs.train", "has git and folder"),
    ({"git": None, "folder": "/opt/x"}, "mlflow:jobs.train.image", "is missing"),
    ({"git": {}}, "mlflow:jobs.train.git.repo", "is missing"),
    (git(local="."), "mlflow:jobs.train.git.repo", "exclude each other"),
    (git(repo="http://h/x"), "mlflow:jobs.train.git.repo", "must be https://host/path"),
    (git(repo="https://user:planted@h/x"), "mlflow:jobs.train.git.repo", "must hold no credentials"),
    (git(ref="--upload-pack=x"), "mlflow:jobs.train.git.ref", "must be a branch, a tag or a commit"),
    (git(path="../x"), "mlflow:jobs.train.git.path", "must be a folder inside"),
    (git(credentials="nope"), "mlflow:jobs.train.git.credentials", "there is no secret group nope"),
    (git(credentials="extra"), "mlflow:jobs.train.git.credentials", "lacks GIT_TOKEN"),
    (git(repo="git@h:x.git"), "mlflow:jobs.train.git.credentials", "is missing; SSH needs"),
    (git(repo="git@h:x.git", credentials="git"), "mlflow:jobs.train.git.credentials", "lacks GIT_SSH_KEY"),
    (git(repo="git@h:x.git", credentials="ssh", caBundle="x"), "mlflow:jobs.train.git.caBundle", "only fits"),
    ({"module": "a", "command": ["b"]}, "mlflow:jobs.train.command", "set beside module"),
    ({"module": "a", "entryPoint": "main"}, "mlflow:jobs.train.entryPoint", "set beside module"),
    ({"command": ["a"], "parameters": {"x": 1}}, "mlflow:jobs.train.parameters", "only fit an entry point"),
    ({"arguments": ["a"]}, "mlflow:jobs.train.arguments", "only fits a module"),
    ({"module": "a b"}, "mlflow:jobs.train.module", "should match pattern"),
    (
        {"requirements": ["a"], "requirementsFile": "r.txt"},
        "mlflow:jobs.train.requirementsFile",
        "set beside requirements",
    ),
    ({"secrets": ["nope"]}, "mlflow:jobs.train.secrets[0]", "there is no secret group nope"),
    ({"secrets": ["extra"], "env": {"API_TOKEN": "x"}}, "mlflow:jobs.train.secrets[0]", "API_TOKEN is set"),
    ({"env": {"HOME": "/x"}}, "mlflow:jobs.train.env.HOME", "is set by the program"),
    ({"env": {"MLFLOW_RUN_ID": "x"}}, "mlflow:jobs.train.env.MLFLOW_RUN_ID", "a run of its own"),
    ({"image": "r.example/j"}, "mlflow:jobs.train.image", "needs a fixed tag"),
    ({"image": "r.example/j:latest"}, "mlflow:jobs.train.image", "latest is refused"),
    ({"schedule": "61 * * * *"}, "mlflow:jobs.train.schedule", "has a minute '61': allowed are 0 to 59"),
    ({"schedule": "* * * *"}, "mlflow:jobs.train.schedule", "must have five fields"),
    ({"schedule": "0 0 * * 7"}, "mlflow:jobs.train.schedule", "allowed are 0 to 6"),
    ({"schedule": "@fortnightly"}, "mlflow:jobs.train.schedule", "must be one of"),
    ({"schedule": "CRON_TZ=UTC * * * * *"}, "mlflow:jobs.train.schedule", "set timeZone"),
    ({"schedule": "@daily", "timeZone": "Mars/Base"}, "mlflow:jobs.train.timeZone", "time zone database"),
    ({"timeZone": "Etc/UTC"}, "mlflow:jobs.train.timeZone", "only fits a job with a schedule"),
    ({"suspended": True}, "mlflow:jobs.train.suspended", "only fits a job with a schedule"),
    ({**claim(), "concurrency": "Allow"}, "mlflow:jobs.train.concurrency", "the workspace is ReadWriteOnce"),
    ({"entrypoint": "main"}, "mlflow:jobs.train.entrypoint", "did you mean entryPoint?"),
]


@pytest.mark.parametrize(
    ("job", "key", "words"), REFUSED, ids=[f"{key} {words}" for _, key, words in REFUSED]
)
def test_a_job_that_cannot_work_is_refused_with_its_key(job: Settings, key: str, words: str) -> None:
    with pytest.raises(Failure, match="nothing was changed") as refused:
        job_plan(job)
    lines = [line for line in str(refused.value).splitlines() if f"- {key}: " in line]
    assert lines, str(refused.value)
    assert words in lines[0]
    assert "planted" not in str(refused.value)


@pytest.mark.parametrize(
    ("name", "words"),
    [("Train", "should match pattern"), ("t" * 53, "at most 52 characters")],
)
def test_a_job_name_that_the_cluster_would_refuse_is_refused(name: str, words: str) -> None:
    with pytest.raises(Failure, match=f"mlflow:jobs.{name}: .*{words}"):
        plan({"jobs": {name: {"git": GIT}}})


def test_code_of_this_machine_is_refused_on_a_cloud() -> None:
    with pytest.raises(Failure, match=r"mlflow:jobs\.train\.git\.local: only fits a dev stack"):
        plan({"jobs": {"train": {"git": {"local": "."}}}}, stack="aws")


def test_two_jobs_do_not_share_a_claim_by_accident() -> None:
    job = {"git": GIT, "workspace": {"claim": {"name": "data"}}}
    with pytest.raises(Failure, match=r"mlflow:jobs\.b\.workspace\.claim\.name: is that of mlflow:jobs\.a"):
        plan({"jobs": {"a": job, "b": job}})


# -- many -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 40])
def test_a_job_costs_its_template_and_nothing_else(count: int) -> None:
    """What a job adds is the same for one and for many; what it takes in time: docs/performance.md."""
    none = len(plan({"jobs": None}).resources)
    some = plan({"jobs": {f"job-{n}": {"git": GIT} for n in range(count)}})
    # The component of all, the launcher; and for each its component and its CronJob.
    assert len(some.resources) == none + 2 + 2 * count
