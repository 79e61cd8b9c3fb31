"""Settings of a stack on AWS: what is refused with which key, and that each alternative is taken."""

from __future__ import annotations

from typing import Any

import pytest

from components.settings import Problem, SettingsError, Stack, parse, with_server
from components.settings.aws import AwsStack

AWS = {"cloud": "aws"}
REGION = "eu-west-1"
CERTIFICATE = "arn:aws:acm:eu-west-1:123456789012:certificate/0a1b2c3d"
ROLE = "arn:aws:iam::123456789012:role/admin"
HOST = "mlflow.example.com"
GROUP = "sg-0123456789abcdef0"
OFFICE = ["203.0.113.0/24"]
ADMIN = {"rds-admin": {"admin": {"ADMIN_USERNAME": "root1", "ADMIN_PASSWORD": "planted"}}}
KEYS = {"store": {"keys": {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "y"}}}


def settings(values: dict[str, Any], region: str | None = REGION) -> Stack:
    return with_server(parse({**AWS, **values}, secret_keys={"secrets", "database"}, region=region))


def problems_of(values: dict[str, Any], region: str | None = REGION) -> list[Problem]:
    try:
        settings(values, region)
    except SettingsError as refused:
        return refused.problems
    return []


def create(**more: Any) -> dict[str, Any]:
    return {"cluster": {"create": more}}


SUBNETS = ["subnet-0123456789abcdef0", "subnet-0123456789abcdef1"]


def groups(**nodes: Any) -> dict[str, Any]:
    return create(compute="node-groups", nodes=nodes)


def existing(*features: str, **more: Any) -> dict[str, Any]:
    return {"cluster": {"existing": "data", "has": list(features)}, "aws": {"identity": "irsa"}, **more}


def entrance(kind: str = "external", **more: Any) -> dict[str, Any]:
    return {
        "auth": {"mode": "basic"},
        "exposure": {kind: {"allow": OFFICE, **more}},
    }


def foreign(**more: Any) -> dict[str, Any]:
    """An ingress of another controller, whose annotation holds the ranges."""
    ranges = {"nginx.ingress.kubernetes.io/whitelist-source-range": ", ".join(OFFICE)}
    return entrance("ingress", host=HOST, className="nginx", annotations=ranges, **more)


def database(**more: Any) -> dict[str, Any]:
    return {"database": more}


def there(**more: Any) -> dict[str, Any]:
    """A database service that is there already, with its administrator."""
    return {"database": {"existing": {"instance": "shared", "admin": "rds-admin", **more}}, "secrets": ADMIN}


def nodes_in(*groups: str, has: list[str] | None = None, **more: Any) -> dict[str, Any]:
    """An existing cluster whose nodes are in security groups of their own."""
    found = existing(*(has or []), **more)
    return {**found, "cluster": {**found["cluster"], "nodeSecurityGroups": list(groups)}}


