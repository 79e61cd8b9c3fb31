"""What `make unprotect` and `make down` say is lost, and what they know to be guarded."""

from __future__ import annotations

from typing import Any

import pytest

from tools.engine.losses import loss_of, losses
from tools.engine.protection import guarded, is_protected, to_lower


def resource(kind: str, name: str, *, inputs: Any = None, outputs: Any = None, **more: Any) -> dict[str, Any]:
    return {
        "urn": f"urn:pulumi:live::mlflow::mlflow:aws:Room${kind}::{name}",
        "type": kind,
        "custom": True,
        "id": "db-ABC",
        "inputs": inputs or {},
        "outputs": outputs or {},
        **more,
    }


RDS = resource(
    "aws:rds/instance:Instance",
    "mlflow-database",
    inputs={"allocatedStorage": 20, "deletionProtection": True, "finalSnapshotIdentifier": "mlflow-last"},
    outputs={"identifier": "mlflow-database-1a2b", "allocatedStorage": 60, "engineVersion": "17.6",
             "instanceClass": "db.t4g.medium", "deletionProtection": True,
             "finalSnapshotIdentifier": "mlflow-last", "skipFinalSnapshot": False},
    protect=True,
)  # fmt: skip
BUCKET = resource("aws:s3/bucket:Bucket", "store", outputs={"bucket": "store-77", "forceDestroy": False})
CLOUD_SQL = resource(
    "gcp:sql/databaseInstance:DatabaseInstance",
    "db",
    outputs={"name": "db-1", "settings": {"tier": "db-f1-micro", "diskSize": 30.0}},
)
CLAIM = resource(
    "kubernetes:core/v1:PersistentVolumeClaim",
    "volume",
    id="mlflow/volume",
    inputs={"spec": {"resources": {"requests": {"storage": "10Gi"}}}},
)
ROLE = resource("aws:iam/role:Role", "server", outputs={"name": "server-1"})


@pytest.mark.parametrize(
    ("state", "line"),
    [
        (RDS, "Instance mlflow-database (mlflow-database-1a2b), db.t4g.medium, 17.6, 60 GB, "
              "its last state stays as snapshot mlflow-last"),
        (BUCKET, "Bucket store (store-77), with everything in it"),
        (CLOUD_SQL, "DatabaseInstance db (db-1), db-f1-micro, 30 GB"),
        (CLAIM, "PersistentVolumeClaim volume (mlflow/volume), 10Gi"),
    ],
)  # fmt: skip
def test_a_loss_is_named_as_its_cloud_knows_it_with_its_size_now(state: dict[str, Any], line: str) -> None:
    assert loss_of(state) == line


def test_only_what_holds_data_is_lost() -> None:
    named = [line.split()[1] for line in losses([ROLE, RDS, BUCKET, CLAIM])]
    assert named == ["mlflow-database", "store", "volume"]


@pytest.mark.parametrize(
    "outputs",
    [
        {"deletionProtection": True},
        {"settings": {"deletionProtectionEnabled": True}},
        {"deletionPolicy": "PREVENT"},
        {"enableDeletionProtection": True},
    ],
)
def test_every_clouds_own_guard_is_seen_wherever_it_stands(outputs: dict[str, Any]) -> None:
    assert guarded(resource("x:y:Z", "z", outputs=outputs))


def test_a_guard_that_is_down_is_none_even_where_an_older_input_says_otherwise() -> None:
    state = resource("x:y:Z", "z", inputs={"deletionProtection": True}, outputs={"deletionProtection": False})
    assert not is_protected(state)


def test_an_up_reaches_what_clouds_guard_and_what_they_keep_while_it_is_full_and_nothing_else() -> None:
    claim = CLAIM | {"protect": True}
    assert to_lower([RDS, BUCKET, ROLE, claim]) == [RDS["urn"], BUCKET["urn"]]
    assert to_lower([BUCKET, ROLE, claim]) == [], "without a guarded resource no cloud need be reached"
