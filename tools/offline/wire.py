"""Values between the SDK and the engine: protobuf structs on the wire, plain Python here.

Two things have no plain Python form and get one: a `Secret` wraps a value, and `UNKNOWN` stands for a value
that only the cloud or the cluster can tell.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from google.protobuf import struct_pb2
from pulumi.runtime import rpc

SIGNATURE: Final = rpc._special_sig_key
SECRET_SIGNATURE: Final = rpc._special_secret_sig
SECRET_TEXT: Final = "[secret]"  # noqa: S105 - stands where a secret is
UNKNOWN_TEXT: Final = "[unknown]"


class _Unknown:
    """The type of `UNKNOWN`."""

    def __repr__(self) -> str:
        return UNKNOWN_TEXT


UNKNOWN: Final = _Unknown()


@dataclass(frozen=True)
class Secret:
    """A value that the program marked as secret."""

    value: Any


def decode(value: Any) -> Any:
    """Protobuf to Python.  Whole numbers become ``int``: on the wire every number is a float."""
    if isinstance(value, struct_pb2.Value):
        kind = value.WhichOneof("kind")
        return None if kind in (None, "null_value") else decode(getattr(value, kind))
    if isinstance(value, struct_pb2.ListValue):
        return [decode(item) for item in value.values]
    if isinstance(value, struct_pb2.Struct):
        # A protobuf map has no order of its own; sorted, two runs read the same.
        fields = {key: decode(value.fields[key]) for key in sorted(value.fields)}
        if fields.get(SIGNATURE) == SECRET_SIGNATURE:
            return Secret(fields.get("value"))
        return fields
    if isinstance(value, float) and math.isfinite(value) and value.is_integer():
        return int(value)
    return UNKNOWN if value == rpc.UNKNOWN else value


def encode(value: Any) -> struct_pb2.Value:
    """Python to protobuf, the reverse of `decode`."""
    if value is UNKNOWN:
        return struct_pb2.Value(string_value=rpc.UNKNOWN)
    if isinstance(value, Secret):
        return encode_wrapped(value)
    if isinstance(value, dict):
        return struct_pb2.Value(struct_value=encode_struct(value))
    if isinstance(value, (list, tuple)):
        return struct_pb2.Value(list_value=struct_pb2.ListValue(values=[encode(item) for item in value]))
    if isinstance(value, bool):
        return struct_pb2.Value(bool_value=value)
    if isinstance(value, (int, float)):
        return struct_pb2.Value(number_value=value)
    if value is None:
        return struct_pb2.Value(null_value=struct_pb2.NULL_VALUE)
    return struct_pb2.Value(string_value=value)


def encode_wrapped(secret: Secret) -> struct_pb2.Value:
    """A secret as the engine writes it: a struct with the secret signature."""
    return struct_pb2.Value(
        struct_value=struct_pb2.Struct(
            fields={
                SIGNATURE: struct_pb2.Value(string_value=SECRET_SIGNATURE),
                "value": encode(secret.value),
            }
        )
    )


def encode_struct(fields: dict[str, Any]) -> struct_pb2.Struct:
    """A property bag as the engine writes it."""
    return struct_pb2.Struct(fields={key: encode(item) for key, item in fields.items()})


def unwrap(value: Any) -> Any:
    """``value`` without the secret wrapper around it, if there is one."""
    return value.value if isinstance(value, Secret) else value


def plain(value: Any, *, show_secrets: bool = False) -> Any:
    """``value`` as plain JSON; secrets read ``[secret]`` and unknowns ``[unknown]``.

    Of a secret map the keys stay: they are names, and what a reader looks for.

    :param show_secrets: write secrets out instead.  An unknown secret then reads ``[unknown]``.
    """
    if isinstance(value, Secret):
        return plain(value.value, show_secrets=True) if show_secrets else _hidden(value.value)
    if value is UNKNOWN:
        return UNKNOWN_TEXT
    if isinstance(value, dict):
        return {key: plain(item, show_secrets=show_secrets) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item, show_secrets=show_secrets) for item in value]
    return value


def _hidden(value: Any) -> Any:
    return {key: _hidden(item) for key, item in value.items()} if isinstance(value, dict) else SECRET_TEXT


def leaves(value: Any, path: str = "", secret: bool = False) -> Iterator[tuple[str, Any, bool]]:
    """Every key and leaf below ``value`` as (path, leaf, inside a secret).

    A key counts as a leaf of its own, so that text which hides in a key is found too.
    """
    if isinstance(value, Secret):
        yield from leaves(value.value, path, True)
    elif isinstance(value, dict):
        for key, item in value.items():
            yield f"{path}.{key} (key)" if path else f"{key} (key)", key, secret
            yield from leaves(item, f"{path}.{key}" if path else str(key), secret)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from leaves(item, f"{path}[{index}]", secret)
    else:
        yield path, value, secret


def texts(value: Any) -> Iterator[tuple[str, str]]:
    """Every (path, text) below ``value`` that is not inside a secret."""
    for path, leaf, secret in leaves(value):
        if isinstance(leaf, str) and not secret:
            yield path, leaf
