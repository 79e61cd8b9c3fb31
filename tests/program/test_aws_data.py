"""Database, bucket, images and roles of a stack on AWS: what is made, who may use it, how it is guarded."""

from __future__ import annotations

import json
import re
import runpy
from pathlib import Path
from typing import Any

import pytest

from components.clouds.aws.certificates import authorities_of
from components.contracts import THROUGH_THE_SERVER
from components.image_context import OWN_IMAGES
from components.settings.versions import DEFAULTS, Product
from components.third_party import PYTHON, THIRD_PARTY
from tests.program.aws_cases import AWS_CASES, BOUNDARY, PLAIN, POSTGRESQL_URL, RDS_ADMIN
from tests.program.conftest import Settings, plan, plan_of
from tests.program.reading import as_text, environment, name_of, pod_spec, pods, server_environment
from tools.common import ROOT, Failure
from tools.engine.place import Place, prepare
from tools.offline import Mocked, Plan, Resource, run
from tools.offline.wire import Secret, plain, unwrap

pytestmark = pytest.mark.program

CA_FILE = "/etc/mlflow/database-ca.pem"
ENGINES = {
    "postgresql": ("postgres", "postgresql+psycopg2", 5432),
    "mysql": ("mysql", "mysql+pymysql", 3306),
}
AURORA: Settings = {
    "database": {"engine": "mysql", "existing": {"cluster": "aurora", "admin": "rds-admin"}},
    "secrets": RDS_ADMIN,
}
EXISTING: Settings = {
    "database": {
        "existing": {"instance": "shared", "admin": "rds-admin", "securityGroup": "sg-0123456789abcdef0"}
    },
    "secrets": RDS_ADMIN,
}


def on_aws(more: Settings | None = None) -> Plan:
    """A stack with nothing said but the cloud, the region and ``more``; everything known."""
    return plan({**PLAIN, **(more or {})}, stack="aws")


def with_database(**database: Any) -> Plan:
    return on_aws({"database": database})


def inputs(resource: Resource) -> dict[str, Any]:
    return plain(resource.inputs)


def database(plan: Plan) -> dict[str, Any]:
    return inputs(plan.one("Instance"))


def role(plan: Plan, name: str) -> Resource:
    (found,) = [one for one in plan.of_type("Role") if one.name == name and not one.component]
    return found


def statements(plan: Plan, name: str) -> list[dict[str, Any]]:
    """All that a role may do."""
    wanted = role(plan, name).outputs["name"]
    documents = [inputs(one)["policy"] for one in plan.of_type("RolePolicy") if inputs(one)["role"] == wanted]
    return [statement for document in documents for statement in json.loads(document)["Statement"]]


# The database


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> str:
    """Each engine of RDS in turn."""
    return request.param


def test_a_new_instance_has_every_safe_input_said(engine: str) -> None:
    found = database(with_database(engine=engine))
    name, _, _ = ENGINES[engine]
    product = {"postgresql": Product.RDS_POSTGRESQL, "mysql": Product.RDS_MYSQL}[engine]
    assert found["engine"] == name
    assert found["engineVersion"] == DEFAULTS[product]
    expected = {
        "storageEncrypted": True,
        "publiclyAccessible": False,
        "iamDatabaseAuthenticationEnabled": True,
        "manageMasterUserPassword": True,
        "deletionProtection": True,
        "skipFinalSnapshot": False,
        "deleteAutomatedBackups": False,
        "copyTagsToSnapshot": True,
        "backupRetentionPeriod": 7,
        "storageType": "gp3",
        "engineLifecycleSupport": "open-source-rds-extended-support-disabled",
        "autoMinorVersionUpgrade": True,
        "performanceInsightsEnabled": True,
        "multiAz": False,
        "instanceClass": "db.t4g.medium",
    }
    assert found.items() >= expected.items()
    assert "iam-db-auth-error" in found["enabledCloudwatchLogsExports"]
    assert not {"password", "passwordWo"} & found.keys()
    assert len(found["username"]) <= 16
    assert found["finalSnapshotIdentifier"]


@pytest.mark.parametrize(
    ("engine", "family", "parameters"),
    [
        ("postgresql", "postgres17", {"rds.force_ssl": "1"}),
        ("mysql", "mysql8.4", {"require_secure_transport": "1", "log_bin_trust_function_creators": "1"}),
    ],
)
def test_the_service_refuses_connections_without_tls(
    engine: str, family: str, parameters: dict[str, str]
) -> None:
    found = with_database(engine=engine)
    group = found.one("ParameterGroup")
    assert inputs(group)["family"] == family
    assert {one["name"]: one["value"] for one in inputs(group)["parameters"]} == parameters
    assert database(found)["parameterGroupName"] == group.outputs["name"]


def test_the_family_follows_the_version() -> None:
    assert inputs(with_database(version="16.4").one("ParameterGroup"))["family"] == "postgres16"
    assert inputs(with_database(engine="mysql", version="8.4").one("ParameterGroup"))["family"] == "mysql8.4"


def test_only_a_version_that_the_stack_names_may_be_a_major_upgrade() -> None:
    assert database(with_database())["allowMajorVersionUpgrade"] is False
    named = database(with_database(version="16"))
    assert (named["engineVersion"], named["allowMajorVersionUpgrade"]) == ("16", True)


