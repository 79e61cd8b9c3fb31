"""The Pulumi CLI: the user's own, else the official download, else built once from its Go module."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from importlib.metadata import version
from pathlib import Path

from tools.common import Failure, cache_dir, run, step

BUILD_VERSION = "3.256.0"
"""Newest CLI that the Go module proxy serves with all its dependencies; works with SDK 3.256 to 3.272."""

MODULE = Path(__file__).parent / "cli-build"
BUILD_LIMIT = 30 * 60  # seconds; 2 min 45 s on two idle cores
DOWNLOAD_LIMIT = 5 * 60
PROBE_LIMIT = 5
REFUSAL_LASTS = 24 * 60 * 60  # seconds until a download that was refused is tried again


def find_cli() -> Path:
    """The CLI to use; builds it when nothing else is there.

    :raises Failure: when it is neither installed nor downloadable nor can be built.
    """
    found = shutil.which("pulumi")
    if found:
        return Path(found)
    built = _built_path()
    if built.exists():  # where the download was refused before: not asked for again with each verb
        return built
    return _installed() or _build(built)


def is_users_own(cli: Path) -> bool:
    """Whether this CLI is the one on the user's PATH, not one in this project's cache."""
    return cache_dir() not in cli.parents


def known_version(cli: Path) -> str:
    """The version of a CLI in this project's cache, which its folder tells."""
    folder = cli.parent.parent.name
    return BUILD_VERSION if folder.startswith("built-") else folder


def _built_path() -> Path:
    content = b"".join((MODULE / name).read_bytes() for name in ("go.mod", "go.sum"))
    return cache_dir() / "pulumi" / f"built-{hashlib.sha256(content).hexdigest()[:12]}" / "bin" / "pulumi"


def _installed() -> Path | None:
    """The official CLI of the SDK's version, installed into the cache; None where it cannot be downloaded."""
    root = cache_dir() / "pulumi" / version("pulumi")
    cli = root / "bin" / "pulumi"
    if cli.exists():
        return cli
    if not downloadable("https://get.pulumi.com/install.sh"):
        return None
    code = (
        "import sys; from semver import VersionInfo; from pulumi.automation import PulumiCommand;"
        "PulumiCommand.install(root=sys.argv[1], version=VersionInfo.parse(sys.argv[2]))"
    )
    with step(f"installing the Pulumi CLI {root.name} into {root}"):
        subprocess.run(
            [sys.executable, "-c", code, root, root.name],
            timeout=DOWNLOAD_LIMIT,
            capture_output=True,
            check=False,
        )
    return cli if cli.exists() else None


def _build(target: Path) -> Path:
    if not shutil.which("go"):
        raise Failure(
            "the Pulumi CLI is not installed, cannot be downloaded, and there is no Go to build it",
            "install Pulumi (https://www.pulumi.com/docs/install/) or Go 1.25 or newer, then run this again",
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    unfinished = target.with_suffix(".building")
    stamp = f"github.com/pulumi/pulumi/sdk/v3/go/common/version.Version=v{BUILD_VERSION}"
    with step(f"building the Pulumi CLI {BUILD_VERSION} from its Go module, once per user (about 3 min)"):
        run(
            ["go", "build", "-trimpath", "-ldflags", f"-s -w -X {stamp}", "-o", unfinished,
             "github.com/pulumi/pulumi/pkg/v3/cmd/pulumi"],
            cwd=MODULE,
            env={"CGO_ENABLED": "0"},
            timeout=BUILD_LIMIT,
            hint="install Pulumi yourself: https://www.pulumi.com/docs/install/",
        )  # fmt: skip
    return unfinished.replace(target)


def downloadable(url: str) -> bool:
    """Whether a URL answers within a few seconds; a refusal is remembered for a day."""
    memory = cache_dir() / "refused-downloads.json"
    refused: dict[str, float] = json.loads(memory.read_text()) if memory.exists() else {}
    if time.time() - refused.get(url, 0) < REFUSAL_LASTS:
        return False
    try:
        with urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=PROBE_LIMIT):
            return True
    except (OSError, urllib.error.URLError):
        memory.write_text(json.dumps({**refused, url: time.time()}))
        return False
