"""A stack without a server of its own: what it may say, and what is refused by its key."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from components.data_places import data_places
from components.settings import SettingsError, parse, with_server
from components.settings.existing import ExistingStack
from tools.access import kubectl_of_stack
from tools.common import Failure
from tools.validate import ClusterAccess, Subject
from tools.validate.classes import classes
from tools.validate.existing import existing

URL = "http://mlflow-server.mlflow.svc.cluster.local"
TRACKING: dict[str, Any] = {"url": URL, "namespace": "team-a"}
USER = {"sign-in": {"user": {"MLFLOW_TRACKING_USERNAME": "a", "MLFLOW_TRACKING_PASSWORD": "planted"}}}


def settings(**more: Any) -> ExistingStack:
    found = parse({"cloud": "existing", "tracking": TRACKING, **more}, secret_keys={"secrets"})
    assert isinstance(found, ExistingStack)
    return found


def refused(**more: Any) -> list[str]:
    with pytest.raises(SettingsError) as error:
        settings(**more)
    return [str(problem) for problem in error.value.problems]


def test_an_address_and_a_namespace_are_enough() -> None:
    found = settings()
    assert found.namespace == "team-a"
    assert found.tracking.service_account == "default"


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"tracking": {"url": URL}}, "mlflow:tracking.namespace: is missing"),
        ({"tracking": {"namespace": "a"}}, "mlflow:tracking.url: is missing; give the server's address"),
        ({"tracking": {**TRACKING, "stack": "a/b/c"}}, "mlflow:tracking.stack: is set beside url"),
        ({"tracking": {"stack": "mlflow-prod", "namespace": "a"}}, "mlflow:tracking.stack: "),
        ({"tracking": {**TRACKING, "url": "mlflow.example.com"}}, "mlflow:tracking.url: "),
        ({"tracking": {**TRACKING, "namespace": "kube-system"}}, "mlflow:tracking.namespace: kube-system is"),
        (
            {"tracking": {**TRACKING, "caBundle": "PEM"}},
            "mlflow:tracking.caBundle: only fits an https:// url",
        ),
        (
            {"tracking": {**TRACKING, "credentials": "sign-in"}},
            "mlflow:tracking.credentials: there is no secret group sign-in",
        ),
        (
            {
                "tracking": {**TRACKING, "credentials": "sign-in"},
                "secrets": {"sign-in": {"user": {"MLFLOW_TRACKING_USERNAME": "a"}}},
            },
            "mlflow:tracking.credentials: group sign-in must be one Secret that holds",
        ),
        ({"cluster": {"context": "team"}}, "mlflow:images.job: is missing"),
        ({"cluster": {"kubeconfig": "/k"}}, "mlflow:cluster.kubeconfig: only fits a context"),
        ({"images": {"job": "r.example.com/job:latest"}}, "mlflow:images.job: needs a fixed tag"),
        ({"images": {"gitSync": "r.example.com/git-sync"}}, "mlflow:images.gitSync: needs a fixed tag"),
        ({"database": {"engine": "mysql"}}, "mlflow:database: is unknown"),
        ({"server": {"replicas": 2}}, "mlflow:server: is unknown"),
        ({"namespace": "a"}, "mlflow:namespace: is unknown"),
        (
            {"jobs": {"train": {"git": {"local": "."}}}},
            "mlflow:jobs.train.git.local: only fits a dev stack",
        ),
    ],
)
def test_each_mistake_is_refused_by_its_key(more: dict[str, Any], told: str) -> None:
    problems = refused(**more)
    assert len(problems) == 1, problems
    assert problems[0].startswith(told)


def test_a_password_in_the_address_is_refused_and_never_shown() -> None:
    (problem,) = refused(tracking={**TRACKING, "url": "https://me:planted@mlflow.example.com"})
    assert problem.startswith("mlflow:tracking.url")
    assert "credentials" in problem
    assert "planted" not in problem


def test_it_is_no_stack_with_a_server() -> None:
    with pytest.raises(TypeError):
        with_server(settings())


def test_only_a_workspace_that_is_kept_ties_it_to_its_namespace() -> None:
    job = {"git": {"repo": "https://git.example.com/team/churn.git"}}
    assert data_places(settings(jobs={"train": job}), None) == {}
    kept = settings(jobs={"train": {**job, "workspace": {"claim": {}}}})
    assert data_places(kept, None)["mlflow:tracking.namespace"] == "team-a"


def test_the_verbs_use_the_context_that_the_stack_names_and_never_the_current_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_KUBECTL", "/bin/kubectl")
    (tmp_path / "Pulumi.yaml").write_text("name: mlflow\n")
    file = tmp_path / "Pulumi.team.yaml"
    file.write_text(
        "config:\n  mlflow:cloud: existing\n  mlflow:cluster: { context: team, kubeconfig: /k }\n"
    )
    assert kubectl_of_stack("team", {}, tmp_path) == (
        "/bin/kubectl", "--kubeconfig", "/k", "--context", "team",
    )  # fmt: skip
    file.write_text("config:\n  mlflow:cloud: existing\n")
    with pytest.raises(Failure, match="there is no cluster"):
        kubectl_of_stack("team", {}, tmp_path)


class Answering(ClusterAccess):
    """A cluster whose kubectl says this, or fails with it."""

    def __init__(self, said: str | Failure) -> None:
        super().__init__(())
        object.__setattr__(self, "said", said)

    def kubectl(self, *words: str, manifest: Any = None, limit: float = 0) -> str:  # noqa: ARG002
        said: Any = self.said  # type: ignore[attr-defined]
        if isinstance(said, Failure):
            raise said
        return said


@pytest.mark.parametrize(
    ("said", "fails"),
    [("serviceaccount/default\n", None), ("", True), (Failure("kubectl exited 1\nForbidden"), False)],
)
def test_an_account_that_is_not_there_is_found(said: str | Failure, fails: bool | None) -> None:
    found = list(existing(Subject("team", settings(), [], Answering(said), None)))
    assert [each.fails for each in found] == ([] if fails is None else [fails])
    assert all(each.key == "mlflow:tracking.serviceAccount" for each in found)


def test_a_pull_secret_that_is_not_there_is_found_by_its_place() -> None:
    pulls = settings(images={"pullSecrets": ["registry", "mirror"]})
    found = list(existing(Subject("team", pulls, [], Answering(""), None)))
    assert [(each.key, each.fails) for each in found][1:] == [
        ("mlflow:images.pullSecrets[0]", True),
        ("mlflow:images.pullSecrets[1]", True),
    ]
    assert "there is no Secret mirror in namespace team-a" in found[2].text


def test_who_may_not_list_classes_is_only_warned() -> None:
    claim = {
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "train-workspace", "labels": {"mlflow/job": "train"}},
        "spec": {},
    }
    (finding,) = classes(Subject("team", settings(), [claim], Answering(Failure("Forbidden")), None))
    assert (finding.key, finding.fails) == ("mlflow:cluster", False)
