"""Sections `engine` and `up`: what the program costs over an empty one, and over kubectl."""

from __future__ import annotations

import json
import re
import shutil
import time
from collections.abc import Callable
from pathlib import Path

from tools.benchmark.place import (
    NAMESPACE,
    PLAIN_NAMESPACE,
    STACK,
    Bench,
    Project,
    dev_settings,
    kubectl,
    providers,
    remove_namespaces,
    say,
)
from tools.benchmark.results import Figure, Sample, Section
from tools.common import step
from tools.offline import run
from tools.offline.rendered import Rendered
from tools.render import Manifest, manifests, write

UNCHANGED_GOAL = 1.5
EMPTY, PROVIDERS = "an empty program", "a program with both providers and one password"
UP_GOAL = 1.25
WAIT_LIMIT = 300
GATES = ("StatefulSet", "Job", "Deployment")
"""Kinds that what comes after them waits for."""


def unchanged(bench: Bench, rounds: int) -> Section:
    """Preview and `up` of a stack that is up, against the same verbs on an empty program."""
    bench.ensure_up()
    projects = {"dev": bench.mlflow, EMPTY: bench.empty, PROVIDERS: bench.providers}
    for project in (bench.empty, bench.providers):
        project.verb("up")  # the first one makes the stack in its state
    found: dict[str, list[float]] = {}
    for number in range(rounds):
        for verb in ("preview", "up"):
            for name in list(projects) if number % 2 == 0 else reversed(list(projects)):
                seconds = projects[name].verb(verb)
                found.setdefault(f"{verb} of {name}", []).append(seconds)
                say(f"{verb} of {name}: {seconds:.2f} s")
    samples = [Sample(name=name, unit="s", values=values) for name, values in found.items()]
    return Section(
        name="engine",
        samples=samples,
        figures=[_unchanged_figure(verb, found) for verb in ("preview", "up")],
        setting=[
            f"Whole verbs as a person waits for them, {_resources(bench.mlflow)} resources in dev, nothing "
            "to change; all programs in throw-away projects with a state in a local folder.",
        ],
        providers=providers(),
    )


def _unchanged_figure(verb: str, found: dict[str, list[float]]) -> Figure:
    dev, empty, providers_only = (min(found[f"{verb} of {name}"]) for name in ("dev", EMPTY, PROVIDERS))
    return Figure(
        title=f"unchanged {verb}" if verb == "up" else verb,
        numerator=f"{verb} of dev",
        denominator=f"{verb} of {EMPTY}",
        goal=UNCHANGED_GOAL,
        explanation=(
            f"dev takes {dev - empty:.1f} s more than the empty program at best; of that, starting both "
            f"provider plugins takes {providers_only - empty:.1f} s, the Kubernetes SDK and checking "
            f"every resource {dev - providers_only:.1f} s"
        ),
    )


def _resources(project: Project) -> int:
    """Resources in the state of a project."""
    states = list((project.folder / ".local" / "state").rglob(f"stacks/**/{STACK}.json"))
    state = json.loads(states[0].read_text())
    return len(state["checkpoint"]["latest"]["resources"])


