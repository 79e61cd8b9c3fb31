"""PostgreSQL and MySQL in pods: TLS on, tokens judged elsewhere, and an administrator with a password."""

from __future__ import annotations

import base64
import json
import secrets
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from components.database_engines import PORTS, Engine
from components.third_party import THIRD_PARTY
from tests.cluster.outside import Authority
from tests.cluster.stack import POD_LIMIT, eventually, kubectl

HERE = Path(__file__).parent
MASTER = "master"
"""The administrator: like the master user of RDS no superuser, and with a password."""
ENTRA_ADMIN = "entra-admin"
"""The administrator that is an identity."""

HBA = """
local all all trust
hostssl all +rds_iam,+azure_ad_user all ldap ldapserver={host} ldapport={port} ldapprefix="cn="
hostssl all all all scram-sha-256
"""

POSTGRESQL_START = f"""
CREATE ROLE rds_iam;
CREATE ROLE {MASTER} LOGIN CREATEROLE CREATEDB PASSWORD '{{password}}';
GRANT rds_iam TO {MASTER} WITH ADMIN TRUE, INHERIT FALSE, SET FALSE;
{{azure}}
CREATE ROLE "{ENTRA_ADMIN}" LOGIN CREATEROLE CREATEDB;
GRANT azure_ad_user TO "{ENTRA_ADMIN}";
"""
MYSQL_START = f"""
INSTALL PLUGIN AWSAuthenticationPlugin SONAME 'mysql_auth.so';
INSTALL PLUGIN aad_auth SONAME 'mysql_auth.so';
CREATE USER {MASTER} IDENTIFIED BY '{{password}}' REQUIRE SSL;
GRANT ALL ON *.* TO {MASTER} WITH GRANT OPTION;
CREATE USER '{ENTRA_ADMIN}' IDENTIFIED WITH aad_auth REQUIRE SSL;
GRANT ALL ON *.* TO '{ENTRA_ADMIN}' WITH GRANT OPTION;
"""


@dataclass
class Server:
    """A database server in a pod of its own namespace.

    :ivar password: the administrator's.
    """

    cluster: Mapping[str, Any]
    namespace: str
    engine: Engine
    password: str
    root_password: str

    @property
    def host(self) -> str:
        return f"{self.engine}.{self.namespace}.svc.cluster.local"

    @property
    def port(self) -> int:
        return PORTS[self.engine]

    def kubectl(self, *words: str, stdin: str | None = None, check: bool = True) -> str:
        return kubectl(self.cluster, self.namespace, *words, stdin=stdin, check=check)

    def query(self, text: str, database: str = "") -> str:
        """Run SQL as the one who may do everything, through the pod's socket."""
        if self.engine is Engine.POSTGRESQL:
            words = ["psql", "-U", "rdsadmin", "-d", database or "postgres", "-Atq", "-v", "ON_ERROR_STOP=1"]
        else:
            words = [
                "mysql",
                "-uroot",
                f"-p{self.root_password}",
                "-N",
                "-B",
                *([database] if database else []),
            ]
        return self.kubectl("exec", "-i", self.engine, "--", *words, stdin=text).strip()

    def kill_sessions(self, user: str) -> int:
        """End every session of a user; how many there were."""
        if self.engine is Engine.POSTGRESQL:
            killed = self.query(
                f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{user}'"  # noqa: S608
            )
            return len(killed.split())
        listed = f"SELECT id FROM information_schema.processlist WHERE user = '{user}'"  # noqa: S608
        numbers = self.query(listed).split()
        self.query("".join(f"KILL {number};" for number in numbers))
        return len(numbers)

    def locks_out(self, user: str) -> bool:
        """Whether RDS for PostgreSQL would want a token of ``user``: it is a member of one that has rds_iam.

        Its own way there cannot be had elsewhere: a master that may grant rds_iam and is no member of it.
        """
        members = (
            f"SELECT EXISTS (SELECT FROM pg_roles WHERE rolcanlogin AND rolname <> '{user}' "  # noqa: S608
            f"AND pg_has_role('{user}', oid, 'MEMBER') AND pg_has_role(oid, 'rds_iam', 'MEMBER'))"
        )
        return self.engine is Engine.POSTGRESQL and self.query(members) == "t"


