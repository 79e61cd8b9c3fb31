"""NodePorts that something else has: a dry run does not ask for them, so the Services there are show it."""

from __future__ import annotations

from collections.abc import Iterator

from tools.validate import Finding, Subject
from tools.validate.keys import key_of


def ports(subject: Subject) -> Iterator[Finding]:
    """Each port of the stack that a Service outside its namespace has already."""
    wanted = {
        port["nodePort"]: manifest
        for manifest in subject.of_kind("Service")
        for port in manifest["spec"].get("ports") or []
        if port.get("nodePort")
    }
    if subject.cluster is None or not wanted:
        return
    for service in subject.cluster.objects("services", "--all-namespaces"):
        where = service["metadata"]
        if where["namespace"] == subject.settings.namespace:
            continue
        for port in service["spec"].get("ports") or []:
            if manifest := wanted.get(port.get("nodePort")):
                text = f"{port['nodePort']} is taken by Service {where['namespace']}/{where['name']}"
                yield Finding(f"{key_of(manifest, subject.settings)}.port", text)
