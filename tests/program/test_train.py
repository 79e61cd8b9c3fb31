"""The pod of `make train` is made as those of job templates are, on whatever cloud."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.program.conftest import plan_of
from tests.program.pod_security import violations
from tests.program.test_jobs_only import STACK, one_cron, stack_plan
from tools.deployed import Deployed
from tools.jobs.pod import job_manifest
from tools.jobs.project import Project, read_project
from tools.offline import Plan
from tools.offline.wire import plain

pytestmark = pytest.mark.program
CASES = ["aws in production", "azure in production"]
"""One cluster whose nodes come and go, and one that knows pods by their labels."""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "MLproject").write_text("name: Churn\nentry_points: {main: {command: python train.py}}\n")
    return read_project(folder)


def made(planned: Plan, project: Project) -> dict[str, Any]:
    outputs = {name: plain(value) for name, value in planned.outputs.items()}
    deployed = Deployed("team", outputs, ())
    items = [{"key": "file-0", "path": "MLproject"}]
    return job_manifest(deployed, project, "train-churn", items, ["alpha=1"], 60)


def named(found: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {each["name"]: each for each in found}


def test_it_has_what_every_job_of_the_stack_has(tmp_path: Path, project: Project) -> None:
    images = {**STACK["images"], "pullSecrets": ["registry"]}
    planned = stack_plan(tmp_path, images=images)
    train = made(planned, project)
    pod = train["spec"]["template"]["spec"]
    job = one_cron(planned, "churn")["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    # The whole pod, but for what only templates have: a place, code of their own, a workspace.
    own = {"containers", "initContainers", "volumes", "nodeSelector", "tolerations"}
    assert {key: pod[key] for key in pod.keys() - own} == {key: job[key] for key in job.keys() - own}
    main, other = pod["containers"][0], job["containers"][0]
    own = {"name", "command", "env", "envFrom", "volumeMounts"}
    assert {key: main[key] for key in main.keys() - own} == {key: other[key] for key in other.keys() - own}
    assert {"HOME", "TMPDIR", "GIT_CONFIG_VALUE_0"} <= named(main["env"]).keys()
    sources = [next(iter(each.values()))["name"] for each in main["envFrom"]]
    assert sources[0] == plain(planned.outputs["jobsConfigMap"])
    assert sources[1] == plain(planned.outputs["jobsSecret"])
    for found, wanted in ((main["volumeMounts"], other["volumeMounts"]), (pod["volumes"], job["volumes"])):
        assert named(found)["tracking-ca"] == named(wanted)["tracking-ca"]
        assert named(found)["tmp"] == named(wanted)["tmp"]
    assert violations(train) == []


def test_its_code_is_the_projects_and_its_launcher_that_of_this_checkout(
    tmp_path: Path, project: Project
) -> None:
    train = made(stack_plan(tmp_path), project)
    pod = train["spec"]["template"]["spec"]
    main = pod["containers"][0]
    assert main["command"][:5] == ["python", "/launcher/launcher.py", "/project", "--experiment", "Churn"]
    assert main["command"][5:7] == ["--param", "alpha=1"]
    volumes = named(pod["volumes"])
    assert (
        volumes["launcher"]["configMap"]["name"] == volumes["project"]["configMap"]["name"] == "train-churn"
    )
    assert volumes["project"]["configMap"]["items"] == [{"key": "file-0", "path": "MLproject"}]
    assert named(main["volumeMounts"])["project"]["readOnly"]


@pytest.mark.parametrize("case", CASES)
def test_it_is_somebody_in_the_cloud_and_no_node_is_taken_from_under_it(project: Project, case: str) -> None:
    planned = plan_of(case)
    template = made(planned, project)["spec"]["template"]
    jobs = [each for each in planned.kubernetes_objects() if each["kind"] == "CronJob"]
    shared = plain(planned.outputs["jobsPods"])
    for job in jobs:
        metadata = job["spec"]["jobTemplate"]["spec"]["template"]["metadata"]
        assert shared["labels"].items() <= metadata["labels"].items()
        assert shared["annotations"] == (metadata.get("annotations") or {})
    assert shared["labels"] or shared["annotations"]
    assert shared["labels"].items() <= template["metadata"]["labels"].items()
    assert template["metadata"]["annotations"] == shared["annotations"]
    assert template["spec"]["serviceAccountName"] == plain(planned.outputs["jobsServiceAccount"])
