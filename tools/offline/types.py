"""Compares a value on the wire with the Python type that an SDK annotates it with."""

from __future__ import annotations

import collections.abc
import difflib
import inspect
import typing
from collections.abc import Iterator
from enum import Enum
from typing import Any

import pulumi
from pulumi import _types

from tools.offline import sdk
from tools.offline.wire import SIGNATURE, UNKNOWN, Secret

OPEN_ENUMS = {
    "InstanceType",
    "ServerVersion",
    "KnownDataFlowStreams",
    "KnownExtensionDataSourceStreams",
}
"""Enums that lag behind their cloud: AWS adds sizes of machines faster than its SDK lists them, Azure
versions of MySQL and kinds of logs."""

_SHOWN = 8
"""Of a longer list of allowed values, only the nearest are shown."""

_AWAITABLES = (collections.abc.Awaitable, pulumi.Output)
_NAMES: dict[Any, str] = {str: "text", bool: "true or false", int: "a whole number", float: "a number"}


def object_mismatches(value: Any, args: type, path: str) -> Iterator[str]:
    """Unknown, missing and mistyped fields of an object that ``args`` describes."""
    if not isinstance(value, dict):
        yield f"{path} is {_show(value)}, but must be an object ({args.__name__})"
        return
    types = sdk.input_types(args)
    for key in value.keys() - types.keys():
        near = difflib.get_close_matches(key, types, 1, 0.7)
        yield f"{path}.{key} is not an input" + (
            f"; did you mean {near[0]}?" if near else f" ({args.__name__})"
        )
    for key in sorted(sdk.required_inputs(args) - value.keys()):
        yield f"{path}.{key} is required"
    for key, item in value.items():
        if key in types:
            yield from mismatches(item, types[key], f"{path}.{key}")


def mismatches(value: Any, kind: Any, path: str) -> Iterator[str]:
    """Where ``value`` is not what ``kind`` allows.  Unknown values fit everything.

    :raises TypeError: for an annotation that this function does not understand: better than a silent pass.
    """
    value = value.value if isinstance(value, Secret) else value
    origin = typing.get_origin(kind)
    if value is UNKNOWN or kind in (Any, type(None), object) or isinstance(kind, typing.TypeVar):
        return
    if origin is typing.Union:
        yield from _union(value, kind, path)
    elif origin is typing.Literal:
        yield from _one_of(value, list(typing.get_args(kind)), path)
    elif inspect.isclass(kind) and _types.is_input_type(kind):
        yield from object_mismatches(value, kind, path)
    elif inspect.isclass(kind) and issubclass(kind, Enum):
        yield from _one_of(value, [member.value for member in kind], path)
    elif kind in _NAMES:
        if not _fits(value, kind):
            yield f"{path} is {_show(value)}, but must be {_NAMES[kind]}"
    elif _is_container(kind, origin, collections.abc.Mapping):
        yield from _mapping(value, kind, path)
    elif _is_container(kind, origin, collections.abc.Sequence):
        yield from _sequence(value, kind, path)
    elif inspect.isclass(kind) and issubclass(kind, (pulumi.Asset, pulumi.Archive, pulumi.Resource)):
        if not (isinstance(value, dict) and SIGNATURE in value):
            yield f"{path} is {_show(value)}, but must be a {kind.__name__}"
    else:
        raise TypeError(f"{path}: the strict checks do not understand the type {kind!r}")


def _union(value: Any, kind: Any, path: str) -> Iterator[str]:
    """Fits when one member fits.  ``Union[str, <enum>]`` is an enum: any other text is a mistake."""
    members = [one for one in typing.get_args(kind) if _is_value_type(one)]
    enums = [one.__name__ for one in members if inspect.isclass(one) and issubclass(one, Enum)]
    if enums and not OPEN_ENUMS.intersection(enums):
        members = [one for one in members if one is not str]
    found = [list(mismatches(value, one, path)) for one in members]
    if found and all(found):
        yield from min(found, key=len)


def _is_value_type(kind: Any) -> bool:
    """False for the ways to wrap or spell a value that never reach the wire."""
    return not (
        kind is type(None)
        or typing.get_origin(kind) in _AWAITABLES
        or kind in _AWAITABLES
        or typing.is_typeddict(kind)
    )


def _is_container(kind: Any, origin: Any, base: type) -> bool:
    cls = origin or kind
    return inspect.isclass(cls) and cls is not str and issubclass(cls, base)


def _mapping(value: Any, kind: Any, path: str) -> Iterator[str]:
    if not isinstance(value, dict):
        yield f"{path} is {_show(value)}, but must be a map"
        return
    item_kind = (*typing.get_args(kind), Any, Any)[1]
    for key, item in value.items():
        yield from mismatches(item, item_kind, f"{path}.{key}")


def _sequence(value: Any, kind: Any, path: str) -> Iterator[str]:
    if not isinstance(value, list):
        yield f"{path} is {_show(value)}, but must be a list"
        return
    item_kind = (*typing.get_args(kind), Any)[0]
    for index, item in enumerate(value):
        yield from mismatches(item, item_kind, f"{path}[{index}]")


def _one_of(value: Any, allowed: list[Any], path: str) -> Iterator[str]:
    if value in allowed:
        return
    near = difflib.get_close_matches(str(value), map(str, allowed), _SHOWN)
    shown = map(str, allowed) if len(allowed) <= _SHOWN else [*near, f"{len(allowed) - len(near)} others"]
    yield f"{path} is {_show(value)}, but must be one of {', '.join(shown)}"


def _fits(value: Any, kind: type) -> bool:
    if isinstance(value, bool) or kind is bool:
        return isinstance(value, bool) and kind is bool
    return isinstance(value, (int, float) if kind is float else kind)


def _show(value: Any) -> str:
    """The kind of a value, never the value: it may be secret."""
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return "a list"
    return "empty" if value is None else f"{_NAMES.get(type(value), type(value).__name__)}"
