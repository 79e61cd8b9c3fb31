"""How GKE makes load balancers: a network one from a Service, an application one from an Ingress."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_gcp as gcp

from ...contracts import CustomObject, IngressFlavor, LoadBalancerFlavor, Text
from ...settings.exposure import EntranceApi, Ingress
from ...settings.gcp import GcpStack
from .gateway import (
    CERTIFICATE,
    HEALTH_PATH,
    PRIVATE_GATEWAY,
    PUBLIC_GATEWAY,
    SERVER_PORT,
    gateway_policies,
)
from .provider import Project

compute = gcp.compute

ADDRESS = "networking.gke.io/load-balancer-ip-addresses"
INTERNAL = {"networking.gke.io/load-balancer-type": "Internal"}
EXTERNAL = {"cloud.google.com/l4-rbs": "enabled"}
"""Source: GKE, "LoadBalancer Service parameters"; the second asks for the kind with backend services."""

OBJECT = "mlflow-server"
"""Name of the objects beside the Ingress."""
IDLE_SECONDS = 600
"""After so long a request is given up: time for a large artifact. Google's default is 30."""
DRAIN_SECONDS = 60
"""The Ingress sends straight to pods, and learns only after a while that one is going: until then it still
serves (GKE, "Container-native load balancing": traffic during rolling updates). New pods wait for it by GKE's
own readiness gate."""
RANGES_PER_RULE = 10
"""Of Cloud Armor ("Quotas and limits": address ranges in a match condition)."""
LAST = 2147483647
"""Priority of the rule for everybody else, which every policy has."""
MAY_PASS = "roles/iap.httpsResourceAccessor"  # noqa: S105 - a role


@dataclass(frozen=True, kw_only=True)
class EntrancesArgs:
    """Inputs of :class:`Entrances`.

    :param subnetwork: of the cluster; where internal addresses come from.
    """

    settings: GcpStack
    project: Project
    subnetwork: pulumi.Input[str]


