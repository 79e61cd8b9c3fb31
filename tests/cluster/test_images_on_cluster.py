"""The images in real pods under the restricted standard: what they hold, and the databases' contract.

On a cluster that pulls, the databases are the upstream images; where nothing can be pulled they are the
substitutes. Both have to pass.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from components.third_party import MYSQL, POSTGRESQL, ThirdPartyImage
from tests.needs import missing
from tools.cluster import info, kubectl
from tools.common import LOCAL, Failure

PASSWORD = "p'w\"d\\x"
LIMIT = 120
"""Seconds for a pod to be ready or to end; 5 to 20 were measured."""

RESTRICTED = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}


@dataclass(frozen=True)
class Server:
    """A database server as the program runs it, and how to ask it something."""

    row: ThirdPartyImage
    version: str
    folder: str
    sockets: str
    arguments: tuple[str, ...]
    environment: dict[str, str]
    ready: tuple[str, ...]
    client: str
    version_query: str
    stop_signal: str
    password_variable: str
    refusal: str


POSTGRES_SERVER = Server(
    row=POSTGRESQL,
    version="PostgreSQL 17.",
    folder="pgdata",
    sockets="/var/run/postgresql",
    arguments=("-c", "max_connections=50"),
    environment={
        "PGDATA": f"{POSTGRESQL.data_path}/pgdata",
        "POSTGRES_USER": "tester",
        "POSTGRES_DB": "trial",
        "POSTGRES_PASSWORD_FILE": "/run/password/value",
    },
    ready=("pg_isready", "--host=127.0.0.1", "--username=tester", "--dbname=trial"),
    client='PGPASSWORD="$1" psql -h "$(hostname -i)" -U tester -d trial -At -c "$2"',
    version_query="select version()",
    stop_signal="INT",
    password_variable="POSTGRES_PASSWORD",
    refusal="POSTGRES_PASSWORD",
)
MYSQL_SERVER = Server(
    row=MYSQL,
    version="9.7.",
    folder="data",
    sockets="/var/run/mysqld",
    arguments=(f"--datadir={MYSQL.data_path}/data", "--loose-mysqlx=OFF"),
    environment={
        "MYSQL_USER": "tester",
        "MYSQL_DATABASE": "trial",
        "MYSQL_PASSWORD_FILE": "/run/password/value",
        "MYSQL_RANDOM_ROOT_PASSWORD": "yes",
    },
    ready=("mysqladmin", "ping", "--protocol=tcp", "--host=127.0.0.1", "--silent"),
    client='MYSQL_PWD="$1" mysql --protocol=tcp -h "$(hostname -i)" -u tester -D trial -N -e "$2"',
    version_query="select version()",
    stop_signal="TERM",
    password_variable="MYSQL_ROOT_PASSWORD",
    refusal="MYSQL_ROOT_PASSWORD",
)


def image(name: str) -> str:
    path = LOCAL / "images.json"
    if not path.is_file():
        pytest.fail("the images are not built: run `make images`")
    return json.loads(path.read_text())["images"][name]["reference"]


@pytest.fixture(scope="module")
def namespace() -> Iterator[str]:
    try:
        info()
    except Failure as failure:
        missing(f"{failure}: {failure.hint}")
    name = f"images-{uuid.uuid4().hex[:6]}"
    apply(
        {
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {"name": name, "labels": {"pod-security.kubernetes.io/enforce": "restricted"}},
        },
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "password", "namespace": name},
            "stringData": {"value": PASSWORD},
        },
    )
    try:
        yield name
    finally:
        kubectl("delete", "namespace", name, "--wait=true", "--timeout=120s", timeout=150)


def apply(*objects: dict) -> None:
    kubectl(
        "apply", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)})
    )


def pod(namespace: str, name: str, user: int, container: dict, volumes: list[dict]) -> dict:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "restartPolicy": "Never",
            "enableServiceLinks": False,
            "automountServiceAccountToken": False,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": user,
                "runAsGroup": user,
                "fsGroup": user,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "volumes": [{"name": "tmp", "emptyDir": {}}, *volumes],
            "containers": [
                {
                    "name": "main",
                    "imagePullPolicy": "IfNotPresent",
                    "securityContext": RESTRICTED,
                    **container,
                    "volumeMounts": [
                        {"name": "tmp", "mountPath": "/tmp"},
                        *container.get("volumeMounts", []),
                    ],
                }
            ],
        },
    }


def database_pod(namespace: str, server: Server, name: str, claim: str | None) -> dict:
    data = {"persistentVolumeClaim": {"claimName": claim}} if claim else {"emptyDir": {}}
    environment = server.environment if claim else {}
    return pod(
        namespace,
        name,
        server.row.uid,
        {
            "image": image(server.row.name),
            "args": list(server.arguments),
            "env": [{"name": key, "value": value} for key, value in environment.items()],
            "readinessProbe": {
                "exec": {"command": list(server.ready)},
                "periodSeconds": 1,
                "timeoutSeconds": 5,
            },
            "volumeMounts": [
                {"name": "data", "mountPath": server.row.data_path},
                {"name": "sockets", "mountPath": server.sockets},
                {"name": "password", "mountPath": "/run/password"},
            ],
        },
        [
            {"name": "data", **data},
            {"name": "sockets", "emptyDir": {}},
            {"name": "password", "secret": {"secretName": "password"}},
        ],
    )


def ready(namespace: str, name: str) -> None:
    kubectl(
        "-n",
        namespace,
        "wait",
        "--for=condition=Ready",
        f"pod/{name}",
        f"--timeout={LIMIT}s",
        timeout=LIMIT + 20,
    )


def ended(namespace: str, name: str) -> tuple[int, str]:
    """Exit code and log of a pod that ends by itself."""
    deadline = time.monotonic() + LIMIT
    while True:
        status = json.loads(kubectl("-n", namespace, "get", "pod", name, "-o", "json"))["status"]
        for container in status.get("containerStatuses", []):
            if done := container["state"].get("terminated"):
                return done["exitCode"], kubectl("-n", namespace, "logs", name)
        assert time.monotonic() < deadline, f"{name} did not end within {LIMIT} s: {status}"
        time.sleep(0.5)


def ask(namespace: str, server: Server, name: str, query: str, password: str = PASSWORD) -> str:
    command = ["sh", "-c", server.client, "ask", password, query]
    return kubectl("-n", namespace, "exec", name, "--", *command).strip()


@pytest.fixture(scope="module", params=[POSTGRES_SERVER, MYSQL_SERVER], ids=lambda server: server.row.name)
def server(request: pytest.FixtureRequest, namespace: str) -> Server:
    """A server that was started once on an empty volume and holds one row."""
    server: Server = request.param
    name = server.row.name
    apply(
        {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": name, "namespace": namespace},
            "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
        },
        database_pod(namespace, server, name, claim=name),
    )
    ready(namespace, name)
    ask(namespace, server, name, "create table kept (i int)")
    ask(namespace, server, name, "insert into kept values (42)")
    return server


def test_the_database_is_of_the_version_that_the_table_names(server: Server, namespace: str) -> None:
    version = ask(namespace, server, server.row.name, server.version_query)
    assert version.startswith(server.version)
    assert "MariaDB" not in version


def test_a_wrong_password_is_refused(server: Server, namespace: str) -> None:
    with pytest.raises(Failure, match=r"(?i)password"):
        ask(namespace, server, server.row.name, "select 1", password="wrong")


def test_data_survives_a_killed_pod_and_a_clean_stop_ends_with_zero(server: Server, namespace: str) -> None:
    name = server.row.name
    kubectl("-n", namespace, "delete", "pod", name, "--grace-period=0", "--force")
    apply(database_pod(namespace, server, name, claim=name))
    ready(namespace, name)
    assert ask(namespace, server, name, "select i from kept") == "42"
    kubectl("-n", namespace, "exec", name, "--", "sh", "-c", f"kill -{server.stop_signal} 1")
    code, _ = ended(namespace, name)
    assert code == 0


def test_a_first_start_without_a_password_is_refused(server: Server, namespace: str) -> None:
    name = f"{server.row.name}-open"
    apply(database_pod(namespace, server, name, claim=None))
    code, log = ended(namespace, name)
    assert code == 1
    assert server.refusal in log


def test_a_start_that_was_cut_off_while_it_made_the_database_is_begun_again(
    server: Server, namespace: str
) -> None:
    entry = json.loads((LOCAL / "images.json").read_text())["images"][server.row.name]
    if not entry["substitute"]:
        pytest.skip("the upstream image makes no such promise")
    name = f"{server.row.name}-cut-off"
    made = database_pod(namespace, server, name, claim=server.row.name)
    made["spec"]["volumes"][1] = {"name": "data", "emptyDir": {}}
    folder = f"{server.row.data_path}/{server.folder}"
    # What a crash leaves between two moves: the mark, a part moved, the last part not.
    half = f"mkdir -p {folder}/.initialising/cluster {folder}/base {folder}/sys"
    start = 'exec docker-entrypoint.sh "$@"'
    made["spec"]["containers"][0] |= {"command": ["sh", "-c", f"{half} && {start}", "start"]}
    apply(made)
    ready(namespace, name)
    assert ask(namespace, server, name, "select 1") == "1"
    left = kubectl("-n", namespace, "exec", name, "--", "ls", "-A", folder)
    assert ".initialising" not in left
    assert "starting over" in kubectl("-n", namespace, "logs", name)


def test_the_servers_image_holds_its_drivers_and_sdks_and_cannot_be_written_to(namespace: str) -> None:
    modules = (
        "psycopg2, pymysql, cryptography, boto3, google.cloud.storage, azure.storage.blob, azure.identity, "
    )
    modules += "flask_wtf, prometheus_flask_exporter, uvloop, httptools, mlflow.server.auth"
    script = f"set -e; python -W ignore -c 'import {modules}'; id -u; mlflow --version; ! touch /opt/x 2>&1"
    run_own(
        namespace, "tracking-server", script, ["10001", "mlflow, version 3.17.2", "Read-only file system"]
    )


def test_the_jobs_image_holds_git_and_the_training_packages(namespace: str) -> None:
    script = """
        set -e
        python -W ignore -c 'import sklearn, pandas, matplotlib, mlflow.sklearn'
        id -u
        git --version
        cd /tmp && git init -q r && cd r
        git -c user.email=a@b -c user.name=n commit -q --allow-empty -m x
        git log --oneline | wc -l
        ! touch /opt/x 2>&1
    """
    run_own(namespace, "job", script, ["10001", "git version", "1", "Read-only file system"])


def run_own(namespace: str, name: str, script: str, expected: list[str]) -> None:
    container = {"image": image(name), "command": ["bash", "-c", script]}
    apply(pod(namespace, name, 10001, container, []))
    code, log = ended(namespace, name)
    assert code == 0, log
    lines = log.strip().splitlines()
    assert [want for want, line in zip(expected, lines, strict=True) if want not in line] == [], log
