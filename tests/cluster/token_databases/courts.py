"""Where databases ask a judge: PostgreSQL by LDAP, MySQL by a plugin's one line (``mysql_auth.c``)."""

from __future__ import annotations

import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import ClassVar

from .judges import Judge

SUCCESS, INVALID_CREDENTIALS = 0, 49
BIND_REQUEST, BIND_RESPONSE = 0x60, 0x61


@dataclass
class Court:
    """A judge at work.

    :ivar verdicts: (user, why not), in the order they were asked for.
    :ivar longest: of the passwords that were shown, in characters.
    """

    judge: Judge
    verdicts: list[tuple[str, str | None]] = field(default_factory=list)
    longest: int = 0

    def accepts(self, user: str, password: str) -> bool:
        why_not = self.judge.why_not(user, password)
        self.verdicts.append((user, why_not))
        self.longest = max(self.longest, len(password))
        return why_not is None


class _Ldap(socketserver.StreamRequestHandler):
    """Simple binds (RFC 4511, 4.2), as PostgreSQL makes them with ``ldapprefix="cn="``."""

    court: ClassVar[Court]

    def handle(self) -> None:
        while (message := _element(self.rfile)) is not None:
            number, operation = _parts(message[1])[:2]
            if operation[0] != BIND_REQUEST:
                return  # unbind
            _, name, password = _parts(operation[1])
            user = name[1].decode().removeprefix("cn=")
            accepted = self.court.accepts(user, password[1].decode())
            code = SUCCESS if accepted else INVALID_CREDENTIALS
            response = _wrap(BIND_RESPONSE, _wrap(0x0A, bytes([code])) + _wrap(0x04, b"") + _wrap(0x04, b""))
            self.wfile.write(_wrap(0x30, _wrap(0x02, number[1]) + response))


class _Line(socketserver.StreamRequestHandler):
    court: ClassVar[Court]

    def handle(self) -> None:
        user, _, password = self.rfile.readline().decode().rstrip("\n").partition(" ")
        self.wfile.write(b"yes" if self.court.accepts(user, password) else b"no")


@contextmanager
def ldap_court(court: Court) -> Iterator[int]:
    """The port on which PostgreSQL finds the court."""
    with _served(type("Ldap", (_Ldap,), {"court": court})) as port:
        yield port


@contextmanager
def line_court(court: Court) -> Iterator[int]:
    """The port on which MySQL's plugin finds the court."""
    with _served(type("Line", (_Line,), {"court": court})) as port:
        yield port


@contextmanager
def _served(handler: type[socketserver.BaseRequestHandler]) -> Iterator[int]:
    everywhere = "0.0.0.0"  # noqa: S104 - pods come from another network
    with socketserver.ThreadingTCPServer((everywhere, 0), handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


def _element(stream) -> tuple[int, bytes] | None:
    """Tag and content of the next BER element; None at the end."""
    head = stream.read(2)
    if len(head) < 2:
        return None
    size = head[1]
    if size & 0x80:
        size = int.from_bytes(stream.read(size & 0x7F), "big")
    return head[0], stream.read(size)


def _parts(content: bytes) -> list[tuple[int, bytes]]:
    from io import BytesIO

    stream, parts = BytesIO(content), []
    while (part := _element(stream)) is not None:
        parts.append(part)
    return parts


def _wrap(tag: int, content: bytes) -> bytes:
    assert len(content) < 0x80
    return bytes([tag, len(content)]) + content