def test_a_minor_version_that_the_stack_names_is_not_moved_on_by_rds() -> None:
    """Else the next `up` would ask for the older one again, which RDS refuses."""
    assert database(with_database(version="16.4"))["autoMinorVersionUpgrade"] is False
    for major in ({"version": "16"}, {}, {"engine": "mysql", "version": "8.4"}):
        assert database(with_database(**major))["autoMinorVersionUpgrade"] is True


def test_the_parameters_of_the_version_before_stay_while_an_upgrade_waits_for_its_window(engine: str) -> None:
    assert with_database(engine=engine).one("ParameterGroup").retain_on_delete


def test_nodes_outside_the_clusters_security_group_are_let_in_by_a_rule_each() -> None:
    groups = ["sg-0123456789abcdef0", "sg-0123456789abcdef1"]
    cluster = {"existing": "data", "has": ["auto-mode"], "nodeSecurityGroups": groups}
    for settings in ({}, EXISTING):
        found = on_aws({**settings, "cluster": cluster})
        rules = {one.name: inputs(one) for one in found.of_type("SecurityGroupIngressRule")}
        assert set(rules) == {f"mlflow-database-from-{name}" for name in ("cluster", *groups)}
        assert {rule["securityGroupId"] for rule in rules.values()} == {
            rules["mlflow-database-from-cluster"]["securityGroupId"]
        }
        for group in groups:
            rule = rules[f"mlflow-database-from-{group}"]
            assert (rule["referencedSecurityGroupId"], rule["fromPort"]) == (group, rule["toPort"])


@pytest.mark.parametrize("transfer", ["proxied", "direct"])
def test_the_key_of_an_existing_bucket_is_used_through_s3_only(transfer: str) -> None:
    key = "arn:aws:kms:eu-west-1:123456789012:key/0a1b2c3d"
    found = on_aws({"artifacts": {"existing": {"name": "team-data", "key": key}, "transfer": transfer}})
    for name in ("mlflow-server-role", *(["mlflow-jobs-role"] if transfer == "direct" else [])):
        (rights,) = [one for one in statements(found, name) if one["Resource"] == [key]]
        assert rights == {
            "Effect": "Allow",
            "Action": ["kms:GenerateDataKey", "kms:Decrypt"],
            "Resource": [key],
            "Condition": {"StringLike": {"kms:ViaService": "s3.*.amazonaws.com*"}},
        }
    without = on_aws({"artifacts": {"existing": {"name": "team-data"}, "transfer": transfer}})
    assert "kms:GenerateDataKey" not in json.dumps(statements(without, "mlflow-server-role"))


def test_each_setting_of_the_service_reaches_it() -> None:
    found = with_database(
        version="16.4",
        size="db.m7g.large",
        storageGb=100,
        maxStorageGb=500,
        highAvailability=True,
        backupDays=35,
        name="tracking",
    )
    expected = {
        "engineVersion": "16.4",
        "instanceClass": "db.m7g.large",
        "allocatedStorage": 100,
        "maxAllocatedStorage": 500,
        "multiAz": True,
        "backupRetentionPeriod": 35,
        "dbName": "tracking",
    }
    assert database(found).items() >= expected.items()


def test_storage_grows_to_ten_times_its_size_and_never_beyond_what_rds_has() -> None:
    assert database(with_database())["maxAllocatedStorage"] == 200
    assert database(with_database(storageGb=10000))["maxAllocatedStorage"] == 65536


def test_storage_that_may_not_grow_does_not() -> None:
    assert "maxAllocatedStorage" not in database(with_database(storageGb=40, maxStorageGb=40))


def test_insights_are_left_out_where_rds_has_none() -> None:
    small = database(with_database(engine="mysql", size="db.t4g.small"))
    assert small["performanceInsightsEnabled"] is False
    assert not {"performanceInsightsRetentionPeriod", "databaseInsightsMode"} & small.keys()
    assert database(with_database(size="db.t4g.micro"))["performanceInsightsEnabled"] is True


def test_protection_follows_the_stack_in_aws_and_in_pulumi() -> None:
    guarded, free = on_aws(), on_aws({"protect": False})
    assert guarded.one("Instance").protect
    assert not free.one("Instance").protect
    assert database(free)["deletionProtection"] is False
    assert inputs(guarded.one("Bucket"))["forceDestroy"] is False
    assert inputs(free.one("Bucket"))["forceDestroy"] is True
    # Even what is let go leaves a last snapshot.
    assert database(free)["skipFinalSnapshot"] is False


def test_what_is_replaced_by_a_change_of_content_is_never_protected(aws_case: str) -> None:
    """Replacing a protected resource is refused, and these are replaced by every change."""
    for resource in plan_of(aws_case).resources:
        if resource.type.endswith((":ConfigMap", ":Secret", ":Job")):
            assert not resource.protect, resource.name


