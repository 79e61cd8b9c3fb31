"""What every verb shares: where things live, how progress and failures look."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.markup import escape

PRODUCT = "mlflow-on-kubernetes"
ROOT = Path(__file__).resolve().parent.parent
LOCAL = ROOT / ".local"
"""This checkout's own state: kubeconfig, engine state, passphrase. Ignored by git."""

console = Console(stderr=True, highlight=False, soft_wrap=True, emoji=False)  # mlflow:cloud: is no picture


class Failure(Exception):  # noqa: N818 - what a person sees, not an error of the program
    """Something a person can act on: what happened, and in ``hint`` what to do about it."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


def _xdg(variable: str, default: str) -> Path:
    base = Path(os.environ.get(variable) or Path.home() / default)
    path = base / PRODUCT
    path.mkdir(parents=True, exist_ok=True)
    return path


def cache_dir() -> Path:
    """Built binaries and images of this user; everything in it is rebuilt when missing."""
    return _xdg("XDG_CACHE_HOME", ".cache")


def state_dir() -> Path:
    """State of this user that outlives a checkout: the cluster built from package registries."""
    return _xdg("XDG_STATE_HOME", ".local/state")


def local_dir() -> Path:
    """``LOCAL``, made when missing and readable by its owner only."""
    LOCAL.mkdir(mode=0o700, exist_ok=True)
    return LOCAL


@contextmanager
def step(text: str) -> Iterator[None]:
    """Show a step while it runs, then how long it took."""
    start = time.monotonic()
    console.print(f"[cyan]…[/] {text}")
    try:
        yield
    except BaseException:
        console.print(f"[red]✗[/] {text} [dim]({time.monotonic() - start:.1f} s)[/]")
        raise
    console.print(f"[green]✓[/] {text} [dim]({time.monotonic() - start:.1f} s)[/]")


def run(
    command: Sequence[str | Path],
    *,
    hint: str = "",
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    input: str | None = None,
    timeout: float | None = None,
    tail: int = 20,
) -> str:
    """Run a command and return its standard output.

    :param env: added to this process's environment.
    :param timeout: seconds until the command is killed.
    :raises Failure: when it exits non-zero or takes too long; the message holds the last ``tail`` lines.
    """
    words = [str(word) for word in command]
    try:
        done = subprocess.run(
            words,
            env={**os.environ, **(env or {})},
            cwd=cwd,
            input=input,
            timeout=timeout,
            capture_output=True,
            text=True,
            check=False,
        )
    except FileNotFoundError:
        raise Failure(f"{words[0]} is not installed", hint) from None
    except subprocess.TimeoutExpired:
        raise Failure(f"{' '.join(words[:4])} did not end within {timeout:.0f} s", hint) from None
    if done.returncode != 0:
        lines = (done.stderr + done.stdout).strip().splitlines()[-tail:]
        raise Failure("\n".join([f"{' '.join(words[:4])} exited {done.returncode}", *lines]), hint)
    return done.stdout


HINT = "mend what is said above and run the command again; docs/troubleshooting.md has known causes"
"""For a failure that does not say more."""


def cli(main: Callable[[list[str]], int]) -> None:
    """Run a verb; a :class:`Failure` ends it with one line that says what to do."""
    try:
        code = main(sys.argv[1:])
    except Failure as failure:
        console.print(f"[bold red]Error:[/] {escape(str(failure))}")
        console.print(f"[bold]What to do:[/] {escape(failure.hint or HINT)}")
        code = 1
    except KeyboardInterrupt:
        console.print("[yellow]Interrupted.[/]")
        code = 130
    sys.exit(code)
