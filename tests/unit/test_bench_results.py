"""The benchmark's arithmetic: ratios, verdicts, memory read from a cgroup, sections merged."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools import bench
from tools.benchmark import results
from tools.benchmark.engine import awaited
from tools.benchmark.pods import working_set
from tools.benchmark.results import Figure, Sample, Section
from tools.benchmark.serving import workers_of
from tools.common import Failure


def sample(name: str, *values: float) -> Sample:
    return Sample(name=name, unit="s", values=list(values))


def section(name: str = "up", **more: object) -> Section:
    figure = Figure(title="up", numerator="ours", denominator="theirs", goal=1.25)
    samples = [sample("ours", 12.0), sample("theirs", 10.0)]
    return Section(name=name, samples=samples, figures=[figure], **more)  # type: ignore[arg-type]


def test_a_ratio_is_of_medians_so_that_one_slow_round_does_not_decide() -> None:
    figure = Figure(title="t", numerator="ours", denominator="theirs")
    samples = {"ours": sample("ours", 2.0, 90.0, 3.0), "theirs": sample("theirs", 1.5, 1.0, 40.0)}
    assert figure.value(samples) == 2.0


def test_a_figure_without_denominator_is_the_median_itself() -> None:
    assert Figure(title="t", numerator="ours").value({"ours": sample("ours", 1.0, 5.0, 3.0)}) == 3.0


@pytest.mark.parametrize(
    ("better", "goal", "met"),
    [("lower", 1.2, True), ("lower", 1.19, False), ("higher", 1.2, True), ("higher", 1.21, False)],
)
def test_a_goal_counts_as_met_on_its_own_side_only(better: str, goal: float, met: bool) -> None:
    figure = Figure(title="t", numerator="ours", denominator="theirs", goal=goal, better=better)  # type: ignore[arg-type]
    assert figure.met({"ours": sample("ours", 6.0), "theirs": sample("theirs", 5.0)}) is met


def test_without_a_goal_there_is_no_verdict_and_nothing_is_missed() -> None:
    figure = Figure(title="t", numerator="ours")
    assert figure.met({"ours": sample("ours", 6.0)}) is None
    assert Section(name="up", samples=[sample("ours", 6.0)], figures=[figure]).missed() == []


def test_a_section_measured_again_replaces_its_own_figures_and_no_others(tmp_path: Path) -> None:
    record = tmp_path / "new" / "benchmark.json"
    results.merge([section("up", commit="old"), section("memory", commit="old")], record)
    results.merge([section("up", commit="new")], record)
    known = results.read(record)
    assert {name: each.commit for name, each in known.items()} == {"up": "new", "memory": "old"}


def test_what_is_read_back_is_what_was_written(tmp_path: Path) -> None:
    written = section(setting=["so"], providers={"kubernetes": "stand-in"}, load=0.2, seconds=3.0)
    results.merge([written], tmp_path / "benchmark.json")
    assert results.read(tmp_path / "benchmark.json") == {"up": written}


def test_nothing_measured_yet_reads_as_no_sections(tmp_path: Path) -> None:
    assert results.read(tmp_path / "missing.json") == {}


def test_a_section_measured_under_other_load_is_marked() -> None:
    assert section(load=results.BUSY + 0.1).disturbed
    assert not section(load=results.BUSY).disturbed


def test_working_set_leaves_inactive_page_cache_out_on_cgroup_v2() -> None:
    assert working_set("1000\nanon 500\ninactive_file 300\nactive_file 100\n") == 700


def test_working_set_counts_the_whole_hierarchy_on_cgroup_v1() -> None:
    assert working_set("1000\ncache 9\ninactive_file 1\ntotal_inactive_file 400\n") == 600


def test_workers_are_read_from_the_command_and_default_to_mlflows_four() -> None:
    assert workers_of(["mlflow", "server", "--workers=2"]) == 2
    assert workers_of(["mlflow", "server"]) == 4


def test_waits_are_read_from_what_up_said_for_the_gates_only() -> None:
    lines = ["Secret mlflow-a (0.6 s)", "StatefulSet mlflow-b (6.9 s)", "Job c (7.0 s)"]
    said = "\n".join(f"  ✓ created {line}" for line in lines)
    assert awaited(said) == {"StatefulSet": 6.9, "Job": 7.0}


def test_an_unknown_section_is_refused_with_those_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(Failure, match="unknown section speed") as caught:
        bench.main(["--only", "up,speed"])
    assert "requests" in caught.value.hint