@dataclass
class PasswordOr:
    """RDS's PAM and the line after it: the administrator's password, unless it is to show a token.

    :ivar tokens: who judges tokens.
    """

    tokens: Any
    server: Server | None = None

    def why_not(self, user: str, password: str) -> str | None:
        if user != MASTER or self.server is None or self.server.locks_out(user):
            return self.tokens.why_not(user, password)
        return None if password == self.server.password else "the password is wrong"


def build_plugin(folder: Path) -> bytes:
    """MySQL's plugin, compiled for this machine, which is the node's."""
    if shutil.which("gcc") is None:
        pytest.fail("MySQL's sign-in plugin of these tests is compiled: install gcc with libc6-dev")
    target = folder / "mysql_auth.so"
    command = ["gcc", "-Wall", "-Wextra", "-Werror", "-O2", "-shared", "-fPIC", "-o", target]
    subprocess.run([*command, HERE / "mysql_auth.c"], check=True, timeout=60)
    return target.read_bytes()


@contextmanager
def run_server(
    cluster: Mapping[str, Any],
    images: Mapping[str, Any],
    namespace: str,
    engine: Engine,
    authority: Authority,
    judge: tuple[str, int],
    plugin: bytes,
) -> Iterator[Server]:
    """A server with its two administrators.

    :param judge: host and port as pods reach them.
    """
    server = Server(cluster, namespace, engine, secrets.token_hex(12), secrets.token_hex(12))
    certificate, key = authority.issue(f"{engine}", f"DNS:{server.host}")
    image = images.get(engine, {}).get("reference") or THIRD_PARTY[engine].reference
    config = {"tls.crt": certificate.read_text(), "tls.key": key.read_text()}
    config["pg_hba.conf"] = HBA.format(host=judge[0], port=judge[1])
    listed = {"kind": "List", "apiVersion": "v1", "items": _objects(server, image, config, judge, plugin)}
    server.kubectl("apply", "-f", "-", stdin=json.dumps(listed))
    server.kubectl("wait", f"pod/{engine}", "--for=condition=Ready", "--timeout=170s")
    if engine is Engine.POSTGRESQL:
        azure = (HERE / "azure.sql").read_text()
        server.query(POSTGRESQL_START.format(password=server.password, azure=azure))
    else:
        server.query(MYSQL_START.format(password=server.password))
    yield server


def _objects(
    server: Server, image: str, config: Mapping[str, str], judge: tuple[str, int], plugin: bytes
) -> list[dict[str, Any]]:
    row, name = THIRD_PARTY[server.engine], str(server.engine)
    if server.engine is Engine.POSTGRESQL:
        names = {"ssl": "on", "ssl_cert_file": "/config/tls.crt", "ssl_key_file": "/config/tls.key"}
        names["hba_file"] = "/config/pg_hba.conf"
        arguments = [word for key, value in names.items() for word in ("-c", f"{key}={value}")]
        environment = {"POSTGRES_USER": "rdsadmin", "POSTGRES_PASSWORD": server.root_password}
        environment["POSTGRES_DB"] = "postgres"
        ready = ["pg_isready", "--host=127.0.0.1"]
    else:
        arguments = ["--ssl-cert=/config/tls.crt", "--ssl-key=/config/tls.key", "--plugin-dir=/plugins"]
        arguments += ["--log-bin-trust-function-creators=1", "--loose-mysqlx=OFF"]
        environment = {"MYSQL_ROOT_PASSWORD": server.root_password, "TOKEN_JUDGE": f"{judge[0]}:{judge[1]}"}
        ready = ["mysqladmin", "ping", "--protocol=tcp", "--host=127.0.0.1", "--silent"]
    meta = {"namespace": server.namespace, "name": name, "labels": {"app": name}}
    container = {
        "name": name, "image": image, "imagePullPolicy": "IfNotPresent", "args": arguments,
        "env": [{"name": key, "value": value} for key, value in environment.items()],
        # Without a request a pod gets next to nothing of a busy machine.
        "resources": {"requests": {"cpu": "100m", "memory": "256Mi"}},
        "readinessProbe": {"exec": {"command": ready}, "periodSeconds": 1, "timeoutSeconds": 5},
        "volumeMounts": [
            {"name": "config", "mountPath": "/config"}, {"name": "plugins", "mountPath": "/plugins"},
        ],
    }  # fmt: skip
    spec = {
        "securityContext": {"runAsUser": row.uid, "runAsGroup": row.gid, "fsGroup": row.gid},
        "containers": [container],
        "volumes": [
            # PostgreSQL takes a key that root owns and its own group may read.
            {"name": "config", "secret": {"secretName": name, "defaultMode": 0o440}},
            {"name": "plugins", "configMap": {"name": name}},
        ],
    }
    service = {"selector": {"app": name}, "ports": [{"port": server.port}]}
    binary = {"mysql_auth.so": base64.b64encode(plugin).decode()}
    return [
        {"apiVersion": "v1", "kind": "Secret", "metadata": meta, "stringData": dict(config)},
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "binaryData": binary},
        {"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": service},
        {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec},
    ]


