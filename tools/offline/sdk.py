"""From a type or function token to what its SDK says about it.

Only packages that the program has imported are looked at: a token cannot reach us otherwise.
"""

from __future__ import annotations

import functools
import inspect
import re
import sys
from typing import Any

from pulumi import _types
from pulumi.runtime import rpc

BUILT_IN_INPUTS = {"pulumi:pulumi:StackReference": {"name": str}}
"""Types that the engine itself serves; they have no Args class."""

CUSTOM_KINDS = {
    "kubernetes:argoproj.io/v1alpha1:CronWorkflow",
    "kubernetes:argoproj.io/v1alpha1:WorkflowTemplate",
    "kubernetes:eks.amazonaws.com/v1:IngressClassParams",
    "kubernetes:eks.amazonaws.com/v1:NodeClass",
    "kubernetes:karpenter.sh/v1:NodePool",
    # GKE's Ingress (GKE, "Ingress configuration on Google Cloud").
    "kubernetes:cloud.google.com/v1:BackendConfig",
    "kubernetes:networking.gke.io/v1beta1:FrontendConfig",
    "kubernetes:networking.gke.io/v1:ManagedCertificate",
    "kubernetes:networking.gke.io/v1:GCPBackendPolicy",
    "kubernetes:networking.gke.io/v1:GCPGatewayPolicy",
    "kubernetes:networking.gke.io/v1:HealthCheckPolicy",
    "kubernetes:gateway.networking.k8s.io/v1:Gateway",
    "kubernetes:gateway.networking.k8s.io/v1:HTTPRoute",
}
"""Kinds that the controllers of a cloud's cluster define. What their ``spec`` may say, no SDK knows."""


@functools.cache
def resource_class(token: str) -> type | None:
    """The SDK's class for a resource type such as ``kubernetes:apps/v1:Deployment``, if it has one."""
    package, module, name = [*token.split(":"), "", ""][:3]
    if (package, module) == ("pulumi", "providers"):
        registered: Any = rpc.get_resource_package(name, "")
        return registered and getattr(sys.modules[registered.pkg_info["fqn"]], registered.pkg_info["class"])
    registered = rpc.get_resource_module(package, module, "")
    if registered is None or token not in registered.mod_info["classes"]:
        return None
    return getattr(sys.modules[registered.mod_info["fqn"]], registered.mod_info["classes"][token])


@functools.cache
def args_class(token: str) -> type | None:
    """The Args class that lists the inputs of a resource type.

    pulumi-kubernetes calls it ``<Class>InitArgs``, because ``<Class>Args`` is the nested form there.
    """
    if token in CUSTOM_KINDS:
        return sys.modules["pulumi_kubernetes.apiextensions.CustomResource"].CustomResourceArgs
    resource = resource_class(token)
    if resource is None:
        return None
    module = sys.modules[resource.__module__]
    for name in (f"{resource.__name__}InitArgs", f"{resource.__name__}Args"):
        found = getattr(module, name, None)
        if found is not None and _types.is_input_type(found):
            return found
    return None


@functools.cache
def input_types(args: type) -> dict[str, Any]:
    """Input name on the wire to its annotated type."""
    return _types.input_type_types(args)


@functools.cache
def required_inputs(args: type) -> frozenset[str]:
    """The wire names of the inputs that have no default."""
    wire_names = _types.input_type_py_to_pulumi_names(args)
    parameters = list(inspect.signature(args.__init__).parameters.values())[1:]
    return frozenset(
        wire_names[one.name] for one in parameters if one.default is one.empty and one.name in wire_names
    )


@functools.cache
def output_types(token: str) -> dict[str, Any]:
    """Output name on the wire to its type, without ``urn`` and ``id``."""
    resource = resource_class(token)
    types = _types.resource_types(resource) if resource else {}
    return {name: kind for name, kind in types.items() if name not in ("urn", "id")}


def lookup_result_types(token: str) -> dict[str, Any]:
    """Result name to type of a look-up such as ``aws:ec2/getVpc:getVpc``; empty when it is not known."""
    package, module, function = [*token.split(":"), "", ""][:3]
    parts = [f"pulumi_{package.replace('-', '_')}", *module.split("/")[0].replace("index", "").split(".")]
    holder = sys.modules.get(".".join(part for part in parts if part))
    found = getattr(holder, re.sub(r"(?<!^)(?=[A-Z])", "_", function).lower(), None)
    if found is None:
        return {}
    result = getattr(sys.modules[found.__module__], f"{function[0].upper()}{function[1:]}Result", None)
    return _types.output_type_types(result) if result is not None else {}
