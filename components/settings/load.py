"""From Pulumi's stack configuration to checked settings."""

from __future__ import annotations

import difflib
import json
import os
from collections.abc import Iterator, Mapping, Set
from enum import Enum
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin

import pulumi
import yaml
from pulumi.runtime import config as runtime_config
from pydantic import BaseModel, TypeAdapter, ValidationError

from . import (  # noqa: F401 - they register themselves
    aws_rules,
    aws_store_rules,
    azure_rules,
    azure_store_rules,
    cloud_rules,
    cloud_store_rules,
    existing_rules,
    exposure_rules,
    gcp_cluster_rules,
    gcp_rules,
    gcp_store_rules,
    job_rules,
    pipeline_rules,
    service_rules,
)
from .base import Secret
from .errors import Problem, SettingsError
from .rules import broken_rules
from .stack import Cloud
from .stacks import AnyStack, stack_model

ROOT = Path(__file__).resolve().parents[2]
NAMESPACE = "mlflow"
"""The project's config namespace: keys are written ``mlflow:<section>``."""
REGION_KEYS = {str(Cloud.AZURE): ("azure-native", "location")}
"""Where the stack file says the region, where that is not ``<cloud>:region``."""


def load() -> AnyStack:
    """The settings of the running stack.

    :raises SettingsError: with every mistake in it.
    """
    values, secret_keys = configured(NAMESPACE)
    stack = pulumi.get_stack()
    section, key = REGION_KEYS.get(str(values.get("cloud")), (str(values.get("cloud")), "region"))
    region = pulumi.Config(section).get(key) or ""
    return parse(
        values, secret_keys=secret_keys, stack=stack, file=ROOT / f"Pulumi.{stack}.yaml", region=region
    )


def configured(namespace: str) -> tuple[dict[str, Any], set[str]]:
    """Everything configured under a namespace, and the names of the secret keys.

    ``pulumi.Config`` only answers for keys it is asked for; a misspelt one would pass unseen.
    """
    everything = {**json.loads(os.environ.get("PULUMI_CONFIG") or "{}"), **runtime_config.CONFIG.get()}
    prefix = f"{namespace}:"
    mine = {key.removeprefix(prefix): value for key, value in everything.items() if key.startswith(prefix)}
    secret_keys = {name for name in mine if runtime_config.is_config_secret(prefix + name)}
    return {name: decode(value) for name, value in mine.items()}, secret_keys


def decode(value: Any) -> Any:
    """Objects and lists arrive as JSON text, everything else as the text itself."""
    if isinstance(value, str) and value[:1] in ("{", "["):
        try:
            return json.loads(value)
        except ValueError:
            return value
    return value


def parse(
    values: Mapping[str, Any],
    *,
    secret_keys: Set[str] = frozenset(),
    stack: str = "",
    file: Path | None = None,
    region: str | None = None,
) -> AnyStack:
    """Check raw values.

    :param values: top-level key → plain JSON value.
    :param secret_keys: top-level keys that hold a secret somewhere.
    :param file: the stack file; decrypted values no longer tell which of them were encrypted in it.
    :param region: the cloud's region, "" where the stack names none; None where it is of no matter.
    :raises SettingsError: with every mistake in it.
    """
    model = stack_model(values)
    problems = [*_plain_secrets(model, values, secret_keys), *_plain_secrets(model, _written(file), set())]
    settings: AnyStack | None = None
    try:
        settings = model.model_validate(dict(values))
    except ValidationError as error:
        problems += [_problem(model, detail, secret_keys) for detail in error.errors(include_url=False)]
    sections = _sound_sections(model, values) if settings is None else dict(settings)
    problems += broken_rules(sections if region is None else {**sections, "region": region})
    if problems or settings is None:
        raise SettingsError(list(dict.fromkeys(problems)), stack=stack)
    return settings


def _sound_sections(model: type[BaseModel], values: Mapping[str, Any]) -> dict[str, object]:
    """The sections that are right by themselves, so that rules between them can still be checked."""
    sound: dict[str, object] = {}
    for name, field in model.model_fields.items():
        key = field.alias or name
        if key not in values:
            if not field.is_required():
                sound[name] = field.get_default()
            continue
        try:
            sound[name] = TypeAdapter[Any](field.annotation or Any).validate_python(values[key])
        except ValidationError:
            continue
    return sound


def _problem(model: type[BaseModel], detail: Any, secret_keys: Set[str]) -> Problem:
    location = [part for part in detail["loc"] if part != "[key]"]
    key = key_path(location)
    kind, given = detail["type"], detail["input"]
    if location == ["cloud"]:
        return _problem_of_cloud(given, missing=kind == "missing")
    if kind == "extra_forbidden":
        return Problem(key, f"is unknown; {_nearest(model, location)}")
    if kind == "missing":
        return Problem(key, f"is missing; {_allowed(model, location)}".rstrip("; "))
    shown = "(secret, not shown)" if location and location[0] in secret_keys else _show(given)
    message = detail["msg"].removeprefix("Value error, ")
    message = message[0].lower() + message[1:]
    if detail["loc"] and detail["loc"][-1] == "[key]":
        return Problem(key, f"is no valid name: {message}")
    near = _near_value(given, detail.get("ctx", {}).get("expected", ""))
    return Problem(key, f"{shown} is not allowed: {message}{near}")