# What is wrong, what the stack file says beside `cloud: aws`, the key refused, a word of the advice.
CLUSTER: list[tuple[str, dict[str, Any], str, str]] = [
    (
        "an existing cluster and a new one",
        {"cluster": {"existing": "data", "create": {}}, "aws": {"identity": "irsa"}},
        "mlflow:cluster.create",
        "remove one",
    ),
    (
        "features of a new cluster",
        {"cluster": {"has": ["ebs-csi"], "create": {}}},
        "mlflow:cluster.has",
        "existing",
    ),
    ("tags beside Auto Mode", existing("ebs-csi", "tagging"), "mlflow:cluster.has", "auto-mode"),
    (
        "security groups of a new cluster's nodes",
        {"cluster": {"nodeSecurityGroups": [GROUP]}},
        "mlflow:cluster.nodeSecurityGroups",
        "existing",
    ),
    (
        "a security group of the nodes twice",
        nodes_in(GROUP, GROUP),
        "mlflow:cluster.nodeSecurityGroups",
        "twice",
    ),
    (
        "a security group by its name",
        nodes_in("nodes"),
        "mlflow:cluster.nodeSecurityGroups[0]",
        "sg-",
    ),
    (
        "security groups of nodes for a database in the cluster",
        nodes_in(GROUP, has=["ebs-csi"], database={"place": "in-cluster"}),
        "mlflow:cluster.nodeSecurityGroups",
        "no effect",
    ),
    (
        "security groups of nodes for a service that the stack lets nobody in to",
        {**there(), **nodes_in(GROUP), "database": there()["database"]},
        "mlflow:cluster.nodeSecurityGroups",
        "securityGroup",
    ),
    (
        "a bucket's key by its alias",
        {"artifacts": {"existing": {"name": "b-a", "key": "arn:aws:kms:eu-west-1:123456789012:alias/a"}}},
        "mlflow:artifacts.existing.key",
        "no alias",
    ),
    ("a feature twice", existing("ebs-csi", "ebs-csi"), "mlflow:cluster.has", "twice"),
    ("an unknown feature", existing("karpenter"), "mlflow:cluster.has[0]", "auto-mode"),
    (
        "a name EKS cannot have",
        {"cluster": {"existing": "my cluster"}, "aws": {"identity": "irsa"}},
        "mlflow:cluster.existing",
        "EKS",
    ),
    (
        "a load balancer without its controller",
        existing("ebs-csi", **entrance()),
        "mlflow:exposure.external",
        "load-balancer-controller",
    ),
    (
        "a private load balancer without its controller",
        existing(**entrance("internal")),
        "mlflow:exposure.internal",
        "auto-mode",
    ),
    (
        "AWS's own ingress without its controller",
        existing(**entrance("ingress", host=HOST)),
        "mlflow:exposure.ingress",
        "auto-mode",
    ),
    (
        "pod identity without its agent",
        {"cluster": {"existing": "data", "has": ["ebs-csi"]}},
        "mlflow:aws.identity",
        "irsa",
    ),
    (
        "a database volume without a driver",
        existing("load-balancer-controller", **database(place="in-cluster")),
        "mlflow:database.place",
        "ebs-csi",
    ),
    (
        "an artifact volume without a driver",
        existing(artifacts={"place": "in-cluster"}),
        "mlflow:artifacts.place",
        "mlflow:cluster.storageClass",
    ),
    (
        "a volume that EBS cannot share",
        {"artifacts": {"place": "in-cluster", "volume": {"accessMode": "ReadWriteMany"}}},
        "mlflow:artifacts.volume.accessMode",
        "EFS",
    ),
    (
        "a fixed number of nodes and a range",
        groups(total=3, min=1, max=4),
        "mlflow:cluster.create.nodes.total",
        "one or the other",
    ),
    ("the fewest without the most", groups(min=1), "mlflow:cluster.create.nodes.max", "total"),
    ("the most without the fewest", groups(max=4), "mlflow:cluster.create.nodes.min", "total"),
    ("fewest above most", groups(min=5, max=4), "mlflow:cluster.create.nodes.min", "more than max"),
    ("no nodes at all", groups(total=0), "mlflow:cluster.create.nodes.total", "greater"),
    (
        "a disk type in Auto Mode",
        create(nodes={"diskType": "gp3"}),
        "mlflow:cluster.create.nodes.diskType",
        "node-groups",
    ),
    ("nodes that run no x86 image", groups(size="t4g.medium"), "mlflow:cluster.create.nodes.size", "x86"),
    (
        "such nodes in Auto Mode",
        create(nodes={"size": "m7gd.large"}),
        "mlflow:cluster.create.nodes.size",
        "x86",
    ),
    ("a size of another cloud", groups(size="e2-standard-2"), "mlflow:cluster.create.nodes.size", "m7i"),
    (
        "a disk type of another cloud",
        groups(diskType="pd-ssd"),
        "mlflow:cluster.create.nodes.diskType",
        "gp3",
    ),
    ("a disk that needs iops", groups(diskType="io2"), "mlflow:cluster.create.nodes.diskType", "gp3"),
    (
        "an open control plane said once",
        create(access={"public": ["0.0.0.0/0"]}),
        "mlflow:cluster.create.access.public",
        "world: true",
    ),
    (
        "an open control plane in halves",
        create(access={"public": ["0.0.0.0/1", "128.0.0.0/1"]}),
        "mlflow:cluster.create.access.public",
        "world: true",
    ),
    (
        "world without ranges",
        create(access={"world": True}),
        "mlflow:cluster.create.access.world",
        "0.0.0.0/0",
    ),
    (
        "a private range from the internet",
        create(access={"public": ["10.1.0.0/16"]}),
        "mlflow:cluster.create.access.public[0]",
        "private",
    ),
    (
        "an IPv6 range of the control plane",
        create(access={"public": ["2001:db8::/32"]}),
        "mlflow:cluster.create.access.public[0]",
        "IPv4 only",
    ),
    (
        "more ranges than EKS takes",
        create(access={"public": [f"203.0.{number}.0/24" for number in range(41)]}),
        "mlflow:cluster.create.access.public",
        "40",
    ),
    ("one zone", create(zones=["eu-west-1a"]), "mlflow:cluster.create.zones", "two or three"),
    (
        "four zones",
        create(zones=[f"eu-west-1{letter}" for letter in "abcd"]),
        "mlflow:cluster.create.zones",
        "two or three",
    ),
    ("a zone twice", create(zones=["eu-west-1a"] * 2), "mlflow:cluster.create.zones", "twice"),
    (
        "a zone of another region",
        create(zones=["eu-west-1a", "eu-west-2a"]),
        "mlflow:cluster.create.zones[1]",
        "eu-west-1a",
    ),
    (
        "a letter for a zone",
        create(zones=["a", "eu-west-1b"]),
        "mlflow:cluster.create.zones[0]",
        "eu-west-1a",
    ),
    ("one subnet", create(subnets=SUBNETS[:1]), "mlflow:cluster.create.subnets", "two or three"),
    ("a subnet twice", create(subnets=SUBNETS[:1] * 2), "mlflow:cluster.create.subnets", "twice"),
    (
        "a subnet by its name",
        create(subnets=[SUBNETS[0], "private-b"]),
        "mlflow:cluster.create.subnets[1]",
        "subnet-",
    ),
    (
        "a range for subnets that are there",
        create(subnets=SUBNETS, network="10.64.0.0/16"),
        "mlflow:cluster.create.network",
        "mlflow:cluster.create.subnets",
    ),
    (
        "zones of subnets that are there",
        create(subnets=SUBNETS, zones=["eu-west-1a", "eu-west-1b"]),
        "mlflow:cluster.create.zones",
        "mlflow:cluster.create.subnets",
    ),
    ("an old Kubernetes", create(version="1.29"), "mlflow:cluster.create.version", "standard support"),
    ("a network of the internet", create(network="8.0.0.0/16"), "mlflow:cluster.create.network", "internet"),
    (
        "a network with host bits",
        create(network="10.64.1.0/16"),
        "mlflow:cluster.create.network",
        "host bits",
    ),
    ("no network at all", create(network="10.999.0.0/16"), "mlflow:cluster.create.network", "10.64.0.0/16"),
    ("a small network", create(network="10.64.0.0/24"), "mlflow:cluster.create.network", "pattern"),
    (
        "a session as admin",
        create(admins=["arn:aws:sts::123456789012:assumed-role/admin/me"]),
        "mlflow:cluster.create.admins[0]",
        "role",
    ),
    ("an admin twice", create(admins=[ROLE, ROLE]), "mlflow:cluster.create.admins", "twice"),
]

