"""Small programs that the tests of the kubernetes plugin run."""

from __future__ import annotations

from typing import Any

import pulumi
import pulumi_kubernetes

from tests.engine.conftest import Cluster, Program

k8s: Any = pulumi_kubernetes  # plain dictionaries as arguments; the SDK checks nothing that is tested here


def config_map(cluster: Cluster, data: dict[str, str], name: str | None = None) -> Program:
    def program() -> None:
        made = k8s.core.v1.ConfigMap(
            "settings", metadata=cluster.metadata(name), data=data, opts=cluster.options()
        )
        pulumi.export("name", made.metadata.name)

    return program


def deployment(
    cluster: Cluster,
    name: str,
    script: str,
    *,
    replicas: int = 1,
    ignore: list[str] | None = None,
    container: dict[str, Any] | None = None,
    **annotations: str,
) -> Program:
    def program() -> None:
        labels = {"app": name}
        k8s.apps.v1.Deployment(
            name,
            metadata=cluster.metadata(name, **{"timeoutSeconds": "300", **annotations}),
            spec={
                "replicas": replicas,
                "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": cluster.pod(script, **container or {})},
            },
            opts=cluster.options(ignore_changes=ignore or []),
        )

    return program


def job(cluster: Cluster, name: str, script: str, **annotations: str) -> Program:
    def program() -> None:
        pod = {**cluster.pod(script), "restartPolicy": "Never"}
        k8s.batch.v1.Job(
            name,
            metadata=cluster.metadata(name, **annotations),
            spec={"backoffLimit": 0, "template": {"spec": pod}},
            opts=cluster.options(),
        )

    return program
