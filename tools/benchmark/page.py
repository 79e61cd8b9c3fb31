"""docs/performance.md, written from what was measured."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tools.benchmark.results import BUSY, Figure, Sample, Section
from tools.common import ROOT

PAGE = ROOT / "docs" / "performance.md"
TITLES = {
    "engine": "Preview and unchanged `up`",
    "up": "`up` until ready",
    "requests": "Requests a second",
    "memory": "Memory",
    "artifacts": "Artifacts",
    "jobs": "Job templates",
}
ASPECTS = ("median latency", "95th percentile", "per GB", "failed requests")
"""Endings of the names of samples that belong to another one."""
INTRO = """# Performance

Written by `make bench` (`python -m tools.bench --only SECTION` measures one section anew); do not edit.
Every figure is a ratio of two things measured in turns within one run on one machine, so that the machine's
own speed cancels out. Values are medians, with the smallest and largest in brackets.
"""


def write(sections: Mapping[str, Section], path: Path = PAGE) -> None:
    """Write the page."""
    path.parent.mkdir(exist_ok=True)
    path.write_text(page(sections))


def page(sections: Mapping[str, Section]) -> str:
    """The whole page; sections that were never measured are named as such."""
    parts = [INTRO, _summary(sections)]
    parts += [section_text(sections[name]) for name in TITLES if name in sections]
    missing = [name for name in TITLES if name not in sections]
    if missing:
        parts.append(f"Not measured yet: {', '.join(missing)}.\n")
    return "\n".join(parts)


def _summary(sections: Mapping[str, Section]) -> str:
    lines = ["| what | figure | goal | reached |", "|---|---|---|---|"]
    for name in TITLES:
        section = sections.get(name)
        for figure in section.figures if section else []:
            if section and figure.goal is not None:
                value, verdict = _value(figure, section), _verdict(figure, section)
                lines.append(f"| {figure.title} | {value} | {_goal(figure)} | {verdict} |")
    return "\n".join(lines) + "\n"


def section_text(section: Section) -> str:
    """One section: where and how it was measured, its figures, what they were computed from."""
    lines = [f"## {TITLES[section.name]}", "", _where(section), "", *section.setting, ""]
    lines += ["| ratio | figure | goal | reached |", "|---|---|---|---|"]
    for figure in section.figures:
        verdict = _verdict(figure, section) or ""
        lines.append(f"| {_what(figure)} | **{_value(figure, section)}** | {_goal(figure)} | {verdict} |")
    lines.append("")
    lines += [f"Missed: {figure.title}: {goal_text(figure, section)}.\n" for figure in section.missed()]
    lines += _measured(section)
    lines.append("")
    return "\n".join(lines)


def _measured(section: Section) -> list[str]:
    """What the figures were computed from: a row per sample, its further aspects as columns beside it."""
    samples = section.by_name
    aspects = [each for each in ASPECTS if any(name.endswith(f", {each}") for name in samples)]
    rows = [each for each in section.samples if not each.name.endswith(tuple(f", {one}" for one in ASPECTS))]
    lines = [
        "| " + " | ".join(["measured", "median", "range", *aspects]) + " |",
        "|---" * (3 + len(aspects)) + "|",
    ]
    for sample in rows:
        beside = [samples.get(f"{sample.name}, {each}") for each in aspects]
        texts = [f"{_number(each.median)} {each.unit}" if each else "" for each in beside]
        row = [sample.name, f"{_number(sample.median)} {sample.unit}", _range(sample), *texts]
        lines.append("| " + " | ".join(row) + " |")
    return lines


def goal_text(figure: Figure, section: Section) -> str:
    """Why a goal is missed: the distance, and what was measured about it."""
    text = f"{_value(figure, section)} where {_goal(figure)} is the goal; {figure.explanation}"
    if section.disturbed:
        text += f" (the machine was busy: {section.load:.1f} runnable processes per core at the start)"
    return text


def _where(section: Section) -> str:
    text = (
        f"Measured {section.measured} at commit {section.commit} on {section.machine}, "
        f"in {section.seconds:.0f} s."
    )
    if section.providers:
        kinds = ", ".join(f"{name} ({kind})" for name, kind in sorted(section.providers.items()))
        text += f" Provider plugins: {kinds}."
    if section.disturbed:
        text += (
            f" **The machine was busy with other work when this was measured** (load {section.load:.1f} per "
            f"core, {BUSY} is the most for a quiet one): measure again before relying on it."
        )
    return text


def _what(figure: Figure) -> str:
    return (
        f"{figure.title} ({figure.numerator} / {figure.denominator})" if figure.denominator else figure.title
    )


def _value(figure: Figure, section: Section) -> str:
    samples = section.by_name
    value = figure.value(samples)
    return f"{value:.2f}×" if figure.denominator else f"{_number(value)} {samples[figure.numerator].unit}"


def _goal(figure: Figure) -> str:
    if figure.goal is None:
        return ""
    sign = "≤" if figure.better == "lower" else "≥"
    return f"{sign} {figure.goal:g}" + ("×" if figure.denominator else "")


def _verdict(figure: Figure, section: Section) -> str:
    return {True: "yes", False: "**no**", None: ""}[figure.met(section.by_name)]


def _number(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _range(sample: Sample) -> str:
    if len(sample.values) == 1:
        return ""
    return f"({_number(min(sample.values))} to {_number(max(sample.values))}, {len(sample.values)} times)"