@dataclass(frozen=True)
class Done:
    """How a command in a pod ended."""

    code: int
    out: str


@dataclass
class Client:
    """A pod of one of our images that waits to be told what to run."""

    cluster: Mapping[str, Any]
    namespace: str
    name: str

    @classmethod
    def start(
        cls, cluster: Mapping[str, Any], namespace: str, name: str, image: str, files: Mapping[str, str]
    ) -> Client:
        """With ``files`` in /files."""
        meta = {"namespace": namespace, "name": name}
        container = {
            "name": "main", "image": image, "imagePullPolicy": "IfNotPresent",
            "command": ["python", "-c", "import time; time.sleep(86400)"],
            "resources": {"requests": {"cpu": "100m", "memory": "256Mi"}},
            "volumeMounts": [{"name": "files", "mountPath": "/files"}],
        }  # fmt: skip
        volume = {"name": "files", "configMap": {"name": name}}
        spec = {"containers": [container], "volumes": [volume], "terminationGracePeriodSeconds": 0}
        spec |= {"enableServiceLinks": False, "automountServiceAccountToken": False}
        objects = [
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": dict(files)},
            {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec},
        ]
        listed = {"kind": "List", "apiVersion": "v1", "items": objects}
        kubectl(cluster, namespace, "apply", "-f", "-", stdin=json.dumps(listed))
        kubectl(cluster, namespace, "wait", f"pod/{name}", "--for=condition=Ready", "--timeout=120s")
        return cls(cluster, namespace, name)

    def go(self) -> None:
        kubectl(self.cluster, self.namespace, "delete", "pod", self.name, "--wait=false")

    def run(self, command: Sequence[str], environment: Mapping[str, str]) -> Done:
        """Run a command with this environment beside the image's; its output and errors."""
        words = ["exec", self.name, "--", "env", *(f"{key}={value}" for key, value in environment.items())]
        script = ["sh", "-c", '"$@" 2>&1; echo "exit=$?"', "run", *command]
        out = kubectl(self.cluster, self.namespace, *words, *script)
        text, _, code = out.rpartition("exit=")
        return Done(int(code), text)


@contextmanager
def own_namespace(cluster: Mapping[str, Any], name: str) -> Iterator[str]:
    """A namespace that is new, and gone afterwards."""

    def there() -> bool:
        return f"namespace/{name}" in kubectl(cluster, "default", "get", "namespace", "-o", "name").split()

    if there():
        kubectl(cluster, "default", "delete", "namespace", name, "--wait=false")
        eventually(lambda: not there(), POD_LIMIT, f"namespace {name} of an earlier run does not go")
    kubectl(cluster, "default", "create", "namespace", name)
    try:
        yield name
    finally:
        kubectl(cluster, "default", "delete", "namespace", name, "--wait=false")