def fresh(bench: Bench, rounds: int) -> Section:
    """`up` of a new stack until ready, against kubectl with the same objects and the same waits."""
    up, plain = [], []
    waits: dict[str, list[float]] = {}

    def ours() -> None:
        if bench.is_up:
            bench.take_down()
            remove_namespaces("what is left of the stack", NAMESPACE)
        up.append(bench.up())
        _note(waits, "up", awaited(bench.mlflow.said))

    def theirs() -> None:
        seconds, took = _apply(bench, bench.folder / "manifests")
        plain.append(seconds)
        _note(waits, "kubectl", took)
        remove_namespaces("what kubectl made", PLAIN_NAMESPACE)

    for number in range(rounds):
        turns: list[Callable[[], None]] = [ours, theirs]
        for turn in turns if number % 2 == 0 else turns[::-1]:
            turn()
    samples = [Sample(name="up", unit="s", values=up), Sample(name="kubectl apply", unit="s", values=plain)]
    samples += [Sample(name=name, unit="s", values=values) for name, values in sorted(waits.items())]
    ours_waits, their_waits = (
        sum(min(values) for name, values in waits.items() if name.startswith(who))
        for who in ("up", "kubectl")
    )
    figure = Figure(
        title="up until ready",
        numerator="up",
        denominator="kubectl apply",
        goal=UP_GOAL,
        explanation=(
            f"at best `up` waits {ours_waits:.1f} s for database, migration and server and kubectl "
            f"{their_waits:.1f} s; beyond these waits, `up` takes {min(up) - ours_waits:.1f} s (opening the "
            "stack, the engine and its providers, each object by itself, reading outputs back) and kubectl "
            f"{min(plain) - their_waits:.1f} s"
        ),
    )
    return Section(
        name="up",
        samples=samples,
        figures=[figure],
        setting=[
            "A new namespace with PostgreSQL, migration and server on a running cluster that has the images; "
            "kubectl applies what `make render` writes, with the same gates: the database ready before the "
            "migration starts, the migration complete before the server.",
        ],
        providers=providers(),
    )


def awaited(said: str) -> dict[str, float]:
    """Kind of each object that was waited for, and the seconds it took, from what `up` said."""
    found = re.findall(rf"created ({'|'.join(GATES)}) \S+ \((\d+\.\d) s\)", said)
    return {kind: float(seconds) for kind, seconds in found}


def _note(waits: dict[str, list[float]], who: str, took: dict[str, float]) -> None:
    for kind, seconds in took.items():
        waits.setdefault(f"{who}, of this the {kind}", []).append(seconds)


def _apply(bench: Bench, folder: Path) -> tuple[float, dict[str, float]]:
    """Apply the rendered manifests with the program's own waits between them.

    :returns: seconds, and those of the objects waited for, by kind.
    """
    root = Project(
        folder,
        dev_settings(PLAIN_NAMESPACE, bench.ports[1]),
        (bench.mlflow.folder / "__main__.py").read_text(),
    )
    try:
        rendered = manifests(
            run(STACK, answers=Rendered(fresh=True), local=True, root=root.folder), show_secrets=True
        )
        gates = _gates(rendered)
        folders = []
        for number, part in enumerate(gates):
            folders.append(folder / f"part-{number}")
            write(folders[-1], part, private=True)
        with step("kubectl apply and the same waits"):
            start = time.monotonic()
            took: dict[str, float] = {}
            for part, path in zip(gates, folders, strict=True):
                kubectl("apply", "--server-side", "-f", str(path), timeout=90)
                applied = time.monotonic()
                took |= dict.fromkeys(_wait(part), time.monotonic() - applied)
            return time.monotonic() - start, took
    finally:
        shutil.rmtree(folder)


def _gates(rendered: list[Manifest]) -> list[list[Manifest]]:
    """The objects in three parts: up to the database, the migration, the server."""
    parts: list[list[Manifest]] = [[] for _ in GATES]
    for one in rendered:
        kind = one.content["kind"]
        parts[GATES.index(kind) if kind in GATES else 0].append(one)
    return parts


def _wait(part: list[Manifest]) -> list[str]:
    """Wait for what is a gate; its kind."""
    limit = f"--timeout={WAIT_LIMIT}s"
    waited = [one for one in part if one.content["kind"] in GATES]
    for one in waited:
        kind, name = one.content["kind"], one.content["metadata"]["name"]
        words = ("wait", "--for=condition=complete") if kind == "Job" else ("rollout", "status")
        kubectl(*words, f"{kind}/{name}", "-n", PLAIN_NAMESPACE, limit, timeout=WAIT_LIMIT + 10)
    return [one.content["kind"] for one in waited]
