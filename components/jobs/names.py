"""Names by which the verbs find what a job template makes. No Pulumi here: verbs start fast without it."""

from __future__ import annotations

from pathlib import Path

MAIN = "job"
"""The container that runs the code."""
FETCH = "fetch-code"
"""The init container that brings the code, whichever kind it is."""
JOB_LABEL = "mlflow/job"
"""On a template, its Jobs and their pods: the template's name."""
EXPERIMENT = "mlflow/experiment"
"""Annotation of a template: where `make jobs` looks for its runs."""
LAUNCHER = Path(__file__).parent / "scripts" / "launcher.py"
MISDESCRIBED = 78
"""The launcher's exit code for a job that cannot start as it is described."""
ARCHIVE = "code.tar.gz"
"""The key under which a ConfigMap holds the files of a commit."""
ARCHIVE_VOLUME = "archive"
COMMIT = "COMMIT"
"""Variable of the init container that unpacks it."""
SERVICE_LABEL = "mlflow/service"
"""On the Deployment of a service or model server, and on its pods: its name in the settings."""
MODEL = "mlflow/model"
"""Annotation of a model server: what it serves, as the settings say it."""
REPLICAS = "mlflow/replicas"
"""Annotation of a Deployment: how many pods it has once there is something to serve."""
SERVED_VERSION = "mlflow/model-version"
"""Annotation of a model server's pods: the one version that they serve, as ``models:/name/3``."""
ROLLED = "mlflow/rolled-at"
"""Annotation of pods: when a roll gave the Deployment new ones (ISO 8601, UTC)."""
SERVICE_STATUS = "mlflow/status"
"""Annotation of a model server: what keeps it from serving what it should."""
SCRIPTS = Path(__file__).parent / "scripts"
SERVING_SCRIPTS = ("__init__.py", "launcher.py", "serve.py", "serve_model.py")
"""What the pods of services run."""
ROLLING_SCRIPTS = ("__init__.py", "kubernetes.py", "pods.py", "rollout.py", "models.py", "model_watch.py")
"""What rolls them."""
PIPELINE_LABEL = "mlflow/pipeline"
"""On what runs a pipeline and on its Jobs, beside JOB_LABEL: its name."""
RUN_LABEL = "mlflow/pipeline-run"
"""On the Jobs of a pipeline's stages: the name of the Job that runs it."""
STAGE_LABEL = "mlflow/stage"
"""On the Job of a stage: its name in the pipeline."""
PIPELINE_SCRIPTS = (
    "__init__.py",
    "kubernetes.py",
    "models.py",
    "pipeline.py",
    "pods.py",
    "rollout.py",
    "stages.py",
)
"""What runs a pipeline."""
