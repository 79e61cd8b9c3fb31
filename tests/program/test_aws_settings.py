"""Each setting that only a stack on AWS has reaches the resource it is about."""

from __future__ import annotations

import json
from typing import Any

import pytest

from components.settings.aws import AwsStack
from tests.program.aws_cases import BOUNDARY, CERTIFICATE, HOST, OFFICE, PLAIN, RDS_ADMIN, ROLE
from tests.program.conftest import Settings, plan
from tests.program.reading import as_text, server_environment
from tests.program.test_settings_reach_objects import NOT_IN_MANIFESTS as NOT_ON_DEV
from tests.program.test_settings_reach_objects import ROWS as DEV_ROWS
from tests.program.test_settings_reach_objects import Row, paths
from tools.offline import Plan
from tools.offline.wire import plain

pytestmark = pytest.mark.program


KEY = "arn:aws:kms:eu-west-1:123456789012:key/0a1b2c3d"


def given(plan: Plan, kind: str, name: str = "") -> dict[str, Any]:
    """The inputs of the only resource of a kind."""
    return plain(plan.one(kind, name).inputs)


def create(**more: Any) -> Settings:
    return {"cluster": {"create": more}}


def groups(**nodes: Any) -> Settings:
    return create(compute="node-groups", nodes=nodes)


def database(**more: Any) -> Settings:
    return {"database": more}


def there(**more: Any) -> Settings:
    """An existing database service with its administrator."""
    return {
        "database": {"existing": {"instance": "shared", "admin": "rds-admin", **more}},
        "secrets": RDS_ADMIN,
    }


def sizes(plan: Plan) -> list[tuple[int, int]]:
    """Fewest and most nodes of each group."""
    found = [plain(one.inputs)["scalingConfig"] for one in plan.of_type("NodeGroup")]
    return [(one["minSize"], one["maxSize"]) for one in found]


def entrance(kind: str, **more: Any) -> Settings:
    return {"auth": {"mode": "basic"}, "exposure": {kind: {"host": HOST, "allow": OFFICE, **more}}}


def annotated(plan: Plan, kind: str, name: str = "") -> str:
    return json.dumps(given(plan, kind, name)["metadata"].get("annotations", {}))


def launched(plan: Plan) -> dict[str, Any]:
    (mapping,) = given(plan, "LaunchTemplate")["blockDeviceMappings"]
    return mapping["ebs"]


def uri(plan: Plan) -> str:
    return server_environment(plan)["MLFLOW_BACKEND_STORE_URI"]


