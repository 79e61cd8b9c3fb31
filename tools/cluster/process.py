"""The node as this machine sees it: one process, one cgroup, a few kernel settings."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from tools.cluster import NAME, network
from tools.cluster.network import Addresses
from tools.common import Failure

_CGROUPS = Path("/sys/fs/cgroup")
# Kernel settings that the kubelet sets to its own taste; they belong to the whole machine.
_KERNEL = ("vm/overcommit_memory", "vm/panic_on_oom", "kernel/panic", "kernel/panic_on_oops")
_KERNEL += ("kernel/keys/root_maxkeys", "kernel/keys/root_maxbytes", "net/ipv4/ip_forward")


def running(state: Path) -> int | None:
    """Process id of the node's first process, or None when it does not run (any more)."""
    try:
        noted = json.loads((state / "pid").read_text())
        stat = Path(f"/proc/{noted['pid']}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = stat.rpartition(")")[2].split()
    # a zombie has ended; another start time is another process with a recycled id
    return noted["pid"] if fields[19] == noted["started"] and fields[0] != "Z" else None


def start(state: Path, addresses: Addresses) -> int:
    """Start the node in namespaces of its own, join it to this machine and return its process id.

    :raises Failure: when namespaces cannot be made here; the message holds what the node printed.
    """
    for leftover in ("pid", "stopped"):
        (state / leftover).unlink(missing_ok=True)
    for log in (state / "log").glob("*.log"):
        log.rename(log.with_suffix(".log.1"))  # one start per file: the cause of a failure is easy to find
    # cgroups of pods that died with the last node would keep the new kubelet busy for a minute
    remove_cgroups()
    _make_cgroups()
    output = state / "log" / "node.log"
    with output.open("wb") as log:
        command = ["unshare", "--mount", "--uts", "--ipc", "--net", "--pid", "--fork", "--kill-child"]
        command += [
            sys.executable,
            "-I",
            str(Path(__file__).with_name("node.py")),
            str(state / "config/node.json"),
        ]
        outer = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, cwd="/"
        )
    deadline = time.monotonic() + 15
    while (pid := running(state)) is None:
        if outer.poll() is not None or time.monotonic() > deadline:
            outer.kill()
            raise Failure(
                f"the node did not start: {output.read_text().strip()[-600:]}",
                "namespaces may be forbidden here (a container without privileges?): name a cluster you have",
            )
        time.sleep(0.02)
    network.connect(addresses, pid)
    network.forward(True)
    return pid


def stop(state: Path, *, grace: float = 15) -> None:
    """End the node and with it every process and mount in its namespaces.

    :param grace: seconds for the components to end by themselves; 0 when their data goes anyway.
    :raises Failure: when it is still there 15 s after it was killed.
    """
    for number, seconds in ((signal.SIGTERM, grace), (signal.SIGKILL, 15)):
        if not seconds:
            continue
        pid = running(state)
        if pid is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
        deadline = time.monotonic() + seconds
        while running(state) is not None and time.monotonic() < deadline:
            time.sleep(0.05)
    if (pid := running(state)) is not None:
        raise Failure(
            f"the node's process {pid} did not end", f"look at /proc/{pid}/stack, or restart the machine"
        )


def inside(pid: int) -> list[str]:
    """Command prefix that runs what follows inside the node; it ends when the node ends."""
    return ["nsenter", f"--target={pid}", "--mount", "--net", "--pid"]


def kernel_settings() -> dict[str, str]:
    """The machine's settings that a running node changes, to be given to :func:`restore_kernel_settings`."""
    paths = {name: Path("/proc/sys") / name for name in _KERNEL}
    return {name: path.read_text().strip() for name, path in paths.items() if path.exists()}


def restore_kernel_settings(before: dict[str, str]) -> None:
    """Put back what :func:`kernel_settings` returned."""
    for name, value in before.items():
        path = Path("/proc/sys") / name
        if path.read_text().strip() != value:
            path.write_text(value)


def _make_cgroups() -> None:
    """One cgroup for the node: in each controller's tree on cgroup v1, in the only tree on v2."""
    for parent in _cgroup_trees():
        switch = parent / "cgroup.subtree_control"
        if switch.exists():  # v2: the kubelet wants every controller there is; they stay switched on
            for controller in (parent / "cgroup.controllers").read_text().split():
                with contextlib.suppress(OSError):
                    switch.write_text(f"+{controller}")
        (parent / NAME).mkdir(exist_ok=True)


def _cgroup_trees() -> list[Path]:
    if (_CGROUPS / "cgroup.controllers").exists():
        return [_CGROUPS]
    return (
        [p for p in _CGROUPS.iterdir() if p.is_mount() and p.name != "unified"] if _CGROUPS.exists() else []
    )


def remove_cgroups(seconds: float = 10) -> None:
    """Remove the node's cgroups; the kernel lets go of them a moment after the last process."""
    deadline = time.monotonic() + seconds
    while found := list(_cgroups()):
        for path in found:
            with contextlib.suppress(OSError):
                path.rmdir()
        if time.monotonic() > deadline:
            return
        time.sleep(0.05)


def _cgroups() -> list[Path]:
    """The node's cgroups, innermost first."""
    trees = [_CGROUPS, *(_CGROUPS.iterdir() if _CGROUPS.exists() else [])]
    tops = [tree / NAME for tree in trees if (tree / NAME).is_dir()]
    return [Path(folder) for top in tops for folder, _, _ in os.walk(top, topdown=False)]


def leftovers(state: Path) -> list[str]:
    """Processes, mounts and cgroups of the node that are still there, one line each."""
    found = [f"cgroup {path}" for path in _cgroups()]
    mounts = Path("/proc/self/mounts").read_text().splitlines()
    found += [f"mount {line.split()[1]}" for line in mounts if line.split()[1].startswith(f"{state}/")]
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            cgroups = (process / "cgroup").read_text()
        except OSError:
            continue  # it has just ended
        if f"{state}/" in command or f"/{NAME}/" in cgroups:
            found.append(f"process {process.name}: {command[:80]}")
    return found
