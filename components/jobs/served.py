"""What keeps serving: a Deployment whose pods are replaced without losing a request, and the ways to it.

Services and model servers share it; what their pods run is their own matter.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pulumi
import pulumi_kubernetes as kubernetes

from ..contracts import IngressFlavor, Text, TrackingAccess
from ..settings.services import ServiceIngress, Serving
from ..tracking.labels import labels, selector
from .names import REPLICAS, SERVICE_LABEL

apps = kubernetes.apps.v1
core = kubernetes.core.v1
meta = kubernetes.meta.v1
networking = kubernetes.networking.v1
policy = kubernetes.policy.v1

HTTP = "http"
"""Name of the port, in pods and Services."""
ADDRESS_KNOWN = "jsonpath={.status.loadBalancer.ingress[0]}"
PART = "service"
"""Their component label."""
LEAVE_SECONDS = 5
"""Endpoints take a moment to learn that a pod is going; until then it still answers."""
STOP_MARGIN_SECONDS = 10
"""Beyond the requests in flight, for the process to end."""
BEFORE_START_SECONDS = 180
"""For a node, the image and the code, before a pod's own start begins to count."""


@dataclass(frozen=True, kw_only=True)
class ServedArgs:
    """Inputs of :class:`Served`.

    :param service: its name in the cluster.
    :param pod: complete but for what this module adds, in place: how it ends, where it stands.
    :param container: its one container, complete but for port, probes and how it ends.
    :param port: where its container listens.
    :param ready: what tells that it can serve.
    :param alive: what tells that it still works.
    :param annotations: of the Deployment.
    :param waits: made without pods, for something else to start them; how many there are is then not the
        stack's to say.
    :param ingress: how this cluster makes entrances; needed where the settings want one.
    """

    service: str
    settings: Serving
    access: TrackingAccess
    pod: core.PodSpecArgs
    container: core.ContainerArgs
    port: int
    ready: core.ProbeArgs
    alive: core.ProbeArgs
    annotations: Mapping[str, str] = field(default_factory=dict)
    waits: bool = False
    ingress: IngressFlavor | None = None
    after: Sequence[pulumi.Resource] = ()


