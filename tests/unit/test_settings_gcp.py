"""Settings of a stack on Google Cloud: what is refused with which key, and that each alternative is taken."""

from __future__ import annotations

from typing import Any

import pytest

from components.settings import Problem, SettingsError, Stack, parse, with_server
from components.settings.gcp import GcpStack

GCP = {"cloud": "gcp"}
REGION = "europe-west1"
HOST = "mlflow.example.com"
OFFICE = ["203.0.113.0/24"]
ADMIN = {"sql-admin": {"admin": {"ADMIN_USERNAME": "root1", "ADMIN_PASSWORD": "planted"}}}
PULL = {"pull": {"pull": {"DOCKER_CONFIG_JSON": "{}"}}}
GOOGLE = {"store": {"keys": {"GOOGLE_CREDENTIALS": "{}"}}}


def settings(values: dict[str, Any], region: str | None = REGION) -> Stack:
    return with_server(parse({**GCP, **values}, secret_keys={"secrets", "database"}, region=region))


def problems_of(values: dict[str, Any], region: str | None = REGION) -> list[Problem]:
    try:
        settings(values, region)
    except SettingsError as refused:
        return refused.problems
    return []


def create(**more: Any) -> dict[str, Any]:
    return {"cluster": {"create": more}}


def nodes(**more: Any) -> dict[str, Any]:
    return create(nodes=more)


def existing(*features: str, **more: Any) -> dict[str, Any]:
    return {"cluster": {"existing": "data", "has": ["private-services-access", *features]}, **more}


def entrance(kind: str, **more: Any) -> dict[str, Any]:
    return {"auth": {"mode": "basic"}, "exposure": {kind: {"allow": OFFICE, **more}}}


def ingress(**more: Any) -> dict[str, Any]:
    return entrance("ingress", host=HOST, **more)


def database(**more: Any) -> dict[str, Any]:
    return {"database": more}


def artifacts(**more: Any) -> dict[str, Any]:
    return {"artifacts": more}


