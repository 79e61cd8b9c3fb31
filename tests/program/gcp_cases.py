"""Ways to set up a stack on Google Cloud: settings put over ``Pulumi.gcp.yaml``, secrets as plain text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Settings = Mapping[str, Any]

OFFICE = ["203.0.113.0/24"]
HOST = "mlflow.example.com"
SQL_ADMIN = {
    "sql-admin": {
        "admin": {
            "ADMIN_USERNAME": {"secure": "planted-admin-name"},
            "ADMIN_PASSWORD": {"secure": "planted-admin-password"},
        }
    }
}
PULL = {"pull": {"pull": {"DOCKER_CONFIG_JSON": {"secure": '{"auths": {"planted-registry-key": {}}}'}}}}
READY = {"server": "registry.example.com/server:1.0", "job": "registry.example.com/job:1.0"}

PLAIN: dict[str, Any] = {
    "tags": None, "cluster": None, "database": None, "artifacts": None, "server": None, "auth": None,
    "exposure": None,
}  # fmt: skip
"""What takes everything of ``Pulumi.gcp.yaml`` away but the cloud, its project and its region."""

FOUND: Mapping[str, Mapping[str, Any]] = {
    "gcp:compute/getSubnetwork:getSubnetwork": {
        "network": "https://www.googleapis.com/compute/v1/projects/acme-ml/global/networks/corp",
        "secondaryIpRanges": [{"rangeName": "gke-pods"}, {"rangeName": "gke-services"}],
    },
    "gcp:sql/getDatabaseInstance:getDatabaseInstance": {
        "databaseVersion": "POSTGRES_17",
        "settings": [{"databaseFlags": [{"name": "cloudsql.iam_authentication", "value": "on"}]}],
    },
}
"""What looking up an existing thing finds, where the program checks it: token → part of the answer."""

GCP_CASES: Mapping[str, Settings] = {
    "gcp in production": {},
    "gcp by default": PLAIN,
    "gcp on autopilot": PLAIN
    | {"cluster": {"create": {"compute": "autopilot", "channel": "stable", "containerLogs": True}}},
    "gcp with a range of nodes and a shared proxy": PLAIN
    | {
        "cluster": {
            "create": {
                "version": "1.35",
                "nodes": {"min": 2, "max": 6, "size": "n2-standard-4", "diskGb": 80, "diskType": "pd-ssd"},
                "zones": ["europe-west1-b", "europe-west1-c"],
                "dnsEndpoint": True,
            }
        },
        "gcp": {"proxy": "deployment"},
    },
    "gcp with mysql": PLAIN | {"database": {"engine": "mysql", "highAvailability": True}},
    "gcp with mysql, a password and a shared proxy": PLAIN
    | {"database": {"engine": "mysql", "signIn": "password"}, "gcp": {"proxy": "deployment"}},
    "gcp with direct principals and a password": PLAIN
    | {
        "gcp": {"identity": "direct"},
        "database": {"signIn": "password", "size": "db-perf-optimized-N-2", "backupDays": 20},
        "artifacts": {"transfer": "direct"},
    },
    "gcp in an existing cluster": PLAIN
    | {
        "cluster": {
            "existing": "data",
            "location": "europe-west1-b",
            "storageClass": "standard-rwo",
            "has": ["private-services-access"],
        }
    },
    "gcp in an existing cluster with an existing database and bucket": PLAIN
    | {
        "cluster": {"existing": "data"},
        "database": {"existing": {"instance": "shared", "admin": "sql-admin"}},
        "artifacts": {"existing": {"name": "data", "prefix": "ml/flow"}, "transfer": "direct"},
        "secrets": SQL_ADMIN,
        "images": READY,
    },
    "gcp with a finished database": PLAIN
    | {"database": {"existing": {"instance": "shared", "finished": True}}},
    "gcp with a database and artifacts in the cluster": PLAIN
    | {"database": {"place": "in-cluster"}, "artifacts": {"place": "in-cluster"}},
    "gcp with a database elsewhere and both load balancers": PLAIN
    | {
        "database": {"url": {"secure": "postgresql://mlflow:planted-pg-password@db.example.com:5432/mlflow"}},
        "auth": {"mode": "basic"},
        "exposure": {"internal": {}, "external": {"host": HOST, "allow": OFFICE}},
    },
    "gcp with an internal ingress": PLAIN
    | {"exposure": {"ingress": {"host": HOST, "internal": True, "certificate": "mlflow"}}},
    "gcp with sign-in by Google": PLAIN
    | {
        "gcp": {"iap": {"members": ["group:ml@example.com", "user:ada@example.com"]}},
        "exposure": {"ingress": {"host": HOST, "allow": OFFICE, "anonymous": True}},
    },
    "gcp in an existing network": PLAIN
    | {
        "cluster": {
            "create": {"subnet": {"name": "apps", "pods": "gke-pods", "services": "gke-services"}},
            "has": ["private-services-access"],
        },
        "exposure": {"internal": {}},
    },
    "gcp with a gateway": PLAIN
    | {
        "auth": {"mode": "basic"},
        "exposure": {"ingress": {"api": "gateway", "host": HOST, "allow": OFFICE}},
    },
    "gcp with an internal gateway": PLAIN
    | {"exposure": {"ingress": {"api": "gateway", "host": HOST, "internal": True}}},
    "gcp with images from Cloud Build": PLAIN | {"gcp": {"builder": "cloud-build"}},
    "gcp with everything set": PLAIN
    | {
        "namespace": "team-a",
        "protect": False,
        "tags": {"team": "a"},
        "cluster": {
            "create": {
                "access": {"public": ["0.0.0.0/0"], "world": True},
                "network": "10.20.0.0/18",
                "channel": "rapid",
                "nodes": {"total": 6},
            }
        },
        "database": {"storageGb": 50, "maxStorageGb": 50, "backupDays": 3, "name": "runs", "version": "16"},
        "artifacts": {"location": "eu", "softDeleteDays": 0, "keepVersionsDays": 5},
        "gcp": {
            "staticAddresses": False,
            "addresses": {"ingress": "mlflow"},
            "pullCredentials": "pull",
        },
        "secrets": PULL,
        "images": {"server": READY["server"]},
        "server": {"replicas": 3},
        "auth": {"mode": "basic"},
        "exposure": {
            "ingress": {
                "host": HOST,
                "allow": [f"203.0.113.{index}/32" for index in range(12)],
                "annotations": {"example.com/team": "a"},
            },
            "external": {"allow": OFFICE},
        },
    },
}
"""Name of a way to set up a stack → settings put over ``Pulumi.gcp.yaml``."""
