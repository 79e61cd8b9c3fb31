"""`make open`: forward a free local port to the server and print the address; stays until Ctrl-C."""

from __future__ import annotations

import argparse
import re
import subprocess
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

from tools.common import Failure, cli, console
from tools.deployed import Deployed, find

SERVICE = "service/mlflow-server"
START_LIMIT = 20
"""Seconds until kubectl listens."""
REST = 1
"""Seconds between attempts after the pod behind the port went."""
TRIES = 60
"""Attempts in a row; a server that rolls is back long before."""
LISTENS = re.compile(r"Forwarding from 127\.0\.0\.1:(\d+) ")


@contextmanager
def forwarded(deployed: Deployed, port: int = 0) -> Iterator[tuple[int, subprocess.Popen[str]]]:
    """A port of 127.0.0.1 that leads to the server.

    :param port: 0 for a free one.
    :raises Failure: when kubectl does not listen in time.
    """
    with subprocess.Popen(
        deployed.command("port-forward", "--address=127.0.0.1", SERVICE, f"{port or ''}:80"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield _listening(process), process
        finally:
            process.terminate()


def _listening(process: subprocess.Popen[str]) -> int:
    """The port, once kubectl says that it listens."""
    assert process.stdout is not None
    assert process.stderr is not None
    timer = threading.Timer(START_LIMIT, process.terminate)
    timer.start()
    try:
        for line in process.stdout:
            if found := LISTENS.search(line):
                # Else kubectl stops at a full pipe: it writes a line per connection.
                threading.Thread(target=process.stdout.read, daemon=True).start()
                return int(found[1])
    finally:
        timer.cancel()
    said = process.stderr.read().strip().splitlines()
    raise Failure(
        f"no port could be forwarded: {said[-1] if said else f'no answer within {START_LIMIT} s'}",
        "is the server up? make status",
    )


def check(port: int) -> None:
    """One GET through the port.

    :raises Failure: when it does not answer 200.
    """
    url = f"http://127.0.0.1:{port}/health"
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=10) as answer:
            if answer.status == 200:
                return
    except OSError as error:
        raise Failure(f"{url} does not answer: {error}", "make logs") from None
    raise Failure(f"{url} answered {answer.status}", "make logs")


def _stay(deployed: Deployed) -> None:
    """Hold the port until Ctrl-C; when the pod behind it goes, forward it to the next one."""
    port, failures = 0, 0
    while True:
        try:
            with forwarded(deployed, port) as (found, process):
                if not port:
                    _tell(deployed, found)
                elif failures:
                    console.print("  [green]✓[/] connected again")
                port, failures = found, 0
                process.wait()
        except Failure:
            if not port or failures >= TRIES:
                raise
        failures += 1
        if failures == 1:
            console.print("  [yellow]the pod behind the port went; connecting to the next one[/]")
        time.sleep(REST)


def _tell(deployed: Deployed, port: int) -> None:
    print(f"http://127.0.0.1:{port}", flush=True)
    if user := deployed.outputs.get("adminUsername"):
        console.print(f"  sign in as {user}; its password: {password_command(deployed.stack)}")
    console.print("  [dim]Ctrl-C ends it[/]")


def password_command(stack: str) -> str:
    """A command that prints the first user's password."""
    choice = "" if stack == "dev" else f" STACK={stack}"
    read = f"pulumi stack output adminPassword --show-secrets --stack {stack}"
    return f'eval "$(make -s env{choice})" && {read}'


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stack", default="dev", help="stack name (default: dev)")
    parser.add_argument("--check", action="store_true", help="end after one successful request")
    args = parser.parse_args(argv)
    deployed = find(args.stack)
    if "database" not in deployed.outputs:
        raise Failure(f"stack {args.stack} has no server of its own", f"the one it uses: {deployed.url}")
    if args.check:
        with forwarded(deployed) as (port, _):
            check(port)
            print(f"http://127.0.0.1:{port}")
        return 0
    _stay(deployed)
    return 0


if __name__ == "__main__":
    cli(main)
