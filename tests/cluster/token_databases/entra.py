"""A token endpoint like Entra's, over TLS: gives tokens for federated tokens of ServiceAccounts."""

from __future__ import annotations

import json
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import parse_qs

from .judges import entra_token

TENANT = "adfs"
"""MSAL asks public Microsoft hosts about any other tenant of an authority it does not know (msal 1.39)."""


@dataclass(frozen=True)
class ManagedIdentity:
    """A user-assigned identity with a federated credential.

    :param assertion: the ServiceAccount's token that it trusts.
    """

    client_id: str
    object_id: str
    assertion: str


@dataclass
class Entra:
    """The endpoint.

    :ivar given: client ids, in the order of their tokens.
    """

    identities: list[ManagedIdentity]
    key: bytes
    audience: str
    lifetime: int
    address: str = ""

    def __post_init__(self) -> None:
        self.given: list[str] = []

    def answer(self, form: Mapping[str, str]) -> tuple[int, dict[str, Any]]:
        """Source: Microsoft Learn, "OAuth 2.0 client credentials flow", third case (federated credential)."""
        who = next((one for one in self.identities if one.client_id == form.get("client_id")), None)
        if who is None or form.get("client_assertion") != who.assertion:
            return 400, {
                "error": "invalid_client",
                "error_description": "AADSTS70021: no matching credential",
            }
        if form.get("scope") != f"{self.audience}/.default" or form.get("grant_type") != "client_credentials":
            return 400, {"error": "invalid_scope", "error_description": f"AADSTS70011: {form.get('scope')}"}
        self.given.append(who.client_id)
        claims = {"aud": self.audience, "oid": who.object_id, "appid": who.client_id, "filler": "f" * 900}
        token = entra_token(self.key, {**claims, "exp": time.time() + self.lifetime})
        return 200, {"token_type": "Bearer", "expires_in": self.lifetime, "access_token": token}


class _Handler(BaseHTTPRequestHandler):
    entra: ClassVar[Entra]

    def do_GET(self) -> None:
        base = f"{self.entra.address}/{TENANT}"
        known = {"authorization_endpoint": f"{base}/authorize", "token_endpoint": f"{base}/token"}
        self._send(200, {**known, "issuer": base})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        self._send(*self.entra.answer({name: values[0] for name, values in parse_qs(body).items()}))

    def _send(self, status: int, answer: Mapping[str, Any]) -> None:
        text = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet."""


@contextmanager
def serve(entra: Entra, host: str, certificate: Path, key: Path) -> Iterator[str]:
    """The authority's address while the endpoint runs."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    everywhere = "0.0.0.0"  # noqa: S104 - pods come from another network
    handler = type("Handler", (_Handler,), {"entra": entra})
    with ThreadingHTTPServer((everywhere, 0), handler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        entra.address = f"https://{host}:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield entra.address
        finally:
            server.shutdown()
            thread.join()