def _problem_of_cloud(given: Any, *, missing: bool) -> Problem:
    key, allowed = key_path(["cloud"]), ", ".join(Cloud)
    if missing:
        return Problem(key, f"is missing; allowed: {allowed}")
    return Problem(key, f"{_show(given)} is not allowed: one of {allowed}{_near_value(given, allowed)}")


def key_path(location: list[str | int]) -> str:
    """``mlflow:server.env.X`` or ``mlflow:server.secrets[0]``, as `pulumi config --path` writes it."""
    path = f"{NAMESPACE}:"
    for part in location:
        path += f"[{part}]" if isinstance(part, int) else ("" if path.endswith(":") else ".") + str(part)
    return path


def _show(value: Any) -> str:
    text = json.dumps(value, default=str)
    return text if len(text) <= 60 else text[:57] + "…"


def _near_value(given: Any, expected: str) -> str:
    choices = [part.strip(" '") for part in expected.replace(" or ", ",").split(",")]
    close = difflib.get_close_matches(str(given), choices, n=1)
    return f"; did you mean {close[0]}?" if close else ""


def _nearest(stack: type[BaseModel], location: list[str | int]) -> str:
    """For an unknown key: the nearest known one, else all that are known there."""
    model = _model_at(stack, location[:-1])
    names = [field.alias or name for name, field in model.model_fields.items()] if model else []
    close = difflib.get_close_matches(str(location[-1]), names, n=1, cutoff=0.5)
    return f"did you mean {close[0]}?" if close else f"known here: {', '.join(names)}"


def _allowed(stack: type[BaseModel], location: list[str | int]) -> str:
    model = _model_at(stack, location[:-1])
    for name, field in (model.model_fields if model else {}).items():
        if location and (field.alias or name) == location[-1]:
            kind = field.annotation
            if isinstance(kind, type) and issubclass(kind, Enum):
                return f"allowed: {', '.join(str(member.value) for member in kind)}"
    return ""


def _model_at(stack: type[BaseModel], location: list[str | int]) -> type[BaseModel] | None:
    """The model that a path leads to, or None where it leads into a plain value."""
    kind: Any = stack
    for part in location:
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            fields = {field.alias or name: field.annotation for name, field in kind.model_fields.items()}
            kind = without_none(fields.get(str(part)))
        elif get_origin(kind) in (dict, list):
            kind = without_none(get_args(kind)[-1])
        else:
            return None
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None


def without_none(kind: Any) -> Any:
    """The type itself where an annotation allows None as well."""
    if get_origin(kind) in (Union, UnionType):
        return next(argument for argument in get_args(kind) if argument is not type(None))
    return kind


def _written(file: Path | None) -> dict[str, Any]:
    """Our part of a stack file as it is written: a secret there is ``{secure: …}``."""
    if file is None or not file.exists():
        return {}
    config = (yaml.safe_load(file.read_text()) or {}).get("config") or {}
    prefix = f"{NAMESPACE}:"
    return {key.removeprefix(prefix): value for key, value in config.items() if key.startswith(prefix)}


def _plain_secrets(
    model: type[BaseModel], values: Mapping[str, Any], secret_keys: Set[str]
) -> Iterator[Problem]:
    """Secrets written in plain text: everything typed Secret below a key that is not secret config."""
    for path, name in _secret_paths(model, values, []):
        if name not in secret_keys:
            key = key_path(path)
            yield Problem(key, f"is a secret in plain text; remove it and run `{_secret_verb(path)}`")


def _secret_verb(path: list[str | int]) -> str:
    """The command that stores this value encrypted."""
    if path[0] == "secrets":
        group, name, key = path[1:]
        return f"make secret GROUP={group} NAME={name} KEY={key}"
    return f"make secret KEY={key_path(path)}"


def _secret_paths(kind: Any, value: Any, path: list[str | int]) -> Iterator[tuple[list[str | int], str]]:
    kind = without_none(kind)
    if kind is Secret:
        if isinstance(value, str):
            yield path, str(path[0])
    elif isinstance(kind, type) and issubclass(kind, BaseModel) and isinstance(value, Mapping):
        for name, field in kind.model_fields.items():
            key = field.alias or name
            if key in value:
                yield from _secret_paths(field.annotation, value[key], [*path, key])
    elif get_origin(kind) is dict and isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _secret_paths(get_args(kind)[-1], inner, [*path, key])
