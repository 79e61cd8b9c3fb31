"""What a plan loads and costs in a Python that has loaded nothing before."""

from __future__ import annotations

import functools
import resource
import subprocess
import sys

import pytest

from tools.common import ROOT

pytestmark = [pytest.mark.program, pytest.mark.core]

SDKS = {"aws": "pulumi_aws", "azure": "pulumi_azure_native", "gcp": "pulumi_gcp"}
BUILDS = "pulumi_docker_build"


@functools.cache
def fresh(script: str) -> tuple[float, set[str]]:
    """Seconds of the processor, and the SDKs of clouds that are loaded afterwards."""
    told = f"print(*[one for one in {[*SDKS.values(), BUILDS]} if one in sys.modules])"
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    loaded = subprocess.run(
        [sys.executable, "-c", f"import sys; {script}; {told}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    ).stdout
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, set(loaded.split())


def planned(stack: str) -> tuple[float, set[str]]:
    return fresh(f"from tools.offline import run; run({stack!r})")


@pytest.mark.parametrize("cloud", SDKS)
def test_a_stack_on_a_cloud_imports_its_sdk_and_no_other(cloud: str) -> None:
    assert planned(cloud)[1] == {SDKS[cloud], BUILDS}


def test_a_stack_without_a_cloud_imports_no_cloud_sdk() -> None:
    assert planned("dev")[1] == set()


def test_the_in_cluster_half_and_the_settings_import_no_clouds_sdk() -> None:
    halves = "components.settings, components.contracts, components.tracking, components.program"
    assert fresh(f"import {halves}")[1] == set()


@pytest.mark.parametrize("cloud", SDKS)
def test_a_plan_of_a_cloud_takes_seconds(cloud: str) -> None:
    """Three of the processor when measured, three times dev's. Other work slows both: they are compared."""
    assert planned(cloud)[0] < 8 * planned("dev")[0]
