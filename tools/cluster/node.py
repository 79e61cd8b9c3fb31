"""The node's first process: runs as PID 1 of namespaces of its own, so that its end is the end of everything.

Started by ``unshare``; needs the standard library only. It mounts what the node must not share with this
machine, starts the components, reaps orphans and stops all when one component ends or SIGTERM comes.
Nothing is restarted: a component that dies takes the node down, and ``stopped`` says which one it was.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn


class NodeStopped(Exception):  # noqa: N818 - an end, not always an error
    """The node has to stop; the text says why."""


class Node:
    """Starts and stops the components that ``node.json`` lists.

    :param config: ``state`` (folder), ``hostname``, ``address`` (with prefix), ``gateway``, ``mounts``
        ([source, target] pairs, a source of ``tmpfs`` makes an empty one) and ``components``
        (``name``, ``argv`` and an optional ``ready``, a URL that answers 200 before the next one starts).
    """

    def __init__(self, config: dict[str, Any]) -> None:
        self.config = config
        self.state = Path(config["state"])
        self.running: dict[int, str] = {}

    def main(self) -> NoReturn:
        """Run until a component ends or SIGTERM comes."""
        # /proc still shows the machine's own process ids here: that is how others find this process
        pid, started = Path("/proc/self").readlink().name, _started(Path("/proc/self/stat"))
        signal.signal(signal.SIGTERM, _on_signal)
        reason = "unknown"
        try:
            self._mount()
            (self.state / "pid").write_text(json.dumps({"pid": int(pid), "started": started}))
            self._network()
            for component in self.config["components"]:
                self._start(component)
            while True:
                self._reap(os.waitpid(-1, 0))
        except NodeStopped as stop:
            reason = str(stop)
        except Exception as error:  # whatever it was, the next `up` has to be able to tell
            reason = f"the node could not start: {error}"
        print(reason, flush=True)
        (self.state / "stopped").write_text(reason)
        self._stop()
        sys.exit(0)

    def _mount(self) -> None:
        # mounts made by pods' volumes must be seen by containers, but never by this machine
        _do("mount", "--make-rshared", "/")
        _do("mount", "-t", "proc", "proc", "/proc")
        # where /etc/resolv.conf points into /run, it would point nowhere once /run is the node's own
        resolver = os.path.realpath("/etc/resolv.conf")
        for source, target in self.config["mounts"]:
            if source == "tmpfs":
                _do("mount", "-t", "tmpfs", "-o", "mode=0755", "tmpfs", target)
            else:
                _do("mount", "--bind", source, target)
        Path(resolver).parent.mkdir(parents=True, exist_ok=True)
        Path(resolver).touch()
        _do("mount", "--bind", str(self.state / "config/resolv.conf"), resolver)
        socket.sethostname(self.config["hostname"])

    def _network(self) -> None:
        _do("ip", "link", "set", "lo", "up")
        deadline = time.monotonic() + 30
        while not any(line.lstrip().startswith("eth0:") for line in _read("/proc/net/dev")):
            if time.monotonic() > deadline:
                raise NodeStopped("the link to this machine did not appear within 30 s")
            time.sleep(0.05)
        _do("ip", "address", "add", self.config["address"], "dev", "eth0")
        _do("ip", "link", "set", "eth0", "up")
        _do("ip", "route", "add", "default", "via", self.config["gateway"])

    def _start(self, component: dict[str, Any]) -> None:
        name = component["name"]
        with (self.state / "log" / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                component["argv"], stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        self.running[process.pid] = name
        print(f"{time.strftime('%FT%TZ', time.gmtime())} started {name}", flush=True)
        deadline = time.monotonic() + 60
        while "ready" in component and not self._answers(component["ready"]):
            if time.monotonic() > deadline:
                raise NodeStopped(f"{name} did not answer at {component['ready']} within 60 s")
            self._reap(os.waitpid(-1, os.WNOHANG))
            time.sleep(0.05)

    def _answers(self, url: str) -> bool:
        trust = ssl.create_default_context(cafile=self.state / "pki/ca.crt")
        try:
            with urllib.request.urlopen(url, timeout=5, context=trust) as answer:
                return answer.status == 200
        except OSError:  # not there yet, or not ready yet (an HTTP error is one of these too)
            return False

    def _reap(self, ended: tuple[int, int]) -> None:
        pid, status = ended
        if pid in self.running:
            code = os.waitstatus_to_exitcode(status)
            raise NodeStopped(f"{self.running.pop(pid)} ended with status {code}")

    def _stop(self) -> None:
        """Ask every component to end, last started first; what is left after 10 s ends with PID 1."""
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        for pid in reversed(self.running):
            os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + 10
        while self.running and time.monotonic() < deadline:
            try:
                pid, _ = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            self.running.pop(pid, None)
            time.sleep(0 if pid else 0.05)


def _on_signal(number: int, frame: FrameType | None) -> NoReturn:  # noqa: ARG001 - the shape that signal wants
    raise NodeStopped("stopped on request")


def _started(stat: Path) -> str:
    """Start time of a process in clock ticks since boot: with the pid, it names a process for good."""
    return stat.read_text().rpartition(")")[2].split()[19]


def _read(path: str) -> list[str]:
    return Path(path).read_text().splitlines()


def _do(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise NodeStopped(f"{' '.join(command)}: {done.stderr.strip()}")


if __name__ == "__main__":
    Node(json.loads(Path(sys.argv[1]).read_text())).main()
