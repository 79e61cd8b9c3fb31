"""What a person sees while the engine works: a line per finished step, signs of life, last advice."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from pulumi import automation as auto
from rich.markup import escape

from tools.common import console
from tools.engine.advice import failure_of

HEARTBEAT = 15.0  # seconds without a word about a step that is still running

WORDS = {
    "create": "created", "update": "updated", "delete": "deleted", "replace": "replaced", "read": "read",
    "refresh": "refreshed", "create-replacement": "created anew", "delete-replaced": "deleted the old",
    "discard-replaced": "forgot the old", "import": "imported", "remove-pending-replace": "cleared",
}  # fmt: skip
FOUND = {"delete": "is gone", "update": "was changed by somebody else"}
"""What a refresh finds, where the engine names the step that would be its own."""
FOUND_SHORT = {"delete": "gone", "update": "changed"}

QUIET = {"same", "read", "replace", "refresh"}
"""Steps without a line of their own: nothing was done, or the steps they consist of have lines."""

SIGNS = {
    "create": "+", "update": "~", "delete": "-", "replace": "±", "create-replacement": "±", "import": "=",
    "delete-replaced": "-", "refresh": "~",
}  # fmt: skip


def kind_of(urn: str) -> str:
    """The last word of a resource's type, e.g. ``Deployment``."""
    return urn.split("::")[2].split("$")[-1].rsplit(":", 1)[-1]


def name_of(urn: str) -> str:
    return urn.rsplit("::", 1)[1]


@dataclass
class _Running:
    urn: str
    op: str
    since: float
    told: float
    doing: str = ""


@dataclass
class Progress:
    """Receives the engine's events for one operation."""

    verb: str
    preview: bool = False
    running: dict[tuple[str, str], _Running] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)
    changes: dict[str, int] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, event: auto.EngineEvent) -> None:
        with self.lock:
            if event.resource_pre_event:
                self._started(event.resource_pre_event.metadata)
            elif event.res_outputs_event:
                self._ended(event.res_outputs_event.metadata, failed=False)
            elif event.res_op_failed_event:
                self._ended(event.res_op_failed_event.metadata, failed=True)
            elif event.diagnostic_event:
                self._said(event.diagnostic_event)
            elif event.summary_event:
                changes = event.summary_event.resource_changes
                self.changes = {str(getattr(op, "value", op)): number for op, number in changes.items()}

    def _started(self, step: Any) -> None:
        if not _is_made(step):
            return
        op, now = step.op.value, time.monotonic()
        self.running[(step.urn, op)] = _Running(step.urn, op, now, now)
        if self.preview and op in SIGNS and op not in ("refresh", "create-replacement"):
            console.print(f"  {SIGNS[op]} {op} {_title(step.urn)}{_difference(step)}")

    def _ended(self, step: Any, *, failed: bool) -> None:
        op = step.op.value
        running = self.running.pop((step.urn, op), None) or self.running.pop((step.urn, "refresh"), None)
        if self.preview or (op in QUIET and not failed) or not _is_made(step):
            return
        if self.verb == "refresh" and op in FOUND and not failed:
            console.print(f"  [yellow]![/] {_title(step.urn)} {FOUND[op]}{_difference(step)}")
            return
        took = f" [dim]({time.monotonic() - running.since:.1f} s)[/]" if running else ""
        word = f"[red]✗ {op} failed[/]" if failed else f"[green]✓[/] {WORDS.get(op, op)}"
        console.print(f"  {word} {_title(step.urn)}{took}")

    def _said(self, event: Any) -> None:
        text = re.sub(r"<\{%.*?%\}>", "", event.message).strip()
        text = re.sub(r"^1 error occurred:\s*\* ", "", text)  # around what a provider says
        if event.ephemeral:
            for running in self.running.values():
                if running.urn == event.urn:
                    running.doing = text
            return
        if not text or event.severity == "debug":
            return
        if event.severity == "error":
            new = not any(said in text for said in self.errors)  # the engine says some things twice
            self.errors.append(text)
            if new and not re.fullmatch(r"(update|preview|refresh|destroy) failed", text):
                where = f"{_title(event.urn)}: " if event.urn and "Stack" not in kind_of(event.urn) else ""
                console.print(f"  [red]error:[/] {where}{escape(text)}")
        else:
            style = "yellow" if event.severity == "warning" else "dim"
            console.print(f"  [{style}]{escape(text)}[/]")

    def beat(self) -> None:
        """Say what is still running and has not been heard of for a while."""
        with self.lock:
            now = time.monotonic()
            for running in self.running.values():
                if running.op == "same" or now - running.told < HEARTBEAT:
                    continue
                running.told = now
                doing = f": {escape(running.doing)}" if running.doing else ""
                seconds = now - running.since
                console.print(
                    f"  [cyan]…[/] {running.op} {_title(running.urn)} [dim]({seconds:.0f} s)[/]{doing}"
                )

    def summary(self) -> str:
        """E.g. ``3 to create, 1 to update, 12 unchanged``."""
        infix = " to" if self.preview else ""
        parts = []
        for op, number in sorted(self.changes.items()):
            words = {**WORDS, **FOUND_SHORT} if self.verb == "refresh" else WORDS
            word = op if self.preview else words.get(op, op)
            parts.append(f"{number} unchanged" if op == "same" else f"{number}{infix} {word}")
        return ", ".join(parts) or "nothing"


def _is_made(step: Any) -> bool:
    """Whether a step is about a resource that somebody makes, not about a component that groups them."""
    state = step.new or step.old
    return state is None or state.custom


def _title(urn: str) -> str:
    return f"{kind_of(urn)} [bold]{escape(name_of(urn))}[/]"


def _difference(step: Any) -> str:
    paths = sorted(step.detailed_diff or {}) or list(step.diffs or [])
    if not paths or step.op.value == "create":
        return ""
    more = f" and {len(paths) - 6} more" if len(paths) > 6 else ""
    return f" [dim]{escape(', '.join(paths[:6]))}{more}[/]"


@contextmanager
def watched(verb: str, stack: str, *, preview: bool = False) -> Iterator[Progress]:
    """Show an operation's progress; turn the engine's failure into one line that says what to do.

    :raises Failure: when the operation failed.
    """
    progress = Progress(verb, preview)
    ended = threading.Event()

    def beats() -> None:
        while not ended.wait(1):
            progress.beat()

    thread = threading.Thread(target=beats, daemon=True)
    thread.start()
    start = time.monotonic()
    try:
        yield progress
    except auto.CommandError as error:
        raise failure_of(error, verb, stack, told=progress.errors) from error
    finally:
        ended.set()
        thread.join()
    took = time.monotonic() - start
    console.print(f"[green]✓[/] {verb} of stack {stack}: {progress.summary()} [dim]({took:.1f} s)[/]")
