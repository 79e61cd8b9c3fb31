"""`make test`: which tiers run with what, which verdict they end in, and what the sample holds."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests import conftest as sampling
from tests.unit.test_local_code import commit, git
from tools import test as verb

pytestmark = pytest.mark.unit


class Tiers:
    """Runs of pytest that end at once.

    :ivar codes: tier → its exit code, where that is not 0.
    :ivar skips: tier → the reasons for which tests were skipped.
    :ivar ran: tier → the arguments after its folder, in the order of the runs.
    """

    def __init__(self) -> None:
        self.codes: dict[str, int] = {}
        self.skips: dict[str, list[str]] = {}
        self.ran: dict[str, list[str]] = {}

    def run(self, command: list[str], **_: object) -> SimpleNamespace:
        tier = Path(command[3]).name
        self.ran[tier] = command[4:]
        (told,) = [word.removeprefix("--junitxml=") for word in command if word.startswith("--junitxml=")]
        reasons = [f'<testcase><skipped message="{each}"/></testcase>' for each in self.skips.get(tier, [])]
        Path(told).write_text(f"<testsuites><testsuite>{''.join(reasons)}</testsuite></testsuites>")
        return SimpleNamespace(returncode=self.codes.get(tier, 0))


@pytest.fixture
def tiers(monkeypatch: pytest.MonkeyPatch) -> Tiers:
    made = Tiers()
    monkeypatch.setattr(verb, "subprocess", made)
    return made


def test_every_tier_runs_although_one_failed_and_the_verdict_tells_of_each(
    tiers: Tiers, capsys: pytest.CaptureFixture[str]
) -> None:
    tiers.codes = {"program": 1, "engine": 2}
    assert verb.main(["--seed", "s"]) == 1
    assert tuple(tiers.ran) == verb.TIERS == ("unit", "program", "emulators", "engine", "cluster")
    verdict = capsys.readouterr().err.splitlines()[-len(verb.TIERS) - 1 :]
    said = {line.split()[0]: line.partition(" s  ")[2] for line in verdict[:-1]}
    assert said == dict.fromkeys(verb.TIERS, "passed") | {
        "program": "failed (pytest exit 1)",
        "engine": "failed (pytest exit 2)",
    }
    tiers.codes = {}
    assert verb.main(["--seed", "s"]) == 0


def test_what_was_skipped_is_counted_by_its_reason(tiers: Tiers, capsys: pytest.CaptureFixture[str]) -> None:
    tiers.skips = {"cluster": ["there is no [cluster]", "not root", "there is no [cluster]"]}
    assert verb.main(["--seed", "s", "--tier", "unit", "--tier", "cluster"]) == 0
    unit, cluster, *reasons, _ = capsys.readouterr().err.splitlines()[-5:]
    assert unit.endswith("passed")
    assert cluster.endswith("passed, 3 skipped")
    assert [each.strip() for each in reasons] == ["2 skipped: there is no [cluster]", "1 skipped: not root"]


def test_a_tier_alone_and_words_for_pytest_go_through_and_all_means_no_sample(tiers: Tiers) -> None:
    verb.main(["--all", "--tier", "engine", "-k", "down"])
    assert list(tiers.ran) == ["engine"]
    assert tiers.ran["engine"][-2:] == ["-k", "down"]
    assert "--sample" not in tiers.ran["engine"]
    verb.main(["--seed", "s"])
    assert all(words[words.index("--sample") + 1] == "s" for words in tiers.ran.values())


def test_the_seed_is_the_committed_files_whatever_commit_or_branch_holds_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[list[str]] = []
    monkeypatch.setattr(verb, "_pytest", lambda _folder, words: ran.append(words) or 0)
    monkeypatch.setattr(verb, "ROOT", tmp_path)

    def seed() -> str:
        verb.main(["--tier", "engine"])
        return ran[-1][ran[-1].index("--sample") + 1]

    git(tmp_path, "init", "--quiet")
    (tmp_path / "a.py").write_text("first\n")
    commit(tmp_path)
    first = seed()
    git(tmp_path, "commit", "--quiet", "--allow-empty", "--message", "y")
    (tmp_path / "a.py").write_text("not committed\n")
    assert seed() == first
    commit(tmp_path)
    assert seed() != first


class Item:
    """A collected test, as far as the sampling looks at it."""

    def __init__(self, tier: str, name: str, *marks: str) -> None:
        self.path = sampling.HERE / tier / "test_x.py"
        self.nodeid = f"tests/{tier}/test_x.py::{name}"
        self.marks = [*marks]

    def add_marker(self, mark: pytest.MarkDecorator) -> None:
        self.marks.append(mark.name)

    def get_closest_marker(self, name: str) -> str | None:
        return name if name in self.marks else None


def sampled(seed: str | None) -> tuple[list[Item], list[Item]]:
    """Of 10 tests of each tier, of them one of the core, those that run with this seed and those left out."""
    items = [
        Item(tier, f"test_{number}", *(["core"] if number == 0 else []))
        for tier in sampling.TIERS
        for number in range(10)
    ]
    left: list[Item] = []
    hook = SimpleNamespace(pytest_deselected=lambda items: left.extend(items))
    config: Any = SimpleNamespace(getoption={"--sample": seed}.__getitem__, hook=hook)
    collected: Any = [*items]
    sampling.pytest_collection_modifyitems(config, collected)
    assert {*collected, *left} == {*items}
    return collected, left


def test_each_test_bears_the_mark_of_the_folder_it_is_in_and_without_a_seed_all_run() -> None:
    kept, left = sampled(None)
    assert not left
    assert all(item.marks[-1] == item.path.parent.name for item in kept)
    assert sampling.TIERS == verb.TIERS


def test_a_sample_leaves_out_neither_fast_tests_nor_the_core_and_most_of_the_others() -> None:
    kept, left = sampled("seed")
    assert {item.path.parent.name for item in left} == {"emulators", "engine", "cluster"}
    assert not [item.nodeid for item in left if "core" in item.marks]
    # A quarter of 27, give or take: which ones is chance, but the same for ever.
    assert 2 <= len([item for item in kept if item.path.parent.name in sampling.SLOW]) - 3 <= 12


def test_the_same_seed_chooses_the_same_tests_and_another_one_others() -> None:
    first, again, other = ([item.nodeid for item in sampled(seed)[0]] for seed in ("one", "one", "two"))
    assert first == again
    assert first != other
