"""What `make render` writes for stacks on Azure, judged by a real API server, which stores nothing of it."""

from __future__ import annotations

import pytest

from components.settings import parse
from tests.program.azure_cases import AZURE_CASES
from tools.access import local_kubectl
from tools.common import LOCAL
from tools.offline.rendered import Rendered
from tools.plan import offline
from tools.render import manifests
from tools.validate import ClusterAccess, Subject
from tools.validate.dry_run import dry_run

SECOND_NAMESPACE = "validate-azure"
"""Not the one that a stack of the tests may be up in: without it each object is judged as a new one."""


@pytest.fixture(scope="module")
def cluster() -> ClusterAccess:
    if not (LOCAL / "cluster.json").exists():
        pytest.skip("there is no cluster: run `make cluster`")
    return ClusterAccess(local_kubectl("dev"))


@pytest.mark.parametrize("case", AZURE_CASES)
def test_every_stack_on_azure_renders_what_the_api_server_takes(case: str, cluster: ClusterAccess) -> None:
    settings = {**AZURE_CASES[case], "namespace": SECOND_NAMESPACE}
    rendered = [one.content for one in manifests(offline("azure", Rendered(fresh=False), settings))]
    kinds = {one["kind"] for one in rendered}
    assert {"Namespace", "Deployment", "Service", "ServiceAccount"} <= kinds
    subject = Subject(
        "azure", parse({"cloud": "dev", "namespace": SECOND_NAMESPACE}), rendered, cluster, None
    )
    assert [f"{found.key}: {found.text}" for found in dry_run(subject)] == []
