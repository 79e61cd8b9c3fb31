"""A real Git server on the tests' machine: smart HTTP behind TLS and a token, and SSH with a key."""

from __future__ import annotations

import base64
import os
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.cluster.outside import Authority
from tests.cluster.stack import eventually
from tools.common import cache_dir, run

EVERYWHERE = "0.0.0.0"  # noqa: S104 - pods come from another network
WHO = ["-c", "user.name=tests", "-c", "user.email=tests@localhost", "-c", "commit.gpgsign=false"]


@dataclass(frozen=True)
class Repository:
    """A bare repository, and a checkout to commit from."""

    bare: Path
    checkout: Path

    @classmethod
    def make(cls, folder: Path, name: str) -> Repository:
        made = cls(folder / f"{name}.git", folder / f"{name}-checkout")
        run(["git", "init", "--quiet", "--bare", "--initial-branch=main", made.bare])
        # As the public hosts do: a commit can be fetched by its hash.
        run(["git", "-C", made.bare, "config", "uploadpack.allowReachableSHA1InWant", "true"])
        run(["git", "init", "--quiet", "--initial-branch=main", made.checkout])
        run(["git", "-C", made.checkout, "remote", "add", "origin", made.bare])
        return made

    def commit(
        self, files: Mapping[str, str | bytes], *, branch: str = "main", tag: str | None = None
    ) -> str:
        """Commit these files to a branch and push them; the commit's hash."""
        for name, text in files.items():
            path = self.checkout / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(text if isinstance(text, bytes) else text.encode())
        self._git("add", "--all")
        self._git("commit", "--quiet", "--allow-empty", "--message", branch)
        self._git("push", "--quiet", "origin", f"HEAD:{branch}")
        if tag:
            self._git("tag", tag)
            self._git("push", "--quiet", "origin", tag)
        return self._git("rev-parse", "HEAD").strip()

    def hold(self, other: Repository, path: str) -> None:
        """Have another repository of the same folder as a submodule; the next commit has it."""
        self._git("submodule", "--quiet", "add", f"../{other.bare.name}", path)

    def _git(self, *words: str) -> str:
        # By its path, git lets submodules be fetched when told to only.
        return run(["git", "-C", self.checkout, "-c", "protocol.file.allow=always", *WHO, *words])


@dataclass(frozen=True)
class GitServer:
    """Repositories of a folder, as pods reach them.

    :ivar requests: what was asked of the HTTPS server, and how it was answered.
    """

    folder: Path
    host: str
    https_port: int
    authority: Authority
    requests: list[str]

    def url(self, repository: Repository) -> str:
        return f"https://{self.host}:{self.https_port}/{repository.bare.name}"


@contextmanager
def https_server(folder: Path, host: str, authority: Authority, token: str) -> Iterator[GitServer]:
    """Serve the bare repositories of ``folder`` to whoever has the token.

    :param host: this machine's address as pods see it.
    """
    certificate, key = authority.issue("git", f"IP:{host},DNS:localhost")
    requests: list[str] = []
    expected = "Basic " + base64.b64encode(f"git:{token}".encode()).decode()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._serve()

        def do_POST(self) -> None:
            self._serve()

        def _serve(self) -> None:
            if self.headers.get("Authorization") != expected:
                requests.append(f"{self.path} 401")
                self.send_response(401)
                self.send_header("WWW-Authenticate", 'Basic realm="git"')
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            requests.append(f"{self.path} 200")
            path, _, query = self.path.partition("?")
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self._answer(_backend(folder, self, path, query, body))

        def _answer(self, output: bytes) -> None:
            head, _, content = output.partition(b"\r\n\r\n")
            headers = dict(line.split(": ", 1) for line in head.decode().splitlines())
            self.send_response(int(headers.pop("Status", "200 OK").split()[0]))
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: Any) -> None:
            """Nothing on the terminal; ``requests`` has it."""

    with ThreadingHTTPServer((EVERYWHERE, 0), Handler) as server:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield GitServer(folder, host, server.server_address[1], authority, requests)
        finally:
            server.shutdown()
            thread.join(10)


