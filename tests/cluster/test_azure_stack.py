"""The Azure stack's Kubernetes half, as rendered, on a real cluster: database and artifacts know tokens only.

Each pod shows the token that the kubelet gave it; Entra's stand-in checks it against the plan's federated
credentials and gives tokens that PostgreSQL, MySQL and the storage account judge (``azure_stack.py``).
"""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from components.contracts import JOBS_ACCOUNT
from components.database_engines import Engine
from tests.cluster.azure_stack import DATABASE_AUDIENCE, USER, AzureStack, azure_stack
from tests.cluster.stack import Stage, eventually
from tests.cluster.token_databases.world import World
from tests.emulators.azure_storage import AUDIENCE as STORAGE_AUDIENCE
from tests.program.azure_cases import ADMINISTRATOR, ADMINS, EXISTING, READER

NAMESPACE = "pytest-azure"
MAKE = """
import json, os, sys, urllib.error, urllib.request
body = json.dumps({"name": os.urandom(6).hex()}).encode()
headers = {"Content-Type": "application/json"}
url = "http://localhost:5000/api/2.0/mlflow/experiments/create"
try:
    print(urllib.request.urlopen(urllib.request.Request(url, body, headers), timeout=40).status)
except (urllib.error.HTTPError, OSError) as error:
    print(getattr(error, "code", 0))
"""
LOG = """
import hashlib, json, os, pathlib, mlflow
from mlflow import MlflowClient
data = os.urandom(12 * 2**20)
pathlib.Path("/tmp/large.bin").write_bytes(data)
mlflow.set_experiment("artifacts")
with mlflow.start_run() as run:
    mlflow.log_artifact("/tmp/large.bin", "model")
run_id = run.info.run_id
where = {"run_id": run_id, "artifact_path": "model/large.bin", "dst_path": "/tmp/back"}
back = mlflow.artifacts.download_artifacts(**where)
print(json.dumps({"run": run_id, "same": pathlib.Path(back).read_bytes() == data}))
MlflowClient().delete_run(run_id)
"""
COLLECT = """
import os, subprocess
words = ["mlflow", "gc", "--backend-store-uri", os.environ["MLFLOW_BACKEND_STORE_URI"]]
raise SystemExit(subprocess.run(words).returncode)
"""
SIGN_IN = """
import os, sqlalchemy
engine = sqlalchemy.create_engine(os.environ["MLFLOW_BACKEND_STORE_URI"])
with engine.connect() as connection:
    print("signed in:", connection.exec_driver_sql("SELECT 1").scalar())
"""
ROLES = """
SELECT r.rolname, r.rolsuper, r.rolcreaterole, r.rolcreatedb, r.rolcanlogin,
  array(SELECT roleid::regrole || ' ' || admin_option FROM pg_auth_members WHERE member = r.oid ORDER BY 1)
FROM pg_roles r ORDER BY 1
"""
USERS = (
    "SELECT user, plugin, authentication_string, Super_priv, Create_user_priv FROM mysql.user ORDER BY user"
)


@pytest.fixture(
    scope="module", params=[pytest.param(Engine.POSTGRESQL, marks=pytest.mark.core), Engine.MYSQL]
)
def engine(request: pytest.FixtureRequest) -> Engine:
    return request.param


@pytest.fixture(scope="module")
def azure(
    token_world: World,
    engine: Engine,
    stage: Stage,
    tmp_path_factory: pytest.TempPathFactory,
    tell: Callable[[str], None],
) -> Iterator[AzureStack]:
    stage.clear()  # the node has room for one
    tell(f"  … the Azure stack on {engine}")
    folder = tmp_path_factory.mktemp(f"azure-{engine}")
    database = {"directoryReader": READER} if engine is Engine.MYSQL else {}
    with azure_stack(token_world, engine, NAMESPACE, folder, {"database": database}) as made:
        made.up()
        tell(f"  ✓ the Azure stack on {engine}")
        yield made


