"""The default stack with sign-in."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cluster.quickstart import printed_run
from tests.cluster.stack import SignedIn, Stack, is_ready

SEARCH = "/api/2.0/mlflow/experiments/get?experiment_id=0"


@pytest.mark.core
def test_probes_pass_and_nobody_enters_without_a_password(signed: SignedIn) -> None:
    stack = signed.stack
    assert is_ready(stack.pod_of("server"))
    assert stack.ask("/health").status == 200
    assert stack.ask(SEARCH).status == 401
    for wrong in ("wrong", "password1234", ""):
        assert stack.ask(SEARCH, user=("admin", wrong)).status == 401
    assert stack.ask(SEARCH, user=signed.admin).status == 200
    assert stack.ask(SEARCH, user=signed.jobs).status == 200


@pytest.mark.core
def test_users_survive_the_death_of_the_server(signed: SignedIn) -> None:
    stack = signed.stack
    mona = ("mona", "a-long-password-of-mona")
    made = stack.ask(
        "/api/2.0/mlflow/users/create", {"username": mona[0], "password": mona[1]}, user=signed.admin
    )
    assert made.status == 200, made.body
    stack.killed("server", lambda killed: killed.kill_pod("server"))
    for user in (signed.admin, signed.jobs, mona):
        assert stack.ask(SEARCH, user=user).status == 200, user[0]


@pytest.mark.core
def test_a_client_outside_and_a_pod_sign_in_and_share_their_experiment(signed: SignedIn) -> None:
    stack, project = signed.stack, _renamed(signed.stack, "shared")
    here = stack.train("--from", "here", "--project", str(project), "--param", "alpha=0.2")
    pod = stack.train("--project", str(project))
    first, second = (printed_run(stack, done.out, signed.admin) for done in (here, pod))
    assert first["info"]["experiment_id"] == second["info"]["experiment_id"]
    assert {"key": "alpha", "value": "0.2"} in first["data"]["params"]
    for secret in (signed.admin[1], signed.jobs[1]):
        assert secret not in here.text + pod.text


def test_status_tells_the_user_and_how_to_see_the_password_but_not_the_password(signed: SignedIn) -> None:
    status = signed.stack.clone.verb("status", signed.stack.name).out
    assert "user admin" in status
    assert f"pulumi stack output adminPassword --show-secrets --stack {signed.stack.name}" in status
    assert signed.admin[1] not in status


def _renamed(stack: Stack, name: str) -> Path:
    """The quickstart under another name: other users may only read what the first one made."""
    source = stack.clone.root / "examples" / "quickstart"
    folder = source.parent / name
    folder.mkdir(exist_ok=True)
    for path in source.iterdir():
        text = path.read_text().replace("quickstart-diabetes", f"{name}-diabetes")
        (folder / path.name).write_text(text.replace("name: quickstart", f"name: {name}"))
    stack.clone.commit(f"project {name}")
    return folder
