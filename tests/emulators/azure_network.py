"""A network in which Azure's own host names lead to stand-ins: an HTTPS proxy that ends TLS for the names it
knows and refuses all others.

So a program is given the names that it is given on Azure, and neither root nor ``/etc/hosts`` is needed.
What the stand-ins prove of themselves, the client checks: a certificate of that very name, of the tests'
authority.
"""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar, NamedTuple, Protocol
from urllib.parse import urlsplit

from tests.cluster.outside import Authority


class Asked(NamedTuple):
    """A request. ``path`` is without ``query``."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes


class Answer(NamedTuple):
    """An answer; the length of its body is said for it."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes


class Site(Protocol):
    """Who answers under a host name."""

    def answer(self, asked: Asked) -> Answer: ...


@dataclass
class Network:
    """The network while it is there.

    :ivar proxy: its address.
    :ivar strangers: hosts that were asked for and are not in it.
    """

    sites: Mapping[str, Site]
    contexts: Mapping[str, ssl.SSLContext]
    proxy: str = ""
    strangers: list[str] = field(default_factory=list)

    @property
    def environment(self) -> dict[str, str]:
        """What leads a process into it."""
        return {
            "HTTPS_PROXY": self.proxy,
            "HTTP_PROXY": self.proxy,
            "http_proxy": self.proxy,
            "NO_PROXY": "127.0.0.1,localhost",
        }


class _Handler(BaseHTTPRequestHandler):
    network: ClassVar[Network]
    protocol_version = "HTTP/1.1"
    site: Site | None = None

    def do_CONNECT(self) -> None:
        host = self.path.partition(":")[0]
        if host not in self.network.sites:
            self._strange(host)
            return
        self.send_response(200)
        self.end_headers()
        try:
            secured = self.network.contexts[host].wrap_socket(self.connection, server_side=True)
        except OSError:  # a client that does not trust the certificate
            self.close_connection = True
            return
        self.connection, self.site = secured, self.network.sites[host]
        self.rfile, self.wfile = secured.makefile("rb"), secured.makefile("wb")
        self.close_connection = False

    def _answered(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.site is None:
            self._strange(str(urlsplit(self.path).hostname))
            return
        path, _, query = self.path.partition("?")
        answer = self.site.answer(Asked(self.command, path, query, dict(self.headers.items()), body))
        self.send_response_only(answer.status)
        for name, value in answer.headers:
            self.send_header(name, value)
        if self.command != "HEAD":
            self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        self.wfile.write(answer.body)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _answered  # noqa: N815

    def _strange(self, host: str) -> None:
        self.network.strangers.append(host)
        self.send_error(403, f"{host} is not in this network")

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


@contextmanager
def network(sites: Mapping[str, Site], authority: Authority, address: str = "127.0.0.1") -> Iterator[Network]:
    """A network of these sites.

    :param sites: host name → who answers.
    :param address: of this machine, as its clients know it.
    """
    contexts = {}
    for host in sites:
        contexts[host] = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        contexts[host].minimum_version = ssl.TLSVersion.TLSv1_2
        contexts[host].load_cert_chain(*authority.issue(host, f"DNS:{host}"))
    made = Network(sites, contexts)
    with ThreadingHTTPServer((address, 0), type("Handler", (_Handler,), {"network": made})) as server:
        server.daemon_threads = True
        made.proxy = f"http://{address}:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield made
        finally:
            server.shutdown()
            thread.join()