def verdicts(azure: AzureStack, user: str = USER) -> list[str | None]:
    return azure.databases.places[azure.engine].verdicts(user)


def query(azure: AzureStack, text: str, database: str = "") -> str:
    return azure.databases.places[azure.engine].server.query(text, database)


def makes_experiment(azure: AzureStack) -> int:
    """Make one; the answer's status."""
    return int(azure.python(MAKE).out.split()[-1])


def test_the_rendered_stack_comes_up_with_tokens_alone(azure: AzureStack) -> None:
    assert makes_experiment(azure) == 200
    assert int(query(azure, "SELECT count(*) FROM experiments", USER)) >= 2
    assert set(verdicts(azure)) == {None}
    assert azure.azure.network.strangers == []
    given = {(name.removesuffix("1a2b3c4d"), scope) for name, scope in azure.azure.entra.given}
    assert given == {("mlflow-server", DATABASE_AUDIENCE), ("mlflow-database-admin", DATABASE_AUDIENCE)}
    listed = json.loads(azure.kubectl("get", "secrets", "-o", "json"))["items"]
    text = "\n".join(base64.b64decode(value).decode() for one in listed for value in one["data"].values())
    assert f"{USER}@" in text
    assert [word for word in (f"{USER}:", "AccountKey", "eyJ", "ADMIN_PASSWORD") if word in text] == []


def test_the_bootstrap_runs_again_and_changes_nothing(azure: AzureStack, engine: Engine) -> None:
    roles = ROLES if engine is Engine.POSTGRESQL else USERS
    before = query(azure, roles)
    log = azure.bootstrap()
    assert "done" in log
    assert "eyJ" not in log
    assert query(azure, roles) == before
    assert "maker" not in before, "nothing is left of how the user was made"
    ours = next(line for line in before.splitlines() if line.startswith(f"{USER}|") or f"{USER}\t" in line)
    if engine is Engine.POSTGRESQL:
        assert ours.startswith(f"{USER}|f|f|f|t|"), ours
        assert "azure_ad_user" in ours
        assert azure.admin not in ours
        (server,) = [one for one in azure.azure.entra.identities if one.name.startswith("mlflow-server")]
        known = query(azure, f"SELECT objectid, isadmin FROM principals WHERE rolname = '{USER}'")  # noqa: S608
        assert known == f"{server.object_id}|0"
    else:
        assert ours.split("\t")[-2:] == ["N", "N"]


def test_the_server_keeps_files_in_the_account_and_gc_takes_them_away_by_plain_deletes(
    azure: AzureStack,
) -> None:
    """So that soft delete and versions, which the plan switches on and Azurite lacks, can bring them back."""
    server = {"MLFLOW_TRACKING_URI": "http://localhost:5000"}
    done = azure.python(LOG, **server)
    assert done.code == 0, done.out[-3000:]
    told = json.loads(done.out.strip().splitlines()[-1])
    assert told["same"]
    assert any(told["run"] in name for name in azure.azure.blobs)
    assert {scope for _, scope in azure.azure.entra.given} == {DATABASE_AUDIENCE, STORAGE_AUDIENCE}
    before = len(verdicts(azure))
    done = azure.python(COLLECT, **server)
    assert done.code == 0, done.out[-3000:]
    assert not any(told["run"] in name for name in azure.azure.blobs)
    assert len(verdicts(azure)) > before, "gc signed in by itself"
    deleted = [one for one in azure.azure.storage.seen if one.method == "DELETE"]
    assert deleted
    assert not [one.query for one in deleted if "deletetype" in one.query or "versionid" in one.query]


def test_killed_sessions_come_back_and_a_token_that_is_too_old_is_refused_until_there_is_another(
    azure: AzureStack,
) -> None:
    server, signer = azure.databases.places[azure.engine].server, azure.azure.entra.signer
    assert makes_experiment(azure) == 200
    before = len(verdicts(azure))
    assert server.kill_sessions(USER) > 0
    assert makes_experiment(azure) == 200
    assert set(verdicts(azure)[before:]) == {None}
    signer.late = 4000
    try:
        server.kill_sessions(USER)
        assert makes_experiment(azure) != 200
        assert verdicts(azure)[-1] == "the token has expired"
    finally:
        signer.late = 0
    eventually(lambda: makes_experiment(azure) == 200, 60, "the server does not come back")