# What is wrong, what the stack file says beside `cloud: gcp`, the key refused, a word of the advice.
CLUSTER: list[tuple[str, dict[str, Any], str, str]] = [
    (
        "an existing cluster and a new one",
        {"cluster": {"existing": "data", "create": {}}},
        "mlflow:cluster.create",
        "remove one",
    ),
    ("features of a new cluster", {"cluster": {"has": ["network-policy"]}}, "mlflow:cluster.has", "existing"),
    ("a feature twice", existing("network-policy", "network-policy"), "mlflow:cluster.has", "once"),
    ("a misspelt feature", existing("network-polcy"), "mlflow:cluster.has[1]", "network-policy"),
    ("a cluster's name in capitals", {"cluster": {"existing": "Data"}}, "mlflow:cluster.existing", "GKE"),
    ("too long a name", {"cluster": {"existing": "a" * 41}}, "mlflow:cluster.existing", "GKE"),
    ("a place of a new cluster", {"cluster": {"location": REGION}}, "mlflow:cluster.location", "gcp:region"),
    (
        "a database in a cluster's network without its peering",
        {"cluster": {"existing": "data"}},
        "mlflow:cluster.has",
        "gcloud services vpc-peerings connect",
    ),
    (
        "a database in a network without its peering",
        create(subnet={"name": "apps", "pods": "p", "services": "s"}),
        "mlflow:cluster.has",
        "gcloud compute addresses create",
    ),
    (
        "a place that is none",
        {"cluster": {"existing": "data", "location": "Europe"}},
        "mlflow:cluster.location",
        "pattern",
    ),
    ("a version of long ago", create(version="1.20"), "mlflow:cluster.create.version", "1.35"),
    ("another cloud's mode", create(compute="auto"), "mlflow:cluster.create.compute", "autopilot"),
    ("an unknown channel", create(channel="fast"), "mlflow:cluster.create.channel", "rapid"),
    (
        "nodes on Autopilot",
        create(compute="autopilot", nodes={"total": 3}),
        "mlflow:cluster.create.nodes.total",
        "Google's choice",
    ),
    ("a machine of AWS", nodes(size="m6i.large"), "mlflow:cluster.create.nodes.size", "e2-standard-4"),
    ("an Arm machine", nodes(size="c4a-standard-4"), "mlflow:cluster.create.nodes.size", "Arm"),
    (
        "a disk that newer machines do not take",
        nodes(size="n4-standard-4", diskType="pd-ssd"),
        "mlflow:cluster.create.nodes.diskType",
        "Hyperdisk only",
    ),
    (
        "a disk that older machines do not take",
        nodes(size="n2-standard-4", diskType="hyperdisk-balanced"),
        "mlflow:cluster.create.nodes.diskType",
        "c3-standard-4",
    ),
    (
        "a disk that the default machine does not take",
        nodes(diskType="hyperdisk-balanced"),
        "mlflow:cluster.create.nodes.diskType",
        "e2",
    ),
    ("fewer nodes than zones", nodes(min=0, max=2), "mlflow:cluster.create.nodes.max", "3 zones"),
    (
        "zones on Autopilot",
        create(compute="autopilot", zones=[f"{REGION}-b", f"{REGION}-c"]),
        "mlflow:cluster.create.zones",
        "Google's choice",
    ),
    ("Docker's network", create(network="172.17.128.0/20"), "mlflow:cluster.create.network", "172.17.0.0/16"),
    ("a disk of AWS", nodes(diskType="gp3"), "mlflow:cluster.create.nodes.diskType", "pd-balanced"),
    ("four nodes in three zones", nodes(total=4), "mlflow:cluster.create.nodes.total", "use 3 or 6"),
    (
        "three nodes in two zones",
        create(nodes={"total": 3}, zones=[f"{REGION}-b", f"{REGION}-c"]),
        "mlflow:cluster.create.nodes.total",
        "use 2 or 4",
    ),
    ("one node in three zones", nodes(total=1), "mlflow:cluster.create.nodes.total", "use 3"),
    (
        "more nodes than the network has room for",
        create(network="10.0.0.0/20", nodes={"min": 3, "max": 9}),
        "mlflow:cluster.create.network",
        "room for 7",
    ),
    (
        "a zone of another region",
        create(zones=["us-east1-b", "us-east1-c"]),
        "mlflow:cluster.create.zones[0]",
        "europe-west1-b",
    ),
    (
        "a public address range for the network",
        create(network="34.0.0.0/16"),
        "mlflow:cluster.create.network",
        "internet",
    ),
    (
        "the Kubernetes API for the world",
        create(access={"public": ["0.0.0.0/0"]}),
        "mlflow:cluster.create.access.public",
        "world: true",
    ),
    (
        "an IPv6 range for the Kubernetes API",
        create(access={"public": ["2001:db8::/32"]}),
        "mlflow:cluster.create.access.public[0]",
        "IPv6",
    ),
    (
        "more ranges than GKE takes",
        create(access={"public": [f"203.0.{index}.0/24" for index in range(101)]}),
        "mlflow:cluster.create.access.public",
        "100 at most",
    ),
    ("a label in capitals", {"tags": {"Team": "a"}}, "mlflow:tags.Team", "a-z"),
    ("a label's value with a space", {"tags": {"team": "a b"}}, "mlflow:tags.team", "a b"),
    ("a label of Google's", {"tags": {"goog-x": "a"}}, "mlflow:tags.goog-x", "keeps to itself"),
    ("too many labels", {"tags": {f"l{index}": "a" for index in range(61)}}, "mlflow:tags", "60 at most"),
]

IDENTITY: list[tuple[str, dict[str, Any], str, str]] = [
    (
        "a direct principal that signs in to Cloud SQL by identity",
        {"gcp": {"identity": "direct"}},
        "mlflow:gcp.identity",
        "signIn: password",
    ),
    ("an unknown identity", {"gcp": {"identity": "irsa"}}, "mlflow:gcp.identity", "impersonated"),
    ("an unknown proxy", {"gcp": {"proxy": "daemon"}}, "mlflow:gcp.proxy", "sidecar"),
    (
        "a shared proxy that nothing guards",
        existing(gcp={"proxy": "deployment"}),
        "mlflow:gcp.proxy",
        "network-policy",
    ),
    (
        "a proxy for a database in the cluster",
        {"database": {"place": "in-cluster"}, "gcp": {"proxy": "sidecar"}},
        "mlflow:gcp.proxy",
        "managed",
    ),
    (
        "no group for pull credentials",
        {"gcp": {"pullCredentials": "pull"}},
        "mlflow:gcp.pullCredentials",
        "no secret group pull",
    ),
    (
        "a group without pull credentials",
        {"gcp": {"pullCredentials": "store"}, "secrets": GOOGLE},
        "mlflow:gcp.pullCredentials",
        "DOCKER_CONFIG_JSON",
    ),
    (
        "a key that would replace the server's identity",
        {"server": {"secrets": ["store"]}, "secrets": {"store": {"k": {"GOOGLE_CLOUD_KEYFILE_JSON": "x"}}}},
        "mlflow:server.secrets[0]",
        "replace the server's own identity",
    ),
    (
        "AWS's section",
        {"aws": {"identity": "irsa"}},
        "mlflow:aws",
        "unknown",
    ),
]

