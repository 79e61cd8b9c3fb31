"""What `make render` writes for stacks on Azure, judged by a real API server, which stores nothing of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from components.settings import parse
from tests.needs import known_cluster
from tests.program.azure_cases import AZURE_CASES
from tools.access import local_kubectl
from tools.common import run
from tools.offline.rendered import Rendered
from tools.plan import offline
from tools.render import manifests
from tools.validate import ClusterAccess, Subject
from tools.validate.dry_run import dry_run

SECOND_NAMESPACE = "validate-azure"
"""Not the one that a stack of the tests may be up in: without it each object is judged as a new one."""


@pytest.fixture(scope="module")
def cluster() -> ClusterAccess:
    known_cluster()
    return ClusterAccess(local_kubectl("dev"))


GATEWAY_API = "sigs.k8s.io/gateway-api@v1.4.0"
GATEWAY_API_SUM = "h1:ZwlNM6zOHq0h3WUX2gfByPs2yAEsy/EenYJB78jpQfQ="


@pytest.fixture(scope="module")
def gateways(cluster: ClusterAccess) -> Iterator[None]:
    """The cluster knows the types of the Gateway API, as AKS does; nothing acts on them."""
    words = ["go", "mod", "download", "-json", GATEWAY_API]
    # The sum stands above: no checksum database has to be reachable.
    fetched = json.loads(run(words, env={"GOSUMDB": "off", "GOFLAGS": "-mod=mod"}, timeout=300))
    assert fetched["Sum"] == GATEWAY_API_SUM
    types = [
        str(path)
        for path in (Path(fetched["Dir"]) / "config/crd/standard").glob("*_*.yaml")
        if path.stem.endswith(("gateways", "gatewayclasses", "httproutes"))
    ]
    assert len(types) == 3
    files = [word for path in types for word in ("-f", path)]
    run([*cluster.command, "apply", "--server-side", *files])
    try:
        run([*cluster.command, "wait", "--for=condition=Established", "--timeout=60s", *files])
        yield
    finally:
        run([*cluster.command, "delete", "--timeout=60s", *files])


@pytest.mark.usefixtures("gateways")
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
