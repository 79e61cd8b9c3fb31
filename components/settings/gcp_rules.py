"""What a stack on Google Cloud must not say: its cluster, its identities and its entrances.

How a rule works: ``rules.py``. A new cluster: ``gcp_cluster_rules.py``. Its stores:
``gcp_store_rules.py``. Every cloud: ``cloud_rules.py``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from .artifacts import AccessMode
from .cloud_rules import only_ipv4, pull_credentials
from .cluster import Images
from .database import ManagedDatabase, Place, SignIn
from .errors import Problem
from .exposure import EntranceApi, Exposure
from .gcp import Gcp, GcpArtifacts, GcpCluster, GcpIdentityMode, GkeFeature, ProxyMode
from .rules import rule
from .stack import Cloud, Groups, place_of

HAS = "mlflow:cluster.has"
CLUSTER_NAME = r"[a-z]([a-z0-9-]{0,38}[a-z0-9])?"
"""GKE API, ``Cluster.name``: 40 characters, a letter first."""
OF_NETWORKS = (GkeFeature.PRIVATE_SERVICES_ACCESS, GkeFeature.PROXY_SUBNET)

LABELS = 60
"""Of 64 on one resource (Resource Manager, "Labels overview"); the stack and Pulumi add some."""
LABEL_KEY = r"[a-z][a-z0-9_-]{0,62}"
LABEL_VALUE = r"[a-z0-9_-]{0,63}"


def not_the_words(key: str, value: str | None, pattern: str, wanted: str) -> Iterator[Problem]:
    """The problem of a value that Google would refuse; ``wanted`` says what it takes."""
    if value is not None and not re.fullmatch(pattern, value):
        yield Problem(key, f"{value} is not {wanted}")


def lacks(cluster: GcpCluster, feature: GkeFeature) -> bool:
    """Whether an existing cluster or network is not said to have this; what is made has what it needs."""
    there = cluster.existing or (cluster.create and cluster.create.subnet and feature in OF_NETWORKS)
    return bool(there) and feature not in cluster.has


@rule
def a_google_region_is_needed(gcp: Gcp, region: str) -> Iterator[Problem]:  # noqa: ARG001
    if not re.fullmatch(r"[a-z]+-[a-z]+[0-9]+", region):
        given = f"{region} is no region" if region else "is missing"
        yield Problem("gcp:region", f"{given}; say where the stack lives, such as europe-west1")


@rule
def the_existing_google_cluster(cluster: GcpCluster) -> Iterator[Problem]:
    yield from not_the_words(
        "mlflow:cluster.existing", cluster.existing, CLUSTER_NAME, "the name of a GKE cluster"
    )
    subnet = cluster.create.subnet if cluster.create else None
    if cluster.has and not (cluster.existing or subnet):
        yield Problem(
            HAS, "is about an existing cluster or network; the stack knows what its own has. Remove it"
        )
    elif subnet and not set(cluster.has) <= set(OF_NETWORKS):
        yield Problem(HAS, "names what a created cluster has by itself; say only what its network has")
    if len(set(cluster.has)) != len(cluster.has):
        yield Problem(HAS, "names a feature twice; name each once")
    if cluster.location and not cluster.existing:
        yield Problem(
            "mlflow:cluster.location", "is where an existing cluster is; a new one is in gcp:region"
        )


@rule
def ranges_of_google_entrances(exposure: Exposure, gcp: Gcp) -> Iterator[Problem]:  # noqa: ARG001
    for kind in ("internal", "external"):
        entrance = getattr(exposure, kind)
        if entrance:
            yield from only_ipv4(f"mlflow:exposure.{kind}.allow", entrance.allow)


@rule
def identity_and_sign_in(database: ManagedDatabase, gcp: Gcp, cloud: Cloud) -> Iterator[Problem]:
    """No ``principal://`` can be a database user (GoogleCloudPlatform/cloud-sql-proxy#2527)."""
    managed = place_of(database, cloud) is Place.MANAGED
    if managed and database.sign_in is SignIn.IDENTITY and gcp.identity is GcpIdentityMode.DIRECT:
        yield Problem(
            "mlflow:gcp.identity",
            "is direct, and Cloud SQL knows no such user; set impersonated, or mlflow:database.signIn: "
            "password",
        )
    if not managed and "proxy" in gcp.model_fields_set:
        yield Problem("mlflow:gcp.proxy", "is about a managed database; remove it")


@rule
def a_shared_proxy_needs_a_guard(
    database: ManagedDatabase, gcp: Gcp, cluster: GcpCluster, cloud: Cloud
) -> Iterator[Problem]:
    shared = gcp.proxy is ProxyMode.DEPLOYMENT and place_of(database, cloud) is Place.MANAGED
    if shared and lacks(cluster, GkeFeature.NETWORK_POLICY):
        yield Problem(
            "mlflow:gcp.proxy",
            "is deployment, and whoever reaches its port is the database's user: it needs a cluster that "
            f"enforces network policies. List network-policy in {HAS} where {cluster.existing} does, or use "
            "sidecar",
        )


