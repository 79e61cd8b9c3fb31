"""What is compared with: ``mlflow server`` with default flags from a plain ``pip install``, in a pod."""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

from components.image_context import OWN_REGISTRY, folder_hash
from components.tracking.database_server import CLIENT_LABELS
from tools import cluster
from tools.benchmark.place import NAMESPACE, STACK, kubectl
from tools.benchmark.pods import TMP, pod, server_pod
from tools.cluster.loader import load_archive
from tools.common import console, step
from tools.image_build.build import base_of, build_archive, images_folder, push
from tools.image_build.deliver import held_by_nodes, image_settings, node_platform
from tools.image_build.engines import Docker, choose_engine

CONTEXT = Path(__file__).parent / "baseline-image"
URI = "MLFLOW_BACKEND_STORE_URI"
SECRET = "bench-baseline"  # noqa: S105 - a name
UVLOOP = "/opt/uvloop"
"""Where the image keeps uvloop, which the default server does not see."""
MEMORY_LIMIT = "4Gi"
"""With less the default server (4 workers and 8 job consumers, 3.4 GB) does not run (mlflow.md §8)."""
CREATE_DATABASE = """
import os, sqlalchemy
url = sqlalchemy.make_url(os.environ["MLFLOW_BACKEND_STORE_URI"])
engine = sqlalchemy.create_engine(url.set(database="postgres"), isolation_level="AUTOCOMMIT")
with engine.connect() as connection:
    connection.exec_driver_sql(f'CREATE DATABASE "{url.database}"')
"""


def image() -> str:
    """Build the baseline's image where the cache has none, bring it to the nodes; its reference."""
    engine = choose_engine()
    base = base_of("tracking-server", can_pull=cluster.info()["canPull"] or isinstance(engine, Docker))
    version = hashlib.sha256(f"{folder_hash(CONTEXT)} {base.reference}".encode()).hexdigest()[:12]
    reference = f"{OWN_REGISTRY}/mlflow-bench-baseline:{version}"
    archive = images_folder() / f"bench-baseline-{version}.tar"
    build_archive(CONTEXT, reference, archive, engine, base=base, platform=node_platform())
    registry = image_settings(STACK).registry
    if registry:
        target = f"{registry.rstrip('/')}/mlflow-bench-baseline:{version}"
        return push(archive, reference, target, engine)
    if reference not in held_by_nodes():
        with step(f"Loading {reference} onto the nodes"):
            load_archive(archive)
    return reference


def start(reference: str, systems: dict[str, bool], cpu: str) -> None:
    """Start a default server per system, each on a database of its own in the stack's PostgreSQL.

    :param systems: pod name to whether it runs on uvloop.
    :param cpu: CPU limit, that of the stack's server.
    """
    uri = _stack_uri()
    databases = {name: name.replace("-", "_") for name in systems}
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": SECRET, "namespace": NAMESPACE},
        "stringData": {name: f"{uri.rpartition('/')[0]}/{database}" for name, database in databases.items()},
    }
    pods = [_pod(name, reference, cpu, uvloop=uvloop) for name, uvloop in systems.items()]
    items = [secret, *pods]
    kubectl("create", "-f", "-", manifest={"apiVersion": "v1", "kind": "List", "items": items})


def stop(systems: dict[str, bool]) -> None:
    """Take the default servers away; their databases go with the stack."""
    kubectl("delete", *(f"pod/{name}" for name in systems), f"secret/{SECRET}", "-n", NAMESPACE, "--now",
            timeout=90)  # fmt: skip


def _stack_uri() -> str:
    """The database address that the stack's server uses, for the same driver in both."""
    environment = server_pod()["spec"]["containers"][0]["envFrom"]
    for name in (source["secretRef"]["name"] for source in environment if "secretRef" in source):
        data = json.loads(kubectl("get", "secret", name, "-n", NAMESPACE, "-o", "json")).get("data", {})
        if URI in data:
            address = base64.b64decode(data[URI]).decode()
            return f"postgresql+psycopg2://{address.partition('://')[2]}"
    raise AssertionError(f"the server takes {URI} from none of its Secrets")


def _pod(name: str, reference: str, cpu: str, *, uvloop: bool) -> dict[str, Any]:
    environment: list[dict[str, Any]] = [
        {"name": URI, "valueFrom": {"secretKeyRef": {"name": SECRET, "key": name}}},
        {"name": "TMPDIR", "value": "/tmp"},  # noqa: S108 - an emptyDir of the pod's own
        *([{"name": "PYTHONPATH", "value": UVLOOP}] if uvloop else []),
    ]
    server = {
        "name": "server",
        "image": reference,
        # The address is the only flag: the default, 127.0.0.1, answers nobody outside the pod.
        "command": ["mlflow", "server", "--host", "0.0.0.0"],  # noqa: S104
        "workingDir": "/tmp",  # noqa: S108
        "env": environment,
        "volumeMounts": [TMP],
        "resources": {
            "requests": {"cpu": "100m", "memory": "1Gi"},
            "limits": {"cpu": cpu, "memory": MEMORY_LIMIT},
        },
        "readinessProbe": {
            "httpGet": {
                "path": "/health",
                "port": 5000,
                "httpHeaders": [{"name": "Host", "value": "localhost"}],
            },
            "periodSeconds": 1,
        },
    }
    prepare = {
        "name": "database",
        "image": reference,
        "command": ["python", "-c", CREATE_DATABASE],
        "env": environment,
        "volumeMounts": [TMP],
    }
    made = pod(name, server, [])
    container = made["spec"]["containers"][0]
    made["spec"]["initContainers"] = [
        {
            **prepare,
            "imagePullPolicy": container["imagePullPolicy"],
            "securityContext": container["securityContext"],
        }
    ]
    made["metadata"]["labels"] |= CLIENT_LABELS
    return made


def told(reference: str) -> None:
    console.print(f"  [dim]baseline: {reference}[/]")
