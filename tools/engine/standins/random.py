"""Stand-in for the official ``random`` plugin: values made once and kept until an input changes.

Behaviour as documented at https://www.pulumi.com/registry/packages/random/: every input forces a
replacement, results never change otherwise. Not provided: ``RandomPassword.bcryptHash``.
"""

from __future__ import annotations

import base64
import secrets
import string
import uuid
from collections.abc import Callable
from typing import NamedTuple

from google.protobuf import empty_pb2
from pulumi.runtime.proto import provider_pb2

from tools.engine.standins.plugin import UNKNOWN, Plugin, Properties, ProviderError, decode, encode, serve

DEFAULT_SPECIAL = "!@#$%&*()-_=+[]{}<>:?"
"""Special characters used without ``overrideSpecial`` (registry documentation of RandomPassword)."""


class Made(NamedTuple):
    """What an update makes: the resource's id and its computed outputs."""

    identifier: str
    outputs: Properties


def make_string(inputs: Properties) -> str:
    """A random string of ``length`` from the wanted classes, with at least ``min…`` of each."""
    if "number" in inputs and "numeric" not in inputs:
        inputs = {**inputs, "numeric": inputs["number"]}
    classes = {
        "lower": string.ascii_lowercase,
        "upper": string.ascii_uppercase,
        "numeric": string.digits,
        "special": inputs.get("overrideSpecial") or DEFAULT_SPECIAL,
    }
    wanted = {name: chars for name, chars in classes.items() if inputs.get(name, True)}
    if not wanted:
        raise ProviderError("lower, upper, numeric and special are all false: no character is left to choose")
    picked = [
        secrets.choice(chars)
        for name, chars in classes.items()
        for _ in range(int(inputs.get(f"min{name.capitalize()}") or 0))
    ]
    length = int(inputs["length"])
    if len(picked) > length:
        raise ProviderError(f"length is {length}, the minimums ask for {len(picked)} characters")
    alphabet = "".join(wanted.values())
    picked += [secrets.choice(alphabet) for _ in range(length - len(picked))]
    secrets.SystemRandom().shuffle(picked)
    return "".join(picked)


def _password(inputs: Properties) -> Made:
    return Made("none", {"result": make_string(inputs)})


def _string(inputs: Properties) -> Made:
    text = make_string(inputs)
    return Made(text, {"result": text})


def _id(inputs: Properties) -> Made:
    raw = secrets.token_bytes(int(inputs["byteLength"]))
    prefix = inputs.get("prefix") or ""
    url = base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
    outputs = {
        "b64Url": prefix + url,
        "b64Std": prefix + base64.b64encode(raw).decode(),
        "hex": prefix + raw.hex(),
        "dec": prefix + str(int.from_bytes(raw, "big")),
    }
    return Made(url, outputs)


def _bytes(inputs: Properties) -> Made:
    raw = secrets.token_bytes(int(inputs["length"]))
    return Made("none", {"base64": base64.b64encode(raw).decode(), "hex": raw.hex()})


def _uuid(_: Properties) -> Made:
    text = str(uuid.uuid4())
    return Made(text, {"result": text})


class Kind(NamedTuple):
    """One resource type: how its value is made, its inputs with their defaults, its computed outputs."""

    make: Callable[[Properties], Made]
    required: tuple[str, ...]
    defaults: Properties
    optional: tuple[str, ...]
    computed: tuple[str, ...]


_STRING_DEFAULTS: Properties = {
    **dict.fromkeys(("lower", "upper", "numeric", "special"), True),
    **dict.fromkeys(("minLower", "minUpper", "minNumeric", "minSpecial"), 0),
}
KINDS = {
    "random:index/randomPassword:RandomPassword": Kind(
        _password, ("length",), _STRING_DEFAULTS, ("number", "overrideSpecial"), ("result",)
    ),
    "random:index/randomString:RandomString": Kind(
        _string, ("length",), _STRING_DEFAULTS, ("number", "overrideSpecial"), ("result",)
    ),
    "random:index/randomId:RandomId": Kind(
        _id, ("byteLength",), {}, ("prefix",), ("b64Url", "b64Std", "hex", "dec")
    ),
    "random:index/randomBytes:RandomBytes": Kind(_bytes, ("length",), {}, (), ("base64", "hex")),
    "random:index/randomUuid:RandomUuid": Kind(_uuid, (), {}, (), ("result",)),
}


class Random(Plugin):
    """The servicer; a value lives in the state alone, so reading it back is returning it."""

    name = "random"

    def __init__(self, version: str) -> None:
        super().__init__()
        self.version = version

    def Check(self, request, context):  # noqa: N802, ARG002
        kind, news = KINDS.get(request.type or _type_of(request.urn)), decode(request.news)
        failures = []
        if kind is None:
            failures.append(("", f"the stand-in for random has no {_type_of(request.urn)}"))
        else:
            known = {*kind.required, *kind.defaults, *kind.optional, "keepers"}
            failures += [(key, "missing") for key in kind.required if key not in news]
            failures += [(key, "unknown property") for key in news if key not in known]
        return provider_pb2.CheckResponse(
            inputs=request.news,
            failures=[provider_pb2.CheckFailure(property=key, reason=reason) for key, reason in failures],
        )

    def Diff(self, request, context):  # noqa: N802, ARG002
        olds, news = decode(request.old_inputs), decode(request.news)
        changed = sorted(key for key in {*olds, *news} if olds.get(key) != news.get(key))
        changed = [key for key in changed if key not in request.ignoreChanges]
        changes = provider_pb2.DiffResponse.DIFF_SOME if changed else provider_pb2.DiffResponse.DIFF_NONE
        kind = provider_pb2.PropertyDiff.UPDATE_REPLACE
        return provider_pb2.DiffResponse(
            changes=changes,
            diffs=changed,
            replaces=changed,
            detailedDiff={key: provider_pb2.PropertyDiff(kind=kind, inputDiff=True) for key in changed},
            hasDetailedDiff=True,
        )

    def Create(self, request, context):  # noqa: N802
        def create():
            kind, inputs = KINDS[_type_of(request.urn)], decode(request.properties)
            unknown = Made("", dict.fromkeys(kind.computed, UNKNOWN))
            made = unknown if request.preview else kind.make(inputs)
            outputs = {**kind.defaults, **inputs, **made.outputs}
            return provider_pb2.CreateResponse(id=made.identifier, properties=encode(outputs))

        return self.guarded(context, create)

    def Read(self, request, context):  # noqa: N802, ARG002
        return provider_pb2.ReadResponse(id=request.id, properties=request.properties, inputs=request.inputs)

    def Delete(self, request, context):  # noqa: N802, ARG002
        return empty_pb2.Empty()


def _type_of(urn: str) -> str:
    return urn.split("::")[2].split("$")[-1]


if __name__ == "__main__":
    import sys

    serve(Random(version=sys.argv[1]))
