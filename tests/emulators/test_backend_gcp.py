"""`make backend` on Google Cloud: what it asks Google for, and what it leaves alone."""

from __future__ import annotations

from typing import Any

import pytest

from tests.emulators.google_apis import Google, use
from tools.backend.gcp import NAME_LIMIT, bucket_name, ensure
from tools.common import Failure

pytestmark = pytest.mark.emulators

CONFIG = {"gcp:project": "acme-ml", "gcp:region": "europe-west1"}
BUCKET = "mlflow-state-acme-ml-europe-west1"
KEY = "projects/acme-ml/locations/europe-west1/keyRings/mlflow-state/cryptoKeys/secrets"


@pytest.fixture
def google(monkeypatch: pytest.MonkeyPatch) -> Google:
    """A project in which nothing is."""
    return use(Google(), monkeypatch)


def test_bucket_and_key_are_private_versioned_and_rotated(google: Google) -> None:
    backend = ensure("mlflow", CONFIG)
    assert backend.url == f"gs://{BUCKET}"
    assert backend.secrets_provider == f"gcpkms://{KEY}"
    bucket, key = google.buckets[BUCKET], google.keys[KEY]
    assert bucket["location"] == "europe-west1"
    assert bucket["iamConfiguration"] == {
        "uniformBucketLevelAccess": {"enabled": True},
        "publicAccessPrevention": "enforced",
    }
    assert bucket["versioning"] == {"enabled": True}
    conditions = [rule["condition"] for rule in bucket["lifecycle"]["rule"]]
    assert {"daysSinceNoncurrentTime": 365} in conditions
    deleting = [rule for rule in bucket["lifecycle"]["rule"] if rule["action"]["type"] == "Delete"]
    assert [set(rule["condition"]) for rule in deleting] == [{"daysSinceNoncurrentTime"}], (
        "a state in use must never expire"
    )
    assert key["purpose"] == "ENCRYPT_DECRYPT"
    assert key["rotationPeriod"] == "7776000s"
    assert {"pulumi-project": "mlflow", "purpose": "pulumi-state"} == bucket["labels"] == key["labels"]


def test_a_second_run_changes_nothing(google: Google) -> None:
    first = ensure("mlflow", CONFIG)
    assert first.made
    google.calls.clear()
    again = ensure("mlflow", CONFIG)
    assert again.made == []
    assert (again.url, again.secrets_provider) == (first.url, first.secrets_provider)
    assert google.calls
    assert google.changes == []


@pytest.mark.parametrize("after", range(3))
def test_a_run_that_ended_in_between_is_finished_by_the_next(
    google: Google, after: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = google.answer

    def until(*words: Any) -> tuple[int, dict[str, Any]]:
        if len(google.changes) == after and words[0] != "GET":
            raise KeyboardInterrupt
        return answer(*words)

    with monkeypatch.context() as patch:
        patch.setattr(google, "answer", until)
        with pytest.raises(KeyboardInterrupt):
            ensure("mlflow", CONFIG)
    ensure("mlflow", CONFIG)
    assert (set(google.buckets), google.rings) == ({BUCKET}, {KEY.partition("/cryptoKeys")[0]})
    assert ensure("mlflow", CONFIG).made == []


def test_what_somebody_took_away_is_put_back_and_what_they_added_stays(google: Google) -> None:
    ensure("mlflow", CONFIG)
    bucket = google.buckets[BUCKET]
    bucket["labels"] = {**bucket["labels"], "team": "ml"}
    bucket["versioning"] = {"enabled": False}
    bucket["iamConfiguration"]["publicAccessPrevention"] = "inherited"
    bucket["lifecycle"]["rule"] = theirs = [
        {"action": {"type": "Delete"}, "condition": {"numNewerVersions": 9}}
    ]
    del google.keys[KEY]["rotationPeriod"]
    assert ensure("mlflow", CONFIG).made == [
        "versioning",
        "no public access",
        "rotation of the key every 90 days",
    ]
    assert bucket["versioning"] == {"enabled": True}
    assert bucket["iamConfiguration"]["publicAccessPrevention"] == "enforced"
    assert bucket["lifecycle"]["rule"] == theirs
    assert bucket["labels"]["team"] == "ml"


@pytest.mark.parametrize("theirs", [{"closed": True}, {"projectNumber": "999", "labels": {}}])
def test_a_bucket_in_another_project_is_refused_before_anything_is_made(
    google: Google, theirs: dict[str, Any]
) -> None:
    """Whoever guesses its name could make it first, and let us write our states into it."""
    google.buckets[BUCKET] = {"name": BUCKET, "metageneration": "1", **theirs}
    with pytest.raises(Failure, match="another project"):
        ensure("mlflow", CONFIG)
    assert google.changes == []


def test_a_bucket_of_another_purpose_is_refused_and_left_as_it_is(google: Google) -> None:
    google.buckets[BUCKET] = {"name": BUCKET, "projectNumber": "123456789012", "metageneration": "1"}
    with pytest.raises(Failure, match="did not make it") as refused:
        ensure("mlflow", CONFIG)
    assert "pulumi-project=mlflow, purpose=pulumi-state" in refused.value.hint
    assert google.changes == []


def test_a_key_that_is_to_be_destroyed_is_refused_with_the_way_back(google: Google) -> None:
    ensure("mlflow", CONFIG)
    google.keys[KEY]["primary"]["state"] = "DESTROY_SCHEDULED"
    with pytest.raises(Failure, match="DESTROY_SCHEDULED") as refused:
        ensure("mlflow", CONFIG)
    assert f"versions restore 1 --key {KEY}" in refused.value.hint


def test_an_api_that_is_off_is_named_with_the_command_that_switches_it_on(google: Google) -> None:
    google.disabled.add("cloudkms.googleapis.com")
    with pytest.raises(Failure, match=r"cloudkms\.googleapis\.com") as refused:
        ensure("mlflow", CONFIG)
    assert refused.value.hint == "gcloud services enable cloudkms.googleapis.com --project acme-ml"


def test_without_a_project_region_right_or_credentials_it_says_what_to_do(
    google: Google, monkeypatch: pytest.MonkeyPatch
) -> None:
    for key in CONFIG:
        with pytest.raises(Failure) as refused:
            ensure("mlflow", {name: value for name, value in CONFIG.items() if name != key})
        assert key in refused.value.hint
    with pytest.raises(Failure, match="permission") as refused:
        ensure("mlflow", CONFIG | {"gcp:project": "others"})
    assert "roles/storage.admin" in refused.value.hint
    monkeypatch.delenv("GOOGLE_OAUTH_ACCESS_TOKEN")
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", "/nowhere")
    with pytest.raises(Failure, match="no Google credentials"):
        ensure("mlflow", CONFIG)


@pytest.mark.parametrize("place", ["acme-ml", "a" * 30, "example.com:acme-ml"])
@pytest.mark.parametrize("project", ["mlflow", "a", "p" * 100, "My_Project.x", "trailing-" * 9])
def test_bucket_names_are_valid_and_differ_for_every_project(project: str, place: str) -> None:
    region = "northamerica-northeast1"
    name = bucket_name(project, place, region)
    assert 3 <= len(name) <= NAME_LIMIT
    assert name.strip("-") == name
    assert set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")
    assert name != bucket_name(f"{project}-2", place, region)