ROWS = [
    Row("tags", {"tags": {"team": "a"}}, lambda p: '"team": "a"' in given(p, "aws")["defaultTags"]),
    Row(
        "aws.identity",
        {"aws": {"identity": "irsa"}},
        lambda p: p.one("OpenIdConnectProvider") and not p.of_type("PodIdentityAssociation"),
    ),
    Row(
        "aws.permissionBoundary",
        {"aws": {"permissionBoundary": BOUNDARY}},
        lambda p: (
            {plain(one.inputs).get("permissionsBoundary") for one in p.of_type("Role") if not one.component}
            == {BOUNDARY}
        ),
    ),
    Row(
        "cluster.existing",
        {"cluster": {"existing": "data", "has": ["auto-mode"]}},
        lambda p: not p.of_type("Cluster") and plain(p.outputs)["clusterName"] != "mlflow-aws",
    ),
    Row(
        "cluster.has",
        {"cluster": {"existing": "data", "has": ["pod-identity-agent", "ebs-csi"]}},
        lambda p: given(p, "StorageClass")["provisioner"] == "ebs.csi.aws.com",
    ),
    Row(
        "cluster.nodeSecurityGroups",
        {
            "cluster": {
                "existing": "data",
                "has": ["auto-mode"],
                "nodeSecurityGroups": ["sg-0123456789abcdef0"],
            }
        },
        lambda p: (
            given(p, "SecurityGroupIngressRule", "from-sg-")["referencedSecurityGroupId"]
            == "sg-0123456789abcdef0"
        ),
    ),
    Row("cluster.create.version", create(version="1.35"), lambda p: given(p, "Cluster")["version"] == "1.35"),
    Row("cluster.create.compute", create(compute="node-groups"), lambda p: p.of_type("NodeGroup")),
    Row(
        "cluster.create.access.public",
        create(access={"public": OFFICE}),
        lambda p: given(p, "Cluster")["vpcConfig"]["publicAccessCidrs"] == OFFICE,
    ),
    Row(
        "cluster.create.admins",
        create(admins=[ROLE]),
        lambda p: ROLE in [plain(one.inputs)["principalArn"] for one in p.of_type("AccessEntry")],
    ),
    Row(
        "cluster.create.zones",
        create(zones=["eu-west-1b", "eu-west-1c"]),
        lambda p: (
            {plain(one.inputs)["availabilityZone"] for one in p.of_type("Subnet")}
            == {"eu-west-1b", "eu-west-1c"}
        ),
    ),
    Row(
        "cluster.create.network",
        create(network="10.80.0.0/18"),
        lambda p: given(p, "Vpc")["cidrBlock"] == "10.80.0.0/18",
    ),
    Row(
        "cluster.create.subnets",
        create(subnets=["subnet-0123456789abcdef0", "subnet-0123456789abcdef1"]),
        lambda p: (
            given(p, "Cluster")["vpcConfig"]["subnetIds"]
            == ["subnet-0123456789abcdef0", "subnet-0123456789abcdef1"]
        ),
    ),
    Row(
        "cluster.create.containerLogs",
        create(containerLogs=True),
        lambda p: p.one("Addon", "cloudwatch-observability"),
    ),
    Row("cluster.create.nodes.total", groups(total=4), lambda p: sum(most for _, most in sizes(p)) == 4),
    Row(
        "cluster.create.nodes.min", groups(min=4, max=9), lambda p: sum(fewest for fewest, _ in sizes(p)) == 4
    ),
    Row("cluster.create.nodes.max", groups(min=4, max=9), lambda p: sum(most for _, most in sizes(p)) == 9),
    Row(
        "cluster.create.nodes.size",
        groups(size="c7i.xlarge"),
        lambda p: (
            {tuple(plain(one.inputs)["instanceTypes"]) for one in p.of_type("NodeGroup")} == {("c7i.xlarge",)}
        ),
    ),
    Row("cluster.create.nodes.diskGb", groups(diskGb=77), lambda p: launched(p)["volumeSize"] == 77),
    Row(
        "cluster.create.nodes.diskType", groups(diskType="gp2"), lambda p: launched(p)["volumeType"] == "gp2"
    ),
    Row("database.version", database(version="16"), lambda p: given(p, "Instance")["engineVersion"] == "16"),
    Row(
        "database.size",
        database(size="db.m7g.large"),
        lambda p: given(p, "Instance")["instanceClass"] == "db.m7g.large",
    ),
    Row(
        "database.storageGb", database(storageGb=77), lambda p: given(p, "Instance")["allocatedStorage"] == 77
    ),
    Row(
        "database.maxStorageGb",
        database(maxStorageGb=77),
        lambda p: given(p, "Instance")["maxAllocatedStorage"] == 77,
    ),
    Row(
        "database.highAvailability",
        database(highAvailability=True),
        lambda p: given(p, "Instance")["multiAz"] is True,
    ),
    Row(
        "database.backupDays",
        database(backupDays=9),
        lambda p: given(p, "Instance")["backupRetentionPeriod"] == 9,
    ),
    Row("database.signIn", database(signIn="password"), lambda p: p.one("RandomPassword", "mlflow-database")),
    Row("database.name", database(name="tracking"), lambda p: "/tracking?" in uri(p)),
    Row("database.user", database(user="tracker"), lambda p: "://tracker" in uri(p)),
    Row(
        "database.existing.instance",
        there(),
        lambda p: not p.of_type("Instance") and "sentinel-getInstance" in uri(p).replace("mock-", ""),
    ),
    Row(
        "database.existing.cluster",
        there(instance=None, cluster="aurora"),
        lambda p: "sentinel-getCluster" in uri(p).replace("mock-", ""),
    ),
    Row(
        "database.existing.admin",
        there(),
        lambda p: "planted-admin-password" in str(p.one("Secret", "bootstrap").inputs["stringData"].value),
    ),
    Row(
        "database.existing.securityGroup",
        there(securityGroup="sg-0123456789abcdef0"),
        lambda p: given(p, "SecurityGroupIngressRule")["securityGroupId"] == "sg-0123456789abcdef0",
    ),
    Row(
        "database.existing.finished",
        database(existing={"cluster": "aurora", "finished": True}),
        lambda p: not [one for one in p.of_type("Job") if "bootstrap" in one.name],
    ),
    Row(
        "artifacts.transfer",
        {"artifacts": {"transfer": "presigned"}},
        lambda p: "MULTIPART_DOWNLOAD=false" not in str(plain(p.outputs)["clientEnvironment"]),
    ),
    Row(
        "artifacts.keepVersionsDays",
        {"artifacts": {"keepVersionsDays": 77}},
        lambda p: '"noncurrentDays": 77' in json.dumps(given(p, "BucketLifecycleConfiguration")),
    ),
    Row(
        "artifacts.existing.name",
        {"artifacts": {"existing": {"name": "team-data"}}},
        lambda p: (
            "-getBucket-" in server_environment(p)["MLFLOW_ARTIFACTS_DESTINATION"]
            and plain(p.outputs)["dataPlaces"]["mlflow:artifacts.existing"] == "team-data/"
        ),
    ),
    Row(
        "artifacts.existing.key",
        {"artifacts": {"existing": {"name": "team-data", "key": KEY}}},
        lambda p: KEY in given(p, "RolePolicy", "server-role-key")["policy"],
    ),
    Row(
        "artifacts.existing.prefix",
        {"artifacts": {"existing": {"name": "team-data", "prefix": "a/b"}}},
        lambda p: (
            server_environment(p)["MLFLOW_ARTIFACTS_DESTINATION"].endswith("-getBucket-bucket/a/b")
            and "-getBucket-arn/a/b/*" in json.dumps(given(p, "RolePolicy", "server-role-artifacts"))
        ),
    ),
    *(
        Row(
            f"exposure.{kind}.certificate",
            entrance(kind, certificate=CERTIFICATE),
            lambda p, kind=kind: (
                CERTIFICATE in annotated(p, "Service", kind)
                and plain(p.outputs)[f"{kind}Url"] == f"https://{HOST}"
            ),
        )
        for kind in ("internal", "external")
    ),
    Row(
        "exposure.ingress.certificate",
        entrance("ingress", certificate=CERTIFICATE),
        lambda p: CERTIFICATE in as_text(p),
    ),
    Row("exposure.ingress.allow", entrance("ingress"), lambda p: OFFICE[0] in as_text(p)),
    Row(
        "exposure.ingress.internal",
        {"exposure": {"ingress": {"host": HOST, "internal": True}}},
        lambda p: given(p, "IngressClassParams")["spec"]["scheme"] == "internal",
    ),
]

