"""What the offline run answers where an engine would ask a provider.

`Preview` answers nothing that only a cloud or a cluster knows.  `Mocked` makes something up for
everything, each value marked, so that code inside ``apply`` runs too and a test can prove that no made-up
value ever reaches a plan.
"""

from __future__ import annotations

import base64
import inspect
import json
import re
import typing
from collections.abc import Callable
from enum import Enum
from typing import Any, Final, Protocol

from pulumi import _types

from tools.offline import sdk
from tools.offline.wire import UNKNOWN, Secret, unwrap

SENTINEL: Final = "mock-sentinel"
SENTINEL_NUMBER: Final = 42424242

_ASSIGNED_BY_SERVER: Final = {
    "kubernetes:core/v1:Service": ("clusterIP", "clusterIPs"),
    "kubernetes:core/v1:PersistentVolumeClaim": ("volumeName",),
}
"""Fields of ``spec`` that the API server fills in when they are not given (Kubernetes API reference)."""

_ADDED_BY_CLOUD: Final = {
    "aws:eks/cluster:Cluster": {"vpcConfig": ("clusterSecurityGroupId", "vpcId")},
    "azure-native:containerservice:ManagedCluster": {"oidcIssuerProfile": ("issuerURL",), "identity": ()},
    "azure-native:dbformysql:Server": {"identity": ()},
}
"""Fields that a cloud adds inside an object that the program gives (the SDK's output types)."""

_IN_ANOTHER_FORM: Final = {"userAssignedIdentities"}
"""Fields inside such an object that a list goes into and a map comes out of (azure-native)."""

_KUBECONFIG: Final = {
    "clusters": [
        {"cluster": {"server": f"https://{SENTINEL}-api", "certificate-authority-data": f"{SENTINEL}-ca"}}
    ],
    "users": [{"user": {"exec": {"command": "kubelogin"}}}],
}

_LOOKED_UP: Final[dict[str, dict[str, Any]]] = {
    "azure-native:containerservice:listManagedClusterUserCredentials": {
        "kubeconfigs": [{"value": base64.b64encode(json.dumps(_KUBECONFIG).encode()).decode()}]
    },
    "azure-native:containerservice:getManagedCluster": {
        "identityProfile": {"kubeletidentity": {"objectId": f"{SENTINEL}-kubelet"}},
        # Made-up subnets would be in another network than those of the settings.
        "agentPoolProfiles": [],
    },
}
"""Look-ups whose answer has a form that its type does not tell (AKS API reference)."""


_ITEMS: Final = 3
"""How many items a made-up list has: as many as the availability zones that a program may ask for."""


class Answers(Protocol):
    """How a run answers.

    :ivar preview: whether the program runs as in ``pulumi preview``: unknown values stay unknown, and
        functions given to ``apply`` do not run on them.
    """

    preview: bool

    def created(self, token: str, name: str, urn: str, inputs: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        """The id ("" for unknown) and the outputs of a resource, on top of its inputs."""
        ...

    def looked_up(self, token: str, arguments: dict[str, Any]) -> dict[str, Any] | None:
        """The result of a look-up, or None for unknown."""
        ...


class Preview:
    """Nothing is known that is not in the program's own inputs."""

    preview = True

    def created(self, token: str, name: str, urn: str, inputs: dict[str, Any]) -> tuple[str, dict[str, Any]]:  # noqa: ARG002
        if token.startswith("kubernetes:"):
            return "", server_fields(token, inputs, UNKNOWN)
        return "", cloud_fields(token, inputs, lambda _: UNKNOWN)

    def looked_up(self, token: str, arguments: dict[str, Any]) -> dict[str, Any] | None:  # noqa: ARG002
        return None


class Mocked:
    """Everything is known, and every value that is made up says so: it holds `SENTINEL`."""

    preview = False

    def created(self, token: str, name: str, urn: str, inputs: dict[str, Any]) -> tuple[str, dict[str, Any]]:  # noqa: ARG002
        label = re.sub("[^a-z0-9]+", "-", name.lower())
        outputs = {
            key: made_up(kind, f"{SENTINEL}-{label}-{key}")
            for key, kind in sdk.output_types(token).items()
            if key not in inputs
        }
        if token.startswith("kubernetes:"):
            outputs |= server_fields(token, inputs, f"{label}-{SENTINEL}")
        outputs |= cloud_fields(token, inputs, lambda field: f"{SENTINEL}-{label}-{field}")
        return f"{SENTINEL}-{label}-id", outputs

    def looked_up(self, token: str, arguments: dict[str, Any]) -> dict[str, Any] | None:  # noqa: ARG002
        label = token.rpartition(":")[2]
        types = sdk.lookup_result_types(token)
        found = {key: made_up(kind, f"{SENTINEL}-{label}-{key}") for key, kind in types.items()}
        return found | _LOOKED_UP.get(token, {})


def server_fields(token: str, inputs: dict[str, Any], value: Any) -> dict[str, Any]:
    """The ``metadata`` and ``spec`` of a Kubernetes object with what the server adds set to ``value``."""
    metadata = inputs.get("metadata")
    filled: dict[str, Any] = {}
    if metadata is not UNKNOWN:
        inner = {"name": value, "uid": value, "resourceVersion": value, **(unwrap(metadata) or {})}
        filled["metadata"] = Secret(inner) if isinstance(metadata, Secret) else inner
    spec = inputs.get("spec")
    assigned = _ASSIGNED_BY_SERVER.get(token, ())
    if assigned and isinstance(spec, dict):
        extra = {key: [value] if key.endswith("IPs") else value for key in assigned if key not in spec}
        filled["spec"] = {**spec, **extra}
    return filled


def cloud_fields(token: str, inputs: dict[str, Any], value: Callable[[str], Any]) -> dict[str, Any]:
    """The objects among the inputs that the cloud changes: with the fields it adds, and without those that it
    gives back in another form."""
    return {
        key: {field: value(field) for field in fields}
        | {field: given for field, given in inputs[key].items() if field not in _IN_ANOTHER_FORM}
        for key, fields in _ADDED_BY_CLOUD.get(token, {}).items()
        if isinstance(inputs.get(key), dict)
    }


def made_up(kind: Any, text: str, depth: int = 0) -> Any:
    """A value of type ``kind`` that holds ``text`` wherever it can hold text.

    Objects are filled three levels deep; some schemas contain themselves.
    """
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Union:
        members = [one for one in arguments if one is not type(None)]
        return made_up(str if str in members else members[0], text, depth)
    if origin is typing.Literal:
        return arguments[0]
    if origin is not None and issubclass(origin, typing.Mapping):
        return {}
    if origin is not None and issubclass(origin, typing.Sequence):
        # Inside an object one will do: some schemas would fill 3 x 3 x 3 objects with 100,000 texts.
        items = _ITEMS if depth == 0 else 1
        return [made_up(arguments[0], f"{text}-{index}", depth) for index in range(items)]
    if inspect.isclass(kind) and _types.is_output_type(kind):
        fields = _types.output_type_types(kind).items() if depth < 3 else ()
        return {key: made_up(inner, f"{text}-{key}", depth + 1) for key, inner in fields}
    if inspect.isclass(kind) and issubclass(kind, Enum):
        return next(iter(kind)).value
    return {bool: True, int: SENTINEL_NUMBER, float: SENTINEL_NUMBER}.get(kind, text)
