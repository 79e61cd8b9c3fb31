"""What holds for every way to set up a stack on Google Cloud, whatever it is made of."""

from __future__ import annotations

import ipaddress
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.program.conftest import plan, plan_of
from tests.program.gcp_cases import GCP_CASES, OFFICE, PLAIN
from tools import render
from tools.common import ROOT, Failure
from tools.graph import resources_page
from tools.offline import Mocked, Plan, Resource, run
from tools.offline.rendered import Rendered
from tools.offline.wire import leaves, plain, unwrap

pytestmark = [pytest.mark.program, pytest.mark.core]


def google_resources(plan: Plan) -> list[Resource]:
    """What the Google Cloud provider makes."""
    return [one for one in plan.resources if one.type.startswith("gcp:") and not one.component]


def outlives(plan: Plan, one: Resource) -> set[str]:
    """The names of everything that is there before a resource, and goes after it."""
    by_urn, seen, waiting = {each.urn: each for each in plan.resources}, set(), [one.urn]
    while waiting:
        urn = waiting.pop()
        if urn in seen or urn not in by_urn:
            continue
        seen.add(urn)
        waiting += by_urn[urn].depends_on
    return {by_urn[urn].name for urn in seen if urn != one.urn}


def services(plan: Plan) -> list[Resource]:
    """The Services of Kubernetes: Google calls its APIs so too."""
    return [one for one in plan.of_type("Service") if one.is_kubernetes_object]


def grants(plan: Plan) -> list[dict[str, Any]]:
    """Every role that the stack gives to somebody."""
    return [plain(one.inputs) for one in google_resources(plan) if one.type.lower().endswith("iammember")]


PROJECT_ROLES = {
    "roles/container.defaultNodeServiceAccount": False,
    "roles/logging.logWriter": False,
    "roles/cloudsql.client": True,
    "roles/cloudsql.instanceUser": True,
    "roles/iap.httpsResourceAccessor": True,
}
"""What Google gives in a whole project only → whether a condition narrows it."""


def test_nobody_gets_more_than_is_needed_and_nobody_unnamed_gets_anything(gcp_case: str) -> None:
    found = grants(plan_of(gcp_case))
    assert found
    for one in found:
        assert one["member"] not in ("allUsers", "allAuthenticatedUsers"), one
        assert not re.fullmatch(r"roles/(owner|editor|viewer)|.*[aA]dmin", one["role"]), one
        assert "*" not in json.dumps(one), one


def test_a_role_of_the_whole_project_is_narrowed_where_google_allows_it(gcp_case: str) -> None:
    planned = plan_of(gcp_case)
    for one in [*planned.of_type("IAMMember"), *planned.of_type("WebIamMember")]:
        given = plain(one.inputs)
        if "serviceAccountId" in given:
            assert given["role"] == "roles/iam.workloadIdentityUser"
            continue
        assert given["role"] in PROJECT_ROLES, one.name
        assert ("condition" in given) == PROJECT_ROLES[given["role"]], one.name


def test_an_account_is_taken_on_by_one_workload_of_one_namespace(gcp_case: str) -> None:
    planned = plan_of(gcp_case)
    namespace = planned.one("Namespace").inputs["metadata"]["name"]
    for one in planned.of_type("IAMMember"):
        given = plain(one.inputs)
        if given["role"] == "roles/iam.workloadIdentityUser":
            pattern = rf"serviceAccount:acme-ml\.svc\.id\.goog\[{namespace}/mlflow-[a-z-]+\]"
            assert re.fullmatch(pattern, given["member"]), one.name


def test_only_additive_grants_are_made(gcp_case: str) -> None:
    """An …IAMBinding or …IAMPolicy would take away what others gave."""
    assert not [
        one.name
        for one in google_resources(plan_of(gcp_case))
        if re.search(r"(iam|IAM|Iam)(Binding|Policy)$", one.type)
    ]


def test_no_key_of_a_service_account_is_ever_made(gcp_case: str) -> None:
    assert not plan_of(gcp_case).of_type("Key")