class Served(pulumi.ComponentResource):
    """Deployment, Service, network policy, disruption budget and, where wanted, an Ingress.

    :ivar deployment: named as the service; what rolls it changes its pods' annotations and no more.
    """

    deployment: apps.Deployment

    def __init__(self, name: str, args: ServedArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("mlflow:jobs:Served", name, {}, opts)
        self._name, self._args = name, args
        self._child = pulumi.ResourceOptions(parent=self)
        self._flavor = args.ingress if args.settings.ingress else None
        if args.settings.ingress and args.ingress is None:
            raise ValueError(f"{args.service}: this cluster has no ingress controller")
        guard = self._network_policy()
        self.deployment = self._deployment(guard)
        service = self._service()
        if args.settings.replicas > 1:
            self._disruption_budget()
        if args.settings.ingress and self._flavor:
            self._ingress(args.settings.ingress, self._flavor, service)
        self.register_outputs({})

    def _metadata(self, annotations: Mapping[str, Text] | None = None) -> meta.ObjectMetaArgs:
        return meta.ObjectMetaArgs(
            name=self._args.service,
            namespace=self._args.access.namespace,
            labels={**labels(PART), SERVICE_LABEL: self._args.service},
            annotations=dict(annotations) if annotations else None,
        )

    def _selector(self) -> dict[str, str]:
        return {**selector(PART), SERVICE_LABEL: self._args.service}

    def _deployment(self, guard: pulumi.Resource) -> apps.Deployment:
        args, settings = self._args, self._args.settings
        limit = f"{roll_seconds(settings, self._leave_seconds)}s"
        return apps.Deployment(
            f"{self._name}-deployment",
            metadata=self._metadata({REPLICAS: str(settings.replicas), **args.annotations}),
            spec=apps.DeploymentSpecArgs(
                replicas=0 if args.waits else settings.replicas,
                revision_history_limit=3,
                progress_deadline_seconds=BEFORE_START_SECONDS + settings.start_seconds,
                selector=meta.LabelSelectorArgs(match_labels=self._selector()),
                # A new pod is ready before an old one goes.
                strategy=apps.DeploymentStrategyArgs(
                    type="RollingUpdate",
                    rolling_update=apps.RollingUpdateDeploymentArgs(max_surge=1, max_unavailable=0),
                ),
                template=core.PodTemplateSpecArgs(
                    metadata=meta.ObjectMetaArgs(
                        labels={**labels(PART), SERVICE_LABEL: args.service, **args.access.pod_labels}
                    ),
                    spec=self._pod(),
                ),
            ),
            opts=pulumi.ResourceOptions(
                parent=self,
                # The guard stands before the door opens.
                depends_on=[guard, *args.after],
                ignore_changes=["spec.replicas"] if args.waits else None,
                custom_timeouts=pulumi.CustomTimeouts(create=limit, update=limit, delete=limit),
            ),
        )

    @property
    def _leave_seconds(self) -> int:
        return max(LEAVE_SECONDS, self._flavor.drain_seconds if self._flavor else 0)

    def _pod(self) -> core.PodSpecArgs:
        """The pod, with how it becomes ready and how it goes."""
        args, settings, leave = self._args, self._args.settings, self._leave_seconds
        container = args.container
        container.ports = [core.ContainerPortArgs(name=HTTP, container_port=args.port)]
        container.startup_probe = _paced(args.ready, period=1, failures=settings.start_seconds)
        container.readiness_probe = _paced(args.ready, period=5, failures=3)
        container.liveness_probe = _paced(args.alive, period=10, failures=6)
        container.lifecycle = core.LifecycleArgs(
            pre_stop=core.LifecycleHandlerArgs(sleep=core.SleepActionArgs(seconds=leave))
        )
        args.pod.termination_grace_period_seconds = leave + settings.drain_seconds + STOP_MARGIN_SECONDS
        args.pod.topology_spread_constraints = [
            core.TopologySpreadConstraintArgs(
                max_skew=1,
                topology_key=topology,
                when_unsatisfiable="ScheduleAnyway",
                label_selector=meta.LabelSelectorArgs(match_labels=self._selector()),
            )
            for topology in ("topology.kubernetes.io/zone", "kubernetes.io/hostname")
        ]
        return args.pod

    def _service(self) -> core.Service:
        annotations = dict(self._flavor.service_annotations) if self._flavor else {}
        return core.Service(
            f"{self._name}-service",
            # The Deployment is the gate; the Service's own awaiter sleeps 10 s (pulumi.md).
            metadata=self._metadata({**annotations, "pulumi.com/waitFor": "jsonpath={.spec.clusterIP}"}),
            spec=core.ServiceSpecArgs(
                type="ClusterIP",
                selector=self._selector(),
                ports=[core.ServicePortArgs(name=HTTP, port=80, target_port=HTTP)],
            ),
            opts=self._child,
        )

    def _network_policy(self) -> networking.NetworkPolicy:
        """Pods of the namespace, and the ingress controller where there is an entrance; its pods may be
        anywhere, or outside the cluster, unless the contract says where."""
        port = networking.NetworkPolicyPortArgs(port=self._args.port)
        here = networking.NetworkPolicyPeerArgs(pod_selector=meta.LabelSelectorArgs())
        rules = [networking.NetworkPolicyIngressRuleArgs(from_=[here], ports=[port])]
        if self._flavor:
            controllers = [
                networking.NetworkPolicyPeerArgs(
                    namespace_selector=meta.LabelSelectorArgs(
                        match_labels={"kubernetes.io/metadata.name": namespace}
                    )
                )
                for namespace in self._flavor.controller_namespaces
            ]
            rules.append(networking.NetworkPolicyIngressRuleArgs(from_=controllers or None, ports=[port]))
        return networking.NetworkPolicy(
            f"{self._name}-network-policy",
            metadata=self._metadata(),
            spec=networking.NetworkPolicySpecArgs(
                pod_selector=meta.LabelSelectorArgs(match_labels=self._selector()),
                policy_types=["Ingress"],
                ingress=rules,
            ),
            opts=self._child,
        )

    def _disruption_budget(self) -> None:
        policy.PodDisruptionBudget(
            f"{self._name}-disruption-budget",
            metadata=self._metadata(),
            spec=policy.PodDisruptionBudgetSpecArgs(
                max_unavailable=1, selector=meta.LabelSelectorArgs(match_labels=self._selector())
            ),
            opts=self._child,
        )

    def _ingress(self, settings: ServiceIngress, flavor: IngressFlavor, service: core.Service) -> None:
        backend = networking.IngressBackendArgs(
            service=networking.IngressServiceBackendArgs(
                name=self._args.service, port=networking.ServiceBackendPortArgs(name=HTTP)
            )
        )
        path = networking.HTTPIngressPathArgs(path="/", path_type="Prefix", backend=backend)
        annotations = {**flavor.annotations, "pulumi.com/waitFor": ADDRESS_KNOWN}
        if flavor.health_annotation:
            annotations[flavor.health_annotation] = _path_of(self._args.ready)
        networking.Ingress(
            f"{self._name}-ingress",
            metadata=self._metadata(annotations),
            spec=networking.IngressSpecArgs(
                ingress_class_name=flavor.class_name,
                rules=[
                    networking.IngressRuleArgs(
                        host=settings.host, http=networking.HTTPIngressRuleValueArgs(paths=[path])
                    )
                ],
                tls=[networking.IngressTLSArgs(hosts=[settings.host], secret_name=settings.tls_secret)]
                if settings.tls_secret
                else None,
            ),
            opts=pulumi.ResourceOptions(
                parent=self,
                depends_on=[service],
                custom_timeouts=pulumi.CustomTimeouts(create="10m", update="10m", delete="10m"),
            ),
        )


def roll_seconds(settings: Serving, leave: int) -> int:
    """Limit of a roll: one pod after the other, each with its start, and the last one's going."""
    return (
        BEFORE_START_SECONDS + settings.replicas * (settings.start_seconds + leave) + settings.drain_seconds
    )


def http_probe(path: str) -> core.ProbeArgs:
    """A GET that answers 200 to 399."""
    return core.ProbeArgs(http_get=core.HTTPGetActionArgs(path=path, port=HTTP))


def tcp_probe() -> core.ProbeArgs:
    """The port is open."""
    return core.ProbeArgs(tcp_socket=core.TCPSocketActionArgs(port=HTTP))


def _paced(probe: core.ProbeArgs, *, period: int, failures: int) -> core.ProbeArgs:
    return core.ProbeArgs(
        http_get=probe.http_get,
        tcp_socket=probe.tcp_socket,
        period_seconds=period,
        failure_threshold=failures,
        timeout_seconds=5,
    )


def _path_of(probe: core.ProbeArgs) -> str:
    assert isinstance(probe.http_get, core.HTTPGetActionArgs), "the settings require a path"  # noqa: S101
    return str(probe.http_get.path)
