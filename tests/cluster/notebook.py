"""Execute a notebook as a person's Jupyter would: with the job image's packages, from its own folder."""

from __future__ import annotations

import json
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

from tools.common import cache_dir, run
from tools.jobs.here import client_environment

LOCK = Path(__file__).with_name("notebook.txt")
LIMIT = 300
"""Seconds for the whole notebook."""
EXECUTE = """
import json, sys
import nbformat
from nbclient import NotebookClient
path, folder = sys.argv[1:]
notebook = nbformat.read(path, as_version=4)
resources = {"metadata": {"path": folder}}
NotebookClient(notebook, timeout=200, kernel_name="python3", resources=resources).execute()
print(json.dumps([cell.get("outputs", []) for cell in notebook.cells if cell.cell_type == "code"]))
"""


def executed(notebook: Path, environment: Mapping[str, str]) -> list[list[dict[str, Any]]]:
    """The outputs of each code cell; a cell that fails raises."""
    python = _jupyter() / "bin" / "python"
    done = subprocess.run(
        [python, "-c", EXECUTE, notebook, notebook.parent],
        env=dict(environment), capture_output=True, text=True, timeout=LIMIT, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads(done.stdout.strip().splitlines()[-1])


def _jupyter() -> Path:
    """A virtual environment with nbclient and a kernel on top of the client environment, once per lock."""
    client = client_environment()
    key = sha256(LOCK.read_bytes() + client.name.encode()).hexdigest()[:12]
    folder = cache_dir() / "tests" / f"notebook-{key}"
    if not (folder / ".complete").exists():
        venv.create(folder, with_pip=True, clear=True)
        run([folder / "bin" / "pip", "install", "--quiet", "--require-hashes", "-r", LOCK], timeout=600)
        version = f"python{sys.version_info.major}.{sys.version_info.minor}"
        packages = sysconfig.get_path("purelib", vars={"base": str(folder), "platbase": str(folder)})
        Path(packages, "client.pth").write_text(f"{client / 'lib' / version / 'site-packages'}\n")
        (folder / ".complete").touch()
    return folder
