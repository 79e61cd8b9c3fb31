"""The single-node cluster built from package registries: for machines with neither Docker engine nor images.

One per user; every clone shares it. Its whole state is one folder, its whole life one process.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import platform
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.markup import escape

from tools.cluster import NAME, addons, network, process
from tools.cluster.binaries import KUBERNETES, binaries, unbuilt
from tools.cluster.certificates import make_certificates
from tools.cluster.components import Layout, kubeconfig, write_configuration
from tools.cluster.network import Addresses
from tools.cluster.packages import PACKAGES, agree, install_packages, missing_packages
from tools.common import Failure, console, run, state_dir, step

_MODULES = (*addons.MODULES, "etcd", "kubernetes")
_NODE_FOLDERS = (Path("/var/lib/cni"), Path("/var/lib/kubelet"))
_WAYS = (
    "start a Docker engine (kind is used then), or name a cluster you have: set its context in the stack; "
    "on Linux, root can also build a cluster from package registries"
)


def state() -> Path:
    """The folder that holds all the cluster is: data, certificates, logs, its kubeconfig."""
    return state_dir() / "cluster"


def up() -> dict[str, Any]:
    """Make the cluster, start it again from its data, or find it healthy; return what ``cluster.json`` holds.

    :raises Failure: when this machine cannot run it, or the node is not ready in time.
    """
    if platform.system() != "Linux" or os.geteuid() != 0:
        who = "root on Linux" if platform.system() == "Linux" else f"Linux, and this is {platform.system()}"
        raise Failure(f"no Docker engine answers, and building a cluster here takes {who}", _WAYS)
    with _locked():
        record = _record()
        if record and process.running(state()) and _healthy():
            console.print(f"[green]✓[/] The cluster runs (since {record['created']}, node {record['node']})")
            return _information(record)
        _prepare()
        if record:
            _restart(record)
        else:
            record = _create()
        return _information(record)


def down() -> bool:
    """Remove the cluster and everything it made; False when there was none.

    :raises Failure: when something of it is still there afterwards; the message lists it.
    """
    with _locked():
        if not _exists():
            return False
        with step("Removing the cluster: its pods, volumes and images"):
            _remove()
        return True


def kubectl_path() -> Path:
    """The kubectl of the cluster's own version."""
    return binaries("kubernetes") / "kubectl"


def status() -> list[tuple[str, str]]:
    """What there is to know at a glance, as (name, value) rows; empty when there is no cluster."""
    record = _record()
    if record is None:
        return []
    pid = process.running(state())
    rows = [("created", record["created"]), ("data", str(state()))]
    if pid is None:
        return [("node", f"not running: {_why_stopped()}"), *rows]
    return [("node process", str(pid)), *rows]


def _prepare() -> None:
    """Install and build what is missing, after saying so."""
    packages, modules = missing_packages(), unbuilt(_MODULES)
    lines = [f"Debian package {name}: {PACKAGES[name]}" for name in packages]
    lines += [f"Go module {m.folder}, built into your cache (about {m.minutes:g} min)" for m in modules]
    agree(lines)
    install_packages()
    for name in _MODULES:
        binaries(name)


def _create() -> dict[str, Any]:
    """Make a new cluster; when that fails, its logs stay until the next attempt."""
    if _exists():
        console.print("[yellow]The last attempt left an unfinished cluster: removing it[/]")
        _remove()
    addresses = network.wanted_addresses()
    network.refuse_if_in_use(addresses)
    record = {
        "range": addresses.range,
        "node": addresses.node,
        "kubernetes": KUBERNETES,
        "created": datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC"),
        "kernel": process.kernel_settings(),
        "folders": [str(folder) for folder in _NODE_FOLDERS if not folder.exists()],
        "canPull": _reaches_public_images(),
    }
    state().mkdir(mode=0o700, parents=True, exist_ok=True)
    (state() / "unfinished.json").write_text(json.dumps(record, indent=1))
    with step("Making certificates"):
        make_certificates(state() / "pki", addresses)
    _start(addresses)
    # only now it counts as a cluster: an attempt that was cut off is made anew
    (state() / "unfinished.json").rename(state() / "cluster.json")
    return record


def _restart(record: dict[str, Any]) -> None:
    """Start a cluster that stopped or hangs again, with its data; build it anew when that fails."""
    console.print(f"[yellow]The cluster is there but does not answer:[/] {escape(_why_stopped())}")
    addresses = Addresses(record["range"])
    process.stop(state())
    network.disconnect(addresses)
    network.refuse_if_in_use(addresses)
    try:
        _start(addresses)
    except Failure as failure:
        console.print(f"[bold red]It does not start with its data:[/] {escape(str(failure))}")
        console.print("[bold red]Building it anew: the volumes and images in it are lost.[/]")
        _remove()
        record.update(_create())


