"""The settings as a JSON schema for editors, and as a page for people."""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from .base import Secret
from .load import NAMESPACE, without_none
from .stacks import STACKS

SCHEMA = "https://json-schema.org/draft/2020-12/schema"


def stack_schema() -> dict[str, Any]:
    """JSON schema of a ``Pulumi.<stack>.yaml``; keys of other providers (``aws:region``) pass."""
    definitions: dict[str, Any] = {}
    clouds = []
    for model in STACKS.values():
        settings = model.model_json_schema(by_alias=True)
        # The models share sections; one that two of them shape differently would be lost here.
        for name, definition in settings.pop("$defs").items():
            if definitions.setdefault(name, definition) != definition:
                raise ValueError(f"two sections are called {name}")
        clouds.append(_keys(settings))
    return {
        "$schema": SCHEMA,
        "title": "A stack of MLflow on Kubernetes",
        "type": "object",
        "properties": {
            "config": {
                "type": "object",
                "properties": {f"{NAMESPACE}:cloud": {"enum": [str(cloud) for cloud in STACKS]}},
                "required": [f"{NAMESPACE}:cloud"],
                "oneOf": clouds,
            }
        },
        "$defs": definitions,
    }


def _keys(settings: dict[str, Any]) -> dict[str, Any]:
    """What one cloud's stacks may say below ``config``."""
    return {
        "title": f"cloud: {settings['properties']['cloud']['const']}",
        "properties": {f"{NAMESPACE}:{key}": value for key, value in settings["properties"].items()},
        "required": [f"{NAMESPACE}:{key}" for key in settings.get("required", [])],
        # A misspelt key of ours is refused; other namespaces belong to their providers.
        "patternProperties": {f"^(?!{NAMESPACE}:).+:.+$": {}},
        "additionalProperties": False,
    }


def settings_page() -> str:
    """docs/settings.md: a table per section."""
    lines = [
        "# Settings",
        "",
        "Every key of a `Pulumi.<stack>.yaml`, generated from `components/settings` by `make docs`.",
        "Unknown keys and wrong values are refused before anything is created, all at once.",
        "",
    ]
    sections: dict[tuple[str, type[BaseModel]], list[str]] = {}
    for cloud, stack in STACKS.items():
        for prefix, model in _sections(stack, f"{NAMESPACE}:"):
            sections.setdefault((prefix, model), []).append(cloud)
    for prefix, model in sorted(sections, key=lambda each: each[0]):
        clouds = sections[prefix, model]
        title = f"`{prefix.rstrip('.')}`" if prefix.endswith(".") else "The stack"
        title += "" if len(clouds) == len(STACKS) else f" on {', '.join(clouds)}"
        intro = " ".join((model.__doc__ or "").split())
        lines += [f"## {title}", "", intro, "", "| key | type | default | what it is |", "|---|---|---|---|"]
        lines += [_row(prefix, name, field) for name, field in model.model_fields.items()]
        lines.append("")
    return "\n".join(lines)


def _sections(model: type[BaseModel], prefix: str) -> Iterator[tuple[str, type[BaseModel]]]:
    yield prefix, model
    for name, field in model.model_fields.items():
        inner, step = _model_in(field.annotation)
        if inner is not None:
            yield from _sections(inner, f"{prefix}{field.alias or name}{step}.")


def _row(prefix: str, name: str, field: FieldInfo) -> str:
    text = " ".join((field.description or "").split()).replace("|", "\\|")
    return f"| `{prefix}{field.alias or name}` | {_type(field.annotation)} | {_default(field)} | {text} |"


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "**required**"
    value = field.get_default()
    if isinstance(value, BaseModel):
        return ""
    if isinstance(value, Enum):
        value = value.value
    return "" if value in (None, {}, []) else f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _type(kind: Any) -> str:
    kind = without_none(kind)
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Literal:
        return f"`{arguments[0]}`"
    if origin is dict:
        return f"map of {_type(arguments[1])}"
    if origin is list:
        return f"list of {_type(arguments[0])}"
    if origin is not None and arguments:
        return _type(arguments[0])
    if kind is Secret:
        return "secret"
    if isinstance(kind, type) and issubclass(kind, Enum):
        return ", ".join(f"`{member.value}`" for member in kind)
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return "section"
    return {"str": "text", "int": "number", "bool": "true or false"}.get(
        getattr(kind, "__name__", ""), "text"
    )


def _model_in(kind: Any) -> tuple[type[BaseModel] | None, str]:
    """The section that a value of this type is or holds, and what its keys put between the two."""
    kind = without_none(kind)
    if get_origin(kind) is dict:
        return _model_in(get_args(kind)[1])[0], ".<name>"
    if get_origin(kind) is list:
        return _model_in(get_args(kind)[0])[0], "[]"
    return (kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None), ""
