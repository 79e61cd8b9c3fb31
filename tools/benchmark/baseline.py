"""What is compared with: ``mlflow server`` with default flags from a plain ``pip install``, in a pod."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.image_context import OWN_REGISTRY, folder_hash
from components.tracking.database_server import CLIENT_LABELS
from tools import cluster
from tools.benchmark.place import NAMESPACE, STACK, kubectl
from tools.benchmark.pods import TMP, pod, server_pod
from tools.cluster.loader import load_archive
from tools.common import step
from tools.image_build.build import base_of, build_archive, images_folder, push
from tools.image_build.deliver import held_by_nodes, image_settings, node_platform
from tools.image_build.engines import Docker, choose_engine

CONTEXT = Path(__file__).parent / "baseline-image"
URI = "MLFLOW_BACKEND_STORE_URI"
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


@dataclass(frozen=True, kw_only=True)
class Server:
    """A default server: the name of its pod, and whether it runs on uvloop."""

    name: str
    uvloop: bool


def start(reference: str, server: Server, cpu: str) -> None:
    """Start a default server on a database of its own in the stack's PostgreSQL.

    :param cpu: CPU limit, that of the stack's server.
    """
    uri = f"{_stack_uri().rpartition('/')[0]}/{server.name.replace('-', '_')}"
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": server.name, "namespace": NAMESPACE},
        "stringData": {URI: uri},
    }
    items = [secret, _pod(server, reference, cpu)]
    kubectl("create", "-f", "-", manifest={"apiVersion": "v1", "kind": "List", "items": items})


def stop(server: Server) -> None:
    """Take a default server away; its database goes with the stack."""
    kubectl("delete", f"pod/{server.name}", f"secret/{server.name}", "-n", NAMESPACE, "--now", timeout=90)


def _stack_uri() -> str:
    """The database address that the stack's server uses, for the same driver in both."""
    environment = server_pod()["spec"]["containers"][0]["envFrom"]
    for name in (source["secretRef"]["name"] for source in environment if "secretRef" in source):
        data = json.loads(kubectl("get", "secret", name, "-n", NAMESPACE, "-o", "json")).get("data", {})
        if URI in data:
            address = base64.b64decode(data[URI]).decode()
            return f"postgresql+psycopg2://{address.partition('://')[2]}"
    raise AssertionError(f"the server takes {URI} from none of its Secrets")


def _pod(server: Server, reference: str, cpu: str) -> dict[str, Any]:
    environment: list[dict[str, Any]] = [
        {"name": URI, "valueFrom": {"secretKeyRef": {"name": server.name, "key": URI}}},
        {"name": "TMPDIR", "value": "/tmp"},  # noqa: S108 - an emptyDir of the pod's own
        *([{"name": "PYTHONPATH", "value": UVLOOP}] if server.uvloop else []),
    ]
    main = {
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
    made = pod(server.name, main, [])
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