ENTRANCES: list[tuple[str, dict[str, Any], str, str]] = [
    (
        "a certificate on a network load balancer",
        entrance("external", host=HOST, certificate="mlflow"),
        "mlflow:exposure.external.certificate",
        "exposure.ingress",
    ),
    (
        "an IPv6 range for a network load balancer",
        entrance("internal", allow=["2001:db8::/32"]),
        "mlflow:exposure.internal.allow[0]",
        "IPv6",
    ),
    ("an ARN for a certificate", ingress(certificate="arn:x"), "mlflow:exposure.ingress.certificate", "SSL"),
    (
        "ranges that an internal ingress does not enforce",
        ingress(internal=True),
        "mlflow:exposure.ingress.allow",
        "not enforced",
    ),
    (
        "an internal ingress without its subnet",
        existing(**{**ingress(internal=True), "exposure": {"ingress": {"host": HOST, "internal": True}}}),
        "mlflow:exposure.ingress.internal",
        "proxy-subnet",
    ),
    (
        "sign-in by Google without an ingress",
        {"gcp": {"iap": {"members": ["user:a@b.c"]}}},
        "mlflow:gcp.iap",
        "ingr",
    ),
    ("nobody may pass", {**ingress(), "gcp": {"iap": {"members": []}}}, "mlflow:gcp.iap.members", "group:"),
    (
        "a member of no kind",
        {**ingress(), "gcp": {"iap": {"members": ["allUsers"]}}},
        "mlflow:gcp.iap.members[0]",
        "pattern",
    ),
    (
        "an address of no entrance",
        {"gcp": {"addresses": {"external": "mlflow"}}},
        "mlflow:gcp.addresses.external",
        "mlflow:exposure.external",
    ),
    (
        "an address of an unknown entrance",
        {"gcp": {"addresses": {"nodePort": "x"}}},
        "mlflow:gcp.addresses.nodePort",
        "",
    ),
    (
        "the whole world without sign-in",
        {"exposure": {"external": {"allow": ["0.0.0.0/0"]}}},
        "mlflow:exposure.external.allow",
        "basic",
    ),
    ("a node port", {"exposure": {"nodePort": {}}}, "mlflow:exposure.nodePort", "development"),
]

