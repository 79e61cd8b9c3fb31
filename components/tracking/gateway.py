"""The server's entrance in the words of the Gateway API: a Gateway of its own, and the route behind it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_kubernetes as kubernetes

from ..contracts import IngressFlavor, Text
from ..settings.exposure import Ingress
from .labels import SERVER, labels

meta = kubernetes.meta.v1

API = "gateway.networking.k8s.io/v1"
ADDRESS_KNOWN = "jsonpath={.status.addresses[0]}"
HTTP, HTTPS = "http", "https"
MINUTES = pulumi.CustomTimeouts(create="10m", update="10m", delete="10m")
"""A load balancer takes as long to come and to go."""


@dataclass(frozen=True, kw_only=True)
class GatewayArgs:
    """Inputs of :class:`Gateway`.

    :param settings: with a host.
    :param flavor: how the cluster makes one.
    :param port: of the Service behind it, the server's own.
    :param after: what is made before it, and goes after it.
    """

    settings: Ingress
    flavor: IngressFlavor
    namespace: pulumi.Output[str]
    port: int
    after: Sequence[pulumi.Resource] = ()


class Gateway(pulumi.ComponentResource):
    """One host name; with a certificate by https, to which http is sent on.

    Source: Kubernetes SIG Network, "Gateway API" v1: Gateway, HTTPRoute, TLS, HTTP redirects.
    """

    def __init__(self, name: str, args: GatewayArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("mlflow:tracking:Gateway", name, {}, opts)
        self._name, self._args = name, args
        tls = self._tls()
        listeners = [_listener(HTTP, 80, "HTTP")]
        if tls:
            listeners.append(_listener(HTTPS, 443, "HTTPS") | {"tls": tls})
        for each in listeners:
            each["hostname"] = args.settings.host
        gateway = self._object(
            "Gateway",
            SERVER,
            {
                "gatewayClassName": args.flavor.class_name,
                **self._place(),
                "listeners": listeners,
            },
            {**args.flavor.annotations, "pulumi.com/waitFor": ADDRESS_KNOWN},
            args.after,
        )
        backend = {"backendRefs": [{"name": SERVER, "port": args.port}]}
        self._route(SERVER, HTTPS if tls else HTTP, backend, gateway)
        if tls:
            redirect = {"scheme": HTTPS, "statusCode": 301}
            to_https = {"filters": [{"type": "RequestRedirect", "requestRedirect": redirect}]}
            self._route(f"{SERVER}-to-https", HTTP, to_https, gateway)
        self.register_outputs({})

    def _tls(self) -> dict[str, Any] | None:
        """Of the https listener; None without a certificate."""
        if secret := self._args.settings.tls_secret:
            return {"mode": "Terminate", "certificateRefs": [{"kind": "Secret", "name": secret}]}
        options = self._args.flavor.gateway_tls
        return {"mode": "Terminate", "options": dict(options)} if options else None

    def _place(self) -> dict[str, Any]:
        """What the load balancer is like, and where."""
        found: dict[str, Any] = {}
        if self._args.flavor.gateway:
            found["infrastructure"] = {"annotations": dict(self._args.flavor.gateway)}
        if self._args.flavor.gateway_address:
            found["addresses"] = [{"type": "NamedAddress", "value": self._args.flavor.gateway_address}]
        return found

    def _route(self, name: str, listener: str, rule: dict[str, Any], gateway: pulumi.Resource) -> None:
        spec = {
            "parentRefs": [{"name": SERVER, "sectionName": listener}],
            "hostnames": [self._args.settings.host],
            "rules": [rule],
        }
        self._object("HTTPRoute", name, spec, {}, [gateway])

    def _object(
        self,
        kind: str,
        name: str,
        spec: dict[str, Any],
        annotations: Mapping[str, Text],
        after: Sequence[pulumi.Resource],
    ) -> pulumi.Resource:
        suffix = name.removeprefix(SERVER)
        return kubernetes.apiextensions.CustomResource(
            f"{self._name}-{kind.lower()}{suffix}",
            api_version=API,
            kind=kind,
            metadata=meta.ObjectMetaArgs(
                name=name,
                namespace=self._args.namespace,
                labels=labels("server"),
                annotations=dict(annotations),
            ),
            spec=spec,
            opts=pulumi.ResourceOptions(parent=self, depends_on=list(after), custom_timeouts=MINUTES),
        )


def _listener(name: str, port: int, protocol: str) -> dict[str, Any]:
    """One that takes routes of its own namespace only."""
    return {
        "name": name,
        "port": port,
        "protocol": protocol,
        "allowedRoutes": {"namespaces": {"from": "Same"}},
    }
