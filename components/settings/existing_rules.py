"""What a stack without a tracking server of its own must not say."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

from .errors import Problem
from .existing import ExistingCluster, ExistingImages, Tracking
from .rules import no_group, rule
from .stack import Groups

USER, PASSWORD, TOKEN = "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN"
"""What MLflow's clients sign in with. Source: MLflow, "Tracking Server", environment variables."""
CHOICES = (frozenset({USER, PASSWORD}), frozenset({TOKEN}))


@rule
def one_server(tracking: Tracking) -> Iterator[Problem]:
    if tracking.url is None and tracking.stack is None:
        yield Problem("mlflow:tracking.url", "is missing; give the server's address, or its stack in stack")
    if tracking.url is not None and tracking.stack is not None:
        yield Problem("mlflow:tracking.stack", "is set beside url; use one of them")
    if tracking.ca_bundle and not (tracking.url or "").startswith("https:"):
        yield Problem("mlflow:tracking.caBundle", "only fits an https:// url")


@rule
def addresses(tracking: Tracking) -> Iterator[Problem]:
    for name, address in (("url", tracking.url), ("webUrl", tracking.web_url)):
        if "@" in urlsplit(address or "").netloc:
            yield Problem(
                f"mlflow:tracking.{name}",
                "must hold no credentials (value not shown); name a group in mlflow:tracking.credentials",
            )


@rule
def own_pods_only(tracking: Tracking) -> Iterator[Problem]:
    if tracking.namespace.startswith("kube-"):
        yield Problem("mlflow:tracking.namespace", f"{tracking.namespace} is Kubernetes' own; choose another")


@rule
def sign_in(tracking: Tracking, secrets: Groups) -> Iterator[Problem]:
    group, key = tracking.credentials, "mlflow:tracking.credentials"
    if group is None:
        return
    if group not in secrets:
        yield no_group(key, group, secrets)
        return
    named = list(secrets[group].values())
    if len(named) != 1 or frozenset(named[0]) not in CHOICES:
        wanted = " or ".join(" + ".join(sorted(choice)) for choice in CHOICES)
        yield Problem(key, f"group {group} must be one Secret that holds {wanted}, and nothing else")


@rule
def images_of_a_named_cluster(cluster: ExistingCluster, images: ExistingImages) -> Iterator[Problem]:
    if cluster.kubeconfig and not cluster.context:
        yield Problem("mlflow:cluster.kubeconfig", "only fits a context that mlflow:cluster.context names")
    if cluster.context and images.job is None:
        yield Problem(
            "mlflow:images.job",
            f"is missing: which image do jobs run in, that the nodes of context {cluster.context} can pull?",
        )
    for name, key in (("job", "job"), ("git_sync", "gitSync")):
        reference = getattr(images, name)
        last = reference.rpartition("/")[2] if reference else ":x"
        if "@sha256:" not in last and (":" not in last or last.endswith(":latest")):
            yield Problem(f"mlflow:images.{key}", "needs a fixed tag or a digest; latest is refused")