def test_every_instance_has_a_name_and_a_last_snapshot_of_its_own(engine: str) -> None:
    """Whatever makes RDS replace an instance makes a new name, which a second snapshot of it needs."""
    named = inputs(with_database(engine=engine).one("RandomId", "mlflow-database"))
    assert named["keepers"] == {"engine": ENGINES[engine][0], "name": "mlflow"}
    resized = inputs(with_database(engine=engine, size="db.m7g.large").one("RandomId", "mlflow-database"))
    assert named == resized
    found = with_database(engine=engine)
    identifier = found.one("RandomId", "mlflow-database").outputs["hex"]
    assert database(found)["identifier"] == identifier
    assert database(found)["finalSnapshotIdentifier"] == f"{identifier}-final"


def test_logs_go_where_they_are_kept_for_a_month_before_rds_makes_the_place(engine: str) -> None:
    found = with_database(engine=engine)
    groups = [one for one in found.of_type("LogGroup") if "database" in one.name]
    wanted = {
        f"/aws/rds/instance/{database(found)['identifier']}/{log}"
        for log in database(found)["enabledCloudwatchLogsExports"]
    }
    assert {inputs(one)["name"] for one in groups} == wanted
    assert {inputs(one)["retentionInDays"] for one in groups} == {30}
    assert {one.urn for one in groups} <= set(found.one("Instance").depends_on)


def test_the_service_is_reached_from_the_cluster_and_from_nowhere_else(engine: str) -> None:
    found = with_database(engine=engine)
    group = found.one("SecurityGroup", "mlflow-database")
    assert not {"ingress", "egress"} & inputs(group).keys()
    assert inputs(group)["vpcId"] == found.one("Vpc").id
    assert database(found)["vpcSecurityGroupIds"] == [group.id]
    cluster = found.one("Cluster").outputs["vpcConfig"]["clusterSecurityGroupId"]
    rule = inputs(found.one("SecurityGroupIngressRule"))
    rule.pop("description")
    assert rule == {
        "securityGroupId": group.id,
        "referencedSecurityGroupId": cluster,
        "ipProtocol": "tcp",
        "fromPort": ENGINES[engine][2],
        "toPort": ENGINES[engine][2],
    }
    private = {one.id for one in found.of_type("Subnet") if "private" in one.name}
    assert set(inputs(found.one("SubnetGroup"))["subnetIds"]) == private
    assert database(found)["dbSubnetGroupName"] == found.one("SubnetGroup").outputs["name"]


# How MLflow signs in


def uri(plan: Plan) -> str:
    return server_environment(plan)["MLFLOW_BACKEND_STORE_URI"]


TLS = {
    "postgresql": f"?sslmode=verify-full&sslrootcert={CA_FILE}",
    "mysql": f"?ssl_ca={CA_FILE}&ssl_check_hostname=true",
}


def test_the_server_signs_in_by_token_over_checked_tls_without_any_password(engine: str) -> None:
    found = with_database(engine=engine)
    host = unwrap(found.one("Instance").outputs["address"])
    _, driver, port = ENGINES[engine]
    token = "&plugin=database_signin&token_source=aws&token_region=eu-west-1"
    assert uri(found) == f"{driver}://mlflow@{host}:{port}/mlflow{TLS[engine]}{token}"
    assert not [one for one in found.of_type("RandomPassword") if "database" in one.name]


def test_by_password_the_password_stands_in_secrets_only(engine: str) -> None:
    found = with_database(engine=engine, signIn="password")
    password = found.one("RandomPassword", "mlflow-database").outputs["result"]
    assert isinstance(password, Secret)
    assert found.one("RandomPassword", "mlflow-database").protect
    assert f"//mlflow:{password.value}@" in uri(found)
    assert uri(found).endswith(TLS[engine])
    assert password.value not in as_text(found)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"database": {"engine": "mysql"}},
        {"database": {"engine": "mysql", "signIn": "password"}, "auth": {"mode": "basic"}},
        EXISTING,
        AURORA,
    ],
)
def test_whoever_opens_the_database_checks_its_certificate_against_the_regions_authorities(
    settings: Settings,
) -> None:
    found = on_aws(settings)
    bundles = {name_of(one): one.inputs["data"] for one in found.of_type("ConfigMap")}
    opened = 0
    for workload in [*found.of_type("Deployment"), *found.of_type("Job")]:
        spec = pod_spec(workload)
        address = environment(found, workload).get("MLFLOW_BACKEND_STORE_URI") or environment(
            found, workload
        ).get("DATABASE_URI")
        if address is None:
            continue
        opened += 1
        assert CA_FILE in address
        assert "sslmode=verify-full" in address or "ssl_check_hostname=true" in address
        mounts = {one["mountPath"]: one for one in spec["containers"][0]["volumeMounts"]}
        volumes = {one["name"]: one for one in spec["volumes"]}
        source = volumes[mounts[CA_FILE]["name"]]["configMap"]["name"]
        assert bundles[source][mounts[CA_FILE]["subPath"]] == authorities_of("eu-west-1")
    assert opened >= 2, "the server and its migration"


def test_a_region_whose_authorities_are_unknown_is_refused_before_anything_is_made() -> None:
    with pytest.raises(Failure, match=r"aws:region: is mx-central-1.*rds-ca-bundle\.pem"):
        plan({**PLAIN, "aws:region": "mx-central-1"}, stack="aws")


def bootstrap(plan: Plan) -> dict[str, str]:
    """The environment of the Job that makes the user."""
    (job,) = [one for one in plan.of_type("Job") if one.name == "mlflow-bootstrap"]
    return environment(plan, job)


