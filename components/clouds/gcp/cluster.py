"""The GKE cluster: an existing one by its name, or one that the stack makes with everything around it."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_gcp as gcp
import pulumi_kubernetes as kubernetes

from ...contracts import Cluster
from ...kubeconfig import exec_kubeconfig
from ...settings.errors import Problem, SettingsError
from ...settings.gcp import GcpStack, GkeMode, NewGcpCluster, general_disk
from .control_plane import ControlPlane, ControlPlaneArgs
from .load_balancers import Entrances, EntrancesArgs
from .network import ClusterNetwork, ClusterNetworkArgs, ClusterPlace, existing_place
from .nodes import DEFAULT_ZONES, NodeAccount, NodeAccountArgs, Nodes, NodesArgs
from .provider import Project
from .storage import storage_class

NAME = "mlflow"
"""What the names of the resources start with; Pulumi adds what makes them unique in the project."""

STAY = {"cluster-autoscaler.kubernetes.io/safe-to-evict": "false"}
"""On pods that must not be moved to save a node; on Autopilot it also keeps upgrades away for up to 7 days
(GKE, "About cluster autoscaling"; "Extend the run time of Autopilot Pods")."""

INSTALL_HINT = "install it: https://cloud.google.com/kubernetes-engine/docs/how-to/cluster-access-for-kubectl"


@dataclass(frozen=True, kw_only=True)
class GcpCluster:
    """A cluster, in the words of the rest of the program and in those of Google Cloud.

    :param contract: what the in-cluster half uses.
    :param network: id of its network.
    :param private_services: where Cloud SQL takes its addresses from; None in a network that was there
        already.
    :param made: what Workload Identity bindings wait for; empty for an existing cluster.
    :param nodes: member who pulls images: its nodes' service account.
    :param by_name: the Kubernetes API is reached by its name, guarded by IAM alone, not by its address.
    """

    contract: Cluster
    name: pulumi.Output[str]
    location: str
    network: pulumi.Output[str]
    private_services: ipaddress.IPv4Network | None
    made: Sequence[pulumi.Resource]
    nodes: pulumi.Output[str]
    kubeconfig: pulumi.Output[str]
    by_name: bool


@dataclass(frozen=True, kw_only=True)
class _Facts:
    """What a cluster is known by, whoever made it.

    :param server: address of the Kubernetes API.
    :param authority: its authority in base64; "" where it answers by its public name.
    """

    name: pulumi.Output[str]
    location: str
    server: pulumi.Output[str]
    authority: pulumi.Output[str]
    network: pulumi.Output[str]
    subnetwork: pulumi.Output[str]
    nodes: pulumi.Output[str]
    by_name: bool = False
    private_services: ipaddress.IPv4Network | None = None
    made: Sequence[pulumi.Resource] = ()


def connect(settings: GcpStack, project: Project) -> GcpCluster:
    """The cluster of the stack."""
    new = settings.new_cluster
    facts = _existing(settings, project) if new is None else _made(settings, new, project)
    kubeconfig = pulumi.Output.all(name=facts.name, server=facts.server, authority=facts.authority).apply(
        _kubeconfig
    )
    provider = kubernetes.Provider(
        "cluster",
        kubeconfig=kubeconfig,
        # The same cluster, whatever a kubeconfig says of how it is reached.
        cluster_identifier=pulumi.Output.concat(
            f"projects/{project.id}/locations/{facts.location}/clusters/", facts.name
        ),
    )
    opts = pulumi.ResourceOptions(provider=provider, depends_on=list(facts.made))
    named = settings.cluster.storage_class
    disk = general_disk(new.nodes.size if new else None)
    made = None if named else storage_class(disk, project.labels, opts)
    entrances = Entrances(
        f"{NAME}-entrances",
        EntrancesArgs(settings=settings, project=project, subnetwork=facts.subnetwork),
        opts=pulumi.ResourceOptions(providers=[project.provider]),
    )
    return GcpCluster(
        contract=Cluster(
            provider=provider,
            storage_class=made[0] if made else named,
            job_annotations=STAY,
            internal_load_balancer=entrances.internal,
            external_load_balancer=entrances.external,
            ingress=entrances.ingress,
            ready=[*facts.made, *([made[1]] if made else [])],
        ),
        name=facts.name,
        location=facts.location,
        network=facts.network,
        private_services=facts.private_services,
        made=facts.made,
        nodes=facts.nodes,
        kubeconfig=kubeconfig,
        by_name=facts.by_name,
    )


def _made(settings: GcpStack, new: NewGcpCluster, project: Project) -> _Facts:
    opts = pulumi.ResourceOptions(providers=[project.provider])
    place = existing_place(new.subnet, project) if new.subnet else _made_place(settings, new, project)
    account = NodeAccount(f"{NAME}-nodes", NodeAccountArgs(project=project), opts=opts)
    # Without names: three zones that GKE chooses.
    zones = list(new.zones) or None
    plane = ControlPlane(
        f"{NAME}-cluster",
        ControlPlaneArgs(
            project=project,
            settings=new,
            place=place,
            zones=zones,
            node_account=account.email,
            wait_for=[*project.apis.of("container"), account, *place.ready],
            protect=settings.protected(pulumi.get_stack()),
        ),
        opts=opts,
    )
    made: list[pulumi.Resource] = [plane]
    if new.compute is GkeMode.STANDARD:
        pool = Nodes(
            f"{NAME}-pool",
            NodesArgs(
                project=project,
                settings=new.nodes,
                cluster=plane.cluster,
                account=account,
                zones=zones,
                zone_count=len(new.zones) or DEFAULT_ZONES,
            ),
            opts=opts,
        )
        made.append(pool)
    cluster, by_name = plane.cluster, new.dns_endpoint and not new.access.public
    if by_name:
        endpoints = cluster.control_plane_endpoints_config
        server = endpoints.apply(_dns_server)
        # A name of Google's has a certificate of the public authorities.
        authority = pulumi.Output.from_input("")
    else:
        server = pulumi.Output.concat("https://", cluster.endpoint)
        authority = cluster.master_auth.cluster_ca_certificate.apply(str)
    return _Facts(
        name=cluster.name,
        location=project.region,
        server=server,
        authority=authority,
        network=place.network,
        subnetwork=place.subnetwork,
        nodes=account.member,
        by_name=by_name,
        private_services=place.private_services,
        made=made,
    )


def _made_place(settings: GcpStack, new: NewGcpCluster, project: Project) -> ClusterPlace:
    ingress = settings.exposure.ingress
    return ClusterNetwork(
        f"{NAME}-network",
        ClusterNetworkArgs(
            project=project,
            address_range=new.address_range,
            proxies=bool(ingress and ingress.internal),
        ),
        opts=pulumi.ResourceOptions(providers=[project.provider]),
    ).place


def _dns_server(endpoints: Any) -> str:
    return f"https://{endpoints.dns_endpoint_config.endpoint}"


def _existing(settings: GcpStack, project: Project) -> _Facts:
    location = settings.cluster.location or project.region
    found = gcp.container.get_cluster_output(
        name=settings.cluster.existing, location=location, project=project.id, opts=project.invoke
    )
    pool = found.workload_identity_configs.apply(lambda configs: _checked_pool(configs, project))
    return _Facts(
        # Nothing goes on before the check.
        name=pulumi.Output.all(found.name, pool).apply(lambda known: known[0]),
        location=location,
        server=found.endpoint.apply(_server),
        authority=found.master_auths[0].cluster_ca_certificate,
        network=found.network,
        subnetwork=found.subnetwork,
        nodes=pulumi.Output.all(found.node_configs.apply(_node_account), project.number()).apply(
            lambda known: _node_member(*known)
        ),
    )


def _server(address: str) -> str:
    """Where an existing cluster's API is reached.

    :raises SettingsError: when it has no address.
    """
    if not address:
        remedy = "answers by its DNS name only, which is not supported; switch its IP endpoints on"
        raise SettingsError([Problem("mlflow:cluster.existing", remedy)], stack=pulumi.get_stack())
    return f"https://{address}"


def _node_account(configs: Sequence[Any]) -> str:
    """Who the nodes of an existing cluster's first pool are."""
    return next((config.service_account for config in configs if config.service_account), "default")


def _node_member(account: str, number: str) -> str:
    """That account, or Compute Engine's default one, as a member of IAM policies."""
    email = f"{number}-compute@developer.gserviceaccount.com" if account == "default" else account
    return f"serviceAccount:{email}"


def _checked_pool(configs: Sequence[Any], project: Project) -> str:
    """The workload pool of an existing cluster.

    :raises SettingsError: when it has none, so that no pod could be anybody.
    """
    pools = [config.workload_pool for config in configs if config.workload_pool]
    if not pools:
        remedy = (
            "names a cluster without Workload Identity; switch it on: gcloud container clusters update … "
            f"--workload-pool={project.workload_pool}, and its node pools to --workload-metadata=GKE_METADATA"
        )
        raise SettingsError([Problem("mlflow:cluster.existing", remedy)], stack=pulumi.get_stack())
    return pools[0]


def _kubeconfig(known: dict[str, Any]) -> str:
    return exec_kubeconfig(
        known["name"],
        server=known["server"],
        certificate_authority=known["authority"],
        command="gke-gcloud-auth-plugin",
        arguments=[],
        install_hint=INSTALL_HINT,
    )
