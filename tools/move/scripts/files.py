"""Artifacts, out of one server's pod and into another's, as a tar stream (MLflow and the standard library).

A folder is read and written as such, anything else through MLflow's own client of that store.
"""

# pyright: reportMissingImports=false
import json
import os
import shutil
import sys
import tarfile
import tempfile
from pathlib import Path, PurePosixPath

OUT = os.fdopen(os.dup(1), "wb")
sys.stdout = sys.stderr  # whatever else prints must not end up in the stream

DESTINATION = os.environ["MLFLOW_ARTIFACTS_DESTINATION"].removeprefix("file://")


class Folder:
    """A volume."""

    def __init__(self, root):
        self.root = Path(root)

    def sizes(self):
        for path in self.root.rglob("*"):
            if path.is_file() and path.name != "lost+found":
                yield path.relative_to(self.root).as_posix(), path.stat().st_size

    def fetched(self, name, _scratch):
        return self.root / name

    def keep(self, name, source):
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f".{path.name}.part")
        with part.open("wb") as file:
            shutil.copyfileobj(source, file, 1 << 20)
        part.replace(path)


class Store:
    """An object store."""

    def __init__(self, uri):
        from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

        self.repository = get_artifact_repository(uri)

    def sizes(self, folder=None):
        for each in self.repository.list_artifacts(folder):
            if each.is_dir:
                yield from self.sizes(each.path)
            else:
                yield each.path, each.file_size

    def fetched(self, name, scratch):
        return Path(self.repository.download_artifacts(name, scratch))

    def keep(self, name, source):
        with tempfile.TemporaryDirectory() as scratch:
            local = Path(scratch) / PurePosixPath(name).name
            with local.open("wb") as file:
                shutil.copyfileobj(source, file, 1 << 20)
            parent = PurePosixPath(name).parent.as_posix()
            self.repository.log_artifact(str(local), None if parent == "." else parent)


def place():
    return Folder(DESTINATION) if DESTINATION.startswith("/") else Store(DESTINATION)


def names():
    """Every file's name and size, a JSON line each."""
    for entry in place().sizes():
        OUT.write(json.dumps(entry).encode() + b"\n")
    OUT.flush()


def read():
    """The files that standard input names, a JSON text per line."""
    source = place()
    wanted = [json.loads(line) for line in sys.stdin.buffer]
    with tarfile.open(fileobj=OUT, mode="w|") as stream:
        for name in wanted:
            with tempfile.TemporaryDirectory() as scratch:
                stream.add(source.fetched(name, scratch), arcname=name, recursive=False)
    OUT.flush()


def write():
    target, number = place(), 0
    with tarfile.open(fileobj=sys.stdin.buffer, mode="r|") as stream:
        for member in stream:
            name = PurePosixPath(member.name)
            if name.is_absolute() or ".." in name.parts:
                sys.exit(f"refused: {member.name}")
            target.keep(member.name, stream.extractfile(member))
            number += 1
            if number % 1000 == 0:
                print(f"  {number} files", file=sys.stderr)
    print(f"  {number} files", file=sys.stderr)


if __name__ == "__main__":
    {"names": names, "read": read, "write": write}[sys.argv[1]]()
