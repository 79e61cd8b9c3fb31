"""Sections `requests` and `memory`: the server against one with default flags, under the same load."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tools.benchmark import baseline
from tools.benchmark.place import Bench, say
from tools.benchmark.pods import address, memory, ready, run_script, server_pod, state
from tools.benchmark.results import Figure, Sample, Section
from tools.common import Failure, step

CONNECTIONS = 8
WORKLOADS = ("log-metric", "search-runs for the best run", "search-runs, a page of 20")
OURS, DEFAULT, UVLOOP = "this stack", "default server", "default server with uvloop"
PODS = {DEFAULT: "bench-default", UVLOOP: "bench-default-uvloop"}
FAILED = "failed requests to this stack"
RATE_GOAL = 1.5
MEMORY_GOAL = 600.0
"""MB; issue 3, part 11."""
PORT = 5000
START_LIMIT = 180
SETTLE = 15
"""Seconds after the last server is ready: the default one starts its job consumers behind its back."""


@dataclass(frozen=True, kw_only=True)
class Contest:
    """The stack beside one default server.

    :ivar lines: what the load generator told, a measurement each.
    :ivar idle: memory of the default server before, in MB.
    :ivar loaded: memory of both after, in MB.
    """

    rival: str
    lines: list[dict[str, Any]]
    idle: float
    loaded: Mapping[str, float]

    def of(self, system: str, workload: str) -> list[dict[str, Any]]:
        return [each for each in self.lines if (each["system"], each["workload"]) == (system, workload)]


@dataclass(frozen=True, kw_only=True)
class Trial:
    """Under which conditions the load ran.

    :ivar seconds: of each measurement, after a warm-up of a quarter of that.
    :ivar cpu: CPU limit of every server, that of the stack's.
    :ivar workers: processes of the stack's server.
    """

    rounds: int
    seconds: float
    cpu: str
    workers: int


def sections(bench: Bench, *, rounds: int, seconds: float) -> list[Section]:
    """Start the default servers beside the stack, load all in turns, and read their memory before and after.

    :param seconds: of each measurement, after a warm-up of a quarter of that.
    """
    bench.ensure_up()
    reference = baseline.image()
    server = server_pod()
    container = server["spec"]["containers"][0]
    trial = Trial(
        rounds=rounds,
        seconds=seconds,
        cpu=container["resources"]["limits"]["cpu"],
        workers=workers_of(container["command"]),
    )
    ours = server["metadata"]["name"]
    idle = {OURS: memory(ours)}
    contests = [
        _contest(ours, rival, baseline.Server(name=pod, uvloop=rival == UVLOOP), reference, trial)
        for rival, pod in PODS.items()
    ]
    for contest in contests:
        idle[contest.rival] = contest.idle
    loaded = {contest.rival: contest.loaded[contest.rival] for contest in contests}
    loaded[OURS] = contests[-1].loaded[OURS]
    return [_requests(contests, trial), _memory(idle, loaded, sum(len(each.lines) for each in contests))]


def _contest(ours: str, rival: str, server: baseline.Server, reference: str, trial: Trial) -> Contest:
    """Load the stack and one default server in turns; no other server is there meanwhile."""
    baseline.start(reference, server, trial.cpu)
    try:
        with step(f"{rival} starts"):
            ready(server.name, START_LIMIT)
            time.sleep(SETTLE)
        idle = memory(server.name)
        pods = {OURS: ours, rival: server.name}
        lines = _load(pods, trial)
        return Contest(
            rival=rival, lines=lines, idle=idle, loaded={name: memory(pod) for name, pod in pods.items()}
        )
    finally:
        baseline.stop(server)


def workers_of(command: list[str]) -> int:
    """The number of worker processes that a server's command line asks for; MLflow's default is 4."""
    given = [word.partition("=")[2] for word in command if word.startswith("--workers=")]
    return int(given[-1]) if given else 4


def _load(pods: Mapping[str, str], trial: Trial) -> list[dict[str, Any]]:
    plan = {
        "systems": [{"name": name, "host": address(pod), "port": PORT} for name, pod in pods.items()],
        "workloads": WORKLOADS,
        "connections": CONNECTIONS,
        "rounds": trial.rounds,
        "seconds": trial.seconds,
        "warmup": trial.seconds / 4,
    }
    turns = trial.rounds * len(WORKLOADS) * len(pods)
    expected = turns * trial.seconds * 1.25
    try:
        with step(f"load over {CONNECTIONS} connections, {turns} measurements ({expected:.0f} s)"):
            return run_script("load.py", plan, int(expected * 2 + 180), _tell)
    except Failure as failure:
        told = "\n".join(state(pod) for pod in pods.values())
        raise Failure(f"{failure}\n{told}", failure.hint) from None


def _tell(line: dict[str, Any]) -> None:
    say(
        f"{line['workload']} on {line['system']}: {line['rate']:.0f} req/s, "
        f"p50 {line['p50'] * 1000:.0f} ms, p95 {line['p95'] * 1000:.0f} ms"
    )


def _requests(contests: list[Contest], trial: Trial) -> Section:
    samples: list[Sample] = []
    figures: list[Figure] = []
    for workload in WORKLOADS:
        for contest in contests:
            made = [
                sample for system in (OURS, contest.rival) for sample in _samples(contest, system, workload)
            ]
            samples += made
            figures += _figures(contest, workload, {sample.name: sample for sample in made}, trial)
    total = sum(line["requests"] for each in contests for line in each.lines if line["system"] == OURS)
    failed = sum(line["failed"] for each in contests for line in each.lines if line["system"] == OURS)
    samples.append(Sample(name=FAILED, unit=f"of {total}", values=[failed]))
    figures.append(Figure(title=FAILED, numerator=FAILED, goal=0, explanation="see `make logs` under load"))
    return Section(
        name="requests",
        samples=samples,
        figures=figures,
        setting=[
            f"Closed loop over {CONNECTIONS} keep-alive connections from a pod, {trial.rounds} rounds of "
            f"{trial.seconds:g} s after warm-up, systems in turns; every server has a CPU limit of "
            f"{trial.cpu} and a database of its own in the same PostgreSQL; servers, PostgreSQL and load "
            "share the machine's cores.",
            "Default server: `mlflow server --host 0.0.0.0` of the same version from a plain `pip install "
            f"mlflow psycopg2-binary`, memory limit {baseline.MEMORY_LIMIT}; per GB is by the memory after "
            "the load.",
            "Searches go through an experiment of 50 runs with 5 parameters and 5 metrics each, ordered by "
            "one of the metrics; each connection logs to a run of its own.",
        ],
    )


def _name(contest: Contest, system: str, workload: str) -> str:
    return f"{workload}, {system}" + (f" beside {contest.rival}" if system == OURS else "")


def _samples(contest: Contest, system: str, workload: str) -> list[Sample]:
    lines, name = contest.of(system, workload), _name(contest, system, workload)
    failed = sum(line["failed"] for line in lines)
    values = {
        ("", "req/s"): [line["rate"] for line in lines],
        (", median latency", "ms"): [1e3 * line["p50"] for line in lines],
        (", 95th percentile", "ms"): [1e3 * line["p95"] for line in lines],
        (", per GB", "req/s/GB"): [1e3 * line["rate"] / contest.loaded[system] for line in lines],
    }
    samples = [Sample(name=f"{name}{what}", unit=unit, values=each) for (what, unit), each in values.items()]
    if failed:
        samples.append(Sample(name=f"{name}, failed requests", unit="", values=[failed]))
    return samples


def _figures(contest: Contest, workload: str, samples: Mapping[str, Sample], trial: Trial) -> list[Figure]:
    ours, theirs = (_name(contest, system, workload) for system in (OURS, contest.rival))
    if contest.rival != DEFAULT:
        title = f"{workload}, against it with uvloop"
        return [Figure(title=title, numerator=ours, denominator=theirs, better="higher")]
    latency = {name: samples[f"{name}, median latency"].median for name in (ours, theirs)}
    why = (
        f"a request takes {latency[ours]:.0f} ms here and {latency[theirs]:.0f} ms there at the median; "
        f"this stack serves with {trial.workers} worker process(es) to stay within its memory goal, the "
        "default server with four, and both share the cores with PostgreSQL and the load"
    )
    goal = {"goal": RATE_GOAL, "better": "higher", "explanation": why}
    per_gb = f"{workload} per GB of memory"
    return [
        Figure(title=workload, numerator=ours, denominator=theirs, **goal),
        Figure(title=per_gb, numerator=f"{ours}, per GB", denominator=f"{theirs}, per GB", better="higher"),
    ]


def _memory(idle: Mapping[str, float], loaded: Mapping[str, float], measurements: int) -> Section:
    samples = [
        Sample(name=f"{system}, {state}", unit="MB", values=[found[system]])
        for system in (OURS, DEFAULT, UVLOOP)
        for state, found in (("idle", idle), ("after load", loaded))
    ]
    grown = loaded[OURS] - idle[OURS]
    why = (
        f"{idle[OURS]:.0f} MB are there before the first request (the code of MLflow and what it imports), "
        f"{grown:.0f} MB came with the load"
    )
    absolute = [
        Figure(title=f"a replica, {state}", numerator=f"{OURS}, {state}", goal=MEMORY_GOAL, explanation=why)
        for state in ("idle", "after load")
    ]
    ratio = Figure(
        title="a replica against the default server, after load",
        numerator=f"{OURS}, after load",
        denominator=f"{DEFAULT}, after load",
    )
    return Section(
        name="memory",
        samples=samples,
        figures=[*absolute, ratio],
        setting=[
            "Working set of the pod, read from its cgroup as Kubernetes counts it, before and after "
            f"{measurements} load measurements.",
        ],
    )
