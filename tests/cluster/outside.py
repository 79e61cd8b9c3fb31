"""A PostgreSQL with TLS in a namespace of its own, and an S3-compatible store on the tests' machine.

Both certificates are signed by an authority that exists for one test session only.
"""

from __future__ import annotations

import base64
import json
import secrets
import socket
import ssl
import subprocess
import urllib.request
import venv
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from components.third_party import POSTGRESQL, THIRD_PARTY
from tests.cluster.stack import Stack, eventually, kubectl
from tools.common import cache_dir, run

HERE = Path(__file__).parent
BUCKET = "artifacts"


@dataclass(frozen=True)
class Authority:
    """A certificate authority in a folder."""

    folder: Path

    @property
    def certificate(self) -> str:
        return (self.folder / "ca.crt").read_text()

    @classmethod
    def make(cls, folder: Path) -> Authority:
        folder.mkdir()
        (folder / "openssl.cnf").write_text("[req]\ndistinguished_name = dn\n[dn]\n")
        authority = cls(folder)
        authority._request("ca", "/CN=tests", "basicConstraints=critical,CA:TRUE")
        return authority

    def issue(self, name: str, alternative: str) -> tuple[Path, Path]:
        """A server certificate and its key for a subject alternative name such as ``DNS:x``."""
        signed = ["-CA", str(self.folder / "ca.crt"), "-CAkey", str(self.folder / "ca.key")]
        self._request(name, f"/CN={name}", f"subjectAltName={alternative}", *signed)
        return self.folder / f"{name}.crt", self.folder / f"{name}.key"

    def _request(self, name: str, subject: str, extension: str, *more: str) -> None:
        key, certificate = self.folder / f"{name}.key", self.folder / f"{name}.crt"
        run(["openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", key])
        run(
            ["openssl", "req", "-new", "-x509", "-days", "2", "-subj", subject, "-key", key,
             "-out", certificate, "-config", self.folder / "openssl.cnf", "-addext", extension, *more]
        )  # fmt: skip


@contextmanager
def postgresql(stack: Stack, authority: Authority) -> Iterator[tuple[str, Callable[[str], str]]]:
    """A PostgreSQL that accepts TLS, in a namespace beside the stack's.

    :returns: its URL, and a function that runs a query as its owner.
    """
    cluster, namespace = stack.clone.local("cluster.json"), f"{stack.namespace}-elsewhere"
    host, password = f"postgresql.{namespace}.svc.cluster.local", secrets.token_hex(12)
    certificate, key = authority.issue("postgresql", f"DNS:{host}")
    built = stack.clone.local("images.json")["images"].get("postgresql", {})
    image = built.get("reference") or THIRD_PARTY["postgresql"].reference
    objects = _postgresql_objects(namespace, image, password, certificate.read_text(), key.read_text())

    def query(text: str) -> str:
        words = [
            "exec",
            "postgresql",
            "--",
            "psql",
            "--username=owner",
            "--dbname=tracking",
            "--tuples-only",
            "--no-align",
        ]
        return kubectl(cluster, namespace, *words, f"--command={text}")

    kubectl(cluster, "default", "create", "namespace", namespace)
    try:
        listed = {"kind": "List", "apiVersion": "v1", "items": objects}
        kubectl(cluster, namespace, "apply", "-f", "-", stdin=json.dumps(listed))
        kubectl(cluster, namespace, "wait", "pod/postgresql", "--for=condition=Ready", "--timeout=170s")
        yield f"postgresql://owner:{password}@{host}:5432/tracking", query
    finally:
        kubectl(cluster, "default", "delete", "namespace", namespace, "--wait=false")


