"""What offline runs leave out of the SDK's work changes no plan and hides no error."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pulumi
import pulumi.resource
import pytest
from pulumi.runtime import resource as registration
from pulumi.runtime import stack as waiting

from tests.program.conftest import Fitting, plan
from tests.program.test_plan_and_render import SAMPLE
from tools.offline import Mocked, run, shortcuts

pytestmark = pytest.mark.program

TAKEN: tuple[tuple[ModuleType, str], ...] = (
    (registration, "_get_stack_trace"),
    (pulumi.resource, "collapse_alias_to_urn"),
    (waiting, "asyncio"),
)


def without_shortcuts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shortcuts, "take", lambda _: None)
    for module, name in TAKEN:
        monkeypatch.setattr(module, name, getattr(module, name).__wrapped__)


def planned(program: Callable[[], Any]) -> Any:
    return run("dev", root=SAMPLE, answers=Mocked(), program=program)


@pytest.mark.parametrize("stack", ["dev", "aws", "gcp", "azure"])
def test_a_plan_is_the_same_without_them(stack: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with_them = plan(stack=stack).to_json()
    without_shortcuts(monkeypatch)
    without = run(stack, answers=Fitting()).to_json()
    assert without == with_them


def test_each_is_still_a_part_of_the_sdk() -> None:
    planned(lambda: None)
    for module, name in TAKEN:
        assert hasattr(getattr(module, name), "__wrapped__"), f"{module.__name__}.{name} is gone"


def test_an_error_beside_an_output_that_never_comes_is_told_at_once() -> None:
    def fails(_: str) -> None:
        pulumi.Output.from_input("new").apply(lambda _: 1 / 0)

    def program() -> None:
        never: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        pulumi.Output.from_input(never).apply(str)
        later = pulumi.Output.from_input(asyncio.sleep(0.1, "later"))
        later.apply(fails)

    with pytest.raises(ZeroDivisionError):
        planned(program)


def test_an_alias_that_names_nothing_is_refused_as_up_refuses_it() -> None:
    def program() -> None:
        pulumi.ComponentResource(
            "a:b:C", "one", opts=pulumi.ResourceOptions(aliases=[pulumi.Alias(name=None)])
        )

    with pytest.raises(Exception, match="No valid 'name' passed in for alias"):
        planned(program)
