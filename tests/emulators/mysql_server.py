"""A real MySQL on this machine, from the Debian packages that the substitute of its image is made of."""

from __future__ import annotations

import fcntl
import getpass
import shutil
import subprocess
import tarfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pymysql

from components.third_party import MYSQL
from tools.common import cache_dir
from tools.image_build.debian_root import make_root, root_file

NEEDED = ("usr/sbin/mysqld", "usr/lib/mysql/", "usr/lib/x86_64-linux-gnu/", "usr/share/mysql")
LIBRARIES = "usr/lib/x86_64-linux-gnu"


@dataclass(frozen=True)
class MySql:
    """A running server.

    :ivar socket: where its superuser ``root`` needs no password.
    """

    port: int
    socket: Path

    def query(self, *statements: str) -> list[tuple[Any, ...]]:
        """Statements as the superuser; the rows of the last."""
        with (
            pymysql.connect(unix_socket=str(self.socket), user="root", autocommit=True) as connection,
            connection.cursor() as cursor,
        ):
            for statement in statements:
                cursor.execute(statement)
            return list(cursor.fetchall())

    def signs_in(self, user: str, password: str, port: int, *statements: str, database: str = "") -> str:
        """What refuses a user over TCP; "" when nothing does."""
        try:
            with (
                pymysql.connect(
                    host="127.0.0.1", port=port, user=user, password=password, database=database or None
                ) as connection,
                connection.cursor() as cursor,
            ):
                for statement in statements:
                    cursor.execute(statement)
        except pymysql.Error as error:
            return str(error)
        return ""


def _files() -> Path:
    """The server's files and a fresh data folder, made once per user and definition of the image.

    :raises Failure: where Debian's packages cannot be had; see ``make_root``.
    """
    assert MYSQL.substitute is not None
    roots = cache_dir() / "images" / "roots"
    roots.mkdir(parents=True, exist_ok=True)
    archive = root_file(MYSQL.substitute.root, roots)
    folder = cache_dir() / "tests" / f"mysql-{archive.stem}"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / ".complete").exists():
            if not archive.exists():
                make_root(MYSQL.substitute.root, archive)
            with tarfile.open(archive) as tar:
                for member in tar:
                    if member.name.removeprefix("./").startswith(NEEDED):
                        tar.extract(member, folder, filter="tar")
            made = subprocess.run(
                _words(folder, folder / "fresh", "--initialize-insecure"),
                capture_output=True, text=True, check=False, timeout=120,
            )  # fmt: skip
            assert made.returncode == 0, made.stderr
            (folder / ".complete").touch()
    return folder


def _words(files: Path, data: Path, *more: str) -> list[str]:
    """The server's command line: with its own loader, so that it needs nothing of this machine."""
    return [
        str(files / LIBRARIES / "ld-linux-x86-64.so.2"),
        "--library-path",
        str(files / LIBRARIES),
        str(files / "usr/sbin/mysqld"),
        "--no-defaults",
        f"--basedir={files / 'usr'}",
        f"--plugin-dir={files / 'usr/lib/mysql/plugin'}",
        f"--datadir={data}",
        f"--user={getpass.getuser()}",
        "--mysqlx=OFF",
        "--secure-file-priv=NULL",
        "--innodb-redo-log-capacity=8M",
        *more,
    ]


@contextmanager
def mysql(place: Path, port: int, options: Sequence[str] = ()) -> Iterator[MySql]:
    """A fresh server.

    :param place: an empty folder with a short name; a socket's path has at most 107 characters.
    :param options: of ``mysqld``.
    """
    files, socket, log = _files(), place / "s", place / "log"
    shutil.copytree(files / "fresh", place / "data")
    (place / "data" / "auto.cnf").unlink()  # who it is: one of a kind
    listening = [f"--port={port}", "--bind-address=127.0.0.1", f"--socket={socket}", "--skip-name-resolve"]
    with log.open("w") as errors:
        process = subprocess.Popen(_words(files, place / "data", *listening, *options), stderr=errors)
        try:
            deadline = time.monotonic() + 60
            while "ready for connections" not in log.read_text():
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < deadline, log.read_text()
                time.sleep(0.1)
            yield MySql(port, socket)
        finally:
            process.terminate()
            process.wait(30)