class Entrances(pulumi.ComponentResource):
    """Reserved addresses, source ranges and sign-in of the entrances, and how the cluster is asked for them.

    :ivar internal, external, ingress: the contract's flavors; None where the stack wants none.
    """

    internal: LoadBalancerFlavor | None
    external: LoadBalancerFlavor | None
    ingress: IngressFlavor | None

    def __init__(self, name: str, args: EntrancesArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("mlflow:gcp:Entrances", name, {}, opts)
        self._name, self._args = name, args
        self._child = pulumi.ResourceOptions(parent=self)
        self._waiting = pulumi.ResourceOptions(parent=self, depends_on=args.project.apis.of("compute"))
        exposure = args.settings.exposure
        self.internal = self._balancer("internal", INTERNAL) if exposure.internal else None
        self.external = self._balancer("external", EXTERNAL) if exposure.external else None
        self.ingress = self._ingress(exposure.ingress) if exposure.ingress else None
        self.register_outputs({})

    def _balancer(self, kind: str, annotations: dict[str, str]) -> LoadBalancerFlavor:
        """Source ranges come from ``spec.loadBalancerSourceRanges``, which GKE turns into firewall rules."""
        address = self._address(kind, internal=kind == "internal")
        return LoadBalancerFlavor(annotations={**annotations, **({ADDRESS: address} if address else {})})

    def _address(self, kind: str, *, internal: bool, shared: bool = False) -> Text | None:
        """The name of a reserved address in the region; None for one that comes and goes with the
        entrance."""
        gcp_settings = self._args.settings.gcp
        if named := gcp_settings.addresses.get(kind):  # pyright: ignore[reportArgumentType] - one of the keys
            return named
        if not gcp_settings.static_addresses:
            return None
        return compute.Address(
            f"{self._name}-{kind}",
            region=self._args.project.region,
            address_type="INTERNAL" if internal else "EXTERNAL",
            subnetwork=self._args.subnetwork if internal else None,
            purpose="SHARED_LOADBALANCER_VIP" if shared else None,
            opts=self._waiting,
        ).name

    def _ingress(self, ingress: Ingress) -> IngressFlavor:
        if ingress.class_name:
            return IngressFlavor(
                class_name=ingress.class_name,
                annotations=ingress.annotations,
                controller_namespaces=ingress.controller_namespaces,
            )
        if ingress.api is EntranceApi.GATEWAY:
            return self._gateway(ingress)
        certificate = ingress.certificate
        annotations: dict[str, Text] = {
            # GKE's controller goes by this; it ignores ``ingressClassName`` (GKE, "GKE Ingress for
            # Application Load Balancers").
            "kubernetes.io/ingress.class": "gce-internal" if ingress.internal else "gce",
        }
        if certificate:
            annotations["ingress.gcp.kubernetes.io/pre-shared-cert"] = certificate
        objects = [self._backend(ingress)]
        if ingress.internal:
            # It can do one of the two, and it cannot redirect.
            annotations["kubernetes.io/ingress.allow-http"] = "false" if certificate else "true"
            if address := self._address("ingress", internal=True, shared=True):
                annotations["kubernetes.io/ingress.regional-static-ip-name"] = address
        else:
            if address := self._global_address():
                annotations["kubernetes.io/ingress.global-static-ip-name"] = address
            annotations["networking.gke.io/v1beta1.FrontendConfig"] = OBJECT
            objects.append(self._frontend())
            if not certificate:
                annotations["networking.gke.io/managed-certificates"] = OBJECT
                objects.append(_managed_certificate(str(ingress.host)))
        return IngressFlavor(
            class_name=None,
            annotations={**annotations, **ingress.annotations},
            service_annotations={
                "cloud.google.com/neg": json.dumps({"ingress": True}),
                "cloud.google.com/backend-config": json.dumps({"default": OBJECT}),
            },
            objects=objects,
            tls=not ingress.internal or certificate is not None,
            drain_seconds=DRAIN_SECONDS,
        )

    def _gateway(self, ingress: Ingress) -> IngressFlavor:
        """The same load balancer asked for by a Gateway, with the same guards."""
        address = self._address("ingress", internal=True, shared=True) if ingress.internal else None
        certificate: Text | None = ingress.certificate
        if not ingress.internal:
            address, certificate = self._global_address(), certificate or self._certificate(str(ingress.host))
        guards = self._guards(ingress)
        return IngressFlavor(
            class_name=PRIVATE_GATEWAY if ingress.internal else PUBLIC_GATEWAY,
            annotations=ingress.annotations,
            objects=gateway_policies(guards, None if ingress.internal else self._tls_policy()),
            tls=certificate is not None,
            drain_seconds=DRAIN_SECONDS,
            gateway={},
            gateway_tls={CERTIFICATE: certificate} if certificate else None,
            gateway_address=address,
        )

    def _certificate(self, host: str) -> pulumi.Output[str]:
        """As :func:`_managed_certificate`, which no Gateway knows."""
        return compute.ManagedSslCertificate(
            f"{self._name}-certificate",
            managed=compute.ManagedSslCertificateManagedArgs(domains=[host]),
            opts=self._waiting,
        ).name

    def _global_address(self) -> Text | None:
        gcp_settings = self._args.settings.gcp
        if named := gcp_settings.addresses.get("ingress"):
            return named
        if not gcp_settings.static_addresses:
            return None
        return compute.GlobalAddress(f"{self._name}-ingress", opts=self._waiting).name

    def _tls_policy(self) -> pulumi.Output[str]:
        return compute.SSLPolicy(
            f"{self._name}-tls", profile="MODERN", min_tls_version="TLS_1_2", opts=self._waiting
        ).name

    def _frontend(self) -> CustomObject:
        return CustomObject(
            api_version="networking.gke.io/v1beta1",
            kind="FrontendConfig",
            name=OBJECT,
            spec={"redirectToHttps": {"enabled": True}, "sslPolicy": self._tls_policy()},
        )

    def _backend(self, ingress: Ingress) -> CustomObject:
        spec = self._guards(ingress)
        if not ingress.internal:
            # One that is not named stays as it was: only "" and false take it away
            # (kubernetes/ingress-gce#2209; its features/securitypolicy.go and features/iap.go).
            spec["securityPolicy"] = {"name": spec.get("securityPolicy", "")}
            spec.setdefault("iap", {"enabled": False})
        spec["healthCheck"] = {"type": "HTTP", "requestPath": HEALTH_PATH, "port": SERVER_PORT}
        return CustomObject(api_version="cloud.google.com/v1", kind="BackendConfig", name=OBJECT, spec=spec)

    def _guards(self, ingress: Ingress) -> dict[str, Any]:
        """How requests are passed on, and whose; in words that both APIs have, but for the ranges'."""
        spec: dict[str, Any] = {
            "timeoutSec": IDLE_SECONDS,
            "connectionDraining": {"drainingTimeoutSec": DRAIN_SECONDS},
        }
        if not ingress.internal and ingress.allow and not ingress.open_to_world:
            spec["securityPolicy"] = self._ranges(ingress.allow)
        if self._args.settings.gcp.iap:
            self._let_pass(str(ingress.host), self._args.settings.gcp.iap.members)
            # Without credentials of its own: Google keeps the OAuth client (GKE, "Ingress configuration").
            # The settings refuse it for a Gateway.
            spec["iap"] = {"enabled": True}
        return spec

    def _ranges(self, allow: Sequence[str]) -> pulumi.Output[str]:
        """A Cloud Armor policy that lets in these ranges only: firewall rules do not see who is behind a
        proxy."""
        chunks = [allow[at : at + RANGES_PER_RULE] for at in range(0, len(allow), RANGES_PER_RULE)]
        return compute.SecurityPolicy(
            f"{self._name}-ranges",
            description="MLflow: who may connect",
            rules=[
                *(_rule("allow", 1000 + index, chunk) for index, chunk in enumerate(chunks)),
                _rule("deny(403)", LAST, ["*"]),
            ],
            opts=self._waiting,
        ).name

    def _let_pass(self, host: str, members: Sequence[str]) -> None:
        for index, member in enumerate(members):
            gcp.iap.WebIamMember(
                f"{self._name}-iap-{index}",
                project=self._args.project.id,
                role=MAY_PASS,
                member=member,
                # GKE generates the backend's name, so the role is the project's; the condition narrows it.
                condition=gcp.iap.WebIamMemberConditionArgs(
                    title="MLflow only", expression=f'request.host == "{host}"'
                ),
                opts=pulumi.ResourceOptions(parent=self, depends_on=self._args.project.apis.of("iap")),
            )


def _rule(action: str, priority: int, ranges: Sequence[str]) -> gcp.compute.SecurityPolicyRuleArgs:
    return compute.SecurityPolicyRuleArgs(
        action=action,
        priority=priority,
        match=compute.SecurityPolicyRuleMatchArgs(
            versioned_expr="SRC_IPS_V1",
            config=compute.SecurityPolicyRuleMatchConfigArgs(src_ip_ranges=list(ranges)),
        ),
    )


def _managed_certificate(host: str) -> CustomObject:
    """Google makes and renews it once ``host`` points at the address; up to an hour (GKE, "Google-managed SSL
    certificates")."""
    return CustomObject(
        api_version="networking.gke.io/v1", kind="ManagedCertificate", name=OBJECT, spec={"domains": [host]}
    )
