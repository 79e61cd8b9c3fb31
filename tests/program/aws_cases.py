"""Ways to set up a stack on AWS: settings put over ``Pulumi.aws.yaml``, secrets as plain text."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

Settings = Mapping[str, Any]

OFFICE = ["203.0.113.0/24"]
HOST = "mlflow.example.com"
CERTIFICATE = "arn:aws:acm:eu-west-1:123456789012:certificate/00000000-0000-0000-0000-000000000000"
ROLE = "arn:aws:iam::123456789012:role/team/admin"
BOUNDARY = "arn:aws:iam::123456789012:policy/boundary"
SUBNETS = ["subnet-0123456789abcdef0", "subnet-0123456789abcdef1"]
RDS_ADMIN = {
    "rds-admin": {
        "admin": {
            "ADMIN_USERNAME": {"secure": "planted-admin-name"},
            "ADMIN_PASSWORD": {"secure": "planted-admin-password"},
        }
    }
}
S3_KEYS = {
    "store": {
        "keys": {
            "AWS_ACCESS_KEY_ID": {"secure": "AKIA-planted-key-id"},
            "AWS_SECRET_ACCESS_KEY": {"secure": "planted-s3-secret"},
        }
    }
}
POSTGRESQL_URL = {"secure": "postgresql://mlflow:planted-pg-password@db.example.com:5432/mlflow"}


def _example(heading: str) -> dict[str, Any]:
    """The settings that stand below a heading of docs/aws.md, without AWS's own keys."""
    page = (Path(__file__).resolve().parents[2] / "docs" / "aws.md").read_text()
    below = page.partition(f"## {heading}\n")[2]
    found = re.search(r"^```yaml\n(.*?)^```$", below, re.MULTILINE | re.DOTALL)
    if found is None:
        raise LookupError(f"docs/aws.md has no example below {heading!r}")
    config = yaml.safe_load(found[1])["config"]
    return {key.removeprefix("mlflow:"): value for key, value in config.items()}


PLAIN: dict[str, Any] = {
    "tags": None, "cluster": None, "database": None, "artifacts": None, "server": None, "auth": None,
    "exposure": None,
}  # fmt: skip
"""What takes everything of ``Pulumi.aws.yaml`` away but the cloud and its region."""

