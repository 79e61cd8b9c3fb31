"""`make jobs` asks a tracking server: its sign-ins, its certificates, its silence."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cluster.outside import Authority
from tests.unit.test_pod_api import Server as Answers
from tests.unit.test_pod_api import serving
from tools.common import Failure
from tools.deployed import Deployed
from tools.jobs import server as asked
from tools.jobs.__main__ import last_runs
from tools.jobs.server import Server
from tools.settings import settings_of

pytestmark = pytest.mark.unit
USER = {"MLFLOW_TRACKING_USERNAME": "team", "MLFLOW_TRACKING_PASSWORD": "word"}


@dataclass
class Team:
    """A jobs-only stack whose server is of this machine."""

    answers: Answers
    deployed: Deployed
    root: Path
    certificate: str

    def knows(self, ca_bundle: str | None) -> None:
        tracking: dict[str, Any] = {"url": f"https://127.0.0.1:{self.answers.port}", "namespace": "team"}
        if ca_bundle:
            tracking["caBundle"] = ca_bundle
        config = {"mlflow:cloud": "existing", "mlflow:tracking": tracking}
        (self.root / "Pulumi.team.yaml").write_text(yaml.safe_dump({"config": config}))


@pytest.fixture
def team(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Team]:
    authority = Authority.make(tmp_path / "ca")
    authority.issue("api", "IP:127.0.0.1")
    (tmp_path / "Pulumi.yaml").write_text("name: mlflow\nruntime: python\n")
    monkeypatch.setattr(asked, "settings_of", lambda stack: settings_of(stack, tmp_path))
    with serving(authority, "api") as answers:
        outputs = {"url": f"https://127.0.0.1:{answers.port}/", "namespace": "team"}
        made = Team(answers, Deployed("team", outputs, ()), tmp_path, authority.certificate)
        made.knows(authority.certificate)
        yield made


@pytest.mark.parametrize(
    ("signs_in", "header"),
    [(USER, "Basic dGVhbTp3b3Jk"), ({"MLFLOW_TRACKING_TOKEN": "given"}, "Bearer given"), ({}, None)],
)
def test_it_signs_in_by_password_by_token_or_not_at_all(
    signs_in: dict[str, str], header: str | None, team: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asked, "credentials", lambda _: signs_in)
    team.answers.says({"experiments": []})
    template = {"metadata": {"annotations": {"mlflow/experiment": "churn"}, "labels": {}}}
    assert last_runs(team.deployed, {"churn": template}) == {}
    (one,) = team.answers.asked
    assert (one.path, one.token) == ("/api/2.0/mlflow/experiments/search", header)


def test_an_authority_that_nobody_named_is_refused_with_the_key_that_names_it(
    team: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asked, "credentials", lambda _: {})
    team.knows(None)
    with pytest.raises(Failure, match="CERTIFICATE_VERIFY_FAILED") as refused:
        Server(team.deployed).ask("experiments/search", {})
    assert "mlflow:tracking.caBundle" in refused.value.hint


def test_a_refusal_is_told_in_the_servers_own_words(team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asked, "credentials", lambda _: USER)
    team.answers.says({"message": "no such user"}, status=401)
    with pytest.raises(Failure, match="no such user") as refused:
        Server(team.deployed).ask("experiments/search", {})
    assert "make status STACK=team" in refused.value.hint