def test_the_user_is_made_with_the_secret_that_rds_keeps() -> None:
    found = with_database()
    secret = found.one("Instance").outputs["masterUserSecrets"][0]["secretArn"]
    known = bootstrap(found)
    assert known["ADMIN_SIGN_IN"] == "secrets-manager"
    assert known["ADMIN_SECRET_ARN"] == secret
    assert known["DATABASE_URI"] == uri(found)
    assert "ADMIN_PASSWORD" not in known


def test_an_existing_service_takes_the_named_administrator_and_stays_untouched() -> None:
    found = on_aws(EXISTING)
    known = bootstrap(found)
    assert known["ADMIN_SIGN_IN"] == "password"
    assert (known["ADMIN_USERNAME"], known["ADMIN_PASSWORD"]) == (
        "planted-admin-name",
        "planted-admin-password",
    )
    assert "planted-admin-password" not in as_text(found)
    for kind in ("Instance", "ParameterGroup", "SubnetGroup"):
        assert found.of_type(kind) == []
    assert "getInstance-address" in uri(found)
    rule = inputs(found.one("SecurityGroupIngressRule"))
    assert rule["securityGroupId"] == "sg-0123456789abcdef0"
    assert (
        rule["referencedSecurityGroupId"]
        == found.one("Cluster").outputs["vpcConfig"]["clusterSecurityGroupId"]
    )


def test_without_a_security_group_no_rule_is_added_to_an_existing_service() -> None:
    assert on_aws(AURORA).of_type("SecurityGroupIngressRule") == []


def test_an_aurora_cluster_is_reached_at_its_writer_and_named_by_its_cluster_resource() -> None:
    found = on_aws(AURORA)
    assert "@mock-sentinel-getCluster-endpoint:" in uri(found)
    (connect,) = [one for one in statements(found, "mlflow-server-role") if "rds-db:connect" in one["Action"]]
    assert connect["Resource"][0].endswith(":dbuser:mock-sentinel-getCluster-clusterResourceId/mlflow")


def test_a_finished_database_is_used_as_it_is() -> None:
    finished = {"cluster": "aurora", "finished": True}
    found = with_database(name="tracking", user="tracker", existing=finished)
    assert [one.name for one in found.of_type("Job") if "bootstrap" in one.name] == []
    assert found.of_type("PodIdentityAssociation") != []
    assert "database-admin" not in as_text(found)
    assert "://tracker@" in uri(found)
    assert "/tracking?" in uri(found)


class Looked(Mocked):
    """Knows what a look-up finds."""

    def __init__(self, **found: Any) -> None:
        self._found = found

    def looked_up(self, token: str, arguments: dict[str, Any]) -> dict[str, Any] | None:
        answer = super().looked_up(token, arguments)
        return {**(answer or {}), **self._found} if "rds" in token else answer


@pytest.mark.parametrize(
    ("existing", "found", "message"),
    [
        ({"instance": "shared"}, {"engine": "mysql"}, "database.engine: is postgresql, but .* is mysql"),
        ({"cluster": "shared"}, {"engine": "aurora-mysql"}, "database.engine: is postgresql"),
        ({"instance": "shared"}, {"engine": "mariadb"}, "existing one is mariadb; MLflow needs PostgreSQL"),
        (
            {"cluster": "shared"},
            {"engine": "aurora-postgresql", "iamDatabaseAuthenticationEnabled": False},
            "database.signIn: identity needs IAM authentication",
        ),
    ],
)
def test_an_existing_service_that_does_not_fit_is_refused_with_its_key(
    existing: Settings, found: dict[str, Any], message: str
) -> None:
    settings = {**PLAIN, "database": {"existing": {**existing, "finished": True}}}
    with pytest.raises(Exception, match=message):
        run("aws", answers=Looked(**found), overrides=settings)


RESTORED: Settings = {**PLAIN, "database": {"restored": "db-mlflow-restored"}}


def _restored(**found: Any) -> Plan:
    group = on_aws().one("SecurityGroup", "mlflow-database-access").id
    answers = Looked(**{"vpcSecurityGroups": [group], "engine": "postgres", **found})
    return run("aws", answers=answers, overrides=RESTORED)


def test_a_restored_instance_is_used_and_the_stacks_own_stays_as_it_is_with_all_it_stands_on() -> None:
    before, after = on_aws(), _restored()
    assert after.problems == []
    network = ("SubnetGroup", "SecurityGroup", "SecurityGroupIngressRule")
    for kind in ("Instance", "ParameterGroup", "RandomId", "LogGroup", *network):
        was = {one.name: (inputs(one), one.protect) for one in before.of_type(kind)}
        assert was
        assert {one.name: (inputs(one), one.protect) for one in after.of_type(kind)} == was
    assert after.one("Instance").protect
    assert "getInstance-address" in uri(after)
    (connect,) = [one for one in statements(after, "mlflow-server-role") if "rds-db:connect" in one["Action"]]
    assert connect["Resource"][0].endswith(":dbuser:mock-sentinel-getInstance-resourceId/mlflow")
    assert "database-admin" not in as_text(after), "its user is in the backup"
    places = "mlflow:database.restored"
    assert before.value("dataPlaces")[places] == "not restored"
    assert after.value("dataPlaces")[places] == "db-mlflow-restored"