def test_nothing_is_open_to_the_world_by_default() -> None:
    planned = plan(PLAIN, stack="gcp")
    assert not [one for one in services(planned) if one.inputs["spec"].get("type") == "LoadBalancer"]
    assert not planned.of_type("Ingress")
    cluster = plain(planned.one("Cluster").inputs)
    assert cluster["privateClusterConfig"] == {"enablePrivateNodes": True, "enablePrivateEndpoint": True}
    networks = cluster["masterAuthorizedNetworksConfig"]
    assert networks == {"cidrBlocks": [], "gcpPublicCidrsAccessEnabled": False}
    assert cluster["controlPlaneEndpointsConfig"]["dnsEndpointConfig"]["allowExternalTraffic"] is False
    address = plain(planned.one("DatabaseInstance").inputs)["settings"]["ipConfiguration"]
    assert address["ipv4Enabled"] is False
    assert "authorizedNetworks" not in address


@pytest.mark.parametrize(
    ("more", "by_name"),
    [
        ({}, False),
        ({"dnsEndpoint": True}, True),
        ({"dnsEndpoint": True, "access": {"public": ["203.0.113.0/24"]}}, False),
    ],
)
def test_the_printed_command_reaches_the_cluster_in_the_way_the_stack_does(
    more: dict[str, Any], by_name: bool
) -> None:
    outputs = plain(plan(PLAIN | {"cluster": {"create": more}}, stack="gcp").outputs)
    assert outputs["kubeconfigCommand"].endswith(" --dns-endpoint") is by_name
    (cluster,) = json.loads(outputs["kubeconfig"])["clusters"]
    assert bool(cluster["cluster"].get("certificate-authority-data")) is not by_name


def test_only_the_listed_ranges_stand_in_a_plan(gcp_case: str) -> None:
    """An address range of the internet appears where the stack file put it, and nowhere else."""
    if gcp_case == "gcp with everything set":
        return  # says twice that the world may come
    planned = plan_of(gcp_case)
    for one in planned.resources:
        for path, leaf, _ in leaves(one.inputs):
            for text in re.findall(r"\b\d+\.\d+\.\d+\.\d+/\d+\b", leaf) if isinstance(leaf, str) else ():
                network = ipaddress.IPv4Network(text)
                private = network.is_private and network.prefixlen > 0
                assert private or text in OFFICE, (one.name, path, text)


@pytest.mark.parametrize(
    ("case", "type_end"),
    [
        ("gcp in an existing cluster", "Network"),
        ("gcp in an existing cluster", "Cluster"),
        ("gcp in an existing cluster", "NodePool"),
        ("gcp in an existing cluster", "StorageClass"),
        ("gcp in an existing cluster with an existing database and bucket", "DatabaseInstance"),
        ("gcp in an existing cluster with an existing database and bucket", "Database"),
        ("gcp in an existing cluster with an existing database and bucket", "Connection"),
        ("gcp in an existing cluster with an existing database and bucket", "Bucket"),
        ("gcp in an existing cluster with an existing database and bucket", "Repository"),
        ("gcp in an existing cluster with an existing database and bucket", "Image"),
        ("gcp in an existing network", "Network"),
        ("gcp in an existing network", "Subnetwork"),
        ("gcp in an existing network", "RouterNat"),
        ("gcp in an existing network", "Connection"),
        ("gcp with a finished database", "DatabaseInstance"),
        ("gcp with a database and artifacts in the cluster", "DatabaseInstance"),
        ("gcp with a database and artifacts in the cluster", "Bucket"),
        ("gcp with a database elsewhere and both load balancers", "DatabaseInstance"),
    ],
)
def test_what_is_there_already_is_neither_made_nor_changed(case: str, type_end: str) -> None:
    assert plan_of("gcp in production").of_type(type_end), "made where nothing is said"
    assert plan_of(case).of_type(type_end) == []


@pytest.mark.parametrize("type_end", ["DatabaseInstance", "Bucket", "Cluster", "Namespace"])
def test_what_holds_data_is_protected_until_the_stack_says_otherwise(type_end: str) -> None:
    assert plan_of("gcp in production").one(type_end).protect
    assert not plan_of("gcp with everything set").one(type_end).protect