ENTRANCES: list[tuple[str, dict[str, Any], str, str]] = [
    ("a node port", {"exposure": {"nodePort": {}}}, "mlflow:exposure.nodePort", "development"),
    (
        "a registry of one's own",
        {"images": {"registry": "r.example/x"}},
        "mlflow:images.registry",
        "mlflow:images.server",
    ),
    (
        "a certificate that is a file",
        entrance(certificate="cert.pem", host=HOST),
        "mlflow:exposure.external.certificate",
        "ACM",
    ),
    (
        "a certificate of IAM",
        entrance(certificate="arn:aws:iam::123456789012:server-certificate/x", host=HOST),
        "mlflow:exposure.external.certificate",
        "ACM",
    ),
    (
        "a certificate of another region",
        entrance(certificate=CERTIFICATE.replace("eu-west-1", "us-east-1"), host=HOST),
        "mlflow:exposure.external.certificate",
        "us-east-1",
    ),
    (
        "a certificate without its host",
        entrance("internal", certificate=CERTIFICATE),
        "mlflow:exposure.internal.host",
        "missing",
    ),
    ("an ingress without a host", entrance("ingress"), "mlflow:exposure.ingress.host", "missing"),
    (
        "ranges another controller does not know of",
        entrance("ingress", host=HOST, className="nginx"),
        "mlflow:exposure.ingress.allow",
        "annotations",
    ),
    (
        "other ranges in the annotation",
        entrance("ingress", host=HOST, className="nginx", annotations={"a/ranges": "198.51.100.0/24"}),
        "mlflow:exposure.ingress.allow",
        "annotations",
    ),
    (
        "a private ingress of another controller",
        foreign(internal=True),
        "mlflow:exposure.ingress.internal",
        "own class",
    ),
    (
        "AWS's certificate for another controller",
        foreign(certificate=CERTIFICATE),
        "mlflow:exposure.ingress.certificate",
        "nginx",
    ),
    (
        "ranges of AWS's own ingress past the setting",
        entrance("ingress", host=HOST, annotations={"alb.ingress.kubernetes.io/inbound-cidrs": "0.0.0.0/0"}),
        "mlflow:exposure.ingress.annotations.alb.ingress.kubernetes.io/inbound-cidrs",
        "other keys",
    ),
    (
        "security groups that void the ranges",
        entrance("ingress", host=HOST, annotations={"alb.ingress.kubernetes.io/security-groups": "sg-1"}),
        "mlflow:exposure.ingress.annotations.alb.ingress.kubernetes.io/security-groups",
        "other keys",
    ),
    (
        "the world in a private network",
        entrance("internal", allow=["0.0.0.0/0"]),
        "mlflow:exposure.internal.allow",
        "private network",
    ),
    (
        "the world in a private ingress",
        entrance("ingress", allow=["0.0.0.0/0"], host=HOST, internal=True),
        "mlflow:exposure.ingress.allow",
        "private network",
    ),
    (
        "an IPv6 range",
        entrance(allow=[*OFFICE, "2001:db8::/32"]),
        "mlflow:exposure.external.allow[1]",
        "IPv4 only",
    ),
    ("nobody allowed", entrance(allow=[]), "mlflow:exposure.external.allow", "missing"),
    (
        "the world said once",
        entrance(allow=["0.0.0.0/0"]),
        "mlflow:exposure.external.allow",
        "world: true",
    ),
    (
        "an open entrance without sign-in",
        {"exposure": {"external": {"allow": OFFICE}}},
        "mlflow:auth.mode",
        "basic",
    ),
]

