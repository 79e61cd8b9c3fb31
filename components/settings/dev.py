"""A stack without any cloud."""

from __future__ import annotations

from typing import Literal

from .artifacts import Artifacts
from .cluster import DevCluster
from .database import Database
from .stack import Cloud, Common


class DevStack(Common):
    """A stack without a cloud."""

    cloud: Literal[Cloud.DEV]
    """Where the database, artifacts, registry and identity come from; dev needs no cloud."""
    cluster: DevCluster = DevCluster()
    """The Kubernetes cluster."""
    database: Database = Database()
    """The tracking database."""
    artifacts: Artifacts = Artifacts()
    """The artifact store."""