# Logical name or explicit input → the longest that Google takes, less what Pulumi adds to a name of its own.
LIMITS = {
    "gcp:artifactregistry/repository:Repository": ("repositoryId", 63),
    "gcp:compute/address:Address": ("name", 63),
    "gcp:compute/globalAddress:GlobalAddress": ("name", 63),
    "gcp:compute/managedSslCertificate:ManagedSslCertificate": ("name", 63),
    "gcp:compute/network:Network": ("name", 63),
    "gcp:compute/router:Router": ("name", 63),
    "gcp:compute/routerNat:RouterNat": ("name", 63),
    "gcp:compute/sSLPolicy:SSLPolicy": ("name", 63),
    "gcp:compute/securityPolicy:SecurityPolicy": ("name", 63),
    "gcp:compute/subnetwork:Subnetwork": ("name", 63),
    "gcp:container/cluster:Cluster": ("name", 40),
    "gcp:container/nodePool:NodePool": ("name", 40),
    "gcp:serviceaccount/account:Account": ("accountId", 30),
    "gcp:sql/database:Database": ("name", 63),
    "gcp:sql/databaseInstance:DatabaseInstance": ("name", 98 - len("acme-ml") - 1),
    "gcp:storage/bucket:Bucket": ("name", 63),
}
"""API references: repositories.create, compute (RFC 1035 names), GKE Cluster.name and NodePool.name,
serviceAccounts.create, Cloud SQL DatabaseInstance.name, buckets.insert."""

NAMELESS = re.compile(
    r"gcp:(projects/(service|iAMMember)|servicenetworking/connection|serviceaccount/iAMMember"
    r"|storage/bucketIAMMember|artifactregistry/repositoryIamMember|iap/webIamMember|sql/user):"
)
"""Types without a name of their own, or whose name is somebody else's."""

PULUMI_ADDS = len("-1234567")
CHARACTERS = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
LONG = "A-very_long.Name-" * 5 + "and-a-good-end"

FURNISHED = [
    "gcp in production",
    "gcp on autopilot",
    "gcp with a range of nodes and a shared proxy",
    "gcp with a database elsewhere and both load balancers",
    "gcp with a database and artifacts in the cluster",
    "gcp with sign-in by Google",
    "gcp with images from Cloud Build",
    "gcp with a gateway",
]
"""Cases that together make each kind of resource."""


def test_the_furnished_cases_make_each_kind_of_resource() -> None:
    def kinds(cases: list[str]) -> set[str]:
        made = (one for case in cases for one in plan_of(case).resources)
        return {one.type for one in made if not one.component}

    assert kinds(FURNISHED) == kinds(list(GCP_CASES))