STORES: list[tuple[str, dict[str, Any], str, str]] = [
    ("a size of AWS", database(size="db.t4g.medium"), "mlflow:database.size", "db-custom-2-4096"),
    ("three CPUs", database(size="db-custom-3-8192"), "mlflow:database.size", "even number"),
    ("too little memory", database(size="db-custom-2-2048"), "mlflow:database.size", "3840"),
    ("a crooked amount of memory", database(size="db-custom-2-4000"), "mlflow:database.size", "steps of 256"),
    ("too much memory", database(size="db-custom-2-16384"), "mlflow:database.size", "13312"),
    (
        "more days than Enterprise goes back",
        database(backupDays=14),
        "mlflow:database.backupDays",
        "Enterprise Plus",
    ),
    ("an end-of-life PostgreSQL", database(version="12"), "mlflow:database.version", "17"),
    ("a minor version of PostgreSQL", database(version="17.2"), "mlflow:database.version", "major"),
    ("an end-of-life MySQL", database(engine="mysql", version="8.0"), "mlflow:database.version", "8.4"),
    (
        "the administrator's name",
        database(signIn="password", user="mlflow_admin"),
        "mlflow:database.user",
        "keep",
    ),
    ("a name of Cloud SQL's", database(name="cloudsqladmin"), "mlflow:database.name", "keep"),
    ("a user with sign-in by identity", database(user="ml"), "mlflow:database.user", "service account"),
    (
        "an Aurora cluster",
        {"database": {"existing": {"cluster": "a", "admin": "sql-admin"}}, "secrets": ADMIN},
        "mlflow:database.existing.cluster",
        "instance",
    ),
    (
        "a security group",
        {
            "database": {"existing": {"instance": "a", "admin": "sql-admin", "securityGroup": "sg-0"}},
            "secrets": ADMIN,
        },
        "mlflow:database.existing.securityGroup",
        "AWS",
    ),
    (
        "an instance's name in capitals",
        {"database": {"existing": {"instance": "Shared", "admin": "sql-admin"}}, "secrets": ADMIN},
        "mlflow:database.existing.instance",
        "Cloud SQL",
    ),
    ("signed addresses", artifacts(transfer="presigned"), "mlflow:artifacts.transfer", "metadata server"),
    ("soft delete for three days", artifacts(softDeleteDays=3), "mlflow:artifacts.softDeleteDays", "7 to 90"),
    ("soft delete for a year", artifacts(softDeleteDays=365), "mlflow:artifacts.softDeleteDays", "90"),
    (
        "a bucket in Google's name",
        artifacts(existing={"name": "my-google"}),
        "mlflow:artifacts.existing.name",
        "bucket",
    ),
    (
        "the location of an existing bucket",
        artifacts(existing={"name": "data"}, location="eu"),
        "mlflow:artifacts.location",
        "decided already",
    ),
    (
        "soft delete of an existing bucket",
        artifacts(existing={"name": "data"}, softDeleteDays=7),
        "mlflow:artifacts.softDeleteDays",
        "decided already",
    ),
    (
        "the location of a volume",
        artifacts(place="in-cluster", location="eu"),
        "mlflow:artifacts.location",
        "managed",
    ),
    (
        "a disk for several nodes",
        artifacts(place="in-cluster", volume={"accessMode": "ReadWriteMany"}),
        "mlflow:artifacts.volume.accessMode",
        "Filestore",
    ),
]

SUBNET = {"name": "apps", "pods": "pods", "services": "services"}
NETWORK = [
    (
        "two networks",
        {"cluster": {"create": {"subnet": SUBNET, "network": "10.0.0.0/16"}}},
        "mlflow:cluster.create.network",
        "remove it",
    ),
    (
        "one range for two things",
        {"cluster": {"create": {"subnet": {**SUBNET, "services": "pods"}}}},
        "mlflow:cluster.create.subnet.services",
        "another secondary range",
    ),
    (
        "what a created cluster has in any network",
        {"cluster": {"create": {"subnet": SUBNET}, "has": ["network-policy"]}},
        "mlflow:cluster.has",
        "only what its network has",
    ),
    (
        "an internal ingress in a network without proxies",
        {
            "cluster": {"create": {"subnet": SUBNET}},
            "exposure": {"ingress": {"host": "mlflow.example.com", "internal": True}},
        },
        "mlflow:exposure.ingress.internal",
        "list proxy-subnet",
    ),
]
GATEWAY = [
    (
        "sign-in by Google behind a gateway",
        {**ingress(api="gateway"), "gcp": {"iap": {"members": ["group:ml@example.com"]}}},
        "mlflow:gcp.iap",
        "remove mlflow:exposure.ingress.api",
    ),
    (
        "somebody else's class for Google's gateway",
        {"exposure": {"ingress": {"host": "mlflow.example.com", "api": "gateway", "className": "other"}}},
        "mlflow:exposure.ingress.className",
        "remove it",
    ),
]
IMAGES = [
    (
        "a builder of ready images",
        {"gcp": {"builder": "docker"}, "images": {"server": "a/b:1", "job": "a/c:1"}},
        "mlflow:gcp.builder",
        "remove it",
    ),
]


BAD = [*GATEWAY, *IMAGES, *NETWORK, *CLUSTER, *IDENTITY, *ENTRANCES, *STORES]


@pytest.mark.unit
@pytest.mark.parametrize(("values", "key", "advice"), [row[1:] for row in BAD], ids=[row[0] for row in BAD])
def test_bad_settings_are_refused_with_their_key_and_what_to_do(
    values: dict[str, Any], key: str, advice: str
) -> None:
    found = [problem for problem in problems_of(values) if problem.key == key]
    assert found, problems_of(values)
    assert any(advice in problem.message for problem in found), found