DATABASES: list[tuple[str, dict[str, Any], str, str]] = [
    *(
        (
            f"managed {key} in the cluster",
            database(place="in-cluster", **{key: value}),
            f"mlflow:database.{key}",
            "place managed",
        )
        for key, value in {
            "version": "17",
            "size": "db.t4g.micro",
            "storageGb": 30,
            "maxStorageGb": 30,
            "highAvailability": True,
            "backupDays": 3,
            "signIn": "password",
            "name": "tracking",
            "user": "tracking",
            "existing": {"instance": "x", "finished": True},
        }.items()
    ),
    (
        "managed keys for one elsewhere",
        database(url="postgresql://u:p@db.example.com/x", size="db.t4g.micro"),
        "mlflow:database.size",
        "it is external",
    ),
    ("a volume of RDS", database(volume={"size": "20Gi"}), "mlflow:database.volume", "in-cluster"),
    (
        "resources of RDS",
        database(resources={"limits": {"memory": "1Gi"}}),
        "mlflow:database.resources",
        "in-cluster",
    ),
    ("a file at RDS", database(engine="sqlite"), "mlflow:database.engine", "postgresql or mysql"),
    (
        "neither instance nor cluster",
        there(instance=None),
        "mlflow:database.existing.instance",
        "exactly one",
    ),
    ("instance and cluster", there(cluster="aurora"), "mlflow:database.existing.instance", "exactly one"),
    ("no administrator", there(admin=None), "mlflow:database.existing.admin", "ADMIN_PASSWORD"),
    ("an administrator not needed", there(finished=True), "mlflow:database.existing.admin", "remove"),
    (
        "a password nobody knows",
        database(signIn="password", existing={"cluster": "aurora", "finished": True}),
        "mlflow:database.signIn",
        "mlflow:database.url",
    ),
    (
        "a group that is not there",
        {**there(), "secrets": {}},
        "mlflow:database.existing.admin",
        "make secret GROUP=rds-admin",
    ),
    (
        "a group without the password",
        {**there(), "secrets": {"rds-admin": {"admin": {"ADMIN_USERNAME": "x"}}}},
        "mlflow:database.existing.admin",
        "KEY=ADMIN_PASSWORD",
    ),
    (
        "the administrator in the server",
        {**there(), "server": {"secrets": ["rds-admin"]}},
        "mlflow:server.secrets[0]",
        "administrator",
    ),
    ("an instance no RDS has", there(instance="a--b"), "mlflow:database.existing.instance", "identifier"),
    (
        "a restored instance of a database that is not the stack's",
        {"database": {"restored": "db-2", "existing": {"instance": "shared", "finished": True}}},
        "mlflow:database.restored",
        "here is none",
    ),
    ("a restored instance by its address", database(restored="db.x.rds"), "mlflow:database.restored", "RDS"),
    ("a group by name", there(securityGroup="database"), "mlflow:database.existing.securityGroup", "sg-"),
    *(
        (
            f"{key} of an existing service",
            {**there(), "database": {**there()["database"], key: value}},
            f"mlflow:database.{key}",
            "decided already",
        )
        for key, value in {
            "version": "17",
            "size": "db.t4g.micro",
            "storageGb": 30,
            "maxStorageGb": 40,
            "highAvailability": False,
            "backupDays": 7,
        }.items()
    ),
    ("less than there is", database(storageGb=50, maxStorageGb=40), "mlflow:database.maxStorageGb", "less"),
    (
        "hardly room to grow",
        database(storageGb=100, maxStorageGb=105),
        "mlflow:database.maxStorageGb",
        "tenth",
    ),
    ("a size of another cloud", database(size="db-f1-micro"), "mlflow:database.size", "db.t4g.medium"),
    ("an old PostgreSQL", database(version="12"), "mlflow:database.version", "17"),
    ("an old MySQL", database(engine="mysql", version="5.7"), "mlflow:database.version", "8.4"),
    (
        "PostgreSQL's number for MySQL",
        database(engine="mysql", version="8.0"),
        "mlflow:database.version",
        "8.4",
    ),
    ("a user of the server's own", database(user="postgres"), "mlflow:database.user", "own"),
    ("a name of the server's own", database(engine="mysql", name="mysql"), "mlflow:database.name", "own"),
    ("a name that RDS keeps", database(user="rdsadmin"), "mlflow:database.user", "RDS"),
    ("the administrator's name", database(user="mlflow_admin"), "mlflow:database.user", "RDS"),
]

