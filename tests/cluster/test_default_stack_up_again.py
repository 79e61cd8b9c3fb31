"""Down leaves nothing, and up works again on the same cluster."""

from __future__ import annotations

import pytest

from tests.cluster.experiments import assert_readable_from_another_pod, log_from_a_pod
from tests.cluster.stack import SIGNED_IN, Stack, Stage, eventually, local_files


@pytest.mark.core
def test_down_asks_then_leaves_nothing_and_up_works_again(postgresql: Stack, stage: Stage) -> None:
    stack = postgresql
    assert stack.clone.git("status", "--porcelain") == "", "a verb wrote into tracked files"
    refused = stack.clone.verb("down", stack.name, check=False)
    assert refused.code == 1
    assert "PersistentVolumeClaim" in refused.told  # it says what would be lost
    assert stack.ask("/health").status == 200

    stage.clear()
    assert "NotFound" in stack.kubectl("get", "namespace", stack.namespace, check=False)
    # The provisioner removes a volume once its claim is gone.
    eventually(lambda: volumes_of(stack) == [], 60, "volumes are left")
    assert stack.ask("/health", limit=3).status == 0
    assert local_files(stack) == []
    assert stack.clone.git("status", "--porcelain") == ""

    # Now with sign-in from the start; the tests that follow use it.
    stage.show(stack, SIGNED_IN)
    assert_readable_from_another_pod(stack, stage.once(log_from_a_pod))


def volumes_of(stack: Stack) -> list[str]:
    """Volumes that were made for claims of the stack."""
    volumes = stack.objects("persistentvolumes")
    mine = [v for v in volumes if v["spec"].get("claimRef", {}).get("namespace") == stack.namespace]
    return [volume["metadata"]["name"] for volume in mine]
