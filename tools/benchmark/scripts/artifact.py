"""Artifact throughput: the same bytes through the server and straight onto its volume, turn by turn.

Reads its plan as JSON from the first argument and writes one line of JSON per measurement. A read starts
with the file out of the page cache, or it would measure memory.
"""

from __future__ import annotations

import http.client
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

CHUNK = 1 << 20
FOLDER = "benchmark"


def pieces(size: int) -> Iterator[bytes]:
    """``size`` MB that do not compress."""
    piece = os.urandom(CHUNK)
    for _ in range(size):
        yield piece


def connect(plan: dict) -> http.client.HTTPConnection:
    return http.client.HTTPConnection(plan["host"], plan["port"], timeout=300)


def upload(plan: dict, path: Path) -> None:
    connection = connect(plan)
    connection.request(
        "PUT",
        f"/api/2.0/mlflow-artifacts/artifacts/{FOLDER}/{path.name}",
        body=pieces(plan["size"]),
        headers={"Host": "localhost", "Content-Length": str(plan["size"] * CHUNK)},
    )
    answer = connection.getresponse()
    text = answer.read()
    if answer.status != 200:
        raise RuntimeError(f"upload: {answer.status} {text[:300]!r}")
    connection.close()
    sync(path)  # as for the direct write: done when the bytes are on the disk


def download(plan: dict, path: Path) -> None:
    connection = connect(plan)
    connection.request(
        "GET", f"/api/2.0/mlflow-artifacts/artifacts/{FOLDER}/{path.name}", headers={"Host": "localhost"}
    )
    answer = connection.getresponse()
    read = 0
    while piece := answer.read(CHUNK):
        read += len(piece)
    if answer.status != 200 or read != plan["size"] * CHUNK:
        raise RuntimeError(f"download: {answer.status}, {read} bytes")
    connection.close()


def write(plan: dict, path: Path) -> None:
    with path.open("wb", buffering=0) as file:
        for piece in pieces(plan["size"]):
            file.write(piece)
        os.fsync(file.fileno())


def read(plan: dict, path: Path) -> None:
    found = 0
    with path.open("rb", buffering=0) as file:
        while piece := file.read(CHUNK):
            found += len(piece)
    if found != plan["size"] * CHUNK:
        raise RuntimeError(f"read: {found} bytes")


def sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


def forget(path: Path) -> None:
    """Drop a file that is on disk from the page cache."""
    with path.open("rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def timed(plan: dict, what: str, action: Callable[[dict, Path], None], path: Path) -> None:
    start = time.monotonic()
    action(plan, path)
    seconds = time.monotonic() - start
    print(json.dumps({"what": what, "rate": plan["size"] * CHUNK / 1e6 / seconds}), flush=True)


def main() -> None:
    plan = json.loads(sys.argv[1])
    folder = Path(plan["volume"]) / FOLDER
    folder.mkdir(exist_ok=True)
    for number in range(plan["rounds"]):
        through, straight = folder / f"through-{number}", folder / f"straight-{number}"
        turns = [("upload", upload, through), ("write", write, straight)]
        for what, action, path in turns if number % 2 == 0 else turns[::-1]:
            timed(plan, what, action, path)
        for path in (through, straight):
            forget(path)
        turns = [("download", download, through), ("read", read, straight)]
        for what, action, path in turns if number % 2 == 0 else turns[::-1]:
            timed(plan, what, action, path)
        through.unlink()
        straight.unlink()


if __name__ == "__main__":
    main()
