"""What one offline run of the program asked for."""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field
from typing import Any

from tools.offline.wire import plain, unwrap


@dataclass
class Resource:
    """One registered resource.

    :ivar inputs: by the provider's own (camelCase) names; may hold `wire.Secret` and `wire.UNKNOWN`.
    :ivar outputs: what the run answered (custom resources), or what the component registered.
    :ivar depends_on: URNs, those that follow from inputs included.
    :ivar property_depends_on: input name to the URNs it is made from.
    :ivar options: further options, by the engine's names, only those that are set.
    :ivar component: whether this is a component, which groups resources and exists nowhere else.
    :ivar read: an existing object that was looked up by its id, not managed by this stack.
    """

    urn: str
    type: str
    name: str
    parent: str
    component: bool
    inputs: dict[str, Any]
    outputs: dict[str, Any] = field(default_factory=dict)
    id: str = ""
    depends_on: list[str] = field(default_factory=list)
    property_depends_on: dict[str, list[str]] = field(default_factory=dict)
    protect: bool = False
    retain_on_delete: bool = False
    provider: str = ""
    options: dict[str, Any] = field(default_factory=dict)
    read: bool = False

    @property
    def is_kubernetes_object(self) -> bool:
        return self.type.startswith("kubernetes:") and not self.component and not self.is_helm_release

    @property
    def is_helm_release(self) -> bool:
        """Whether this is a chart, whose objects only Helm knows."""
        return self.type.startswith("kubernetes:helm.sh/") and not self.component

    def to_json(self) -> dict[str, Any]:
        """The form ``make plan OUT=`` writes."""
        return {
            "urn": self.urn,
            "type": self.type,
            "name": self.name,
            "parent": self.parent,
            "component": self.component,
            "inputs": plain(self.inputs),
            "dependsOn": self.depends_on,
            "protect": self.protect,
            "retainOnDelete": self.retain_on_delete,
        }


@dataclass
class Plan:
    """Everything one offline run of the program registered.

    :ivar resources: in the order in which the engine could create them.
    :ivar outputs: the stack's exports.
    :ivar problems: mistakes the strict checks found, one line each.
    :ivar messages: (severity, text) the program logged.
    """

    stack: str
    project: str
    resources: list[Resource]
    outputs: dict[str, Any]
    problems: list[str]
    messages: list[tuple[str, str]]
    secret_texts: frozenset[str] = frozenset()

    def to_json(self) -> dict[str, Any]:
        return {
            "stack": self.stack,
            "resources": [resource.to_json() for resource in self.resources],
            "outputs": plain(self.outputs),
        }

    def of_type(self, type_end: str) -> list[Resource]:
        """The resources whose type ends with ``:<type_end>``, such as ``Deployment``."""
        return [one for one in self.resources if one.type.rpartition(":")[2] == type_end]

    def one(self, type_end: str, name_part: str = "") -> Resource:
        """The only resource of a type whose name holds ``name_part``.

        :raises LookupError: when there is none, or more than one; the message lists them.
        """
        found = [one for one in self.of_type(type_end) if name_part in one.name]
        if len(found) != 1:
            names = [one.name for one in self.of_type(type_end)]
            raise LookupError(f"{len(found)} resources of type {type_end} match {name_part!r}: {names}")
        return found[0]

    def kubernetes_objects(self) -> list[dict[str, Any]]:
        """The inputs of all Kubernetes objects that this stack manages, secrets as ``[secret]``."""
        return [plain(one.inputs) for one in self.resources if one.is_kubernetes_object and not one.read]

    def value(self, name: str) -> Any:
        """A stack output without its secret wrapper."""
        return unwrap(self.outputs[name])


def creation_order(resources: list[Resource]) -> list[Resource]:
    """Parents and dependencies first; among equals by URN, so that two runs give the same order."""
    by_urn = {resource.urn: resource for resource in resources}
    waiting: dict[str, int] = {}
    followers: dict[str, list[str]] = {urn: [] for urn in by_urn}
    for resource in by_urn.values():
        before = ({*resource.depends_on, resource.parent} & by_urn.keys()) - {resource.urn}
        waiting[resource.urn] = len(before)
        for urn in before:
            followers[urn].append(resource.urn)
    ready = [urn for urn, count in waiting.items() if count == 0]
    heapq.heapify(ready)
    ordered = []
    while ready:
        urn = heapq.heappop(ready)
        ordered.append(by_urn[urn])
        for follower in followers[urn]:
            waiting[follower] -= 1
            if waiting[follower] == 0:
                heapq.heappush(ready, follower)
    return ordered