ARTIFACTS: list[tuple[str, dict[str, Any], str, str]] = [
    *(
        (
            f"{key} of a volume",
            {"artifacts": {"place": "in-cluster", key: value}},
            f"mlflow:artifacts.{key}",
            "place managed",
        )
        for key, value in {
            "transfer": "presigned",
            "keepVersionsDays": 9,
            "existing": {"name": "bucket"},
        }.items()
    ),
    (
        "direct transfer to a bucket elsewhere",
        {"artifacts": {"uri": "s3://bucket", "transfer": "direct"}},
        "mlflow:artifacts.transfer",
        "it is external",
    ),
    ("a volume of S3", {"artifacts": {"volume": {"size": "20Gi"}}}, "mlflow:artifacts.volume", "in-cluster"),
    (
        "rules for an existing bucket",
        {"artifacts": {"existing": {"name": "bucket"}, "keepVersionsDays": 9}},
        "mlflow:artifacts.keepVersionsDays",
        "set it there",
    ),
    (
        "a bucket no S3 has",
        {"artifacts": {"existing": {"name": "My_Bucket"}}},
        "mlflow:artifacts.existing.name",
        "bucket",
    ),
    (
        "a prefix that climbs out",
        {"artifacts": {"existing": {"name": "bucket", "prefix": "a//b"}}},
        "mlflow:artifacts.existing.prefix",
        "pattern",
    ),
    (
        "keys that would sign the database's tokens",
        {"artifacts": {"uri": "s3://bucket", "credentials": "store"}, "secrets": KEYS},
        "mlflow:artifacts.credentials",
        "signIn: password",
    ),
    (
        "keys in the server's environment",
        {"server": {"env": {"AWS_PROFILE": "me"}}},
        "mlflow:server.env.AWS_PROFILE",
        "role",
    ),
    (
        "keys among the server's secrets",
        {"server": {"secrets": ["store"]}, "secrets": KEYS},
        "mlflow:server.secrets[0]",
        "AWS_ACCESS_KEY_ID",
    ),
    (
        "an authority that is not AWS's",
        {
            "artifacts": {"uri": "s3://bucket", "endpoint": "https://minio.example.com", "caBundle": "PEM"},
            "aws": {"identity": "irsa"},
        },
        "mlflow:artifacts.caBundle",
        "pod-identity",
    ),
]