@pytest.mark.parametrize(
    ("found", "message"),
    [
        ({"vpcSecurityGroups": ["sg-default"]}, "database.restored: names an instance outside"),
        ({"engine": "mysql"}, "database.engine: is postgresql, but the existing one is mysql"),
    ],
)
def test_a_restored_instance_that_the_server_could_not_use_is_refused(
    found: dict[str, Any], message: str
) -> None:
    with pytest.raises(Exception, match=message):
        _restored(**found)


@pytest.mark.parametrize("settings", [{"place": "in-cluster"}, {"url": POSTGRESQL_URL}])
def test_a_database_in_the_cluster_or_elsewhere_makes_nothing_on_rds(settings: Settings) -> None:
    found = on_aws({"database": settings})
    assert not [one for one in found.resources if one.type.startswith(("aws:rds", "mlflow:aws:Rds"))]
    assert "rds-db" not in as_text(found)
    assert found.outputs.get("databaseEndpoint") is None


# Roles


def exact_trust(plan: Plan, name: str, namespace: str, account: str) -> None:
    (trust,) = json.loads(inputs(role(plan, name))["assumeRolePolicy"])["Statement"]
    cluster = (
        plan.one("Cluster").outputs["arn"] if plan.of_type("Cluster") else "mock-sentinel-getCluster-arn"
    )
    if plan.of_type("PodIdentityAssociation"):
        assert trust == {
            "Effect": "Allow",
            "Principal": {"Service": "pods.eks.amazonaws.com"},
            "Action": ["sts:AssumeRole", "sts:TagSession"],
            "Condition": {
                "StringEquals": {
                    "aws:RequestTag/eks-cluster-arn": cluster,
                    "aws:RequestTag/kubernetes-namespace": namespace,
                    "aws:RequestTag/kubernetes-service-account": account,
                }
            },
        }
        return
    ((operator, condition),) = trust["Condition"].items()
    assert operator == "StringEquals"
    assert trust["Action"] == "sts:AssumeRoleWithWebIdentity"
    assert trust["Principal"].keys() == {"Federated"}
    assert {key.rpartition(":")[2]: value for key, value in condition.items()} == {
        "aud": "sts.amazonaws.com",
        "sub": f"system:serviceaccount:{namespace}:{account}",
    }
    assert not any("https://" in key for key in condition)


ROLES = {
    "mlflow-server-role": "mlflow-server",
    "mlflow-jobs-role": "mlflow-jobs",
    "mlflow-database-admin-role": "mlflow-database-admin",
}


@pytest.mark.parametrize("name", ROLES)
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"aws": {"identity": "irsa"}, "namespace": "team-a"},
        {"cluster": {"existing": "data-platform", "has": ["auto-mode"]}},
        {"cluster": {"existing": "data-platform"}, "aws": {"identity": "irsa"}},
    ],
)
def test_a_role_is_taken_by_one_account_in_one_namespace_of_one_cluster(
    settings: Settings, name: str
) -> None:
    exact_trust(on_aws(settings), name, settings.get("namespace", "mlflow"), ROLES[name])


def test_pods_become_a_role_in_one_way_never_in_both(aws_case: str) -> None:
    found = plan_of(aws_case)
    annotated = {
        one.inputs["metadata"]["name"]: one.inputs["metadata"]["annotations"]["eks.amazonaws.com/role-arn"]
        for one in found.of_type("ServiceAccount")
        if "eks.amazonaws.com/role-arn" in (one.inputs["metadata"].get("annotations") or {})
    }
    ours = {account: role(found, name) for name, account in ROLES.items() if _made(found, name)}
    associated = {
        inputs(one)["serviceAccount"]: inputs(one)["roleArn"]
        for one in found.of_type("PodIdentityAssociation")
        if inputs(one)["serviceAccount"] in ROLES.values()
    }
    assert not annotated.keys() & associated.keys()
    assert annotated | associated == {account: one.outputs["arn"] for account, one in ours.items()}
    assert bool(annotated) == ((AWS_CASES[aws_case].get("aws") or {}).get("identity") == "irsa")


def _made(plan: Plan, name: str) -> bool:
    return any(one.name == name and not one.component for one in plan.of_type("Role"))


def test_pods_start_only_once_their_role_may_do_what_it_should() -> None:
    found = with_database()
    rights = {one.urn for one in found.of_type("RolePolicy") if one.name.startswith("mlflow-server-role")}
    association = found.one("PodIdentityAssociation", "mlflow-server-role").urn
    for workload in (found.one("Deployment"), found.one("Job", "mlflow-migration")):
        assert {*rights, association} <= _before(found, workload)
    admin = found.one("RolePolicy", "mlflow-database-admin-role").urn
    assert admin in _before(found, found.one("Job", "mlflow-bootstrap"))


def _before(plan: Plan, resource: Resource) -> set[str]:
    by_urn = {one.urn: one for one in plan.resources}
    seen: set[str] = set()
    waiting = list(resource.depends_on)
    while waiting:
        urn = waiting.pop()
        if urn not in seen:
            seen.add(urn)
            waiting += by_urn[urn].depends_on if urn in by_urn else []
    return seen


