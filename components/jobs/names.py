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
