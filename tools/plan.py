"""``make plan STACK=s [OUT=f.json]``: what the program would ask for, without a CLI, credentials or cluster.

Nothing is guessed: what only the cloud or the cluster knows reads ``[unknown]``, secrets read ``[secret]``.
The same checks as in the tests run on the way; a mistake they find ends the command with exit code 1.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from tools.common import ROOT, cli, console, step
from tools.offline import Answers, Plan, Resource, run
from tools.offline.wire import plain


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="make plan", description="Show what the program would create, offline."
    )
    parser.add_argument("--stack", default="dev", help="the stack to plan (default: dev)")
    parser.add_argument("--out", type=Path, help="write the plan as JSON to this file")
    options = parser.parse_args(arguments)
    with step(f"Planning stack {options.stack} offline"):
        plan = offline(options.stack)
    show(plan)
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps(plan.to_json(), indent=2) + "\n")
        console.print(f"Wrote {options.out}")
    return report(plan)


def offline(
    stack: str,
    answers: Answers | None = None,
    overrides: Mapping[str, Any] | None = None,
    root: Path = ROOT,
) -> Plan:
    """Plan a stack of this checkout, with the secrets and images it keeps in ``.local``.

    :param overrides: settings put over the stack's own, such as ``{"namespace": "bench"}``.

    :raises Failure: when the program refuses its settings, with every mistake in it.
    """
    return run(stack, answers=answers, overrides=overrides, local=True, root=root)


def report(plan: Plan) -> int:
    """Print what the program logged and what the checks found; the exit code says whether they found any."""
    for severity, text in plan.messages:
        console.print(f"[yellow]{severity}:[/] {escape(text)}")
    for problem in plan.problems:
        console.print(f"[bold red]Mistake:[/] {escape(problem)}")
    if plan.problems:
        console.print("[bold]What to do:[/] mend the component that makes the resource named above")
    return 1 if plan.problems else 0


def show(plan: Plan) -> None:
    """Print the resources as a tree, then the outputs."""
    out = Console(width=None if sys.stdout.isatty() else 160, highlight=False, emoji=False)
    tree = _table("Resource", "Type", "Options")
    names = {resource.urn: resource.name for resource in plan.resources}
    known = names.keys()
    children: dict[str, list[Resource]] = {}
    for resource in plan.resources:
        children.setdefault(resource.parent if resource.parent in known else "", []).append(resource)
    for branch, resource in _branches(children, "", ""):
        name = f"[bold]{escape(resource.name)}[/]" if resource.component else escape(resource.name)
        tree.add_row(f"[dim]{branch}[/]{name}", f"[dim]{resource.type}[/]", escape(_notes(resource, names)))
    out.print(tree)
    managed = sum(1 for resource in plan.resources if not resource.component and not resource.read)
    components = sum(1 for resource in plan.resources if resource.component)
    out.print(f"\n{managed} resources in {components} components\n")
    outputs = _table("Output", "Value")
    for name, value in sorted(plan.outputs.items()):
        outputs.add_row(name, escape(_one_line(plain(value))))
    out.print(outputs)


def _table(*columns: str) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _branches(
    children: dict[str, list[Resource]], parent: str, indent: str
) -> Iterator[tuple[str, Resource]]:
    """Every resource below ``parent`` with the lines that draw it into a tree."""
    below = children.get(parent, [])
    for resource in below:
        last = resource is below[-1]
        yield (indent + ("└─ " if last else "├─ ")) if parent else "", resource
        deeper = indent + ("   " if last else "│  ") if parent else ""
        yield from _branches(children, resource.urn, deeper)


def _notes(resource: Resource, names: dict[str, str]) -> str:
    """The options that a reviewer looks for: what is guarded, and what waits for what beyond its inputs."""
    notes = []
    if resource.read:
        notes.append("existing")
    if resource.protect:
        notes.append("protected")
    if resource.retain_on_delete:
        notes.append("kept on delete")
    from_inputs = {urn for urns in resource.property_depends_on.values() for urn in urns}
    after = {names.get(urn, urn) for urn in set(resource.depends_on) - from_inputs}
    if after:
        notes.append(f"after {', '.join(sorted(after))}")
    timeouts = resource.options.get("customTimeouts", {})
    if timeouts:
        notes.append(f"waits at most {', '.join(dict.fromkeys(timeouts.values()))}")
    shown = {
        key: value for key, value in resource.options.items() if key not in ("version", "customTimeouts")
    }
    notes += [f"{key} {_one_line(value)}" for key, value in shown.items()]
    return "; ".join(notes)


def _one_line(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


if __name__ == "__main__":
    cli(main)