def test_the_server_signs_in_as_its_one_user_of_this_one_database() -> None:
    found = with_database(user="tracker")
    resource_id = found.one("Instance").outputs["resourceId"]
    (connect,) = [one for one in statements(found, "mlflow-server-role") if "rds-db:connect" in one["Action"]]
    assert connect["Action"] == ["rds-db:connect"]
    (arn,) = connect["Resource"]
    assert re.fullmatch(rf"arn:[^:]+:rds-db:eu-west-1:[^:]+:dbuser:{re.escape(resource_id)}/tracker", arn)


def test_the_bootstrap_reads_exactly_one_secret_and_signs_in_as_two_users() -> None:
    found = with_database()
    resource_id = found.one("Instance").outputs["resourceId"]
    secret, connect = statements(found, "mlflow-database-admin-role")
    assert secret["Action"] == ["secretsmanager:GetSecretValue"]
    assert secret["Resource"] == [found.one("Instance").outputs["masterUserSecrets"][0]["secretArn"]]
    assert [arn.partition(":dbuser:")[2] for arn in connect["Resource"]] == [
        f"{resource_id}/mlflow",
        f"{resource_id}/mlflow_admin",
    ]
    assert "Secret" not in str(statements(found, "mlflow-server-role"))


def test_by_password_nobody_has_a_right_to_tokens() -> None:
    found = with_database(signIn="password")
    assert "rds-db:connect" not in as_text(found)
    (secret,) = statements(found, "mlflow-database-admin-role")
    assert secret["Action"] == ["secretsmanager:GetSecretValue"]
    existing = on_aws({"database": {"signIn": "password", **EXISTING["database"]}, "secrets": RDS_ADMIN})
    assert not _made(existing, "mlflow-database-admin-role"), "it needs no right in AWS"


def test_jobs_have_no_rights_but_for_direct_transfer(aws_case: str) -> None:
    found, settings = plan_of(aws_case), AWS_CASES[aws_case]
    direct = (settings.get("artifacts") or {}).get("transfer") == "direct"
    rights = [action for one in statements(found, "mlflow-jobs-role") for action in one["Action"]]
    assert bool(rights) == direct
    assert all(action.startswith("s3:") for action in rights)


def test_no_role_of_the_data_half_has_a_wildcard_action_or_every_resource(aws_case: str) -> None:
    found = plan_of(aws_case)
    for name in ROLES:
        for statement in statements(found, name) if _made(found, name) else []:
            assert not any("*" in action for action in statement["Action"])
            assert "*" not in statement["Resource"]


def test_the_boundary_of_the_stack_bounds_every_role() -> None:
    found = on_aws({"aws": {"permissionBoundary": BOUNDARY}})
    for name in ROLES:
        assert inputs(role(found, name))["permissionsBoundary"] == BOUNDARY


# Artifacts


def test_the_bucket_is_private_encrypted_versioned_and_the_owners() -> None:
    found = on_aws()
    bucket = found.one("Bucket")
    assert bucket.protect
    assert inputs(bucket) == {"forceDestroy": False}
    block = inputs(found.one("BucketPublicAccessBlock"))
    flags = ("blockPublicAcls", "blockPublicPolicy", "ignorePublicAcls", "restrictPublicBuckets")
    assert [block[flag] for flag in flags] == [True] * 4
    assert inputs(found.one("BucketOwnershipControls"))["rule"] == {"objectOwnership": "BucketOwnerEnforced"}
    (rule,) = inputs(found.one("BucketServerSideEncryptionConfiguration"))["rules"]
    assert rule["applyServerSideEncryptionByDefault"] == {"sseAlgorithm": "AES256"}
    versioning = inputs(found.one("BucketVersioning"))["versioningConfiguration"]
    assert versioning == {"status": "Enabled"}
    parts = [one for one in found.resources if one.type.startswith("aws:s3/bucket") and one is not bucket]
    assert {inputs(one)["bucket"] for one in parts} == {bucket.outputs["bucket"]}


def test_the_bucket_answers_over_tls_only() -> None:
    found = on_aws()
    (statement,) = json.loads(inputs(found.one("BucketPolicy"))["policy"])["Statement"]
    arn = found.one("Bucket").outputs["arn"]
    assert statement["Effect"] == "Deny"
    assert statement["Resource"] == [arn, f"{arn}/*"]
    assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


def test_old_versions_and_abandoned_uploads_go() -> None:
    found = on_aws({"artifacts": {"keepVersionsDays": 90}})
    lifecycle = found.one("BucketLifecycleConfiguration")
    rules = {one["id"]: one for one in inputs(lifecycle)["rules"]}
    assert rules["old-versions"]["noncurrentVersionExpiration"] == {"noncurrentDays": 90}
    assert rules["abandoned-uploads"]["abortIncompleteMultipartUpload"] == {"daysAfterInitiation": 7}
    assert {one["status"] for one in rules.values()} == {"Enabled"}
    # Nothing that is current is ever expired.
    assert not any("days" in one.get("expiration", {}) for one in rules.values())
    assert found.one("BucketVersioning").urn in lifecycle.depends_on