@pytest.mark.unit
@pytest.mark.parametrize(
    "values",
    [
        {},
        create(compute="autopilot", channel="stable", dnsEndpoint=True),
        create(nodes={"min": 2, "max": 7, "size": "n2-standard-8", "diskType": "pd-ssd"}),
        create(zones=[f"{REGION}-b", f"{REGION}-d"], nodes={"total": 4}),
        create(access={"public": ["0.0.0.0/0"], "world": True}),
        existing(),
        {"cluster": {"existing": "data"}, **database(existing={"instance": "shared", "finished": True})},
        {"cluster": {"existing": "data"}, **database(place="in-cluster")},
        existing("network-policy", gcp={"proxy": "deployment"}),
        {"gcp": {"identity": "direct"}, "database": {"signIn": "password", "user": "ml"}},
        {"gcp": {"identity": "direct"}, "database": {"place": "in-cluster"}},
        database(size="db-perf-optimized-N-2", backupDays=35),
        database(size="db-f1-micro"),
        database(size="db-custom-1-3840"),
        database(engine="mysql", version="8.4", highAvailability=True),
        {"database": {"existing": {"instance": "shared", "admin": "sql-admin"}}, "secrets": ADMIN},
        {"database": {"existing": {"instance": "shared", "finished": True}}},
        artifacts(transfer="direct", location="eu", softDeleteDays=0),
        artifacts(existing={"name": "data", "prefix": "ml/flow"}),
        {**ingress(), "gcp": {"iap": {"members": ["group:ml@example.com", "domain:example.com"]}}},
        {**ingress(certificate="mlflow"), "gcp": {"addresses": {"ingress": "mlflow"}}},
        {"exposure": {"ingress": {"host": HOST, "internal": True}}},
        entrance("internal"),
        {"gcp": {"pullCredentials": "pull"}, "secrets": PULL},
    ],
)
def test_each_alternative_is_taken(values: dict[str, Any]) -> None:
    assert problems_of(values) == []
    assert isinstance(settings(values), GcpStack)


@pytest.mark.unit
@pytest.mark.parametrize(
    ("region", "word"), [("", "is missing"), ("eu-west-1", "is no region"), ("europe-west1-b", "is no")]
)
def test_a_stack_names_its_region(region: str, word: str) -> None:
    (problem,) = problems_of({}, region)
    assert problem.key == "gcp:region"
    assert word in problem.message


@pytest.mark.unit
def test_every_mistake_of_a_stack_is_reported_at_once() -> None:
    values = {
        "cluster": {"create": {"version": "1.20", "nodes": {"total": 4}}},
        "gcp": {"identity": "direct"},
        "artifacts": {"transfer": "presigned"},
        "tags": {"Team": "a"},
    }
    assert {problem.key for problem in problems_of(values, "")} == {
        "gcp:region",
        "mlflow:cluster.create.version",
        "mlflow:cluster.create.nodes.total",
        "mlflow:gcp.identity",
        "mlflow:artifacts.transfer",
        "mlflow:tags.Team",
    }


@pytest.mark.unit
def test_no_refusal_shows_a_secret() -> None:
    values = {
        "server": {"secrets": ["sql-admin"]},
        "database": {"existing": {"instance": "shared", "admin": "sql-admin"}},
        "secrets": {**ADMIN, "store": {"k": {"GOOGLE_CREDENTIALS": "planted-too"}}},
    }
    found = problems_of(values)
    assert found
    assert not [problem for problem in found if "planted" in str(problem)]


@pytest.mark.unit
def test_the_defaults_are_the_safe_ones() -> None:
    made = settings({})
    assert isinstance(made, GcpStack)
    assert made.new_cluster is not None
    assert made.new_cluster.access.public == []
    assert not made.new_cluster.dns_endpoint
    assert made.new_cluster.nodes.bounds == (3, 3)
    assert made.gcp.identity == "impersonated"
    assert made.database.sign_in == "identity"
    assert made.artifacts.transfer == "proxied"
    assert made.protected("gcp")


def test_dockers_network_will_do_where_no_cloud_sql_has_to_answer() -> None:
    network = {"cluster": {"create": {"network": "172.17.0.0/16"}}}
    assert "Cloud SQL keeps" in str(problems_of(network))
    assert problems_of(network | {"database": {"place": "in-cluster"}}) == []