def _backend(folder: Path, request: BaseHTTPRequestHandler, path: str, query: str, body: bytes) -> bytes:
    """What git's own CGI program answers. Source: git-http-backend(1)."""
    environment = {
        "PATH": os.environ["PATH"],
        "GIT_PROJECT_ROOT": str(folder),
        "GIT_HTTP_EXPORT_ALL": "1",
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": "safe.directory",
        "GIT_CONFIG_VALUE_0": "*",
        "PATH_INFO": path,
        "QUERY_STRING": query,
        "REQUEST_METHOD": request.command,
        "CONTENT_TYPE": request.headers.get("Content-Type", ""),
        "CONTENT_LENGTH": str(len(body)),
        "HTTP_CONTENT_ENCODING": request.headers.get("Content-Encoding", ""),
        "GIT_PROTOCOL": request.headers.get("Git-Protocol", ""),
        "REMOTE_USER": "git",
        "REMOTE_ADDR": request.client_address[0],
    }
    done = subprocess.run(
        ["git", "http-backend"], env=environment, input=body, capture_output=True, check=True, timeout=60
    )
    return done.stdout


@dataclass(frozen=True)
class SshServer:
    """OpenSSH with one user, ``git``, who may only fetch and push.

    :ivar key: the private key that opens it.
    :ivar known_hosts: the line that makes clients trust it.
    """

    host: str
    port: int
    key: str
    known_hosts: str

    def url(self, repository: Repository) -> str:
        return f"ssh://git@{self.host}:{self.port}{repository.bare}"


def sshd() -> Path | None:
    """OpenSSH's server: this machine's, else Debian's package unpacked aside; None where there is neither."""
    for found in (shutil.which("sshd"), "/usr/sbin/sshd"):
        if found and Path(found).exists():
            return Path(found)
    folder = cache_dir() / "tests" / "openssh-server"
    program = folder / "usr" / "sbin" / "sshd"
    if not program.exists() and shutil.which("apt-get"):
        folder.mkdir(parents=True, exist_ok=True)
        fetched = subprocess.run(
            ["apt-get", "download", "--quiet", "openssh-server"], cwd=folder, capture_output=True, check=False
        )
        for package in folder.glob("openssh-server_*.deb") if fetched.returncode == 0 else ():
            subprocess.run(["dpkg", "-x", package, folder], check=True, timeout=60)
    return program if program.exists() else None


@contextmanager
def ssh_server(program: Path, folder: Path, host: str) -> Iterator[SshServer]:
    """Start OpenSSH as root in a mount namespace of its own, where the user ``git`` exists.

    :param folder: for keys and configuration.
    """
    folder.mkdir(mode=0o700)
    for name in ("host", "client"):
        run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "tests", "-f", folder / name])
    (folder / "authorized").write_text((folder / "client.pub").read_text())
    with socket.socket() as probe:
        probe.bind(("", 0))
        port = probe.getsockname()[1]
    shell = shutil.which("git-shell")
    for name, line in (
        ("passwd", f"git:x:0:0::/:{shell}\nsshd:x:9998:65534::/:/bin/false\n"),
        ("shadow", "git:*:1::::::\n"),
    ):
        original = Path("/etc", name).read_text()
        kept = [each for each in original.splitlines() if each.split(":")[0] not in ("git", "sshd")]
        (folder / name).write_text("\n".join([line.strip(), *kept]) + "\n")
    (folder / "config").write_text(
        f"ListenAddress {EVERYWHERE}:{port}\nHostKey {folder}/host\nAuthorizedKeysFile {folder}/authorized\n"
        "AuthenticationMethods publickey\nPermitRootLogin prohibit-password\nStrictModes no\nUsePAM no\n"
        f"PidFile none\nAllowUsers git\nSetEnv GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0=safe.directory "
        "GIT_CONFIG_VALUE_0=*\n"
    )
    script = (
        f"mount --bind {folder}/passwd /etc/passwd && mount --bind {folder}/shadow /etc/shadow"
        f" && mkdir -p /run/sshd && exec {program} -D -e -f {folder}/config"
    )
    with ExitStack() as stack:
        log = stack.enter_context((folder / "log").open("w"))
        process = subprocess.Popen(["unshare", "--mount", "sh", "-c", script], stdout=log, stderr=log)
        try:
            eventually(lambda: _listens(port), 20, f"sshd does not listen: {(folder / 'log').read_text()}")
            public = (folder / "host.pub").read_text().split()[:2]
            known = f"[{host}]:{port} {' '.join(public)}\n"
            yield SshServer(host, port, (folder / "client").read_text(), known)
        finally:
            process.terminate()
            process.wait(10)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
