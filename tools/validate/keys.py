"""From a Kubernetes object back to the setting that made it so."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from components.jobs.names import JOB_LABEL, PIPELINE_LABEL, SERVICE_LABEL
from components.settings import AnyStack

BY_NAME = {
    ("Service", "mlflow-server-node-port"): "mlflow:exposure.nodePort",
    ("Service", "mlflow-server-internal"): "mlflow:exposure.internal",
    ("Service", "mlflow-server-external"): "mlflow:exposure.external",
    ("PersistentVolumeClaim", "mlflow-database"): "mlflow:database.volume",
    ("PersistentVolumeClaim", "mlflow-artifacts"): "mlflow:artifacts.volume",
}
BY_KIND = {
    "Ingress": "mlflow:exposure.ingress",
    "Namespace": "mlflow:namespace",
    "StorageClass": "mlflow:cluster.storageClass",
}
BY_COMPONENT = {
    "database": "mlflow:database",
    "migration": "mlflow:database",
    "job": "mlflow:jobs",
    "jobs": "mlflow:jobs",
    "pipeline": "mlflow:pipelines",
    "service": "mlflow:services",
    "model-watch": "mlflow:modelServers",
    "secrets": "mlflow:secrets",
}
RIGHTS = ("ServiceAccount", "Role", "RoleBinding")


def _of_rights(name: str) -> str:
    """The setting that wants an account which rolls something (``components/jobs/rights.py``)."""
    if name.startswith("pipeline-"):
        return f"mlflow:pipelines.{name.removeprefix('pipeline-')}"
    if name.endswith("-roll"):
        return f"mlflow:services.{name.removesuffix('-roll')}.schedule"
    return "mlflow:modelServers"


def key_of(manifest: Mapping[str, Any], settings: AnyStack) -> str:
    """The setting that an object comes from, as narrow as is known."""
    metadata = manifest["metadata"]
    labels = metadata.get("labels") or {}
    if manifest["kind"] in RIGHTS and labels.get("app.kubernetes.io/component") == "service":
        return _of_rights(metadata["name"])
    if pipeline := labels.get(PIPELINE_LABEL):
        return f"mlflow:pipelines.{pipeline}"
    if job := labels.get(JOB_LABEL):
        claim = ".workspace.claim" if manifest["kind"] == "PersistentVolumeClaim" else ""
        return f"mlflow:jobs.{job}{claim}"
    if service := labels.get(SERVICE_LABEL):
        section = "modelServers" if service in settings.model_servers else "services"
        return f"mlflow:{section}.{service}"
    if service := labels.get(f"{SERVICE_LABEL}-roll"):
        return f"mlflow:services.{service}.schedule"
    if key := BY_NAME.get((manifest["kind"], metadata["name"])) or BY_KIND.get(manifest["kind"]):
        return key
    return BY_COMPONENT.get(labels.get("app.kubernetes.io/component", ""), "mlflow:server")
