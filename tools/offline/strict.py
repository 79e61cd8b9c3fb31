"""Checks each registered resource as strictly as its SDK describes it, and the run as a whole.

A plain mock accepts anything: a misspelt input, a string for a list, an Output turned into text.  Each
check here returns lines a person can act on; an empty list means that nothing was found.
"""

from __future__ import annotations

import base64
import json
import re
import typing
from collections import Counter
from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import urlsplit

from tools.offline import sdk
from tools.offline.plan import Plan, Resource
from tools.offline.types import object_mismatches
from tools.offline.wire import Secret, texts, unwrap

_NOT_TEXT: Final = re.compile(
    r"Calling __str__ on an Output"
    r"|<pulumi\.\S+ object"
    r"|<(?:function|coroutine|bound method|class) "
    r"|\bobject at 0x[0-9a-f]{6,}"
    r"|04da6b54-80e4-46f7-96ec-b56ff0331ba9"
)
"""Text that means that an Output, a resource or the engine's unknown marker was formatted into a string."""

_SHORTEST_SECRET: Final = 6
"""Shorter secrets are not searched for: they would be found everywhere by chance."""

_NAME: Final = re.compile(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?")
_LABEL_VALUE: Final = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?")


def check(recorded: list[Resource], plan: Plan) -> list[str]:
    """All mistakes in a run, each as one line that names the resource and the place."""
    problems = [*duplicate_urns(recorded), *duplicate_objects(recorded)]
    for resource in recorded:
        where = f"{resource.type} {resource.name!r}"
        found = [*unformatted(_written_by_the_program(resource))]
        if not resource.component and not resource.read:
            found += [*inputs_against_sdk(resource), *object_rules(resource)]
        problems += [f"{where}: {text}" for text in found]
    problems += [f"stack output: {text}" for text in unformatted(plan.outputs)]
    problems += leaked_secrets(recorded, plan)
    return list(dict.fromkeys(problems))


def inputs_against_sdk(resource: Resource) -> list[str]:
    """Unknown, missing and mistyped inputs, by the annotations of the SDK's Args class."""
    if resource.type in sdk.BUILT_IN_INPUTS:
        return []
    args = sdk.args_class(resource.type)
    if args is None:
        return ["no Args class in any imported SDK describes this type, so its inputs cannot be checked"]
    inputs = resource.inputs
    if resource.type.startswith("pulumi:providers:"):
        inputs = {key: _provider_input(value, args, key) for key, value in inputs.items()}
    return list(object_mismatches(inputs, args, "inputs"))


def _provider_input(value: Any, args: type, key: str) -> Any:
    """An input of a provider as the program gave it: what is not text travels as JSON."""
    if isinstance(value, str) and not _takes_text(sdk.input_types(args).get(key)):
        try:
            return json.loads(value)
        except ValueError:
            return value
    return value


def _takes_text(kind: Any) -> bool:
    members = typing.get_args(kind) if typing.get_origin(kind) is typing.Union else ()
    return kind is str or any(_takes_text(one) for one in members)


def unformatted(value: Any) -> Iterator[str]:
    """Text that holds the printed form of an Output or of an object."""
    for path, text in texts(_opened(value)):
        found = _NOT_TEXT.search(text)
        if found:
            yield (
                f"{path} holds {found.group()!r}: an Output or an object was turned into text; "
                "use Output.concat, Output.format or apply"
            )


def _written_by_the_program(resource: Resource) -> dict[str, Any]:
    """Everything of a resource that the program said; a custom resource's outputs are our own answers."""
    said = {"name": resource.name, "inputs": resource.inputs, "options": resource.options}
    return said | {"outputs": resource.outputs} if resource.component else said


def duplicate_urns(recorded: list[Resource]) -> Iterator[str]:
    """Two resources with the same type, parent types and name: the engine refuses the second."""
    for urn, count in Counter(resource.urn for resource in recorded).items():
        if count > 1:
            yield f"{urn} is registered {count} times: give each a name of its own"


def duplicate_objects(recorded: list[Resource]) -> Iterator[str]:
    """Two resources that name the same Kubernetes object: each run would undo the other's fields."""
    named = Counter()
    for resource in recorded:
        metadata = unwrap(resource.inputs.get("metadata"))
        if resource.is_kubernetes_object and not resource.read and isinstance(metadata, dict):
            name, namespace = metadata.get("name"), str(metadata.get("namespace"))
            if isinstance(name, str):
                named[(resource.provider, resource.type, namespace, name)] += 1
    for (_, kind, namespace, name), count in named.items():
        if count > 1:
            yield f"{kind} {namespace}/{name} is described by {count} resources: one object, one resource"


def object_rules(resource: Resource) -> Iterator[str]:
    """Rules of the Kubernetes API server for names and labels, which a preview with a mock never meets.

    Source: Kubernetes documentation, "Object Names and IDs" and "Labels and Selectors".
    """
    metadata = unwrap(resource.inputs.get("metadata"))
    if not resource.is_kubernetes_object or not isinstance(metadata, dict):
        return
    name = metadata.get("name")
    if (
        isinstance(name, str)
        and "rbac" not in resource.type
        and not (_NAME.fullmatch(name) and len(name) < 254)
    ):
        yield f"inputs.metadata.name is {name!r}: use lower-case letters, digits, '-' and '.', 253 at most"
    for path, text in texts(resource.inputs):
        is_label = re.search(r"(?:^|\.)(?:labels|matchLabels)\.", path) and not path.endswith(" (key)")
        if is_label and not (_LABEL_VALUE.fullmatch(text) and len(text) < 64):
            yield f"inputs.{path} is {text!r}: in a label use letters, digits, '-', '_' and '.', 63 at most"


def leaked_secrets(recorded: list[Resource], plan: Plan) -> Iterator[str]:
    """Values known to be secret that stand in clear text somewhere: an input, an output, a name."""
    known = {text for text in _known_secrets(recorded, plan) if len(text) >= _SHORTEST_SECRET}
    forms = {form: text for text in known for form in _forms(text)}
    if not forms:
        return
    search = re.compile("|".join(re.escape(form) for form in sorted(forms, key=len, reverse=True)))
    places: list[tuple[str, Any]] = [("stack output", plan.outputs)]
    for resource in recorded:
        places.append((f"{resource.type} {resource.name!r}", _written_by_the_program(resource)))
    places.append(("message", dict(enumerate(text for _, text in plan.messages))))
    for where, value in places:
        for path, text in texts(value):
            if search.search(text):
                yield f"{where}: {path} shows a secret in clear text: keep the value a secret Output"


def _known_secrets(recorded: list[Resource], plan: Plan) -> Iterator[str]:
    """Secret configuration, and each text that was marked as secret on its own.

    A map that is secret as a whole (the data of a Secret) also holds texts that are no secret.
    """
    yield from plan.secret_texts
    for resource in recorded:
        for bag in (resource.inputs, resource.outputs):
            yield from _marked(bag)


def _marked(value: Any) -> Iterator[str]:
    if isinstance(value, Secret):
        if isinstance(value.value, str):
            yield value.value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _marked(item)
    elif isinstance(value, list):
        for item in value:
            yield from _marked(item)


def _forms(text: str) -> Iterator[str]:
    """How a secret can be written down: as it is, in base64, and the password of an address alone."""
    yield text
    yield base64.b64encode(text.encode()).decode()
    password = urlsplit(text).password if "://" in text else None
    if password and len(password) >= _SHORTEST_SECRET:
        yield password


def _opened(value: Any) -> Any:
    """``value`` with secrets opened, because a mangled Output inside a secret is a mistake too."""
    if isinstance(value, Secret):
        return _opened(value.value)
    if isinstance(value, dict):
        return {key: _opened(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_opened(item) for item in value]
    return value