NOT_IN_A_PLAN = {
    "cluster.create.access.world": "a confirmation: without it settings are refused",
    "localState": "the same",
    "database.restored": "compared with what is found, in tests/program/test_aws_data.py",
}


@pytest.mark.parametrize("row", ROWS, ids=[row.path for row in ROWS])
def test_each_setting_reaches_its_resource(row: Row) -> None:
    changed = plan(PLAIN | dict(row.settings), stack="aws")
    assert changed.problems == []
    assert row.holds(changed)


@pytest.mark.parametrize("row", ROWS, ids=[row.path for row in ROWS])
def test_no_row_holds_by_itself(row: Row) -> None:
    """What a row checks does not hold on the plain stack, or the row would prove nothing."""
    try:
        held = row.holds(plan(PLAIN, stack="aws"))
    except (KeyError, LookupError, ValueError):
        held = False
    assert not held


def test_no_setting_is_left_out_of_the_table() -> None:
    """What every stack has is shown on the dev stack, but for what has no meaning there."""
    on_dev = {row.path for row in DEV_ROWS} | NOT_ON_DEV.keys()
    rows = {row.path for row in ROWS}
    assert set(paths(AwsStack)) - on_dev - NOT_IN_A_PLAN.keys() <= rows
    assert rows <= set(paths(AwsStack))
    for path, reason in NOT_ON_DEV.items():
        if "cloud's" in reason or "controller" in reason:
            assert path in rows, f"{path} has no meaning on dev: it needs a row here"
