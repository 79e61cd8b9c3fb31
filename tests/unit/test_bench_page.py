"""docs/performance.md: what it says follows from what was measured."""

from __future__ import annotations

from dataclasses import replace

from tools.benchmark import page
from tools.benchmark.results import Figure, Sample, Section

SECTION = Section(
    name="up",
    samples=[
        Sample(name="up", unit="s", values=[30.0, 32.0, 40.0]),
        Sample(name="kubectl apply", unit="s", values=[20.0, 16.0, 25.0]),
    ],
    figures=[
        Figure(
            title="up until ready",
            numerator="up",
            denominator="kubectl apply",
            goal=1.25,
            explanation="the engine starts first",
        )
    ],
    setting=["On a running cluster."],
    providers={"kubernetes": "stand-in", "random": "official"},
    load=0.1,
    measured="2026-01-02 03:04 UTC",
    commit="abc1234",
    machine="2 cores, 24 GiB",
    seconds=90.0,
)


def fast(section: Section) -> Section:
    """The same with the goal reached."""
    return replace(section, samples=[Sample(name="up", unit="s", values=[21.0]), section.samples[1]])


def test_the_page_names_date_machine_commit_and_providers() -> None:
    text = page.page({"up": SECTION})
    for word in ("2026-01-02", "2 cores, 24 GiB", "abc1234", "kubernetes (stand-in)", "random (official)"):
        assert word in text


def test_a_missed_goal_is_stated_with_its_distance_and_reason() -> None:
    text = page.section_text(SECTION)
    assert "**1.60×** | ≤ 1.25× | **no**" in text
    assert "Missed: up until ready: 1.60× where ≤ 1.25× is the goal; the engine starts first." in text


def test_a_reached_goal_has_no_excuse() -> None:
    text = page.section_text(fast(SECTION))
    assert "**1.05×** | ≤ 1.25× | yes" in text
    assert "Missed" not in text
    assert "the engine starts first" not in text


def test_the_summary_lists_only_figures_with_a_goal() -> None:
    free = Figure(title="freely told", numerator="up", denominator="kubectl apply")
    summary = page.page({"up": replace(SECTION, figures=[*SECTION.figures, free])}).split("## ")[0]
    assert "| up until ready | 1.60× | ≤ 1.25× | **no** |" in summary
    assert "freely told" not in summary


def test_medians_stand_with_their_range_and_number() -> None:
    assert "| up | 32.0 s | (30.0 to 40.0, 3 times) |" in page.section_text(SECTION)


def test_a_busy_machine_is_told_beside_the_figures_and_in_the_reason() -> None:
    text = page.section_text(replace(SECTION, load=3.0))
    assert "busy with other work" in text
    assert "the machine was busy: 3.0 runnable processes per core" in text
    assert "busy" not in page.section_text(SECTION)


def test_sections_never_measured_are_named() -> None:
    assert "Not measured yet: engine, requests, memory, artifacts, jobs." in page.page({"up": SECTION})


def test_an_absolute_figure_carries_its_unit() -> None:
    figure = Figure(title="a replica", numerator="ours", goal=600.0, explanation="imports")
    memory = Section(
        name="memory", samples=[Sample(name="ours", unit="MB", values=[612.0])], figures=[figure]
    )
    assert "| a replica | **612 MB** | ≤ 600 | **no** |" in page.section_text(memory)


def test_latency_and_failures_stand_beside_the_rate_they_belong_to() -> None:
    rate = Sample(name="log-metric", unit="req/s", values=[200.0])
    latency = Sample(name="log-metric, median latency", unit="ms", values=[40.0])
    text = page.section_text(replace(SECTION, samples=[*SECTION.samples, rate, latency]))
    assert "| measured | median | range | median latency |" in text
    assert "| log-metric | 200 req/s |  | 40.0 ms |" in text
    assert "| up | 32.0 s | (30.0 to 40.0, 3 times) |  |" in text
