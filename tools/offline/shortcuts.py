"""Work of the SDK that an offline run can do without; without these plans are slower, and no different.

All three are the SDK's private names (it is pinned): one that is gone is left as it is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pulumi.resource
from pulumi.runtime import resource as registration
from pulumi.runtime import stack as waiting
from pulumi.runtime.proto.source_pb2 import StackTrace


def take(offline: Callable[[], bool]) -> None:
    """Take them whenever ``offline`` says so; a second call changes nothing."""
    # Where in the source each resource is made: a sixth of a plan, and nobody reads it.
    _instead(registration, "_get_stack_trace", offline, lambda: StackTrace())
    # The URN of each alias, of which Azure's types have dozens: for engines that take no other form.
    _instead(pulumi.resource, "collapse_alias_to_urn", offline, lambda *_: "")
    name = "asyncio"
    if not isinstance(getattr(waiting, name), _Patient):
        setattr(waiting, name, _Patient(offline))


def _instead(module: ModuleType, name: str, offline: Callable[[], bool], other: Callable[..., Any]) -> None:
    original = getattr(module, name, None)
    if original is None or getattr(original, "is_shortcut", False):
        return

    def shortcut(*args: Any, **kwargs: Any) -> Any:
        return other(*args, **kwargs) if offline() else original(*args, **kwargs)

    shortcut.is_shortcut = True  # type: ignore[attr-defined]
    setattr(module, name, shortcut)


class _Patient:
    """``asyncio`` for the SDK's last wait: for all outputs or the first error, instead of for any one output.

    The SDK takes up all others again after each, which is quadratic: a tenth of a plan.
    """

    def __init__(self, offline: Callable[[], bool]) -> None:
        self._offline = offline

    def __getattr__(self, name: str) -> Any:
        return getattr(asyncio, name)

    @property
    def FIRST_COMPLETED(self) -> str:  # noqa: N802
        return asyncio.FIRST_EXCEPTION if self._offline() else asyncio.FIRST_COMPLETED
