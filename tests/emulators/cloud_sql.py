"""What the Cloud SQL Auth Proxy needs of Google: a metadata server, the Admin API, an instance's TLS end.

It stands in for Google only; the proxy in front and the database behind are real. As Cloud SQL does, the
instance speaks TLS 1.3 on port 3307 to whoever shows a certificate that the Admin API has signed. Whether the
certificate was asked for with a log-in token is noted; the database takes the user of an identity at its
word, because there is no Google here to ask.
"""

from __future__ import annotations

import json
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

PROJECT, REGION, INSTANCE = "acme-ml", "europe-west1", "mlflow-database-1a2b3c4"
CONNECTION_NAME = f"{PROJECT}:{REGION}:{INSTANCE}"
PORT = 3307
"""Where every instance listens for connectors (cloudsqlconn, dialer.go)."""
LOGIN_SCOPE = "https://www.googleapis.com/auth/sqlservice.login"


@dataclass
class CloudSql:
    """The stand-in while it runs.

    :ivar metadata: ``host:port`` for GCE_METADATA_HOST.
    :ivar api: address for ``--sqladmin-api-endpoint``.
    :ivar logins: certificates that were asked for with a log-in token, of those without.
    :ivar connections: how many the instance has accepted.
    """

    metadata: str
    api: str
    logins: list[bool] = field(default_factory=list)
    connections: int = 0


class Authority:
    """The instance's own authority."""

    def __init__(self, folder: Path) -> None:
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self._name = _name("Google Cloud SQL Server CA")
        self.certificate = self._signed(self._name, self._key.public_key(), authority=True)
        self.pem = _pem(self.certificate)
        (folder / "ca.pem").write_text(self.pem)
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        server = self._signed(_name(f"{PROJECT}:{INSTANCE}"), key.public_key())
        (folder / "server.pem").write_text(_pem(server))
        (folder / "server.key").write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )

    def client(self, public_key: str) -> str:
        """A certificate for the proxy's key."""
        text = public_key.replace("RSA PUBLIC KEY", "PUBLIC KEY")
        return _pem(self._signed(_name("proxy"), serialization.load_pem_public_key(text.encode())))

    def _signed(self, subject: x509.Name, key: Any, *, authority: bool = False) -> x509.Certificate:
        now = datetime.now(UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(minutes=5))
            .not_valid_after(now + timedelta(hours=1))
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
            .sign(self._key, hashes.SHA256())
        )


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


@contextmanager
def cloud_sql(
    folder: Path, address: str, backend: tuple[str, int], version: str = "POSTGRES_15"
) -> Iterator[CloudSql]:
    """Run the stand-in.

    :param folder: for certificates.
    :param address: a loopback address of its own, at which the instance listens.
    :param backend: host and port of the database behind it.
    :param version: of the database, in the words of the Admin API.
    """
    authority = Authority(folder)
    state = CloudSql(metadata="", api="")
    metadata = _http(lambda handler: _metadata(handler))
    api = _http(lambda handler: _admin(handler, authority, address, version, state))
    state.metadata = f"127.0.0.1:{metadata.server_port}"
    state.api = f"http://127.0.0.1:{api.server_port}/"
    listener = socket.create_server((address, PORT))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(folder / "ca.pem")
    context.load_cert_chain(folder / "server.pem", folder / "server.key")
    threading.Thread(target=_accept, args=(listener, context, backend, state), daemon=True).start()
    try:
        yield state
    finally:
        # Closing alone would leave it to the thread that waits on it.
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        metadata.shutdown()
        api.shutdown()


def _http(answer: Any) -> ThreadingHTTPServer:
    class Handler(BaseHTTPRequestHandler):
        def _answered(self) -> None:
            status, body = answer(self)
            text = body if isinstance(body, str) else json.dumps(body)
            self.send_response(status)
            self.send_header("Metadata-Flavor", "Google")
            self.send_header("Content-Type", "text/plain" if isinstance(body, str) else "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text.encode())

        do_GET = do_POST = _answered  # noqa: N815

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def _metadata(handler: BaseHTTPRequestHandler) -> tuple[int, Any]:
    """GKE's metadata server, as far as the SDKs ask it (Compute Engine, "View and query VM metadata")."""
    if "/service-accounts/default/token" in handler.path:
        scope = "login" if "sqlservice.login" in handler.path else "admin"
        return 200, {"access_token": f"stand-in-{scope}", "expires_in": 3599, "token_type": "Bearer"}
    if handler.path.endswith("/project/project-id"):
        return 200, PROJECT
    if handler.path.endswith("/universe-domain") or handler.path.endswith("universe_domain"):
        return 200, "googleapis.com"
    return 200, "default"


def _admin(
    handler: BaseHTTPRequestHandler, authority: Authority, address: str, version: str, state: CloudSql
) -> tuple[int, Any]:
    """``connect.get`` and ``connect.generateEphemeralCert`` of the Cloud SQL Admin API."""
    instance = f"/sql/v1beta4/projects/{PROJECT}/instances/{INSTANCE}"
    path = handler.path.partition("?")[0]
    if handler.headers.get("Authorization") != "Bearer stand-in-admin":
        return 401, {"error": {"code": 401, "message": "no token of the metadata server"}}
    if path == f"{instance}/connectSettings":
        return 200, {
            "backendType": "SECOND_GEN",
            "databaseVersion": version,
            "region": REGION,
            "ipAddresses": [{"type": "PRIVATE", "ipAddress": address}],
            "serverCaCert": {"cert": authority.pem},
            "serverCaMode": "GOOGLE_MANAGED_INTERNAL_CA",
        }
    if path == f"{instance}:generateEphemeralCert":
        asked = json.loads(handler.rfile.read(int(handler.headers["Content-Length"])))
        state.logins.append(asked.get("access_token") == "stand-in-login")
        return 200, {"ephemeralCert": {"cert": authority.client(asked["public_key"])}}
    return 404, {"error": {"code": 404, "message": path}}


def _accept(
    listener: socket.socket, context: ssl.SSLContext, backend: tuple[str, int], state: CloudSql
) -> None:
    while True:
        try:
            plain, _ = listener.accept()
        except OSError:
            return
        threading.Thread(target=_serve, args=(plain, context, backend, state), daemon=True).start()


def _serve(plain: socket.socket, context: ssl.SSLContext, backend: tuple[str, int], state: CloudSql) -> None:
    try:
        secured = context.wrap_socket(plain, server_side=True)
    except (ssl.SSLError, OSError):
        plain.close()
        return
    state.connections += 1
    database = socket.create_connection(backend)
    for one, other in ((secured, database), (database, secured)):
        threading.Thread(target=_pipe, args=(one, other), daemon=True).start()


def _pipe(source: socket.socket, target: socket.socket) -> None:
    try:
        while data := source.recv(65536):
            target.sendall(data)
    except OSError:
        pass
    finally:
        for one in (source, target):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