def test_a_server_that_outlives_its_token_gets_another_for_its_next_session(azure: AzureStack) -> None:
    server, entra = azure.databases.places[azure.engine].server, azure.azure.entra
    entra.lifetime = 20
    try:
        azure.kubectl("rollout", "restart", "deployment/mlflow-server")
        azure.kubectl("rollout", "status", "deployment/mlflow-server", "--timeout=170s")
        assert makes_experiment(azure) == 200
        # Tokens of before are dead after it; probes may have asked for the next one meanwhile.
        given = len(entra.given)
        time.sleep(entra.lifetime + 1)
        before = len(verdicts(azure))
        assert makes_experiment(azure) == 200, "open sessions outlive the token they began with"
        assert server.kill_sessions(USER) > 0
        assert makes_experiment(azure) == 200
        assert set(verdicts(azure)[before:]) == {None}
        done = azure.python(LOG, MLFLOW_TRACKING_URI="http://localhost:5000")
        assert done.code == 0, done.out[-3000:]
        assert {scope for _, scope in entra.given[given:]} == {DATABASE_AUDIENCE, STORAGE_AUDIENCE}
    finally:
        entra.lifetime = 3600


def test_a_pod_of_another_account_signs_in_to_nothing(azure: AzureStack) -> None:
    """Not as itself, and not by saying that it is the server."""
    asked = len(verdicts(azure))
    done = azure.pod("as-itself", JOBS_ACCOUNT, ["python", "-c", SIGN_IN])
    assert done.code != 0
    assert "signed in" not in done.out
    # Beside those of the server, whose probes sign in at any time.
    assert {verdict for verdict in verdicts(azure)[asked:] if verdict} == {f"the token is not of {USER}"}
    assert f"check that {USER} was made for this identity" in done.out
    (server,) = [one for one in azure.azure.entra.identities if one.name.startswith("mlflow-server")]
    script = f"import os; os.environ['AZURE_CLIENT_ID'] = {server.client_id!r}\n{SIGN_IN}"
    asked = len(verdicts(azure))
    done = azure.pod("as-the-server", JOBS_ACCOUNT, ["python", "-c", script])
    assert done.code != 0
    assert "signed in" not in done.out
    assert "no Entra token for database user" in done.out
    assert "trusts nobody who is system:serviceaccount:" in azure.azure.entra.refused[-1]
    assert set(verdicts(azure)[asked:]) <= {None}, "it came to the database"


def test_an_existing_server_gets_user_and_database_from_the_administrator_that_it_has(
    token_world: World, tmp_path: Path
) -> None:
    """The Job is an identity that was there before the stack, by a federated credential of the stack's."""
    user = "by_theirs"
    database = {
        "existing": {"instance": "shared"}, "resourceGroup": "shared", "administrator": ADMINISTRATOR,
        "name": user, "user": user,
    }  # fmt: skip
    more = {
        "azure-native:subscriptionId": ADMINS, "cluster": EXISTING, "database": database,
        "artifacts": {"access": "public"},
    }  # fmt: skip
    with azure_stack(token_world, Engine.POSTGRESQL, f"{NAMESPACE}-existing", tmp_path, more) as stack:
        for _ in range(2):
            assert "done" in stack.bootstrap()
        assert {name for name, _ in stack.azure.entra.given} == {"database-admins"}
        assert set(verdicts(stack, "database-admins")) == {None}
        assert query(stack, f"SELECT has_database_privilege('{user}', '{user}', 'CONNECT')") == "t"
        assert query(stack, f"SELECT has_schema_privilege('{user}', 'public', 'CREATE')", user) == "t"
