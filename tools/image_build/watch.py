"""Running a long command so that a person sees it move, and its last lines when it fails."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from tools.common import Failure, console

STAGE = re.compile(
    r"^(STEP \d+/\d+: (?:FROM|COPY|RUN) .*|#\d+ \[.*\d+/\d+\] .*|I: .*\.\.\.|Installing collected packages)"
)
"""Lines of buildah, BuildKit, mmdebstrap and pip that say how far they are."""
WIDTH = 100
TAIL = 25
GRACE = 10
"""Seconds."""


def run_watched(
    command: Sequence[str | Path], *, limit: float, hint: str = "", env: Mapping[str, str] | None = None
) -> None:
    """Run a command, printing the lines that tell its progress.

    :param limit: seconds until the command is ended.
    :raises Failure: when it exits non-zero or takes too long; the message holds its last lines.
    """
    words = [str(word) for word in command]
    last: deque[str] = deque(maxlen=TAIL)
    try:
        process = subprocess.Popen(
            words,
            env={**os.environ, **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,  # a group of its own, to be ended with all its children
        )
    except FileNotFoundError:
        raise Failure(f"{words[0]} is not installed", hint) from None
    late = threading.Event()

    def kill() -> None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                process.wait(GRACE)  # mmdebstrap and buildah unmount what they mounted
            os.killpg(process.pid, signal.SIGKILL)

    def end() -> None:
        late.set()
        kill()

    timer = threading.Timer(limit, end)
    timer.start()
    try:
        assert process.stdout is not None
        for line in process.stdout:
            last.append(line.rstrip())
            if stage := STAGE.match(line):
                shown = " ".join(stage.group(1).split())[:WIDTH]
                console.print(f"    {shown}", style="dim", markup=False)
        code = process.wait()
    finally:
        timer.cancel()
        if process.poll() is None:  # this process was interrupted: the command does not outlive it
            kill()
            process.wait()
    if late.is_set():
        raise Failure("\n".join([f"{' '.join(words[:4])} did not end within {limit:.0f} s", *last]), hint)
    if code != 0:
        raise Failure("\n".join([f"{' '.join(words[:4])} exited {code}", *last]), hint)
