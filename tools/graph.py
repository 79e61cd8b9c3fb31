"""The page ``docs/<stack>-resources.md``: what a stack is made of, drawn from its offline plan.

One box per component, an arrow from each component to those that wait for it, and a table of the resources.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping

from tools.offline import Plan, Resource, run

Edges = dict[str, set[str]]
"""What comes first → what waits for it."""


def resources_page(stack: str) -> str:
    """The page of a stack of this repository, as Markdown with a Mermaid graph."""
    return page_of(run(stack))


def page_of(plan: Plan) -> str:
    """The page of a plan."""
    made = sum(1 for one in plan.resources if not one.component and not one.read)
    return "\n".join(
        [
            f"# What the {plan.stack} stack is made of",
            "",
            f"Drawn by `make docs` from `make plan STACK={plan.stack}`: {made} resources, as "
            f"`Pulumi.{plan.stack}.yaml` stands.",
            "A box is a component; an arrow leads to what waits for it.",
            "",
            "```mermaid",
            *_mermaid(plan),
            "```",
            "",
            "| component | resources |",
            "|---|---|",
            *_rows(plan),
            "",
        ]
    )


def _mermaid(plan: Plan) -> Iterable[str]:
    owners = _owners(plan)
    boxes = [one for one in plan.resources if one.component and one.urn in set(owners.values())]
    number = {one.urn: f"c{index}" for index, one in enumerate(boxes)}
    yield "flowchart LR"
    by_room: Mapping[str, list[Resource]] = defaultdict(list)
    for one in boxes:
        by_room[_room(one)].append(one)
    for room, members in sorted(by_room.items()):
        yield f"  subgraph {room}"
        yield from (f'    {number[one.urn]}["{one.name}"]' for one in members)
        yield "  end"
    for first, waiting in _thinned(_edges(plan, owners)).items():
        yield from (f"  {number[first]} --> {number[one]}" for one in sorted(waiting, key=list(number).index))


def _room(component: Resource) -> str:
    """The middle of ``mlflow:<room>:<Name>``."""
    return component.type.split(":")[1]


def _owners(plan: Plan) -> dict[str, str]:
    """The component of each resource that is in one, by URN.

    A component inside one that has resources of its own, such as the role of a cluster, is a part of it.
    """
    by_urn = {one.urn: one for one in plan.resources}
    having = {one.parent for one in plan.resources if not one.component}
    owners = {}
    for one in plan.resources:
        above = _component_above(one, by_urn)
        while above and (parent := _component_above(above, by_urn)) and parent.urn in having:
            above = parent
        if above and not one.component:
            owners[one.urn] = above.urn
    return owners


def _component_above(resource: Resource, by_urn: Mapping[str, Resource]) -> Resource | None:
    above = by_urn.get(resource.parent)
    while above is not None and not above.component:
        above = by_urn.get(above.parent)
    return above


def _edges(plan: Plan, owners: Mapping[str, str]) -> Edges:
    edges: Edges = {owner: set() for owner in dict.fromkeys(owners.values())}
    for one in plan.resources:
        for needed in one.depends_on:
            first, waits = owners.get(needed), owners.get(one.urn)
            if first and waits and first != waits:
                edges[first].add(waits)
    return edges


def _thinned(edges: Edges) -> Edges:
    """Without the arrows that a longer way says already; what can be reached stays the same."""
    kept = {first: set(waiting) for first, waiting in edges.items()}
    for first in kept:
        for one in sorted(kept[first]):
            kept[first].discard(one)
            if one not in _reached(kept, first):
                kept[first].add(one)
    return kept


def _reached(edges: Edges, start: str) -> set[str]:
    seen: set[str] = set()
    waiting = [start]
    while waiting:
        for one in edges[waiting.pop()] - seen:
            seen.add(one)
            waiting.append(one)
    return seen


def _rows(plan: Plan) -> Iterable[str]:
    owners = _owners(plan)
    for component in (one for one in plan.resources if one.component):
        own = [one for one in plan.resources if owners.get(one.urn) == component.urn]
        if own:
            yield f"| {component.name} | {', '.join(_counted(own))} |"


def _counted(resources: list[Resource]) -> Iterable[str]:
    """Each kind with its number, protected ones marked, as ``2 × ec2 Subnet``."""
    for (kind, protected), number in sorted(Counter((_kind(one), one.protect) for one in resources).items()):
        yield f"{f'{number} × ' if number > 1 else ''}{kind}{' (protected)' if protected else ''}"


def _kind(resource: Resource) -> str:
    """``aws:rds/instance:Instance`` as ``rds Instance``; Kubernetes' kinds by their name alone."""
    package, module, name = resource.type.split(":")
    if package in ("kubernetes", "random"):
        return name
    return f"{package if module.startswith('index') else module.partition('/')[0]} {name}"
