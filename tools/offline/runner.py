"""Runs the program once, offline, in a thread and a context of its own.

The SDK keeps what belongs to a deployment in context variables (that is how the Automation API runs
several programs in one process), so a fresh context gives a run that no other run can see.  Imported
modules stay, which is what makes the second run fast.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import os
import runpy
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pulumi
from pulumi import runtime
from pulumi.runtime import settings

from tools.common import ROOT, Failure
from tools.offline import config as stack_config
from tools.offline import shortcuts, strict
from tools.offline.answers import Answers, Preview
from tools.offline.monitor import Messages, Recorder
from tools.offline.plan import Plan, creation_order

TIMEOUT = 120.0
"""Seconds after which a run is given up.  It takes well under a second; only a hang reaches this."""

REMEDY = "mend this and run the command again"

_offline: contextvars.ContextVar[bool] = contextvars.ContextVar("offline", default=False)


def run(
    stack: str,
    *,
    answers: Answers | None = None,
    overrides: Mapping[str, Any] | None = None,
    local: bool = False,
    root: Path = ROOT,
    program: Callable[[], Any] | None = None,
) -> Plan:
    """Run the program for ``stack`` and return what it asked for.

    :param answers: `Preview` unless given.
    :param overrides: settings put over the stack's own, see `config.load`.
    :param local: with what this checkout keeps in ``.local``: secrets, built images, the chosen cluster.
    :param program: run this instead of ``__main__.py``; for tests.
    :raises Failure: when the stack cannot be read, the program refuses its settings, or the run hangs.
    :raises Exception: whatever the program raises, as it raised it.
    """
    given = stack_config.load(root, stack, overrides, local)
    monitor = Recorder(answers or Preview(), given.project, stack)
    messages = Messages()
    entry = program or (lambda: runpy.run_path(str(root / "__main__.py"), run_name="__main__"))
    with _environment(local):
        try:
            _in_own_context(lambda: _execute(given, monitor, messages, entry, root))
        except pulumi.RunError as error:  # how a program stops with words for people
            raise Failure(str(error), REMEDY) from None
        except SystemExit as stopped:
            errors = [text for severity, text in messages.recorded if severity == "error"]
            raise Failure("\n".join(errors) or f"the program exited with {stopped.code}", REMEDY) from None
    plan = Plan(
        stack=stack,
        project=given.project,
        resources=creation_order(monitor.recorded),
        outputs=monitor.stack_outputs,
        problems=[],
        messages=messages.recorded,
        secret_texts=given.secret_texts,
    )
    plan.problems = strict.check(monitor.recorded, plan)
    return plan


@contextmanager
def _environment(local: bool) -> Iterator[None]:
    """Tell the program, for the time of the run, that nothing may be reached."""
    name, before = "MLFLOW_OFFLINE", os.environ.get("MLFLOW_OFFLINE")
    os.environ[name] = "local" if local else "1"
    try:
        yield
    finally:
        os.environ.pop(name)
        if before is not None:
            os.environ[name] = before


def _in_own_context(work: Callable[[], None]) -> None:
    """Run ``work`` in a new thread with an empty context and hand on what it raises."""
    failed: list[BaseException] = []

    def body() -> None:
        try:
            contextvars.Context().run(work)
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=body, name="pulumi-program", daemon=True)
    thread.start()
    thread.join(TIMEOUT)
    if thread.is_alive():
        raise Failure(
            f"the program did not end within {TIMEOUT:.0f} s", "look for a wait or a network call in it"
        )
    if failed:
        raise failed[0]


def _execute(
    given: stack_config.StackConfig,
    monitor: Recorder,
    messages: Messages,
    entry: Callable[[], Any],
    root: Path,
) -> None:
    _refuse_blocking_lookups()
    shortcuts.take(_offline.get)
    _offline.set(True)
    # The dev stack then asks for neither cluster nor images (components/clouds/dev/local.py).
    os.environ.setdefault("MLFLOW_OFFLINE", "1")
    # Not set_mocks(): it registers the stack's outputs before the program has run, so exports are lost.
    settings.configure(
        settings.Settings(
            project=given.project,
            stack=given.stack,
            organization="organization",
            root_directory=str(root),
            monitor=monitor,
            engine=messages,
            dry_run=monitor.answers.preview,
        )
    )
    runtime.set_all_config(given.values, sorted(given.secret_keys))
    if str(root) not in sys.path:
        sys.path.insert(0, str(root))
    # The SDK leaves tasks behind when a program fails; the failure itself is what a person should see.
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    # One worker: registrations arrive one after the other, so two runs record the same.
    with ThreadPoolExecutor(max_workers=1) as executor:
        loop.set_default_executor(executor)
        try:
            loop.run_until_complete(runtime.run_in_stack(lambda: _ignore(entry())))
        finally:
            asyncio.set_event_loop(None)
            loop.close()


def _ignore(result: Any) -> None:
    """The SDK awaits what an entry point returns; ``runpy`` returns the module's names."""


def _refuse_blocking_lookups() -> None:
    """Make ``get_x()`` fail in an offline run: it would need a value where only unknown is true.

    ``get_x_output()`` goes another way and stays unknown.
    """
    for name in ("invoke", "invoke_single", "invoke_async"):
        original = getattr(runtime, name)
        if getattr(original, "refuses_offline", False):
            continue
        setattr(runtime, name, _refusing(original))


def _refusing(original: Callable[..., Any]) -> Callable[..., Any]:
    def refuse(token: str, *args: Any, **kwargs: Any) -> Any:
        if _offline.get():
            raise BlockingLookupError(token)
        return original(token, *args, **kwargs)

    refuse.refuses_offline = True  # type: ignore[attr-defined]
    return refuse


class BlockingLookupError(Failure):
    """The program asked a provider and waited for the answer."""

    def __init__(self, token: str) -> None:
        super().__init__(
            f"the look-up {token} waits for its answer, which no plan can know",
            f"in the program, call the form of {token.rpartition(':')[2]} that ends in _output",
        )