@pytest.mark.parametrize("case", FURNISHED)
def test_every_name_is_valid_and_short_enough_for_the_longest_project_and_stack(
    case: str, tmp_path: Path
) -> None:
    settings = yaml.safe_load((ROOT / "Pulumi.gcp.yaml").read_text())
    project = yaml.safe_load((ROOT / "Pulumi.yaml").read_text())
    (tmp_path / "Pulumi.yaml").write_text(yaml.safe_dump(project))
    (tmp_path / f"Pulumi.{LONG}.yaml").write_text(yaml.safe_dump(settings))
    (tmp_path / "__main__.py").symlink_to(ROOT / "__main__.py")
    planned = run(LONG, root=tmp_path, answers=Rendered(fresh=False), overrides=GCP_CASES[case])
    for one in google_resources(planned):
        labels = plain(one.inputs).get("labels") or plain(one.inputs).get("resourceLabels") or {}
        assert all(len(value) <= 63 for value in labels.values()), one.name
        if one.type not in LIMITS:
            assert NAMELESS.match(one.type), f"{one.type} needs a limit, or has no name"
            continue
        key, longest = LIMITS[one.type]
        name = plain(one.inputs).get(key)
        assert name != "[unknown]", (one.name, key)
        if name is None:
            name, longest = one.name, longest - PULUMI_ADDS
        assert len(name) <= longest, (one.type, name)
        assert CHARACTERS.fullmatch(name), (one.type, name)
    for one in planned.resources:
        metadata = unwrap(one.inputs.get("metadata")) if one.is_kubernetes_object else None
        if isinstance(metadata, dict) and isinstance(metadata.get("name"), str):
            assert re.fullmatch(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", metadata["name"]), one.name


@pytest.mark.parametrize("case", FURNISHED)
def test_the_kubernetes_part_can_be_rendered_without_an_account(case: str) -> None:
    planned = run("gcp", answers=Rendered(fresh=False), overrides=GCP_CASES[case])
    objects = [one.content for one in render.manifests(planned)]
    assert {"Namespace", "Deployment", "Service", "ServiceAccount"} <= {one["kind"] for one in objects}
    assert all(one["metadata"]["name"] != "[unknown]" for one in objects)


def test_the_drawing_of_the_stack_is_fresh() -> None:
    assert (ROOT / "docs/gcp-resources.md").read_text() == resources_page("gcp"), "run `make docs`"


@pytest.mark.parametrize(
    ("key", "value", "advice"),
    [
        ("gcp:project", None, "is missing"),
        ("gcp:project", "My Project", "is no project id"),
        ("gcp:region", None, "is missing"),
        ("gcp:zone", "europe-west1-b", "has no effect here"),
    ],
)
def test_a_project_that_is_wrong_is_refused_before_anything_is_asked_of_google(
    key: str, value: str | None, advice: str
) -> None:
    with pytest.raises(Failure, match="nothing was changed") as refused:
        run("gcp", answers=Mocked(), overrides={key: value})
    assert f"{key}: " in str(refused.value)
    assert advice in str(refused.value)


@pytest.mark.parametrize(
    ("found", "case", "advice"),
    [
        (
            ("gcp:container/getCluster:getCluster", {"workloadIdentityConfigs": []}),
            "gcp in an existing cluster",
            "without Workload Identity",
        ),
        (
            ("gcp:container/getCluster:getCluster", {"endpoint": ""}),
            "gcp in an existing cluster",
            "answers by its DNS name only",
        ),
        (
            ("gcp:compute/getSubnetwork:getSubnetwork", {"secondaryIpRanges": [{"rangeName": "gke-pods"}]}),
            "gcp in an existing network",
            "gke-services is no secondary range of subnet apps; it has gke-pods",
        ),
        (
            ("gcp:sql/getDatabaseInstance:getDatabaseInstance", {"databaseVersion": "MYSQL_8_4"}),
            "gcp with a finished database",
            "but the existing instance is MYSQL_8_4",
        ),
        (
            ("gcp:sql/getDatabaseInstance:getDatabaseInstance", {"settings": [{"databaseFlags": []}]}),
            "gcp with a finished database",
            "cloudsql.iam_authentication=on",
        ),
    ],
)
def test_an_existing_thing_that_does_not_fit_is_refused(
    found: tuple[str, dict[str, Any]], case: str, advice: str
) -> None:
    class Unfit(Mocked):
        def looked_up(self, token: str, arguments: dict[str, Any]) -> dict[str, Any] | None:
            answer = {**(super().looked_up(token, arguments) or {}), "databaseVersion": "POSTGRES_17"}
            return {**answer, **(found[1] if token == found[0] else {})}

    # A SettingsError, or Pulumi's own that quotes it.
    with pytest.raises(ValueError, match="nothing was changed") as refused:
        run("gcp", answers=Unfit(), overrides=GCP_CASES[case])
    assert advice in str(refused.value)


def test_destroy_takes_entrances_first_and_the_cluster_after_everything_in_it(gcp_case: str) -> None:
    """A namespace cannot go while its Ingress or Service waits for Google to take a load balancer away."""
    planned = plan_of(gcp_case)
    namespace = planned.one("Namespace")
    made = {one.name for one in planned.resources if one.type.startswith("gcp:container/")}
    assert made <= outlives(planned, namespace)
    for one in [*planned.of_type("Ingress"), *services(planned)]:
        assert namespace.name in outlives(planned, one), one.name
    for one in planned.of_type("Ingress"):
        objects = {"mlflow-exposure-backendconfig"} & {each.name for each in planned.resources}
        assert objects <= outlives(planned, one)


def test_mlflow_is_gone_before_its_database(gcp_case: str) -> None:
    planned = plan_of(gcp_case)
    server = planned.one("Deployment", "mlflow-server")
    for type_end in ("DatabaseInstance", "Bucket", "User", "Connection"):
        for one in planned.of_type(type_end):
            assert one.name in outlives(planned, server), one.name