ACCOUNT: list[tuple[str, dict[str, Any], str, str]] = [
    ("a boundary by name", {"aws": {"permissionBoundary": "x"}}, "mlflow:aws.permissionBoundary", "arn"),
    ("a role as boundary", {"aws": {"permissionBoundary": ROLE}}, "mlflow:aws.permissionBoundary", "policy"),
    ("an unknown identity", {"aws": {"identity": "kiam"}}, "mlflow:aws.identity", "irsa"),
    ("a tag of AWS", {"tags": {"aws:owner": "me"}}, "mlflow:tags.aws:owner", "keeps to itself"),
    ("a long tag", {"tags": {"a" * 129: "me"}}, f"mlflow:tags.{'a' * 129}", "128"),
    ("a long value", {"tags": {"owner": "a" * 257}}, "mlflow:tags.owner", "256"),
    ("a tag that load balancers misread", {"tags": {"a=b": "c"}}, "mlflow:tags.a=b", "letters"),
    ("a value that load balancers misread", {"tags": {"a": "b,c"}}, "mlflow:tags.a", "letters"),
    ("too many tags", {"tags": {f"t{number}": "" for number in range(41)}}, "mlflow:tags", "40"),
    ("Kubernetes' own namespace", {"namespace": "kube-system"}, "mlflow:namespace", "Kubernetes"),
    (
        "a namespace of yours in a new cluster",
        {"existingNamespace": True},
        "mlflow:existingNamespace",
        "mlflow:cluster.existing",
    ),
    ("a misspelt section", {"awz": {}}, "mlflow:awz", "aws"),
    ("a cluster of dev", {"cluster": {"context": "kind"}}, "mlflow:cluster.context", "unknown"),
]

BAD = [*CLUSTER, *ENTRANCES, *DATABASES, *ARTIFACTS, *ACCOUNT]


@pytest.mark.parametrize(("values", "key", "word"), [case[1:] for case in BAD], ids=[case[0] for case in BAD])
def test_bad_settings_are_refused_with_their_key_and_what_to_do(
    values: dict[str, Any], key: str, word: str
) -> None:
    problems = problems_of(values)
    assert {problem.key for problem in problems} == {key}, problems
    assert any(word in problem.message for problem in problems), problems


