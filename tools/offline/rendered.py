"""Answers for ``make render``: names and random values are known, everything else is as in a plan."""

from __future__ import annotations

import base64
import hashlib
import json
import random
import uuid
from typing import Any

from tools.common import Failure
from tools.offline.answers import Preview, server_fields
from tools.offline.wire import UNKNOWN, plain, unwrap

REPLACED_ON_CHANGE = {"ConfigMap", "Secret", "Job", "Pod"}
"""Kinds that pulumi-kubernetes replaces when their content changes (its "immutable" objects)."""


class Rendered(Preview):
    """Knows the names of Kubernetes objects and the results of pulumi-random, on top of a preview.

    :param fresh: draw random values anew; otherwise they follow from the resource's URN, so that two
        renderings are the same.
    """

    def __init__(self, *, fresh: bool) -> None:
        self.fresh = fresh

    def created(self, token: str, name: str, urn: str, inputs: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        if token.startswith("random:"):
            # A seeded password is never shown: it reads [secret].
            source = random.SystemRandom() if self.fresh else random.Random(urn)  # noqa: S311
            return "", random_values(token, inputs, source)
        if not token.startswith("kubernetes:"):
            return super().created(token, name, urn, inputs)
        outputs = server_fields(token, inputs, UNKNOWN)
        metadata = unwrap(outputs.get("metadata"))
        if metadata and metadata["name"] is UNKNOWN:
            metadata["name"] = made_up_name(token, name, urn, inputs)
        return "", outputs


def made_up_name(token: str, name: str, urn: str, inputs: dict[str, Any]) -> str:
    """The name of an object that the program leaves to Pulumi's autonaming."""
    replaced = token.rpartition(":")[2] in REPLACED_ON_CHANGE
    content = json.dumps(plain(inputs), sort_keys=True) if replaced else ""
    return f"{name}-{hashlib.sha256(f'{urn} {content}'.encode()).hexdigest()[:8]}"


def random_values(token: str, inputs: dict[str, Any], source: random.Random) -> dict[str, Any]:
    """The outputs of a pulumi-random resource.

    :raises Failure: for a kind that is not known here.
    """
    kind = token.rpartition(":")[2]
    if kind in ("RandomPassword", "RandomString"):
        return {"result": _password(inputs, source)}
    if kind in ("RandomBytes", "RandomId"):
        return _bytes(kind, inputs, source)
    if kind == "RandomUuid":
        return {"result": str(uuid.UUID(int=source.getrandbits(128), version=4))}
    raise Failure(f"rendering does not know {token}", "add it to tools/offline/rendered.py")


def _password(inputs: dict[str, Any], source: random.Random) -> str:
    """Characters of the classes that the inputs allow, at least as many of each as they ask for."""
    letters = "abcdefghijklmnopqrstuvwxyz"
    classes = {
        "Lower": letters,
        "Upper": letters.upper(),
        "Numeric": "0123456789",
        "Special": inputs.get("overrideSpecial") or "!@#$%&*()-_=+[]{}<>:?",
    }
    allowed = {name: text for name, text in classes.items() if inputs.get(name.lower(), True)}
    drawn = [
        source.choice(text) for name, text in allowed.items() for _ in range(inputs.get(f"min{name}", 0))
    ]
    everything = "".join(allowed.values())
    drawn += [source.choice(everything) for _ in range(inputs["length"] - len(drawn))]
    source.shuffle(drawn)
    return "".join(drawn)


def _bytes(kind: str, inputs: dict[str, Any], source: random.Random) -> dict[str, Any]:
    value = source.randbytes(inputs["length" if kind == "RandomBytes" else "byteLength"])
    standard = base64.b64encode(value).decode()
    if kind == "RandomBytes":
        return {"base64": standard, "hex": value.hex()}
    forms = {
        "hex": value.hex(),
        "dec": str(int.from_bytes(value, "big")),
        "b64Std": standard,
        "b64Url": base64.urlsafe_b64encode(value).decode().rstrip("="),
    }
    return {key: inputs.get("prefix", "") + text for key, text in forms.items()}
