"""Kubernetes' recommended labels, and the fixed names of what people address by name."""

from __future__ import annotations

SERVER = "mlflow-server"
"""Deployment and Service. Never plain ``mlflow``: Kubernetes would inject MLFLOW_PORT into every pod
of the namespace that keeps service links, and MLflow reads it (mlflow.md, workloads.md §8)."""


def selector(component: str) -> dict[str, str]:
    """Labels that never change over a component's life and select its pods."""
    return {"app.kubernetes.io/name": "mlflow", "app.kubernetes.io/component": component}


def labels(component: str) -> dict[str, str]:
    """All labels of a component's objects. Source: Kubernetes, "Recommended Labels"."""
    return {
        **selector(component),
        "app.kubernetes.io/part-of": "mlflow",
        "app.kubernetes.io/managed-by": "pulumi",
    }
