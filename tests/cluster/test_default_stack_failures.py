"""A start that fails: `up` says why within its limit, and the old server goes on serving."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.cluster.clone import Done
from tests.cluster.experiments import Logged
from tests.cluster.stack import POSTGRESQL, Stack, Stage, is_ready

FAIL_LIMIT = 240
"""Seconds in which a server that cannot start must have failed `up`."""


def _fails(stack: Stack, stage: Stage, tell: Callable[[str], None], **settings: Any) -> Done:
    """What `up` says about these settings, with which the server cannot start."""
    stage.changed()
    stack.configure(**POSTGRESQL, **settings)
    done = stack.up(check=False)
    tell(f"    up failed after {done.seconds:.0f} s")
    assert done.code == 1
    assert done.seconds < FAIL_LIMIT
    assert "What to do:" in done.told
    return done


def test_a_server_with_too_little_memory_fails_up_with_the_reason_while_the_old_one_serves(
    postgresql: Stack, logged: Logged, stage: Stage, tell: Callable[[str], None]
) -> None:
    serving = postgresql.pod_of("server")["metadata"]["uid"]
    little = {"requests": {"memory": "64Mi"}, "limits": {"memory": "96Mi"}}
    done = _fails(postgresql, stage, tell, server={"resources": little})
    assert "OOMKilled" in done.told, done.told[-3000:]
    assert postgresql.ask("/health").status == 200
    assert postgresql.api("runs/get", run_id=logged.run)
    alive = [pod["metadata"]["uid"] for pod in postgresql.objects("pods") if is_ready(pod)]
    assert serving in alive


@pytest.mark.core
def test_an_image_that_does_not_fit_fails_up_with_its_last_words_and_the_old_server_serves(
    postgresql: Stack, logged: Logged, stage: Stage, tell: Callable[[str], None]
) -> None:
    # It exists and holds MLflow, but no database driver.
    job = postgresql.clone.local("images.json")["images"]["job"]["reference"]
    done = _fails(postgresql, stage, tell, images={"server": job})
    assert "No module named 'psycopg2'" in done.told, done.told[-3000:]
    assert postgresql.api("runs/get", run_id=logged.run)


def test_after_a_failed_up_the_corrected_settings_come_up(postgresql: Stack, logged: Logged) -> None:
    # The fixture has just brought the corrected settings up.
    assert postgresql.api("runs/get", run_id=logged.run)
    assert is_ready(postgresql.pod_of("server"))