def _start(addresses: Addresses) -> None:
    """Write the configuration, start the node and wait until it can run pods."""
    since = datetime.now(UTC).replace(microsecond=0)  # Kubernetes' times are whole seconds
    layout = Layout(state(), binaries("kubernetes"), binaries("etcd"))
    archive, images = addons.own_images()
    for folder in ("etcd", "containerd", "kubelet", "log", "volumes", "config"):
        (state() / folder).mkdir(mode=0o711, exist_ok=True)
    for folder in _NODE_FOLDERS:
        folder.mkdir(parents=True, exist_ok=True)
    resolvers = network.upstream_resolvers()
    if not resolvers:
        console.print(
            "[yellow]This machine has no name server that pods can reach: they see cluster names only[/]"
        )
    write_configuration(layout, addresses, pause=images["PAUSE"], mtu=network.mtu(), resolvers=resolvers)
    admin = kubeconfig(f"https://{addresses.node}:6443", state() / "pki", "admin", embed=True)
    path = state() / "kubeconfig"
    path.touch(mode=0o600)
    path.write_text(json.dumps(admin, indent=1))
    with step("Starting the node"):
        pid = process.start(state(), addresses)
        _until("the API server answers", lambda: _kubectl("get", "--raw=/readyz"), 90)
    with step("Loading the cluster's own images"):
        import_archive(archive, pid)
    manifests = addons.manifests(addresses, images, state() / "volumes", forward=bool(resolvers))
    with step("Waiting until node, DNS and volumes are ready"):
        _kubectl(
            "apply",
            "--server-side",
            "--force-conflicts",
            "-f",
            "-",
            stdin=manifests,
        )
        _until("DNS and volumes are ready", lambda: _check_ready(since), 180)


def _check_ready(since: datetime) -> None:
    """:raises Failure: while node, DNS or volumes are not ready, or were so only before ``since``."""
    missing = addons.not_ready(
        json.loads(_kubectl("get", "nodes,pods", "--all-namespaces", "-o", "json"))["items"], since
    )
    if missing:
        raise Failure(f"waiting for {', '.join(missing)}")


def import_archive(path: Path, pid: int | None = None) -> None:
    """Put the images of a ``docker save`` archive on the node."""
    pid = pid or process.running(state())
    if pid is None:
        raise Failure("the cluster does not run", "run `make cluster`")
    run(
        [*process.inside(pid), "ctr", "--namespace", "k8s.io", "images", "import", path.resolve()],
        timeout=600,
    )


def _remove() -> None:
    """End the node, give back what it took and check that nothing is left."""
    record = _record("cluster.json") or _record("unfinished.json") or {}
    addresses = Addresses(record.get("range", network.DEFAULT_RANGE))
    process.stop(state(), grace=0)
    network.disconnect(addresses)
    process.remove_cgroups()
    process.restore_kernel_settings(record.get("kernel", {}))
    for folder in record.get("folders", []):
        with contextlib.suppress(OSError):  # not empty: somebody else uses it by now
            Path(folder).rmdir()
    left = process.leftovers(state()) + network.leftovers()
    if left:
        raise Failure(
            "\n".join(["the cluster could not be removed completely:", *left]), "end these, then try again"
        )
    shutil.rmtree(state(), ignore_errors=False)
    console.print("  nothing is left: no process, mount, cgroup, interface or firewall rule of it")


def _exists() -> bool:
    return state().exists() and any(state().iterdir())


def _record(name: str = "cluster.json") -> dict[str, Any] | None:
    path = state() / name
    return json.loads(path.read_text()) if path.exists() else None


def _information(record: dict[str, Any]) -> dict[str, Any]:
    return {
        "kind": "registry",
        "context": NAME,
        "kubeconfig": str(state() / "kubeconfig"),
        "loader": "registry",
        "canPull": record["canPull"],
        "nodeAddress": record["node"],
        "hostAddress": Addresses(record["range"]).host,
        "kubectl": str(kubectl_path()),
    }


def _kubectl(*args: str, stdin: str | None = None, timeout: float = 20) -> str:
    command = [kubectl_path(), "--kubeconfig", state() / "kubeconfig", *args]
    return run(command, input=stdin, timeout=timeout)


def _healthy() -> bool:
    """The API server answers and says that the node is ready; at most a few seconds."""
    ready = '{.items[*].status.conditions[?(@.type=="Ready")].status}'
    try:
        return (
            _kubectl("get", "nodes", "-o", f"jsonpath={ready}", "--request-timeout=5s", timeout=8) == "True"
        )
    except Failure:
        return False


def _until(what: str, attempt: Any, seconds: float) -> None:
    """Try until it works; fail at once when the node has stopped, and say which component it was."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            attempt()
        except Failure as failure:
            if process.running(state()) is None or time.monotonic() > deadline:
                hint = f"read the logs in {state() / 'log'}; `make cluster-down` clears everything"
                raise Failure(
                    f"{what}: not within {seconds:.0f} s ({_why_stopped()})\n{failure}", hint
                ) from None
            time.sleep(0.3)
        else:
            return


def _why_stopped() -> str:
    """The cause that the node noted, with the last words of the component that ended."""
    note = state() / "stopped"
    if not note.exists():
        return (
            "it runs but is not ready"
            if process.running(state())
            else "it did not stop by itself (a restart?)"
        )
    reason = note.read_text()
    log = state() / "log" / f"{reason.split()[0]}.log"
    last = log.read_text(errors="replace").strip().splitlines()[-3:] if log.exists() else []
    return "\n  ".join([reason, *last])


def _reaches_public_images() -> bool:
    """Whether the largest public image registry answers (a refusal to list is an answer)."""
    try:
        urllib.request.urlopen("https://registry-1.docker.io/v2/", timeout=3)
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
    return True


@contextlib.contextmanager
def _locked() -> Iterator[None]:
    """One at a time for this user: two clones share one cluster."""
    with (state_dir() / "cluster.lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