GOOD: dict[str, dict[str, Any]] = {
    "nothing said": {},
    "a cluster with every default": create(),
    "an existing cluster in Auto Mode": {"cluster": {"existing": "data", "has": ["auto-mode"]}, **entrance()},
    "an existing cluster with add-ons": {
        "cluster": {
            "existing": "data",
            "has": ["load-balancer-controller", "ebs-csi", "pod-identity-agent"],
        },
        **entrance("internal"),
        "database": {"place": "in-cluster"},
    },
    "an existing cluster with nothing but irsa": existing(),
    "an existing cluster in Auto Mode that may tag": existing("auto-mode", "tagging"),
    "nodes in groups of their own": nodes_in(GROUP),
    "nodes in groups of their own and an existing service": {**there(securityGroup=GROUP), **nodes_in(GROUP)},
    "a class in place of a driver": {
        "cluster": {"existing": "data", "storageClass": "portworx"},
        "aws": {"identity": "irsa"},
        "database": {"place": "in-cluster", "volume": {"size": "20Gi"}},
    },
    "another controller on an existing cluster": existing(**foreign()),
    "a fixed number of nodes": groups(total=2, size="m7i.large", diskGb=80, diskType="gp3"),
    "a range of nodes": groups(min=2, max=5),
    "Auto Mode": create(compute="auto", zones=["eu-west-1a", "eu-west-1c"]),
    "a fixed number in Auto Mode": create(nodes={"total": 2, "size": "m7i-flex.large", "diskGb": 80}),
    "a range from nothing": create(nodes={"min": 0, "max": 9}),
    "subnets that are there": create(subnets=SUBNETS, compute="node-groups"),
    "a private control plane": create(access={}),
    "a control plane for an office": create(access={"public": OFFICE}),
    "a control plane for the world, said twice": create(access={"public": ["0.0.0.0/0"], "world": True}),
    "a private load balancer for everybody there": {"exposure": {"internal": {}}},
    "an entrance for an office": entrance(host=HOST, certificate=CERTIFICATE),
    "an entrance for the world, said twice": entrance(allow=["0.0.0.0/0"], world=True),
    "both load balancers": {
        "auth": {"mode": "basic"},
        "exposure": {"internal": {"allow": ["10.0.0.0/8"]}, "external": {"allow": OFFICE}},
    },
    "AWS's own ingress": entrance("ingress", host=HOST, certificate=CERTIFICATE),
    "AWS's own ingress with a firewall": entrance(
        "ingress", host=HOST, annotations={"alb.ingress.kubernetes.io/wafv2-acl-arn": "arn:aws:wafv2:x"}
    ),
    "a private ingress": {"exposure": {"ingress": {"host": HOST, "internal": True}}},
    "another controller, for the world": entrance(
        "ingress", host=HOST, className="nginx", allow=["0.0.0.0/0"], world=True
    ),
    "PostgreSQL at RDS": database(version="17.6", size="db.m7g.2xlarge", storageGb=100, maxStorageGb=500),
    "MySQL at RDS": database(engine="mysql", version="8.4", signIn="password"),
    "storage that does not grow": database(storageGb=100, maxStorageGb=100),
    "a database in the cluster": database(place="in-cluster", engine="mysql", volume={"size": "20Gi"}),
    "sqlite in the cluster": database(place="in-cluster", engine="sqlite"),
    "a database elsewhere": database(url="postgresql://u:p@db.example.com/x"),
    "a restored instance": database(restored="db-mlflow-restored", backupDays=14),
    "an existing instance": there(securityGroup="sg-0123456789abcdef0"),
    "an existing Aurora cluster": there(instance=None, cluster="aurora"),
    "a finished database": {"database": {"existing": {"instance": "shared", "finished": True}}},
    "a finished database in postgres's own": database(
        name="postgres", existing={"cluster": "aurora", "finished": True}
    ),
    "artifacts by signed addresses": {"artifacts": {"transfer": "presigned", "keepVersionsDays": 7}},
    "artifacts by direct transfer": {"artifacts": {"transfer": "direct"}},
    "an existing bucket with a key of one's own": {
        "artifacts": {
            "existing": {"name": "team-data", "key": "arn:aws:kms:eu-west-1:123456789012:key/0a1b2c3d"}
        }
    },
    "an existing bucket": {"artifacts": {"existing": {"name": "team-data", "prefix": "mlflow/a"}}},
    "artifacts on a volume": {"artifacts": {"place": "in-cluster", "volume": {"size": "50Gi"}}},
    "artifacts on a shared volume": {
        "artifacts": {
            "place": "in-cluster",
            "volume": {"accessMode": "ReadWriteMany", "storageClass": "efs"},
        },
        "server": {"replicas": 2},
    },
    "artifacts elsewhere by the server's own role": {"artifacts": {"uri": "s3://bucket/x"}},
    "keys for a bucket elsewhere beside a password": {
        "artifacts": {"uri": "s3://bucket", "credentials": "store"},
        "database": {"signIn": "password"},
        "secrets": KEYS,
    },
    "IRSA": {"aws": {"identity": "irsa"}},
    "a boundary of the account": {"aws": {"permissionBoundary": "arn:aws:iam::123456789012:policy/team/b"}},
    "a boundary of AWS": {"aws": {"permissionBoundary": "arn:aws:iam::aws:policy/PowerUserAccess"}},
    "admins": create(admins=[ROLE, "arn:aws-cn:iam::123456789012:user/me"]),
    "tags": {"tags": {"cost centre": "42/a", "Owner": "données@example.com", "empty": ""}},
    "ready images": {"images": {"server": "r.example/s:1", "job": "r.example/j:1"}},
    "state on this machine": {"localState": True},
}


