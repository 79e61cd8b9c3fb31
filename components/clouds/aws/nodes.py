"""The nodes of a created cluster: EKS Auto Mode's own, or managed node groups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_aws as aws
import pulumi_kubernetes as kubernetes

from ...settings.cluster import Nodes
from ..names import stack_name
from .control_plane import access_policy
from .network import ExistingNetwork, ExistingSubnet, Network
from .provider import Account
from .roles import Role, RoleArgs, service_trust

meta = kubernetes.meta.v1

PULL_POLICY = "AmazonEC2ContainerRegistryPullOnly"
AUTO_POLICIES = ["AmazonEKSWorkerNodeMinimalPolicy", PULL_POLICY]
GROUP_POLICIES = ["AmazonEKSWorkerNodePolicy", PULL_POLICY]
"""Sources: EKS user guide, "Amazon EKS Auto Mode node IAM role" and "Amazon EKS node IAM role"."""

SIZE = "m6i.large"
"""2 CPUs and 8 GiB, not burstable: training would soon use up a burstable node's credits."""

DISK_TYPE = "gp3"


@dataclass(frozen=True, kw_only=True)
class NodesArgs:
    """Inputs of :class:`AutoNodes` and :class:`NodeGroups`.

    :param wait_for: what must exist before a node can join.
    """

    account: Account
    settings: Nodes
    cluster: aws.eks.Cluster
    network: Network | ExistingNetwork
    wait_for: Sequence[pulumi.Resource] = ()