AWS_CASES: Mapping[str, Settings] = {
    "aws in production": {},
    "aws by default": PLAIN,
    "aws at its smallest": PLAIN | _example("The smallest and cheapest"),
    "aws by irsa": {"database": {"engine": "mysql"}, "aws": {"identity": "irsa"}},
    "aws with ready images": {
        "database": {"signIn": "password"},
        "images": {"server": "registry.example.com/server:1.0", "job": "registry.example.com/job:1.0"},
    },
    "aws with a password for mysql and signed addresses": {
        "database": {"engine": "mysql", "signIn": "password"},
        "artifacts": {"transfer": "presigned"},
    },
    "aws on node groups": {
        "cluster": {
            "create": {
                "compute": "node-groups",
                "nodes": {"min": 2, "max": 6, "size": "m7i.large", "diskGb": 80, "diskType": "gp3"},
                "zones": ["eu-west-1a", "eu-west-1b"],
                "access": {"public": OFFICE},
            }
        }
    },
    "aws on node groups by irsa with a private ingress": {
        "cluster": {"create": {"compute": "node-groups", "nodes": {"total": 3}, "containerLogs": True}},
        "aws": {"identity": "irsa"},
        "exposure": {"ingress": {"host": HOST, "internal": True}},
    },
    "aws in a network that is there": {"cluster": {"create": {"subnets": SUBNETS}}},
    "aws on an existing cluster in Auto Mode": {
        "cluster": {"existing": "data-platform", "has": ["auto-mode"]},
    },
    "aws with an existing Aurora cluster": {
        "database": {"engine": "mysql", "existing": {"cluster": "aurora", "admin": "rds-admin"}},
        "secrets": RDS_ADMIN,
    },
    "aws on an existing cluster by irsa": {
        "cluster": {"existing": "data-platform", "has": ["load-balancer-controller", "ebs-csi"]},
        "aws": {"identity": "irsa"},
        "artifacts": {"place": "in-cluster"},
        "server": {"replicas": 1},
    },
    "aws on an existing cluster with a class of its own": {
        "cluster": {"existing": "data-platform", "has": ["pod-identity-agent"], "storageClass": "fast"},
        "database": {"place": "in-cluster"},
        "exposure": None,
    },
    "aws with mysql in the cluster": {"database": {"place": "in-cluster", "engine": "mysql"}},
    "aws with sqlite in the cluster": {
        "database": {"place": "in-cluster", "engine": "sqlite"},
        "server": {"replicas": 1},
    },
    "aws with a database elsewhere and both load balancers": {
        "database": {"url": POSTGRESQL_URL},
        "exposure": {
            "internal": {"allow": ["10.0.0.0/8"]},
            "external": {"host": HOST, "allow": OFFICE, "certificate": CERTIFICATE},
        },
    },
    "aws with an existing database": {
        "database": {
            "existing": {
                "instance": "shared",
                "admin": "rds-admin",
                "securityGroup": "sg-0123456789abcdef0",
            }
        },
        "secrets": RDS_ADMIN,
    },
    "aws with an existing bucket": {"artifacts": {"existing": {"name": "team-data", "prefix": "mlflow/a"}}},
    "aws with a finished database": {
        "database": {
            "name": "tracking",
            "user": "tracker",
            "existing": {"cluster": "aurora", "finished": True},
        },
        "artifacts": {"transfer": "direct"},
    },
    "aws with artifacts elsewhere and plain load balancers": {
        "artifacts": {"uri": "s3://other/mlflow", "credentials": "store"},
        "database": {"signIn": "password"},
        "secrets": S3_KEYS,
        "exposure": {"internal": {}, "external": {"allow": OFFICE}},
    },
    "aws with an ingress": {
        "exposure": {"ingress": {"host": HOST, "allow": OFFICE, "certificate": CERTIFICATE}},
    },
    "aws with the ingress of another controller": {
        "exposure": {
            "ingress": {
                "host": HOST,
                "className": "nginx",
                "allow": OFFICE,
                "annotations": {"nginx.ingress.kubernetes.io/whitelist-source-range": OFFICE[0]},
            }
        }
    },
    "aws with everything set": {
        "namespace": "team-a",
        "protect": False,
        "localState": True,
        "tags": {"team": "a", "cost centre": "42"},
        "aws": {"identity": "pod-identity", "permissionBoundary": BOUNDARY},
        "cluster": {
            "create": {
                "version": "1.35",
                "network": "10.80.0.0/18",
                "zones": ["eu-west-1a", "eu-west-1b", "eu-west-1c"],
                "nodes": {"total": 3, "size": "m7i.xlarge", "diskGb": 100},
                "access": {"public": ["0.0.0.0/0"], "world": True},
                "containerLogs": True,
                "admins": [ROLE],
            }
        },
        "database": {
            "engine": "postgresql",
            "version": "16",
            "size": "db.m7g.large",
            "storageGb": 100,
            "maxStorageGb": 500,
            "highAvailability": True,
            "backupDays": 35,
            "name": "tracking",
            "user": "tracker",
        },
        "artifacts": {"keepVersionsDays": 90, "transfer": "direct"},
        "server": {"replicas": 3, "workers": 2, "env": {"TEAM": "a"}},
        "exposure": {
            "internal": {"host": "mlflow.internal.example.com"},
            "external": {"host": HOST, "allow": ["0.0.0.0/0"], "world": True, "certificate": CERTIFICATE},
        },
    },
}
"""Name of a way to set up a stack on AWS → settings put over ``Pulumi.aws.yaml``."""