def _postgresql_objects(
    namespace: str, image: str, password: str, certificate: str, key: str
) -> list[dict[str, Any]]:
    labels = {"app": "postgresql"}
    encoded = {"tls.crt": certificate, "tls.key": key}
    secret = {name: base64.b64encode(text.encode()).decode() for name, text in encoded.items()}
    arguments = ["-c", "ssl=on", "-c", "ssl_cert_file=/tls/tls.crt", "-c", "ssl_key_file=/tls/tls.key"]
    environment = {"POSTGRES_USER": "owner", "POSTGRES_PASSWORD": password, "POSTGRES_DB": "tracking"}
    ready = ["pg_isready", "--host=127.0.0.1", "--username=owner", "--dbname=tracking"]
    container = {
        "name": "postgresql",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "args": arguments,
        # Without a request a pod gets next to nothing of a busy machine.
        "resources": {"requests": {"cpu": "100m", "memory": "256Mi"}},
        "env": [{"name": name, "value": value} for name, value in environment.items()],
        "volumeMounts": [{"name": "tls", "mountPath": "/tls"}],
        "readinessProbe": {"exec": {"command": ready}, "periodSeconds": 1, "timeoutSeconds": 5},
    }
    user = {"runAsUser": POSTGRESQL.uid, "runAsGroup": POSTGRESQL.gid, "fsGroup": POSTGRESQL.gid}
    # PostgreSQL takes a key that root owns and its own group may read.
    volume = {"name": "tls", "secret": {"secretName": "tls", "defaultMode": 0o440}}
    meta = {"namespace": namespace, "name": "postgresql", "labels": labels}
    return [
        {"apiVersion": "v1", "kind": "Secret", "metadata": {**meta, "name": "tls"}, "data": secret},
        {
            "apiVersion": "v1", "kind": "Service", "metadata": meta,
            "spec": {"selector": labels, "ports": [{"port": 5432}]},
        },
        {
            "apiVersion": "v1", "kind": "Pod", "metadata": meta,
            "spec": {"securityContext": user, "containers": [container], "volumes": [volume]},
        },
    ]  # fmt: skip


@dataclass(frozen=True)
class ObjectStore:
    """moto's server over https.

    :ivar endpoint: as pods reach it.
    """

    endpoint: str
    port: int
    authority: Authority

    def keys(self) -> list[str]:
        """The keys in the bucket."""
        text = self._call("GET", f"/{BUCKET}?list-type=2")
        return [part.partition("</Key>")[0] for part in text.split("<Key>")[1:]]

    def make_bucket(self) -> None:
        self._call("PUT", f"/{BUCKET}")

    def _call(self, method: str, path: str) -> str:
        context = ssl.create_default_context(cadata=self.authority.certificate)
        handlers = [urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)]
        request = urllib.request.Request(f"https://localhost:{self.port}{path}", method=method)
        with urllib.request.build_opener(*handlers).open(request, timeout=10) as answer:
            return answer.read().decode()


@contextmanager
def object_store(host: str, authority: Authority, log: Path) -> Iterator[ObjectStore]:
    """An S3-compatible store on this machine.

    :param host: this machine's address as pods see it.
    """
    certificate, key = authority.issue("object-store", f"IP:{host},DNS:localhost")
    with socket.socket() as probe:
        probe.bind(("", 0))
        port = probe.getsockname()[1]
    store = ObjectStore(f"https://{host}:{port}", port, authority)
    with log.open("w") as output:
        everywhere = "0.0.0.0"  # noqa: S104 - pods come from another network
        process = subprocess.Popen(
            [_moto() / "bin" / "moto_server", "-H", everywhere, "-p", str(port), "-s", "-c", certificate,
             "-k", key],
            stdout=output,
            stderr=subprocess.STDOUT,
        )  # fmt: skip
        try:
            eventually(lambda: _listens(port), 60, "moto does not listen")
            store.make_bucket()
            yield store
        finally:
            process.terminate()
            process.wait(20)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _moto() -> Path:
    """A virtual environment with moto, made once per user and lock."""
    lock = HERE / "object-store.txt"
    folder = cache_dir() / "tests" / f"moto-{sha256(lock.read_bytes()).hexdigest()[:12]}"
    if not (folder / ".complete").exists():
        venv.create(folder, with_pip=True, clear=True)
        run([folder / "bin" / "pip", "install", "--quiet", "--require-hashes", "-r", lock], timeout=600)
        (folder / ".complete").touch()
    return folder
