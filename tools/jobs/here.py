"""An MLproject on the caller's machine, against the deployed server, as most clients come."""

from __future__ import annotations

import hashlib
import ipaddress
import os
import shutil
import subprocess
import sys
import threading
import venv
from pathlib import Path
from urllib.parse import urlsplit

from components.contracts import THROUGH_THE_SERVER
from components.jobs.names import LAUNCHER
from tools.common import ROOT, Failure, cache_dir, run, step
from tools.deployed import Deployed
from tools.jobs.follow import RUN_LINE
from tools.jobs.project import Project

REQUIREMENTS = ROOT / "images" / "job" / "requirements.txt"
INSTALL_LIMIT = 15 * 60
"""Seconds; 40 s on two idle cores with a near package index."""
ANOTHER_SERVERS = {
    "MLFLOW_EXPERIMENT_ID",
    "MLFLOW_EXPERIMENT_NAME",
    "MLFLOW_REGISTRY_URI",
    "MLFLOW_RUN_CONTEXT",
    "MLFLOW_RUN_ID",
    "MLFLOW_TRACKING_AUTH",
    "MLFLOW_TRACKING_PASSWORD",
    "MLFLOW_TRACKING_TOKEN",
    "MLFLOW_TRACKING_URI",
    "MLFLOW_TRACKING_USERNAME",
}
"""Variables of the caller's shell that speak of another server or run."""


def client_environment() -> Path:
    """A virtual environment of this user's with what the job image holds; made once per lock and Python.

    :returns: its folder.
    :raises Failure: when the packages cannot be installed.
    """
    version = f"py{sys.version_info.major}.{sys.version_info.minor}"
    key = hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()[:12]
    folder = cache_dir() / "clients" / f"{key}-{version}"
    done = folder / ".complete"
    if done.exists():
        return folder
    with step("client environment with the job image's packages (hash-checked, once per user)"):
        shutil.rmtree(folder, ignore_errors=True)
        venv.create(folder, with_pip=True)
        run(
            [folder / "bin" / "pip", "install", "--quiet", "--require-hashes", "--only-binary=:all:",
             "--disable-pip-version-check", "-r", REQUIREMENTS],
            timeout=INSTALL_LIMIT,
            hint="is the package index reachable? pip's own settings are used",
        )  # fmt: skip
        done.touch()
    return folder


def environment(deployed: Deployed, client: Path) -> dict[str, str]:
    """This process's environment, pointed at the deployed server with the sign-in in force.

    Runs belong to the jobs' user, as those of pods do: an experiment of somebody else's can only be read.
    """
    kept = {name: value for name, value in os.environ.items() if name not in ANOTHER_SERVERS}
    added = {
        "PATH": f"{client / 'bin'}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
        "MLFLOW_TRACKING_URI": deployed.url,
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "DO_NOT_TRACK": "true",
        **THROUGH_THE_SERVER,
        **credentials(deployed),
    }
    host = urlsplit(deployed.url).hostname or ""
    if _is_private(host):  # no proxy of the company's reaches a node of ours
        for name in ("NO_PROXY", "no_proxy"):
            added[name] = ",".join(filter(None, [os.environ.get(name), host]))
    return {**kept, **added}


def credentials(deployed: Deployed) -> dict[str, str]:
    """What the jobs' user signs in with, as environment; empty without sign-in."""
    secret = deployed.outputs.get("jobsSecret")
    if not secret:
        return {}
    template = "{{range $key, $value := .data}}{{$key}}={{$value | base64decode}}\n{{end}}"
    text = deployed.kubectl("get", "secret", secret, "-o", f"go-template={template}")
    return dict(line.split("=", 1) for line in text.splitlines() if line)


def _is_private(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_private
    except ValueError:
        return host == "localhost"


def run_here(deployed: Deployed, project: Project, parameters: list[str], limit: int) -> tuple[str, str]:
    """Run a project on this machine, its log on standard output.

    :param limit: seconds.
    :returns: ids of experiment and run.
    :raises Failure: when it fails or takes longer.
    """
    client = client_environment()
    command = [client / "bin" / "python", LAUNCHER, project.folder, "--experiment", project.name]
    command += [word for text in parameters for word in ("--param", text)]
    command += [word for tag in project.tags().items() for word in ("--tag", "=".join(tag))]
    found = None
    with subprocess.Popen(
        command,
        env=environment(deployed, client),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout is not None
        timer = threading.Timer(limit, process.terminate)  # the launcher ends the run then
        timer.daemon = True
        timer.start()
        for line in process.stdout:
            print(line, end="", flush=True)
            if told := RUN_LINE.match(line.strip()):
                found = (told[1], told[2])
        timer.cancel()
    if process.returncode or found is None:
        raise Failure(
            f"{project.name} failed on this machine: exit code {process.returncode}", "see its log above"
        )
    return found
