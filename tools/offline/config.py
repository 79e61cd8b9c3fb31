"""What the program is told about its stack, read from ``Pulumi.yaml`` and ``Pulumi.<stack>.yaml``.

Does what the CLI does before it starts a program: defaults of the project, values of the stack, nested
values as JSON text, the names of the secret ones.  Only the CLI can decrypt, so a ``secure:`` value reads
``[secret]`` here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tools.common import Failure
from tools.offline.wire import SECRET_TEXT


class _Loader(yaml.CSafeLoader):
    """YAML as the CLI reads it: ``yes``, ``on`` and dates stay text."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, rule) for tag, rule in rules if not tag.endswith((":timestamp", ":bool"))]
    for first, rules in yaml.CSafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile("^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF")
)


_DECLARATION = {"type", "description", "items", "default", "value", "secret"}
"""What the CLI's schema allows in the declaration of a key (project.json of the Pulumi SDK for Go)."""


@dataclass(frozen=True)
class StackConfig:
    """The configuration of one stack as the language host would get it.

    :ivar values: full key (``mlflow:server``) to text; anything but text is JSON.
    :ivar secret_keys: the full keys whose value is secret, or holds a secret somewhere inside.
    :ivar secret_texts: the secrets themselves: ``[secret]``, unless a caller gave values.
    """

    project: str
    stack: str
    values: dict[str, str]
    secret_keys: frozenset[str]
    secret_texts: frozenset[str]


def load(
    root: Path,
    stack: str,
    overrides: Mapping[str, Any] | None = None,
    local: bool = False,
) -> StackConfig:
    """Read the configuration of ``stack`` from the files in ``root``.

    :param overrides: key to value, put over the stack's own; None takes a key away.  A key without a
        namespace belongs to the project.  A secret is given as ``{"secure": <plain text>}``.
    :param local: add what this checkout keeps outside tracked files (``make secret``).
    :raises Failure: for a missing file, or a key that the project requires and the stack does not give.
    """
    project_file = _read(root / "Pulumi.yaml", "run this in a checkout of the project")
    stack_file = root / f"Pulumi.{stack}.yaml"
    stacks = ", ".join(sorted(path.name[7:-5] for path in root.glob("Pulumi.*.yaml")))
    given = _read(stack_file, f"choose one of these stacks: {stacks}")
    own = root / ".local" / "stacks" / stack_file.name
    if local and own.exists():
        from tools.engine.place import merge

        given = merge(given, _read(own, ""))
    if given.get("environment"):
        raise Failure(
            f"{stack_file.name} imports an environment, which only the CLI can read",
            f"preview this stack with `pulumi preview --stack {stack}`",
        )
    project = project_file["name"]
    reader = _Reader(project)
    reader.declared(project_file.get("config") or {})
    for key, value in (given.get("config") or {}).items():
        reader.put(key, value)
    for key, value in (overrides or {}).items():
        reader.put(key, value, decrypted=True)
    reader.check_required(stack_file.name)
    return StackConfig(
        project, stack, reader.values, frozenset(reader.secret_keys), frozenset(reader.secret_texts)
    )


class _Reader:
    """Collects keys; a later value of a key takes the place of an earlier one."""

    def __init__(self, project: str) -> None:
        self.project = project
        self.values: dict[str, str] = {}
        self.secret_keys: set[str] = set()
        self.secret_texts: set[str] = set()
        self.required: set[str] = set()
        self.types: dict[str, str | None] = {}

    def full_key(self, key: str) -> str:
        """``server`` and the old form ``mlflow:config:server`` are both ``mlflow:server``."""
        namespace, _, name = str(key).rpartition(":")
        return f"{namespace.removesuffix(':config') or self.project}:{name}"

    def declared(self, schema: Mapping[str, Any]) -> None:
        """Read the ``config:`` part of ``Pulumi.yaml``: types, defaults and fixed values."""
        for key, entry in schema.items():
            if not isinstance(entry, dict):
                self.put(key, entry)
                continue
            unknown = sorted(entry.keys() - _DECLARATION)
            if unknown:
                raise Failure(
                    f"Pulumi.yaml declares {key} with {', '.join(unknown)}, which the CLI refuses",
                    f"use only {', '.join(sorted(_DECLARATION))}",
                )
            self.types[self.full_key(key)] = entry.get("type")
            if "value" in entry or "default" in entry:
                self.put(key, entry.get("value", entry.get("default")))
            else:
                self.required.add(self.full_key(key))

    def put(self, key: str, value: Any, *, decrypted: bool = False) -> None:
        name = self.full_key(key)
        self.values.pop(name, None)
        self.secret_keys.discard(name)
        if value is None:
            return
        opened = self._open(value, name, decrypted)
        if not _is_of_type(opened, self.types.get(name)):
            raise Failure(f"{name} must be of type {self.types[name]}, as Pulumi.yaml says", "mend its value")
        if isinstance(opened, str):
            self.values[name] = opened
        else:
            self.values[name] = json.dumps(opened, separators=(",", ":"))

    def _open(self, value: Any, name: str, decrypted: bool) -> Any:
        """``value`` with each ``secure:`` entry replaced by its text."""
        if isinstance(value, dict):
            if set(value) == {"secure"}:
                text = value["secure"] if decrypted else SECRET_TEXT
                self.secret_keys.add(name)
                self.secret_texts |= set(_texts(text))
                return text
            return {str(key): self._open(item, name, decrypted) for key, item in value.items()}
        if isinstance(value, list):
            return [self._open(item, name, decrypted) for item in value]
        return value

    def check_required(self, file: str) -> None:
        missing = sorted(self.required - self.values.keys())
        if missing:
            raise Failure(
                f"{file} lacks {', '.join(missing)}", "set it there; docs/settings.md lists every key"
            )


def _is_of_type(value: Any, kind: str | None) -> bool:
    """Whether the CLI takes ``value`` for a key that is declared as ``kind``; text may spell a value."""
    if kind is None:
        return True
    if kind == "integer":
        return not isinstance(value, bool) and re.fullmatch(r"[+-]?\d+", str(value)) is not None
    if kind == "boolean":
        return str(value) in ("True", "False", "true", "false")
    return isinstance(value, {"string": str, "object": dict, "array": list}.get(kind, object))


def _texts(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [text for item in value.values() for text in _texts(item)]
    if isinstance(value, list):
        return [text for item in value for text in _texts(item)]
    return [value] if isinstance(value, str) else []


def _read(path: Path, hint: str) -> dict[str, Any]:
    try:
        return yaml.load(path.read_text(), Loader=_Loader) or {}  # noqa: S506 - a safe loader
    except FileNotFoundError:
        raise Failure(f"there is no {path.name}", hint) from None
    except yaml.YAMLError as error:
        raise Failure(
            f"{path.name} is not valid YAML: {' '.join(str(error).split())}", "mend the file"
        ) from None
