"""The Deployment of a proxy in front of the database, where a cloud's database is reached through one.

A sidecar runs as its pod's ServiceAccount; only a Deployment can have an account and an identity of its own.
"""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
import pulumi_kubernetes as kubernetes

from ..contracts import Database, DatabaseProxy
from .accounts import service_account
from .labels import labels, selector
from .pods import pod_security

apps = kubernetes.apps.v1
core = kubernetes.core.v1
meta = kubernetes.meta.v1
networking = kubernetes.networking.v1
policy = kubernetes.policy.v1

PART = "database-proxy"
ROLL_LIMIT = "10m"
"""Fresh rights of a cloud identity take a while to be known everywhere; the proxy starts only with them."""


@dataclass(frozen=True, kw_only=True)
class ProxyArgs:
    """Inputs of :class:`Proxy`."""

    proxy: DatabaseProxy
    database: Database
    namespace: pulumi.Output[str]


class Proxy(pulumi.ComponentResource):
    """Deployment, Service, ServiceAccount, and the network policy without which it must not run.

    Depend on this component to be able to reach the database.
    """

    def __init__(self, name: str, args: ProxyArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("mlflow:tracking:Proxy", name, {}, opts)
        self._name, self._args = name, args
        self._child = pulumi.ResourceOptions(parent=self)
        account = service_account(args.proxy.name, args.proxy.identity, args.namespace, self._child)
        guard = self._network_policy()
        self._service()
        self._deployment(account, guard)
        policy.PodDisruptionBudget(
            f"{name}-disruption-budget",
            metadata=self._metadata(),
            spec=policy.PodDisruptionBudgetSpecArgs(
                max_unavailable=1, selector=meta.LabelSelectorArgs(match_labels=selector(PART))
            ),
            opts=self._child,
        )
        self.register_outputs({})

    def _metadata(self, annotations: dict[str, str] | None = None) -> meta.ObjectMetaArgs:
        return meta.ObjectMetaArgs(
            name=self._args.proxy.name,
            namespace=self._args.namespace,
            labels=labels(PART),
            annotations=annotations,
        )

    def _network_policy(self) -> networking.NetworkPolicy:
        """Whoever reaches the port may be the database's user."""
        clients = meta.LabelSelectorArgs(match_labels=dict(self._args.database.client_labels))
        return networking.NetworkPolicy(
            f"{self._name}-clients",
            metadata=self._metadata(),
            spec=networking.NetworkPolicySpecArgs(
                pod_selector=meta.LabelSelectorArgs(match_labels=selector(PART)),
                policy_types=["Ingress"],
                ingress=[
                    networking.NetworkPolicyIngressRuleArgs(
                        from_=[networking.NetworkPolicyPeerArgs(pod_selector=clients)],
                        ports=[networking.NetworkPolicyPortArgs(port=self._args.proxy.port)],
                    )
                ],
            ),
            opts=self._child,
        )

    def _service(self) -> None:
        port = self._args.proxy.port
        core.Service(
            f"{self._name}-service",
            # The Deployment is the gate; the Service's own awaiter sleeps 10 s (pulumi.md).
            metadata=self._metadata({"pulumi.com/waitFor": "jsonpath={.spec.clusterIP}"}),
            spec=core.ServiceSpecArgs(
                selector=selector(PART),
                ports=[core.ServicePortArgs(name="sql", port=port, target_port=port)],
            ),
            opts=self._child,
        )

    def _deployment(self, account: pulumi.Output[str], guard: pulumi.Resource) -> None:
        proxy, database = self._args.proxy, self._args.database
        pod = core.PodSpecArgs(
            service_account_name=account,
            automount_service_account_token=False,
            enable_service_links=False,
            termination_grace_period_seconds=proxy.stop_seconds,
            security_context=pod_security(proxy.uid, proxy.uid),
            topology_spread_constraints=[
                core.TopologySpreadConstraintArgs(
                    max_skew=1,
                    topology_key=topology,
                    when_unsatisfiable="ScheduleAnyway",
                    label_selector=meta.LabelSelectorArgs(match_labels=selector(PART)),
                )
                for topology in ("topology.kubernetes.io/zone", "kubernetes.io/hostname")
            ],
            containers=[proxy.container],
        )
        rolling = apps.RollingUpdateDeploymentArgs(max_surge=1, max_unavailable=0)
        apps.Deployment(
            f"{self._name}-deployment",
            metadata=self._metadata(),
            spec=apps.DeploymentSpecArgs(
                replicas=proxy.replicas,
                revision_history_limit=3,
                selector=meta.LabelSelectorArgs(match_labels=selector(PART)),
                strategy=apps.DeploymentStrategyArgs(type="RollingUpdate", rolling_update=rolling),
                template=core.PodTemplateSpecArgs(
                    metadata=meta.ObjectMetaArgs(labels={**labels(PART), **proxy.identity.pod_labels}),
                    spec=pod,
                ),
            ),
            opts=pulumi.ResourceOptions(
                parent=self,
                # The guard stands before the door opens.
                depends_on=[guard, *database.ready, *proxy.identity.ready],
                custom_timeouts=pulumi.CustomTimeouts(create=ROLL_LIMIT, update=ROLL_LIMIT),
            ),
        )
