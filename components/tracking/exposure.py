"""Entrances: the Services in front of the server, and the names under which they are reached."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_kubernetes as kubernetes

from ..contracts import Cluster, CustomObject, IngressFlavor, LoadBalancerFlavor
from ..settings.exposure import Exposure as ExposureSettings
from ..settings.exposure import Ingress, LoadBalancer, NodePort
from .gateway import Gateway, GatewayArgs
from .hosts import allowed_hosts, cors_origins, service_names
from .labels import SERVER, labels, selector

core = kubernetes.core.v1
meta = kubernetes.meta.v1
networking = kubernetes.networking.v1

HTTP, HTTPS = 80, 443
CLUSTER_IP_KNOWN = "jsonpath={.spec.clusterIP}"
ADDRESS_KNOWN = "jsonpath={.status.loadBalancer.ingress[0]}"


@dataclass(frozen=True, kw_only=True)
class ExposureArgs:
    """Inputs of :class:`Exposure`."""

    settings: ExposureSettings
    namespace: pulumi.Output[str]
    namespace_name: str
    cluster: Cluster


class Exposure(pulumi.ComponentResource):
    """The Services. They come before the server, whose host allow-list needs their addresses.

    :ivar in_cluster_url: for pods.
    :ivar url: for people: the widest entrance there is; None without any.
    :ivar internal_url, external_url: of the load balancers; None without.
    :ivar drain_seconds: how long any of them may send new requests to a pod that is going.
    """

    in_cluster_url: str
    url: pulumi.Output[str] | None
    internal_url: pulumi.Output[str] | None
    external_url: pulumi.Output[str] | None
    allowed_hosts: pulumi.Output[str]
    cors_origins: pulumi.Output[str]
    drain_seconds: int

    def __init__(self, name: str, args: ExposureArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("mlflow:tracking:Exposure", name, {}, opts)
        self._name, self._args = name, args
        settings, cluster = args.settings, args.cluster
        behind_ingress = dict(cluster.ingress.service_annotations) if cluster.ingress else {}
        self._service(SERVER, core.ServiceSpecArgs(type="ClusterIP"), behind_ingress, CLUSTER_IP_KNOWN)
        self.in_cluster_url = f"http://{SERVER}.{args.namespace_name}.svc.cluster.local"

        # Entrance host → port people type after it; None where the scheme's own port is used.
        hosts: list[tuple[pulumi.Input[str], int | None]] = []
        node = self._node_port(settings.node_port, hosts) if settings.node_port else None
        self.internal_url = self._balancer(
            "internal", settings.internal, cluster.internal_load_balancer, hosts
        )
        self.external_url = self._balancer(
            "external", settings.external, cluster.external_load_balancer, hosts
        )
        ingress = self._ingress(settings.ingress, cluster.ingress, hosts) if settings.ingress else None
        self.url = ingress or self.external_url or self.internal_url or node
        self.drain_seconds = max(
            flavor.drain_seconds if wanted and flavor else 0
            for wanted, flavor in (
                (settings.internal, cluster.internal_load_balancer),
                (settings.external, cluster.external_load_balancer),
                (settings.ingress, cluster.ingress),
            )
        )

        names = service_names(SERVER, args.namespace_name)
        known = pulumi.Output.all(*(host for host, _ in hosts))
        ports = [port for _, port in hosts]
        self.allowed_hosts = known.apply(lambda entrances: allowed_hosts([*names, *entrances]))
        self.cors_origins = known.apply(
            lambda entrances: ",".join(
                [
                    cors_origins(names),
                    *(cors_origins([host], port) for host, port in zip(entrances, ports, strict=True)),
                ]
            )
        )
        self.register_outputs({})

    def _node_port(
        self, node_port: NodePort, hosts: list[tuple[pulumi.Input[str], int | None]]
    ) -> pulumi.Output[str] | None:
        spec = core.ServiceSpecArgs(type="NodePort")
        self._service(f"{SERVER}-node-port", spec, {}, CLUSTER_IP_KNOWN, node_port=node_port.port)
        address = self._args.cluster.node_address
        hosts += [(host, node_port.port) for host in [*([address] if address else []), *node_port.hosts]]
        return pulumi.Output.from_input(f"http://{address}:{node_port.port}") if address else None

    def _balancer(
        self,
        kind: str,
        settings: LoadBalancer | None,
        flavor: LoadBalancerFlavor | None,
        hosts: list[tuple[pulumi.Input[str], int | None]],
    ) -> pulumi.Output[str] | None:
        if settings is None:
            return None
        if flavor is None:
            raise ValueError(f"mlflow:exposure.{kind}: this cluster gives Services no {kind} load balancer")
        service = self._service(
            f"{SERVER}-{kind}",
            core.ServiceSpecArgs(
                type="LoadBalancer",
                load_balancer_class=flavor.load_balancer_class,
                load_balancer_source_ranges=settings.allow or None,
            ),
            dict(flavor.annotations),
            ADDRESS_KNOWN,
            port=HTTPS if flavor.tls else HTTP,
        )
        address = service.status.apply(_address)
        host = pulumi.Output.from_input(settings.host) if settings.host else address
        hosts += [(host, None)] if settings.host is None else [(settings.host, None), (address, None)]
        return pulumi.Output.concat("https://" if flavor.tls else "http://", host)

    def _ingress(
        self,
        settings: Ingress,
        flavor: IngressFlavor | None,
        hosts: list[tuple[pulumi.Input[str], int | None]],
    ) -> pulumi.Output[str]:
        if flavor is None or settings.host is None:
            raise ValueError("mlflow:exposure.ingress: this cluster has no ingress controller")
        hosts.append((settings.host, None))
        scheme = "https" if flavor.tls or settings.tls_secret else "http"
        url = pulumi.Output.from_input(f"{scheme}://{settings.host}")
        if flavor.gateway is not None:
            Gateway(
                f"{self._name}-entrance",
                GatewayArgs(
                    settings=settings,
                    flavor=flavor,
                    namespace=self._args.namespace,
                    port=HTTP,
                    after=[self._object(one) for one in flavor.objects],
                ),
                opts=pulumi.ResourceOptions(parent=self),
            )
            return url
        backend = networking.IngressBackendArgs(
            service=networking.IngressServiceBackendArgs(
                name=SERVER, port=networking.ServiceBackendPortArgs(name="http")
            )
        )
        objects = [self._object(one) for one in flavor.objects]
        path = networking.HTTPIngressPathArgs(path="/", path_type="Prefix", backend=backend)
        networking.Ingress(
            f"{self._name}-ingress",
            metadata=meta.ObjectMetaArgs(
                name=SERVER,
                namespace=self._args.namespace,
                labels=labels("server"),
                annotations={**flavor.annotations, "pulumi.com/waitFor": ADDRESS_KNOWN},
            ),
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
            opts=self._slow(objects),
        )
        return url

    def _object(self, wanted: CustomObject) -> pulumi.Resource:
        return kubernetes.apiextensions.CustomResource(
            f"{self._name}-{wanted.kind.lower()}",
            api_version=wanted.api_version,
            kind=wanted.kind,
            metadata=meta.ObjectMetaArgs(
                name=wanted.name, namespace=self._args.namespace, labels=labels("server")
            ),
            spec=dict(wanted.spec),
            opts=pulumi.ResourceOptions(parent=self),
        )

    def _slow(self, after: Sequence[pulumi.Resource] = ()) -> pulumi.ResourceOptions:
        """A load balancer takes minutes to come and to go."""
        return pulumi.ResourceOptions(
            parent=self,
            depends_on=list(after),
            custom_timeouts=pulumi.CustomTimeouts(create="10m", update="10m", delete="10m"),
        )

    def _service(
        self,
        service: str,
        spec: core.ServiceSpecArgs,
        annotations: dict[str, Any],
        wait_for: str,
        node_port: int | None = None,
        port: int = HTTP,
    ) -> core.Service:
        spec.selector = selector("server")
        spec.ports = [core.ServicePortArgs(name="http", port=port, target_port="http", node_port=node_port)]
        return core.Service(
            f"{self._name}-{service.removeprefix(SERVER).strip('-') or 'service'}",
            metadata=meta.ObjectMetaArgs(
                name=service,
                namespace=self._args.namespace,
                labels=labels("server"),
                # The Deployment is the gate; the Service's own awaiter sleeps 10 s (pulumi.md).
                annotations={**annotations, "pulumi.com/waitFor": wait_for},
            ),
            spec=spec,
            opts=self._slow(),
        )


def _address(status: Any) -> str:
    """Host name or address of a load balancer, once its controller has set it."""
    entry = status.load_balancer.ingress[0]
    return entry.hostname or entry.ip