@pytest.mark.parametrize("values", GOOD.values(), ids=GOOD.keys())
def test_each_alternative_is_taken(values: dict[str, Any]) -> None:
    assert problems_of(values) == []


@pytest.mark.parametrize(
    ("region", "problem"),
    [("", "is missing"), ("Ireland", "no region"), ("eu-west-1a", "no region")],
)
def test_a_stack_names_its_region(region: str, problem: str) -> None:
    (refused,) = problems_of({}, region)
    assert refused.key == "aws:region"
    assert problem in refused.message


@pytest.mark.parametrize("region", ["us-east-1", "us-gov-west-1", "ap-southeast-5", "cn-north-1"])
def test_every_partition_has_regions_and_zones(region: str) -> None:
    assert problems_of(create(zones=[f"{region}a", f"{region}b"]), region) == []


def test_every_mistake_of_a_stack_is_reported_at_once() -> None:
    bad = {
        "cluster": {"existing": "data", "create": {"zones": ["x"], "version": "1.20"}},
        "database": {"place": "in-cluster", "size": "big", "version": "9"},
        "exposure": {"nodePort": {}, "external": {}},
        "tags": {"aws:x": ""},
        "awz": 1,
    }
    assert {problem.key for problem in problems_of(bad)} == {
        "mlflow:awz",
        "mlflow:cluster.create",
        "mlflow:cluster.create.version",
        "mlflow:cluster.create.zones",
        "mlflow:cluster.create.zones[0]",
        "mlflow:database.place",
        "mlflow:database.size",
        "mlflow:database.version",
        "mlflow:exposure.external",
        "mlflow:exposure.external.allow",
        "mlflow:aws.identity",
        "mlflow:exposure.nodePort",
        "mlflow:tags.aws:x",
    }


def test_no_refusal_shows_a_secret() -> None:
    shown = str(problems_of({**there(finished=True), "server": {"secrets": ["rds-admin"]}}))
    assert "rds-admin" in shown
    assert "planted" not in shown


def test_the_defaults_are_the_safe_ones() -> None:
    stack = settings({})
    assert isinstance(stack, AwsStack)
    assert stack.new_cluster
    assert stack.new_cluster.access.public == []
    assert stack.database.sign_in == "identity"
    assert stack.protected("aws")
    assert not stack.local_state
    assert stack.exposure.external is None
