"""The link between this machine and the node: one address range, one veth pair, four firewall rules.

The node lives in a network namespace of its own, so everything that Kubernetes adds to interfaces,
routes and firewall goes with it. Only what is in this file touches the machine's own network.
"""

from __future__ import annotations

import ipaddress
import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tools.cluster import NAME
from tools.common import Failure, run

LINK = f"{NAME}0"
DEFAULT_RANGE = "10.201.0.0/16"
_FORWARD = Path("/proc/sys/net/ipv4/ip_forward")


@dataclass(frozen=True)
class Addresses:
    """Every address of the cluster, cut from one /16."""

    range: str = DEFAULT_RANGE

    def __post_init__(self) -> None:
        if ipaddress.IPv4Network(self.range).prefixlen != 16:
            raise ValueError(f"{self.range} is not a /16")

    def _at(self, third: int, fourth: int) -> str:
        return str(ipaddress.IPv4Network(self.range)[third * 256 + fourth])

    @property
    def host(self) -> str:
        """This machine, as pods see it."""
        return self._at(0, 1)

    @property
    def node(self) -> str:
        """The node; NodePorts and the API server answer here."""
        return self._at(0, 2)

    @property
    def services(self) -> str:
        return f"{self._at(16, 0)}/20"

    @property
    def api_service(self) -> str:
        """Cluster IP of ``kubernetes.default``: always the first of the range."""
        return self._at(16, 1)

    @property
    def dns(self) -> str:
        return self._at(16, 10)

    @property
    def pods(self) -> str:
        """Pods of the one node; 254 addresses for at most 110 pods."""
        return f"{self._at(32, 0)}/24"


def wanted_addresses() -> Addresses:
    """The range to use: ``CLUSTER_RANGE`` (a /16), else :data:`DEFAULT_RANGE`."""
    text = os.environ.get("CLUSTER_RANGE") or DEFAULT_RANGE
    try:
        return Addresses(text)
    except ValueError as error:
        raise Failure(f"CLUSTER_RANGE={text}: {error}", "give a private /16 such as 10.202.0.0/16") from None


def overlapping(addresses: Addresses, routes: list[dict[str, str]]) -> list[str]:
    """Routes (as ``ip -json route`` prints them) of other interfaces that overlap the range."""
    wanted = ipaddress.IPv4Network(addresses.range)
    found = []
    for route in routes:
        if route["dst"] == "default" or route.get("dev") == LINK:
            continue
        if ipaddress.IPv4Network(route["dst"], strict=False).overlaps(wanted):
            found.append(f"{route['dst']} on {route.get('dev', '?')}")
    return found


def refuse_if_in_use(addresses: Addresses) -> None:
    """:raises Failure: when this machine already routes part of the range somewhere else."""
    found = overlapping(addresses, json.loads(run(["ip", "-json", "-4", "route"]) or "[]"))
    if found:
        raise Failure(
            f"{addresses.range}, which the cluster needs, is in use: {', '.join(found)}",
            "set CLUSTER_RANGE to a free private /16, for example CLUSTER_RANGE=10.202.0.0/16",
        )


def mtu() -> int:
    """MTU of the default route's interface (a larger one inside would lose big packets on the way out)."""
    routes = json.loads(run(["ip", "-json", "-4", "route", "show", "default"]) or "[]")
    device = routes[0].get("dev", "") if routes else ""
    path = Path("/sys/class/net") / device / "mtu"
    return min(1500, int(path.read_text())) if device and path.exists() else 1500


def rules(addresses: Addresses) -> list[list[str]]:
    """Firewall rules on this machine, each ``[table, chain, match and target…]``, marked by a comment.

    Pods reach this machine at its link address and the rest of the world behind it; nothing is opened
    for others.
    """
    mark = ["-m", "comment", "--comment", NAME]
    return [
        ["nat", "POSTROUTING", "-s", addresses.range, "!", "-o", LINK, *mark, "-j", "MASQUERADE"],
        ["filter", "FORWARD", "-i", LINK, *mark, "-j", "ACCEPT"],
        [
            *["filter", "FORWARD", "-o", LINK, "-m", "conntrack", "--ctstate", "RELATED,ESTABLISHED"],
            *[*mark, "-j", "ACCEPT"],
        ],
        ["filter", "INPUT", "-i", LINK, "-d", f"{addresses.host}/32", *mark, "-j", "ACCEPT"],
    ]


def connect(addresses: Addresses, pid: int) -> None:
    """Join this machine to the network namespace of process ``pid``; the node sees the other end as eth0."""
    size = str(mtu())
    pair = ["ip", "link", "add", LINK, "mtu", size, "type", "veth"]
    run([*pair, "peer", "name", "eth0", "mtu", size, "netns", str(pid)])
    run(["ip", "address", "add", f"{addresses.host}/24", "dev", LINK])
    run(["ip", "link", "set", LINK, "up"])
    for table, chain, *rest in rules(addresses):
        run(["iptables", "-w", "10", "-t", table, "-I", chain, *rest])


def disconnect(addresses: Addresses) -> None:
    """Take away the link and exactly the rules that :func:`connect` made; fine when there are none."""
    subprocess.run(["ip", "link", "delete", LINK], capture_output=True, check=False)
    for table, chain, *rest in rules(addresses):
        command = ["iptables", "-w", "10", "-t", table, "-D", chain, *rest]
        while subprocess.run(command, capture_output=True, check=False).returncode == 0:
            pass  # the same rule twice: an earlier start was cut off


def leftovers() -> list[str]:
    """What is still there of the link and the rules, one line each."""
    found = [f"interface {LINK}"] if (Path("/sys/class/net") / LINK).exists() else []
    for table in ("nat", "filter"):
        listing = run(["iptables", "-w", "10", "-t", table, "-S"])
        found += [f"rule {line}" for line in listing.splitlines() if f"--comment {NAME} " in line]
    return found


def forward(on: bool) -> None:
    """Turn IPv4 forwarding of this machine on or off."""
    _FORWARD.write_text("1" if on else "0")


def upstream_resolvers() -> list[str]:
    """DNS servers of this machine that a pod can reach: loopback ones are of no use to it."""
    # systemd-resolved shows the real servers in a file of its own
    for path in (Path("/run/systemd/resolve/resolv.conf"), Path("/etc/resolv.conf")):
        if path.exists():
            return usable_resolvers(path.read_text())
    return []


def usable_resolvers(text: str) -> list[str]:
    """The IPv4 name servers of a resolv.conf, without loopback ones."""
    servers = [
        line.split()[1]
        for line in text.splitlines()
        if line.split()[:1] == ["nameserver"] and line.split()[1:]
    ]
    return [s for s in servers if ":" not in s and not ipaddress.IPv4Address(s).is_loopback]
