"""The EKS cluster: an existing one by its name, or one that the stack makes with everything around it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_aws as aws
import pulumi_kubernetes as kubernetes

from ...contracts import Cluster
from ...kubeconfig import exec_kubeconfig
from ...settings.aws import AwsStack, ComputeMode, Feature, IdentityMode, NewAwsCluster
from ..names import stack_name
from .add_ons import AddOnsArgs, ClusterAddOns, ContainerLogs, NetworkAddOns
from .charts import Charts, ChartsArgs
from .control_plane import ControlPlane, ControlPlaneArgs, known
from .load_balancers import alb, namespace_labels, nlb
from .network import ExistingNetwork, Network, NetworkArgs, existing_network
from .nodes import AutoNodes, NodeGroups, NodesArgs
from .provider import Account
from .roles import AUDIENCE
from .storage import storage_class

NAME = "mlflow"
"""What the names of the resources start with; Pulumi adds what makes them unique in the account."""

UNDISTURBED = {
    "karpenter.sh/do-not-disrupt": "true",
    "cluster-autoscaler.kubernetes.io/safe-to-evict": "false",
}
"""Keeps nodes from being renewed or saved from under a job: EKS Auto Mode and Karpenter go by the first
(Karpenter, "Disruption": pod-level controls), the cluster autoscaler by the second (its FAQ)."""

INSTALL_HINT = "install the AWS CLI: https://docs.aws.amazon.com/cli/latest/userguide/getting-started-install"


@dataclass(frozen=True, kw_only=True)
class AwsCluster:
    """A cluster, in the words of the rest of the program and in those of AWS.

    :param contract: what the in-cluster half uses.
    :param private_subnet_ids: of a cluster that was there already: the cluster's own subnets.
    :param security_group_id: of nodes and control plane; who lets it in lets in every pod.
    :param node_security_group_ids: of nodes that are not in that one.
    :param issuer: of the ServiceAccounts' tokens, without ``https://``.
    :param oidc_provider_arn: of that issuer in IAM; None unless pods become roles by it (IRSA).
    :param pod_identity: what must exist before a Pod Identity association takes effect.
    :param kubeconfig: reaches the cluster with the caller's own AWS credentials; holds none itself.
    """

    contract: Cluster
    name: pulumi.Output[str]
    arn: pulumi.Output[str]
    vpc_id: pulumi.Output[str]
    private_subnet_ids: pulumi.Output[Sequence[str]]
    security_group_id: pulumi.Output[str]
    node_security_group_ids: Sequence[str]
    issuer: pulumi.Output[str]
    oidc_provider_arn: pulumi.Output[str] | None
    pod_identity: Sequence[pulumi.Resource]
    kubeconfig: pulumi.Output[str]


@dataclass(frozen=True, kw_only=True)
class _Facts:
    """What a cluster is known by, whoever made it."""

    name: pulumi.Output[str]
    arn: pulumi.Output[str]
    endpoint: pulumi.Output[str]
    authority: pulumi.Output[str]
    vpc_id: pulumi.Output[str]
    subnet_ids: pulumi.Output[Sequence[str]]
    security_group_id: pulumi.Output[str]
    issuer_url: pulumi.Output[str]


def connect(settings: AwsStack, account: Account) -> AwsCluster:
    """The cluster of the stack."""
    new = settings.new_cluster
    if new is None:
        facts = _existing(str(settings.cluster.existing), account)
        return _connected(settings, account, facts, _provider(facts, account), ready=[], agent=[])
    opts = pulumi.ResourceOptions(providers=[account.provider])
    protect = settings.protected(pulumi.get_stack())
    network = (
        existing_network(new.subnets, account)
        if new.subnets
        else Network(
            f"{NAME}-network",
            NetworkArgs(account=account, address_range=new.address_range, zones=new.zones, protect=protect),
            opts=opts,
        )
    )
    plane = ControlPlane(
        f"{NAME}-cluster",
        ControlPlaneArgs(
            account=account,
            settings=new,
            cluster_name=stack_name(),
            subnet_ids=network.private_subnet_ids,
            protect=protect,
        ),
        opts=opts,
    )
    facts = _made(plane.cluster, network)
    provider = _provider(facts, account)
    ready, agent = _furnished(new, account, network, plane, provider)
    return _connected(settings, account, facts, provider, ready=ready, agent=agent)


def _furnished(
    new: NewAwsCluster,
    account: Account,
    network: Network | ExistingNetwork,
    plane: ControlPlane,
    provider: kubernetes.Provider,
) -> tuple[list[pulumi.Resource], list[pulumi.Resource]]:
    """Nodes and what runs on them: what must be ready, and what hands out Pod Identities."""
    opts = pulumi.ResourceOptions(providers=[account.provider, provider])
    cluster = plane.cluster
    # Nodes keep their way out, and administrators theirs in, until the nodes are gone.
    before: list[pulumi.Resource] = [*network.egress, *plane.access]
    nodes = NodesArgs(account=account, settings=new.nodes, cluster=cluster, network=network, wait_for=before)
    agent: list[pulumi.Resource] = []
    ready: list[pulumi.Resource]
    if new.compute is ComputeMode.AUTO:
        ready = [AutoNodes(f"{NAME}-nodes", nodes, opts=opts)]
    else:
        net = NetworkAddOns(f"{NAME}-net", AddOnsArgs(account=account, cluster=cluster), opts=opts)
        agent = [net.agent]
        groups = NodeGroups(
            f"{NAME}-nodes",
            NodesArgs(
                account=account,
                settings=new.nodes,
                cluster=cluster,
                network=network,
                wait_for=[*before, net],
            ),
            opts=opts,
        )
        add_ons = ClusterAddOns(
            f"{NAME}-add-ons", AddOnsArgs(account=account, cluster=cluster, wait_for=[groups]), opts=opts
        )
        fewest, most = new.nodes.bounds
        charts = Charts(
            f"{NAME}-charts",
            ChartsArgs(
                account=account,
                cluster=cluster,
                vpc_id=network.vpc_id,
                agent=net.agent,
                autoscaled=most > fewest,
                wait_for=[groups, add_ons],
            ),
            opts=opts,
        )
        ready = [groups, add_ons, charts]
    if new.container_logs:
        ContainerLogs(
            f"{NAME}-container-logs",
            AddOnsArgs(account=account, cluster=cluster, wait_for=[*ready, *agent]),
            opts=opts,
        )
    return ready, agent


def _connected(
    settings: AwsStack,
    account: Account,
    facts: _Facts,
    provider: kubernetes.Provider,
    *,
    ready: Sequence[pulumi.Resource],
    agent: Sequence[pulumi.Resource],
) -> AwsCluster:
    opts = pulumi.ResourceOptions(provider=provider, depends_on=list(ready))
    features, exposure = settings.features, settings.exposure
    # Auto Mode makes nothing at all when it is asked for tags that its role may not put on.
    untagged = Feature.AUTO_MODE in features and Feature.TAGGING not in features
    tags = {} if untagged else account.tags
    named = settings.cluster.storage_class
    made = (
        None if named else storage_class(features, tags, default=settings.new_cluster is not None, opts=opts)
    )
    ingress, ingress_needs = alb(exposure.ingress, features, tags, opts)
    return AwsCluster(
        contract=Cluster(
            provider=provider,
            storage_class=made[0] if made else named,
            job_annotations=UNDISTURBED,
            namespace_labels=namespace_labels(exposure, features),
            internal_load_balancer=nlb(exposure.internal, True, features, tags),
            external_load_balancer=nlb(exposure.external, False, features, tags),
            ingress=ingress,
            ready=[*ready, *([made[1]] if made else []), *ingress_needs],
        ),
        name=facts.name,
        arn=facts.arn,
        vpc_id=facts.vpc_id,
        private_subnet_ids=facts.subnet_ids,
        security_group_id=facts.security_group_id,
        node_security_group_ids=settings.cluster.node_security_groups,
        issuer=facts.issuer_url.apply(lambda url: url.removeprefix("https://")),
        oidc_provider_arn=_oidc_provider(settings, account, facts),
        pod_identity=agent,
        kubeconfig=_kubeconfig(facts, account),
    )


def _existing(name: str, account: Account) -> _Facts:
    found = aws.eks.get_cluster_output(name=name, opts=account.invoke)
    return _Facts(
        name=found.name,
        arn=found.arn,
        endpoint=found.endpoint,
        authority=found.certificate_authorities[0].data,
        vpc_id=found.vpc_config.vpc_id,
        subnet_ids=found.vpc_config.subnet_ids,
        security_group_id=found.vpc_config.cluster_security_group_id,
        issuer_url=found.identities[0].oidcs[0].issuer,
    )


def _made(cluster: aws.eks.Cluster, network: Network | ExistingNetwork) -> _Facts:
    return _Facts(
        name=cluster.name,
        arn=cluster.arn,
        endpoint=cluster.endpoint,
        authority=known(cluster.certificate_authority.data),
        vpc_id=network.vpc_id,
        subnet_ids=network.private_subnet_ids,
        security_group_id=known(cluster.vpc_config.cluster_security_group_id),
        issuer_url=known(cluster.identities[0].oidcs[0].issuer),
    )


def _oidc_provider(settings: AwsStack, account: Account, facts: _Facts) -> pulumi.Output[str] | None:
    if settings.aws.identity is not IdentityMode.IRSA:
        return None
    if settings.new_cluster is None:
        # One per issuer and account: whoever made the cluster for IRSA made it.
        return aws.iam.get_open_id_connect_provider_output(url=facts.issuer_url, opts=account.invoke).arn
    made = aws.iam.OpenIdConnectProvider(
        f"{NAME}-oidc",
        url=facts.issuer_url,
        client_id_lists=[AUDIENCE],
        opts=pulumi.ResourceOptions(provider=account.provider),
    )
    return made.arn


def _provider(facts: _Facts, account: Account) -> kubernetes.Provider:
    return kubernetes.Provider(
        "cluster",
        kubeconfig=_kubeconfig(facts, account),
        # Its own for a cluster's whole life, while one made anew under the old name has the old ARN.
        cluster_identifier=facts.endpoint,
    )


def _kubeconfig(facts: _Facts, account: Account) -> pulumi.Output[str]:
    options, environment = account.credentials

    def build(known: dict[str, Any]) -> str:
        return exec_kubeconfig(
            known["name"],
            server=known["server"],
            certificate_authority=known["authority"],
            command="aws",
            arguments=[
                *("eks", "get-token", "--cluster-name", known["name"]),
                *("--region", account.region, "--output", "json"),
                *options,
            ],
            environment=environment,
            install_hint=INSTALL_HINT,
        )

    return pulumi.Output.all(name=facts.name, server=facts.endpoint, authority=facts.authority).apply(build)