def test_the_server_may_use_the_bucket_and_nothing_beside_it() -> None:
    found = on_aws()
    arn = found.one("Bucket").outputs["arn"]
    listing, objects = [
        one for one in statements(found, "mlflow-server-role") if one["Action"][0].startswith("s3:")
    ]
    assert (listing["Action"], listing["Resource"]) == (["s3:ListBucket"], [arn])
    assert objects["Resource"] == [f"{arn}/*"]
    assert set(objects["Action"]) == {
        "s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload"
    }  # fmt: skip


def test_an_existing_bucket_is_used_below_its_prefix_and_stays_untouched() -> None:
    found = on_aws({"artifacts": {"existing": {"name": "team-data", "prefix": "mlflow/a"}}})
    assert not [one for one in found.resources if one.type.startswith("aws:s3")]
    known = server_environment(found)
    assert known["MLFLOW_ARTIFACTS_DESTINATION"] == "s3://mock-sentinel-getBucket-bucket/mlflow/a"
    assert known["AWS_DEFAULT_REGION"] == "mock-sentinel-getBucket-bucketRegion"
    listing, objects = [
        one for one in statements(found, "mlflow-server-role") if one["Action"][0].startswith("s3:")
    ]
    assert listing["Condition"] == {"StringLike": {"s3:prefix": ["mlflow/a", "mlflow/a/*"]}}
    assert objects["Resource"] == ["mock-sentinel-getBucket-arn/mlflow/a/*"]


@pytest.mark.parametrize(
    ("transfer", "signed", "root"),
    [
        ("proxied", dict(THROUGH_THE_SERVER), "mlflow-artifacts:/"),
        ("presigned", dict.fromkeys(THROUGH_THE_SERVER, "true"), "mlflow-artifacts:/"),
        ("direct", {}, None),
    ],
)
def test_clients_are_told_how_artifacts_travel(
    transfer: str, signed: dict[str, str], root: str | None
) -> None:
    found = on_aws({"artifacts": {"transfer": transfer}})
    bucket = f"s3://{found.one('Bucket').outputs['bucket']}"
    known = server_environment(found)
    assert known["MLFLOW_ARTIFACTS_DESTINATION"] == bucket
    assert known["MLFLOW_DEFAULT_ARTIFACT_ROOT"] == (root or bucket)
    assert known["AWS_DEFAULT_REGION"] == "eu-west-1"
    client = found.one("ConfigMap", "mlflow-client-environment").inputs["data"]
    assert {key: client[key] for key in THROUGH_THE_SERVER if key in client} == signed


# Images


def test_repositories_scan_what_is_pushed_and_never_change_a_tag() -> None:
    found = on_aws()
    repositories = found.of_type("Repository")
    assert len(repositories) == 2
    for one in repositories:
        assert inputs(one)["imageTagMutability"] == "IMMUTABLE"
        assert inputs(one)["imageScanningConfiguration"] == {"scanOnPush": True}
        assert inputs(one)["encryptionConfigurations"] == [{"encryptionType": "AES256"}]
        assert "name" not in inputs(one), "Pulumi's own names are unique in the account"
    for one in found.of_type("LifecyclePolicy"):
        (rule,) = json.loads(inputs(one)["policy"])["rules"]
        assert rule["selection"]["countNumber"] == 20


@pytest.mark.parametrize("name", OWN_IMAGES)
def test_an_image_is_built_from_this_repository_and_deployed_by_digest(name: str) -> None:
    found = on_aws()
    image = found.one("Image", f"mlflow-{name}")
    said = inputs(image)
    repository = found.one("Repository", f"mlflow-{name}").outputs["repositoryUrl"]
    assert said["context"]["location"] == OWN_IMAGES[name].context
    assert said["buildArgs"] == {"BASE_IMAGE": PYTHON.reference}
    assert said["platforms"] == ["linux/amd64"]
    assert said["buildOnPreview"] is False
    (export,) = said["exports"]
    (pushed,) = export["registry"]["names"]
    assert pushed.startswith(f"{repository}:")
    (registry,) = image.inputs["registries"]
    assert isinstance(registry["password"], Secret)
    # What has tags is forgotten by a refresh with an expired token (images.py).
    assert not said.get("tags")
    reference = f"{repository}@{image.outputs['digest']}"
    own = {"tracking-server": "server", "job": "job"}[name]
    assert plain(found.outputs["images"])[own] == reference
    if own == "server":
        for workload in (found.one("Deployment"), *found.of_type("Job")):
            assert pod_spec(workload)["containers"][0]["image"] == reference


def test_the_engine_finds_the_contexts_wherever_it_is_started_from(tmp_path: Path) -> None:
    """A plain ``pulumi up`` works in the checkout, the verbs in a folder of their own."""
    for name in OWN_IMAGES:
        location = inputs(on_aws().one("Image", f"mlflow-{name}"))["context"]["location"]
        assert (ROOT / location / "Dockerfile").is_file()
        for file in ("Pulumi.yaml", "Pulumi.aws.yaml"):
            (tmp_path / file).write_text((ROOT / file).read_text())
        if not (tmp_path / "images").exists():
            (tmp_path / "images").symlink_to(ROOT / "images")
        place = Place(tmp_path, "aws")
        prepare(place)
        assert (place.work / location / "Dockerfile").is_file()


