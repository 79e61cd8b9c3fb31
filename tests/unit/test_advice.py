"""What a person is told to do about an error of a cloud, in that cloud's own words."""

from __future__ import annotations

import pytest

from tools.engine.advice import hint_for

pytestmark = pytest.mark.unit

AZURE = {
    "storage that grew by itself": (
        "Requested data Disk size '131072' cannot be less than current size '2097152'. Please make sure to "
        "request correct disk size.",
        "make refresh STACK=ml; and where mlflow:database.storageGb is set",
    ),
    "storage of MySQL that grew by itself": (
        'Code="UnsupportedUpdate" Message="Cannot update StorageMB Downscaling for server"',
        "make refresh STACK=ml",
    ),
    "a right that the cluster does not have yet": (
        'Code="CustomKubeletIdentityMissingPermissionError" Message="The cluster using user-assigned managed '
        'identity must be granted permission to assign the kubelet identity."',
        "make up STACK=ml goes on",
    ),
    "an identity that nobody knows yet": (
        'Code="PrincipalNotFound" Message="Principal 4c1a does not exist in the directory 22d3."',
        "make up STACK=ml goes on",
    ),
    "a lock of the stack's own": (
        'Code="ScopeLocked" Message="The scope \'/subscriptions/1/roleAssignments/2\' cannot perform delete '
        "operation because following scope(s) are locked: '/subscriptions/1'. Please remove the lock and try "
        'again."',
        "set mlflow:azure.locks: false",
    ),
}


@pytest.mark.parametrize(("said", "told"), AZURE.values(), ids=AZURE.keys())
def test_an_error_that_only_azure_has_comes_with_what_to_do(said: str, told: str) -> None:
    assert told in hint_for(f"update failed: error: {said}", "up", "ml")


def test_an_error_that_nobody_knows_is_left_to_its_own_words() -> None:
    assert hint_for("error: the moon is down", "up", "ml").startswith("correct what the first error names")