class AutoNodes(pulumi.ComponentResource):
    """Pools from which EKS Auto Mode makes nodes, and the enforcement of network policies on them.

    A fixed number is a static pool, a range is a static pool of its lower end beside one that follows the
    load; without a number all follow the load. Nodes that run something are never taken away to save money:
    that would end training runs. Source: EKS user guide, "Static-capacity node pools" and "Node pools".

    Depend on this component to have nodes.
    """

    def __init__(
        self,
        name: str,
        args: NodesArgs,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("mlflow:aws:AutoNodes", name, {}, opts)
        self._name, self._args = name, args
        child = pulumi.ResourceOptions(parent=self)
        role = Role(
            f"{name}-role",
            RoleArgs(
                account=args.account,
                description="Nodes of EKS Auto Mode",
                trust=service_trust("ec2.amazonaws.com"),
                managed=AUTO_POLICIES,
            ),
            opts=child,
        )
        entry = aws.eks.AccessEntry(
            name, cluster_name=args.cluster.name, principal_arn=role.arn, type="EC2", opts=child
        )
        policy = access_policy(name, entry, "AmazonEKSAutoNodePolicy", args.account)
        kubernetes.core.v1.ConfigMap(
            f"{name}-network-policies",
            # The name under which EKS looks for it (EKS user guide, "Use network policies with Auto Mode").
            metadata=meta.ObjectMetaArgs(name="amazon-vpc-cni", namespace="kube-system"),
            data={"enable-network-policy-controller": "true"},
            opts=child,
        )
        node_class = self._node_class(role, policy)
        for pool, spec in self._pools().items():
            kubernetes.apiextensions.CustomResource(
                f"{name}-{pool}",
                api_version="karpenter.sh/v1",
                kind="NodePool",
                metadata=meta.ObjectMetaArgs(name=stack_name(pool)),
                spec=spec,
                opts=pulumi.ResourceOptions(
                    parent=self,
                    depends_on=[node_class],
                    # It goes once its nodes are drained and gone.
                    custom_timeouts=pulumi.CustomTimeouts(delete="20m"),
                ),
            )
        self.register_outputs({})

    def _node_class(self, role: Role, policy: pulumi.Resource) -> kubernetes.apiextensions.CustomResource:
        group = self._args.cluster.vpc_config.cluster_security_group_id
        return kubernetes.apiextensions.CustomResource(
            f"{self._name}-class",
            api_version="eks.amazonaws.com/v1",
            kind="NodeClass",
            metadata=meta.ObjectMetaArgs(name=stack_name()),
            spec={
                "role": role.name,
                "subnetSelectorTerms": [{"id": subnet.id} for subnet in self._args.network.private_subnets],
                "securityGroupSelectorTerms": [{"id": group}],
                "networkPolicy": "DefaultAllow",
                "networkPolicyEventLogs": "Disabled",
                "ephemeralStorage": {"size": f"{self._args.settings.disk_gb}Gi"},
                "tags": dict(self._args.account.tags),
            },
            # Nodes go before the rights and the routes that they need to go in order.
            opts=pulumi.ResourceOptions(parent=self, depends_on=[role, policy, *self._args.wait_for]),
        )

    def _pools(self) -> dict[str, dict[str, Any]]:
        """Name → spec."""
        settings = self._args.settings
        template = {
            "spec": {
                "nodeClassRef": {
                    "group": "eks.amazonaws.com",
                    "kind": "NodeClass",
                    "name": stack_name(),
                },
                "requirements": self._requirements(),
            }
        }
        load = {
            "template": template,
            "disruption": {"consolidationPolicy": "WhenEmpty", "consolidateAfter": "5m"},
        }
        if settings.total is None and settings.min is None:
            return {"load": load}
        fewest, most = settings.bounds
        pools: dict[str, dict[str, Any]] = {}
        if fewest:
            # Room for one more, while a node is replaced.
            pools["fixed"] = {
                "replicas": fewest,
                "template": template,
                "limits": {"nodes": str(fewest + 1)},
            }
        if most > fewest:
            pools["load"] = load | {"limits": {"nodes": str(most - fewest)}}
        return pools

    def _requirements(self) -> list[dict[str, Any]]:
        def one_of(key: str, *values: pulumi.Input[str]) -> dict[str, Any]:
            return {"key": key, "operator": "In", "values": list(values)}

        zones = [subnet.availability_zone for subnet in self._args.network.private_subnets]
        size = self._args.settings.size
        return [
            one_of("kubernetes.io/arch", "amd64"),
            one_of("karpenter.sh/capacity-type", "on-demand"),
            one_of("topology.kubernetes.io/zone", *zones),
            *(
                [one_of("node.kubernetes.io/instance-type", size)]
                if size
                else [
                    one_of("eks.amazonaws.com/instance-category", "c", "m", "r"),
                    {"key": "eks.amazonaws.com/instance-generation", "operator": "Gt", "values": ["4"]},
                ]
            ),
        ]


class NodeGroups(pulumi.ComponentResource):
    """A managed node group in each zone, so that a volume's zone always has nodes of its own.

    Disks are encrypted, and pods do not reach the metadata service, whose role is the node's.

    Depend on this component to have nodes.
    """

    def __init__(self, name: str, args: NodesArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("mlflow:aws:NodeGroups", name, {}, opts)
        self._name, self._args = name, args
        child = pulumi.ResourceOptions(parent=self)
        role = Role(
            f"{name}-role",
            RoleArgs(
                account=args.account,
                description="Nodes of the managed node groups",
                trust=service_trust("ec2.amazonaws.com"),
                managed=GROUP_POLICIES,
            ),
            opts=child,
        )
        template = self._template(child)
        subnets = args.network.private_subnets
        bounds = zip(*(spread(number, len(subnets)) for number in args.settings.bounds), strict=True)
        for index, (subnet, (fewest, most)) in enumerate(zip(subnets, bounds, strict=True)):
            if most:
                self._group(index, subnet, fewest, most, role, template)
        self.register_outputs({})

    def _template(self, child: pulumi.ResourceOptions) -> aws.ec2.LaunchTemplate:
        ec2, settings = aws.ec2, self._args.settings
        tags: Mapping[str, str] = self._args.account.tags
        return ec2.LaunchTemplate(
            f"{self._name}-template",
            update_default_version=True,
            block_device_mappings=[
                ec2.LaunchTemplateBlockDeviceMappingArgs(
                    device_name="/dev/xvda",
                    ebs=ec2.LaunchTemplateBlockDeviceMappingEbsArgs(
                        volume_size=settings.disk_gb,
                        volume_type=settings.disk_type or DISK_TYPE,
                        encrypted="true",
                        delete_on_termination="true",
                    ),
                )
            ],
            metadata_options=ec2.LaunchTemplateMetadataOptionsArgs(
                http_endpoint="enabled", http_tokens="required", http_put_response_hop_limit=1
            ),
            tag_specifications=[
                ec2.LaunchTemplateTagSpecificationArgs(resource_type=kind, tags=tags)
                for kind in ("instance", "volume", "network-interface")
            ],
            opts=child,
        )

    def _group(
        self,
        index: int,
        subnet: aws.ec2.Subnet | ExistingSubnet,
        fewest: int,
        most: int,
        role: Role,
        template: aws.ec2.LaunchTemplate,
    ) -> None:
        eks, cluster = aws.eks, self._args.cluster
        eks.NodeGroup(
            f"{self._name}-{index}",
            cluster_name=cluster.name,
            version=cluster.version,
            node_role_arn=role.arn,
            subnet_ids=[subnet.id],
            ami_type="AL2023_x86_64_STANDARD",
            instance_types=[self._args.settings.size or SIZE],
            launch_template=eks.NodeGroupLaunchTemplateArgs(
                id=template.id, version=template.latest_version.apply(str)
            ),
            scaling_config=eks.NodeGroupScalingConfigArgs(
                min_size=fewest, max_size=most, desired_size=max(fewest, 1) if index == 0 else fewest
            ),
            update_config=eks.NodeGroupUpdateConfigArgs(max_unavailable=1),
            opts=pulumi.ResourceOptions(
                parent=self,
                depends_on=[role, *self._args.wait_for],
                # The autoscaler moves it. In the engine's words: the SDK translates whole names only.
                ignore_changes=["scalingConfig.desiredSize"] if most > fewest else [],
            ),
        )


def spread(number: int, zones: int) -> list[int]:
    """A number of nodes over zones, as evenly as it goes, the first zones first."""
    return [number // zones + (zone < number % zones) for zone in range(zones)]
