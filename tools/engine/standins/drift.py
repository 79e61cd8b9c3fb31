"""Reading an object back: what somebody else changed of what this project manages, and nothing else.

The server fills in defaults, writes quantities its own way, and other controllers add what is theirs.
So the live object is compared with what the server returned at the last apply, and only where the
inputs say something.
"""

from __future__ import annotations

import base64
import binascii
import copy
from typing import Any

from tools.engine.standins.kubectl import FIELD_MANAGER, Object

GONE = object()


def seen(inputs: Object, before: Object, live: Object) -> Object:
    """The inputs as the live object has them: unchanged where it has not changed since the last apply.

    :param before: the object as the server returned it at the last apply.
    """
    inputs, before, live = (_with_string_data(each, inputs) for each in (inputs, before, live))
    result = _seen(inputs, before, live)
    return result if isinstance(result, dict) else inputs


def refreshed(outputs: Object, live: Object, inputs: Object) -> Object:
    """The outputs with what is managed, and a load balancer's address, as they are now."""
    result = copy.deepcopy(outputs)
    if seen(inputs, outputs, live) != inputs:
        result = copy.deepcopy(live)
    balancer = (live.get("status") or {}).get("loadBalancer")
    if balancer and isinstance(result.get("status"), dict):
        result["status"]["loadBalancer"] = balancer
    return result


def _seen(inputs: Any, before: Any, live: Any) -> Any:
    if isinstance(inputs, dict) and isinstance(live, dict):
        old = before if isinstance(before, dict) else {}
        pairs = (
            (key, _seen(value, old.get(key, GONE), live.get(key, GONE))) for key, value in inputs.items()
        )
        return {key: value for key, value in pairs if value is not GONE}
    if isinstance(inputs, list) and isinstance(live, list):
        return _seen_list(inputs, before if isinstance(before, list) else [], live)
    if live is GONE:
        # What was not there after the last apply either is not drift (write-only or empty values).
        return inputs if before is GONE else GONE
    return inputs if live == before else live


def _seen_list(inputs: list[Any], before: list[Any], live: list[Any]) -> list[Any]:
    if live == before:
        return inputs
    if all(isinstance(item, dict) and "name" in item for item in [*inputs, *live]):
        old = {item["name"]: item for item in before if isinstance(item, dict)}
        now = {item["name"]: item for item in live}
        found = (_seen(item, old.get(item["name"], GONE), now.get(item["name"], GONE)) for item in inputs)
        return [item for item in found if item is not GONE]
    if len(inputs) == len(live):
        old_items = before if len(before) == len(live) else [GONE] * len(live)
        return [_seen(*three) for three in zip(inputs, old_items, live, strict=True)]
    return live


def _with_string_data(obj: Object, inputs: Object) -> Object:
    """A Secret as it was given: the server turns ``stringData`` into ``data``."""
    wanted = inputs.get("stringData")
    if inputs.get("kind") != "Secret" or not isinstance(wanted, dict) or "stringData" in obj:
        return obj
    data = obj.get("data") or {}
    return {**obj, "stringData": {key: _text(data[key]) for key in wanted if key in data}}


def _text(value: str) -> str:
    try:
        return base64.b64decode(value).decode()
    except (binascii.Error, UnicodeDecodeError):
        return value


def without_others_fields(inputs: Object, live: Object | None, ignored: list[str]) -> Object:
    """Inputs without the ignored properties that another manager owns, so that applying leaves them alone.

    :param ignored: property paths such as ``spec.replicas``.
    :param live: the object with its managed fields.
    """
    if live is None:
        return inputs
    result = copy.deepcopy(inputs)
    for path in ignored:
        words = path.split(".")
        others = (
            entry.get("fieldsV1") or {}
            for entry in live["metadata"].get("managedFields") or []
            if entry.get("manager") != FIELD_MANAGER and entry.get("subresource") != "status"
        )
        if any(_owns(fields, words) for fields in others):
            _drop(result, words)
    return result


def _owns(fields: Any, words: list[str]) -> bool:
    for word in words:
        if not isinstance(fields, dict) or f"f:{word}" not in fields:
            return False
        fields = fields[f"f:{word}"]
    return True


def _drop(obj: Any, words: list[str]) -> None:
    for word in words[:-1]:
        if not isinstance(obj, dict) or word not in obj:
            return
        obj = obj[word]
    if isinstance(obj, dict):
        obj.pop(words[-1], None)