def test_ready_images_are_used_as_they_are_and_nothing_is_built() -> None:
    ready = {"server": "registry.example.com/server:1.0", "job": "registry.example.com/job:1.0"}
    found = on_aws({"images": ready})
    assert [one for one in found.resources if one.type.startswith(("aws:ecr", "docker-build"))] == []
    assert plain(found.outputs["images"]) == ready
    one = on_aws({"images": {"job": "registry.example.com/job:1.0"}})
    assert [repository.name for repository in one.of_type("Repository")] == ["mlflow-tracking-server"]


def test_third_party_images_are_the_upstream_ones() -> None:
    found = with_database(place="in-cluster")
    images = {container["image"] for pod in pods(found) for container in pod.spec["containers"]}
    assert THIRD_PARTY["postgresql"].reference in images


# Nothing open, nothing shown, nothing too long


def test_nothing_of_the_data_half_is_open_to_the_world(aws_case: str) -> None:
    found = plan_of(aws_case)
    for rule in found.of_type("SecurityGroupIngressRule"):
        assert "referencedSecurityGroupId" in inputs(rule)
        assert not {"cidrIpv4", "cidrIpv6", "prefixListId"} & inputs(rule).keys()
    for instance in found.of_type("Instance"):
        assert inputs(instance)["publiclyAccessible"] is False


def test_no_secret_stands_in_plain_in_any_input_output_or_name(aws_case: str) -> None:
    found = plan_of(aws_case)
    assert found.problems == []
    text = as_text(found)
    assert "planted-" not in text
    for address in [one for one in re.findall(r"\w+://[^\s\"]+@[^\s\"]+", text) if "sql" in one]:
        assert ":" not in address.partition("://")[2].partition("@")[0], address


LONGEST = {
    "rds/instance:Instance": 63,
    "rds/parameterGroup:ParameterGroup": 255,
    "rds/subnetGroup:SubnetGroup": 255,
    "s3/bucket:Bucket": 63,
    "iam/role:Role": 64,
    "ecr/repository:Repository": 256,
    "ec2/securityGroup:SecurityGroup": 255,
}
"""Characters that AWS takes (CreateDBInstance, CreateDBParameterGroup, CreateDBSubnetGroup, S3 naming rules,
CreateRole, CreateRepository, CreateSecurityGroup)."""
AUTONAMED = 8
"""What Pulumi adds: a dash and seven characters."""


def test_names_stay_within_the_services_limits_for_the_longest_project_and_stack(tmp_path: Path) -> None:
    project, stack = "9" + "roject.of_ours" * 7, "s" * 100
    text = (ROOT / "Pulumi.yaml").read_text().replace("name: mlflow\n", f"name: {project}\n")
    (tmp_path / "Pulumi.yaml").write_text(text)
    config = {"aws:region": "eu-west-1", "mlflow:cloud": "aws", "mlflow:localState": True}
    (tmp_path / f"Pulumi.{stack}.yaml").write_text(json.dumps({"config": config}))
    found = run(
        stack,
        answers=Mocked(),
        root=tmp_path,
        program=lambda: runpy.run_path(str(ROOT / "__main__.py"), run_name="__main__"),
    )
    for resource in found.resources:
        limit = LONGEST.get(resource.type.removeprefix("aws:"))
        assert limit is None or len(resource.name) + AUTONAMED <= limit, resource.name
    named = inputs(found.one("RandomId", "mlflow-database"))
    identifier = named["prefix"] + "0" * 2 * named["byteLength"]
    assert len(identifier) == 63
    assert re.fullmatch(r"(?!.*--)[a-z][a-z0-9-]*[a-z0-9]", identifier)


def test_the_stack_says_what_a_person_needs_to_find_in_the_account() -> None:
    found = on_aws()
    instance = found.one("Instance")
    assert found.value("databaseEndpoint") == f"{instance.outputs['address']}:5432"
    assert found.value("bucket") == found.one("Bucket").outputs["bucket"]
    assert found.value("clusterName") == inputs(found.one("Cluster"))["name"]
    assert found.value("kubeconfigCommand") == (
        f"aws eks update-kubeconfig --region eu-west-1 --name {found.value('clusterName')}"
    )
    assert plain(found.outputs["repositories"]).keys() == {"tracking-server", "job"}
    assert plain(found.outputs["roles"]).keys() == {"server", "jobs"}


@pytest.mark.parametrize(
    ("changed", "key"),
    [
        ({"aws:region": "eu-central-1"}, "aws:region"),
        ({"database": {"name": "other"}}, "mlflow:database.name"),
        ({"cluster": {"create": {"compute": "node-groups"}}}, "mlflow:cluster.create.compute"),
        (
            EXISTING,
            "mlflow:database.existing",
        ),
        ({"artifacts": {"existing": {"name": "team-data"}}}, "mlflow:artifacts.existing"),
    ],
)
def test_a_change_that_walks_away_from_data_is_seen(changed: Settings, key: str) -> None:
    before, after = on_aws().value("dataPlaces"), on_aws(changed).value("dataPlaces")
    assert {one for one in before if before[one] != after.get(one)} == {key}
