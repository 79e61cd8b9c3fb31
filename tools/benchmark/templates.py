"""Section `jobs`: what job templates cost a plan, one, a hundred and a thousand of them."""

from __future__ import annotations

import json
import sys

from tools.benchmark.place import say
from tools.benchmark.results import Figure, Sample, Section
from tools.common import ROOT, run

COUNTS = (0, 1, 100, 1000)
GOAL = 1.5
"""A template among a thousand may cost this many times what one among a hundred does."""
MEASURE = """
import json, resource, sys
from tools.offline import Preview, run
git = {"repo": "https://git.example.com/team/churn.git", "path": "train"}
jobs = {f"job-{n}": {"git": git, "schedule": "0 6 * * 1"} for n in range(int(sys.argv[1]))}
plan = run("dev", answers=Preview(), overrides={"jobs": jobs})
assert not plan.problems, plan.problems
used = resource.getrusage(resource.RUSAGE_SELF)
print(json.dumps([used.ru_utime + used.ru_stime, used.ru_maxrss / 1024, len(plan.resources)]))
"""
LIMIT = 600


def section(rounds: int) -> Section:
    """CPU seconds and memory of whole plans, each in a fresh process."""
    seconds: dict[int, list[float]] = {count: [] for count in COUNTS}
    memory: dict[int, list[float]] = {count: [] for count in COUNTS}
    resources = dict.fromkeys(COUNTS, 0)
    for _ in range(rounds):
        for count in COUNTS:
            told = run([sys.executable, "-c", MEASURE, str(count)], cwd=ROOT, timeout=LIMIT)
            used, peak, resources[count] = json.loads(told.strip().splitlines()[-1])
            seconds[count].append(used)
            memory[count].append(peak)
            say(f"{count} templates: {used:.2f} s of CPU, {peak:.0f} MB")
    samples = [Sample(name=f"plan of {n} templates", unit="s", values=seconds[n]) for n in COUNTS]
    samples += [Sample(name=f"memory of {n} templates", unit="MB", values=memory[n]) for n in COUNTS]
    samples += [
        Sample(
            name=f"a template among {n}",
            unit="ms",
            values=[(one - none) * 1000 / n for one, none in zip(seconds[n], seconds[0], strict=True)],
        )
        for n in (100, 1000)
    ]
    each = (resources[1000] - resources[0]) / 1000
    return Section(
        name="jobs",
        samples=samples,
        figures=[
            Figure(
                title="a job template among 1,000, against one among 100",
                numerator="a template among 1000",
                denominator="a template among 100",
                goal=GOAL,
                explanation="the plan's own checks look through every value of every resource",
            )
        ],
        setting=[
            "CPU seconds of a whole plan of the dev stack (`make plan`), its strict checks included; "
            f"a template of Git code on a schedule is {each:.0f} resources, its component and its CronJob."
        ],
    )
