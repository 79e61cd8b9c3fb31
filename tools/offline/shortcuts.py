"""Work of the SDK that an offline run can do without: without these plans are slower, and no different.

All three are the SDK's own names (it is pinned): one that is gone is left as it is, and a test says so.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Iterable
from types import ModuleType
from typing import Any

import pulumi
import pulumi.resource
from pulumi.runtime import resource as registration
from pulumi.runtime import stack as waiting
from pulumi.runtime.proto.source_pb2 import StackTrace

Offline = Callable[[], bool]


def take(offline: Offline) -> None:
    """Take them whenever ``offline`` says so; a second call changes nothing."""
    _replace(registration, "_get_stack_trace", lambda original: _without_position(original, offline))
    _replace(pulumi.resource, "collapse_alias_to_urn", lambda original: _without_urn(original, offline))
    _replace(waiting, "asyncio", lambda _: _Patient(offline))


def _replace(module: ModuleType, name: str, by: Callable[[Any], Any]) -> None:
    original = getattr(module, name, None)
    if original is not None and not hasattr(original, "__wrapped__"):
        setattr(module, name, by(original))


def _without_position(original: Callable[[], StackTrace], offline: Offline) -> Callable[[], StackTrace]:
    """Where in the source each resource is made: a sixth of a plan, and nobody reads it."""

    @functools.wraps(original)
    def trace() -> StackTrace:
        return StackTrace() if offline() else original()

    return trace


def _without_urn(original: Callable[..., Any], offline: Offline) -> Callable[..., Any]:
    """The URN of each alias, for engines that take no other form: half of an Azure plan."""

    @functools.wraps(original)
    def collapse(alias: Any, *more: Any) -> Any:
        refused = isinstance(alias, pulumi.Alias) and None in (alias.name, alias.type_)
        return original(alias, *more) if refused or not offline() else ""

    return collapse


class _Patient:
    """``asyncio`` for the SDK's last wait, which takes up all outputs again after each: a tenth of a plan.

    Offline it is for all of them or the first error; after a second it looks for those that came anew.
    """

    __wrapped__ = asyncio

    def __init__(self, offline: Offline) -> None:
        self._offline = offline

    def __getattr__(self, name: str) -> Any:
        return getattr(asyncio, name)

    async def wait(self, tasks: Iterable[Any], *, return_when: str) -> tuple[set[Any], set[Any]]:
        if not self._offline():
            return await asyncio.wait(tasks, return_when=return_when)
        return await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION, timeout=1)
