"""The verbs: preview, up, refresh and down on the real engine, with progress, recovery, a last question."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pulumi import automation as auto
from rich.markup import escape

from tools.common import ROOT, Failure, console
from tools.engine.data_guard import identity_of_cluster, refuse_moved_data
from tools.engine.losses import loss_of, losses, titles
from tools.engine.neighbours import refuse_neighbours
from tools.engine.place import forget, place_of
from tools.engine.progress import watched
from tools.engine.protection import check_lowering, guarded, is_protected, lower, to_lower
from tools.engine.recovery import release_dead_lock, settle_pending
from tools.engine.workspace import OpenedStack, Program, open_stack, root_program, state_of
from tools.offline import config
from tools.settings import settings_of


def parse(argv: list[str], text: str) -> str:
    """The stack's name from a verb's arguments."""
    parser = argparse.ArgumentParser(description=text)
    parser.add_argument("--stack", default="dev", help="stack name (default: dev)")
    return parser.parse_args(argv).stack


def _open(stack: str, root: Path, program: Program | None) -> tuple[OpenedStack, bool]:
    """Open a stack and settle what an interrupted run left: is a refresh due?"""
    opened = open_stack(stack, root, program)
    opened.providers.announce()
    release_dead_lock(opened, opened.workspace.project_settings().name)
    interrupted = settle_pending(opened, opened.state)
    return opened, interrupted


def preview(stack: str, root: Path = ROOT, program: Program | None = None) -> auto.PreviewResult:
    """Show what `up` would change; nothing is changed, not even what an interrupted run left open."""
    opened = open_stack(stack, root, program)
    opened.providers.announce()
    with watched("preview", stack, preview=True) as progress:
        return opened.preview(on_event=progress, suppress_outputs=True, suppress_progress=True)


def up(stack: str, root: Path = ROOT, program: Program | None = None) -> auto.UpResult:
    """Bring the stack to what its settings say."""
    opened, interrupted = _open(stack, root, program)
    if program is None:
        settings = settings_of(stack, root)
        cluster, others = (
            identity_of_cluster(root, settings.cloud),
            config.load(root, stack, local=True).values,
        )
        refuse_moved_data(stack, settings, opened.state, cluster, others)
    _tell_place(opened)
    if any(each.get("protect") for each in opened.state.get("resources") or []):
        # The engine stops at a protected resource only when it gets there, in the middle of the run; a
        # preview meets it before anything has changed.
        with watched("preview", stack, preview=True) as progress:
            opened.preview(on_event=progress, suppress_outputs=True, suppress_progress=True)
    with watched("up", stack) as progress:
        result = opened.up(on_event=progress, refresh=interrupted or None, suppress_progress=True)
    for name, output in sorted(result.outputs.items()):
        _tell_output(name, output)
    return result


def _tell_output(name: str, output: auto.OutputValue) -> None:
    """One output as a person reads it: lists line by line, ready to be copied."""
    if output.secret:
        console.print(f"  {name}: [dim](secret)[/]")
    elif isinstance(output.value, list):
        console.print(f"  {name}:")
        for line in output.value:
            console.print(f"    {escape(str(line))}")
    elif isinstance(output.value, dict):
        console.print(
            f"  {name}: " + escape(", ".join(f"{key}={value}" for key, value in output.value.items()))
        )
    else:
        console.print(f"  {name}: {escape(str(output.value))}")


def refresh(stack: str, root: Path = ROOT, program: Program | None = None) -> auto.RefreshResult:
    """Bring the state to what is really there, showing what somebody else changed."""
    opened, _ = _open(stack, root, program)
    with watched("refresh", stack) as progress:
        return opened.refresh(on_event=progress, suppress_progress=True)


def down(stack: str, root: Path = ROOT, program: Program | None = None) -> None:
    """Say what will be lost, ask for the stack's name, destroy and forget the stack.

    :raises Failure: when protected resources are in it, when others would lose what is theirs, or when the
        answer is not the stack's name.
    """
    opened, interrupted = _open(stack, root, program)
    resources: list[dict[str, Any]] = state_of(opened).get("resources") or []
    protected = [each["urn"] for each in resources if is_protected(each)]
    if protected:
        raise Failure(
            f"stack {stack} holds {len(protected)} protected resources: {titles(protected)}",
            f"see what would be lost, then release them: make unprotect STACK={stack}",
        )
    if resources:
        lost = [*losses(resources), *refuse_neighbours(stack, resources)]
        confirm(stack, f"Taking stack {stack} down deletes {len(resources)} resources.", lost)
        with watched("down", stack) as progress:
            opened.destroy(on_event=progress, refresh=interrupted or None, suppress_progress=True)
    opened.workspace.remove_stack(stack)
    kept = forget(place_of(stack, root))
    if kept:
        overlay = place_of(stack, root).overlay
        console.print(f"  kept for the next up: the secrets that you set, in {overlay} ({', '.join(kept)})")


def unprotect(stack: str, root: Path = ROOT, program: Program | None = None) -> list[str]:
    """Release every protected resource, after saying what that puts at risk.

    :returns: the URNs released.
    :raises Failure: when settings that changed since would do more than that, or the answer is not the
        stack's name.
    """
    opened, interrupted = _open(stack, root, program)
    resources: list[dict[str, Any]] = state_of(opened).get("resources") or []
    protected = [each for each in resources if is_protected(each)]
    if not protected:
        console.print(f"  nothing in stack {stack} is protected")
        return []
    of_clouds = to_lower(resources)
    if of_clouds:
        check_lowering(opened, of_clouds, program or root_program(root))
    text = f"These {len(protected)} resources of stack {stack} lose their protection"
    confirm(stack, f"{text}: the next down deletes them.", [loss_of(each) for each in protected])
    if of_clouds:
        lower(opened, of_clouds, program or root_program(root), refresh=interrupted)
    state = state_of(opened)
    for each in state["resources"]:
        each.pop("protect", None)
    opened.import_stack(auto.Deployment(version=3, deployment=state))
    if still := [each["urn"] for each in state["resources"] if guarded(each)]:
        raise Failure(
            f"still guarded by the cloud itself, whatever mlflow:protect says: {titles(still)}",
            "lower it there by hand, then: make refresh and make down",
        )
    console.print("[green]✓[/] released; `make up` protects them again")
    return [each["urn"] for each in protected]


def confirm(stack: str, text: str, lost: Iterable[str]) -> None:
    """Go on only when the stack's name is given, in ``FORCE`` or on the terminal.

    :raises Failure: otherwise.
    """
    console.print(f"[bold]{text}[/]")
    lost = list(lost)
    if lost:
        console.print("[bold red]Lost for good:[/]")
    for line in lost:
        console.print(f"  - {line}")
    given = os.environ.get("FORCE")
    if given is None and sys.stdin.isatty():
        given = console.input(f"Type the stack's name ({stack}) to go on: ").strip()
    if given != stack:
        said = f"{given!r} is not the stack's name" if given else "the stack's name was not given"
        raise Failure(f"nothing was changed: {said}", f"for scripts: FORCE={stack}")


def _tell_place(stack: auto.Stack) -> None:
    env = stack.workspace.env_vars
    backend = env.get("PULUMI_BACKEND_URL")
    if backend:
        passphrase = env.get("PULUMI_CONFIG_PASSPHRASE_FILE")
        file = f", its passphrase in {passphrase}" if passphrase and backend.startswith("file://") else ""
        console.print(f"  [dim]state: {backend}{file}[/]")
