"""Argo Workflows' published types, as the models of Hera, Argo's own Python SDK.

Argo's Go module is not to be had where this was written. Hera's models are generated from Argo's OpenAPI
specification (4.0.5 in this version); the package is fetched once into the user's cache and never installed.
"""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path
from typing import Any

from tools.common import cache_dir

VERSION, SHA256 = "7.1.0", "1957348f770c06aec1b8f8c10c83b62fc03ec51df3c65208dcff672ff5ed145c"
WHEEL = f"hera-{VERSION}-py3-none-any.whl"


def package() -> Path:
    """The package's file; its content is checked by pip.

    :raises RuntimeError: when no package index has it.
    """
    folder = cache_dir() / f"hera-{SHA256[:12]}"
    if not (folder / WHEEL).is_file():
        folder.mkdir(parents=True, exist_ok=True)
        wanted = folder / "requirements.txt"
        wanted.write_text(f"hera=={VERSION} --hash=sha256:{SHA256}\n")
        words = ["download", "--quiet", "--no-deps", "--require-hashes", "-r", str(wanted), "-d", str(folder)]
        done = subprocess.run(
            [sys.executable, "-m", "pip", *words], capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise RuntimeError(f"the package index has no hera {VERSION}: {done.stderr.strip()}")
    return folder / WHEEL


def models() -> Any:
    """The module with a class for each kind."""
    path = str(package())
    if path not in sys.path:
        sys.path.append(path)  # last: it must hide nothing
    return importlib.import_module("hera.workflows.models")


def unknown(given: Any, understood: Any, path: str = "") -> list[str]:
    """Where an object says what its type does not know, or says otherwise."""
    if isinstance(given, dict) and isinstance(understood, dict):
        return [
            line
            for key, value in given.items()
            for line in (
                unknown(value, understood[key], f"{path}.{key}")
                if key in understood
                else [f"{path}.{key} is no field"]
            )
        ]
    if isinstance(given, list) and isinstance(understood, list) and len(given) == len(understood):
        pairs = enumerate(zip(given, understood, strict=True))
        return [line for n, (one, other) in pairs for line in unknown(one, other, f"{path}[{n}]")]
    return [] if given == understood else [f"{path} is {given!r}, understood as {understood!r}"]
