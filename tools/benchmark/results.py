"""What a section of the benchmark found, kept as JSON so that sections can be measured apart."""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from tools.common import LOCAL, ROOT

RECORD = LOCAL / "benchmark.json"
BUSY = 0.5
"""Load average per core, before a section starts, above which its figures are marked as disturbed."""


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One thing, measured several times in the same run.

    :ivar unit: of the values, e.g. ``s``, ``req/s``, ``MB/s``, ``MB``.
    """

    name: str
    unit: str
    values: list[float]

    @property
    def median(self) -> float:
        return statistics.median(self.values)


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A ratio of two samples, or one sample with a limit, and what it should be.

    :ivar numerator: name of the sample on top.
    :ivar denominator: name of the sample below; None when the sample's own value is the figure.
    :ivar goal: None where the issue sets none.
    :ivar explanation: why, for when the goal is missed; made from what was measured.
    """

    title: str
    numerator: str
    denominator: str | None = None
    goal: float | None = None
    better: Literal["lower", "higher"] = "lower"
    explanation: str = ""

    def value(self, samples: Mapping[str, Sample]) -> float:
        """Ratio of the medians, or the median itself."""
        top = samples[self.numerator].median
        return top if self.denominator is None else top / samples[self.denominator].median

    def met(self, samples: Mapping[str, Sample]) -> bool | None:
        """Whether the goal is reached; None without one."""
        if self.goal is None:
            return None
        value = self.value(samples)
        return value <= self.goal if self.better == "lower" else value >= self.goal


@dataclass(frozen=True, kw_only=True)
class Section:
    """What one run of a section measured.

    :ivar setting: what the figures hold for, a sentence each.
    :ivar providers: the engine's provider plugins, ``official`` or ``stand-in``; empty where no engine ran.
    :ivar load: load average per core when the section started.
    """

    name: str
    samples: list[Sample]
    figures: list[Figure]
    setting: list[str] = field(default_factory=list)
    providers: dict[str, str] = field(default_factory=dict)
    load: float = 0.0
    measured: str = ""
    commit: str = ""
    machine: str = ""
    seconds: float = 0.0

    @property
    def by_name(self) -> dict[str, Sample]:
        return {sample.name: sample for sample in self.samples}

    @property
    def disturbed(self) -> bool:
        return self.load > BUSY

    def missed(self) -> list[Figure]:
        """The figures that do not reach their goal."""
        return [figure for figure in self.figures if figure.met(self.by_name) is False]


def from_json(content: Mapping[str, Any]) -> Section:
    """A section as :func:`to_json` wrote it."""
    samples = [Sample(**sample) for sample in content["samples"]]
    figures = [Figure(**figure) for figure in content["figures"]]
    return Section(**{**content, "samples": samples, "figures": figures})


def to_json(section: Section) -> dict[str, Any]:
    return asdict(section)


def read(path: Path = RECORD) -> dict[str, Section]:
    """Sections measured so far, by name."""
    if not path.exists():
        return {}
    return {name: from_json(content) for name, content in json.loads(path.read_text()).items()}


def merge(sections: Sequence[Section], path: Path = RECORD) -> dict[str, Section]:
    """Put newly measured sections beside those measured before, and note all."""
    known = {**read(path), **{section.name: section for section in sections}}
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    half = path.with_suffix(".part")
    half.write_text(json.dumps({name: to_json(each) for name, each in known.items()}, indent=1) + "\n")
    half.replace(path)
    return known


def load_per_core() -> float:
    """The load average of the last minute, per core."""
    return os.getloadavg()[0] / (os.cpu_count() or 1)


def machine() -> str:
    """E.g. ``2 cores, 24 GiB, Linux x86_64, Python 3.11.7``."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{os.cpu_count()} cores, {memory:.0f} GiB, {platform.system()} {platform.machine()}, "
        f"Python {platform.python_version()}"
    )


def stamp() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")


def commit() -> str:
    """The commit measured, marked when files differ from it."""
    done = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--exclude=*"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.strip() or "unknown"