@rule
def google_load_balancers(exposure: Exposure, gcp: Gcp) -> Iterator[Problem]:  # noqa: ARG001
    for kind in ("internal", "external"):
        entrance = getattr(exposure, kind)
        if entrance and entrance.certificate:
            yield Problem(
                f"mlflow:exposure.{kind}.certificate",
                "has no place on Google's network load balancer, which passes bytes on; use "
                "mlflow:exposure.ingress, which gets a certificate by itself",
            )


@rule
def google_ingress(exposure: Exposure, cluster: GcpCluster) -> Iterator[Problem]:
    ingress = exposure.ingress
    key = "mlflow:exposure.ingress"
    if ingress and ingress.class_name and ingress.api is EntranceApi.GATEWAY:
        yield Problem(f"{key}.className", "is Google's own with api: gateway; remove it")
    if ingress is None or ingress.class_name:
        return
    yield from not_the_words(
        f"{key}.certificate",
        ingress.certificate,
        r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?",
        "the name of an SSL certificate of Compute Engine; leave it out for a Google-managed one",
    )
    if ingress.internal and ingress.allow:
        yield Problem(
            f"{key}.allow",
            "is not enforced by Google's internal load balancer; remove it, or use mlflow:exposure.internal",
        )
    if ingress.internal and lacks(cluster, GkeFeature.PROXY_SUBNET):
        yield Problem(
            f"{key}.internal",
            "needs a subnet of purpose REGIONAL_MANAGED_PROXY in the cluster's network and region; make one, "
            f"and list proxy-subnet in {HAS}",
        )


@rule
def identity_aware_proxy(exposure: Exposure, gcp: Gcp) -> Iterator[Problem]:
    if gcp.iap is None:
        return
    key, ingress = "mlflow:gcp.iap", exposure.ingress
    if ingress is None or ingress.internal or ingress.class_name:
        yield Problem(key, "stands in front of Google's external ingress; set mlflow:exposure.ingress.host")
    elif ingress.api is EntranceApi.GATEWAY:
        # GoogleCloudPlatform/gke-gateway-api#57: a GCPBackendPolicy may still want an OAuth client of one's
        # own, and one that is refused takes the ranges with it.
        yield Problem(
            key,
            "has Google's own OAuth client, which its Gateway may refuse, and then nobody is kept out; "
            "remove mlflow:exposure.ingress.api, for an Ingress, or remove mlflow:gcp.iap",
        )
    if not gcp.iap.members:
        yield Problem(f"{key}.members", "is empty, so nobody would get in; such as group:ml@example.com")


@rule
def addresses_of_entrances(exposure: Exposure, gcp: Gcp) -> Iterator[Problem]:
    for kind in gcp.addresses:
        entrance = getattr(exposure, kind)
        if entrance is None or getattr(entrance, "class_name", None):
            yield Problem(f"mlflow:gcp.addresses.{kind}", f"needs mlflow:exposure.{kind} of Google's own")


@rule
def credentials_to_pull(gcp: Gcp, secrets: Groups) -> Iterator[Problem]:
    yield from pull_credentials("mlflow:gcp.pullCredentials", gcp.pull_credentials, secrets)


@rule
def labels_of_google(tags: dict[str, str], gcp: Gcp) -> Iterator[Problem]:  # noqa: ARG001
    key = "mlflow:tags"
    if len(tags) > LABELS:
        yield Problem(key, f"has {len(tags)}; {LABELS} at most")
    for name, value in tags.items():
        if not re.fullmatch(LABEL_KEY, name):
            yield Problem(f"{key}.{name}", "is no label: up to 63 of a-z, 0-9, _ and -, a letter first")
        elif name.startswith("goog"):
            yield Problem(f"{key}.{name}", "starts with goog, which Google keeps to itself; choose another")
        if not re.fullmatch(LABEL_VALUE, value):
            yield Problem(f"{key}.{name}", f"has the value {value}: up to 63 of a-z, 0-9, _ and -")


@rule
def who_builds(images: Images, gcp: Gcp) -> Iterator[Problem]:
    if images.server and images.job and "builder" in gcp.model_fields_set:
        yield Problem("mlflow:gcp.builder", "has nothing to build: both images are ready ones; remove it")


@rule
def shared_google_volumes(cluster: GcpCluster, artifacts: GcpArtifacts) -> Iterator[Problem]:
    shared = artifacts.volume.access_mode is AccessMode.READ_WRITE_MANY
    if shared and not (artifacts.volume.storage_class or cluster.storage_class):
        yield Problem(
            "mlflow:artifacts.volume.accessMode",
            "is ReadWriteMany, which persistent disks cannot do; name a class that can, such as standard-rwx "
            "(Filestore), in mlflow:artifacts.volume.storageClass",
        )
