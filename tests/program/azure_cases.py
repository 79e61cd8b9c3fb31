"""Ways to set up a stack on Azure: settings put over ``Pulumi.azure.yaml``, secrets as plain text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Settings = Mapping[str, Any]

OFFICE = ["203.0.113.0/24"]
HOST = "mlflow.example.com"
ADMINS = "11111111-2222-3333-4444-555555555555"
IN_AZURE = f"/subscriptions/{ADMINS}/resourceGroups/shared/providers"
SUBNET = f"{IN_AZURE}/Microsoft.Network/virtualNetworks/hub/subnets/data"
BLOB_ZONE = f"{IN_AZURE}/Microsoft.Network/privateDnsZones/privatelink.blob.core.windows.net"
DATABASE_ZONE = f"{IN_AZURE}/Microsoft.Network/privateDnsZones/privatelink.postgres.database.azure.com"
READER = f"{IN_AZURE}/Microsoft.ManagedIdentity/userAssignedIdentities/reader"
ADMINISTRATOR = f"{IN_AZURE}/Microsoft.ManagedIdentity/userAssignedIdentities/database-admins"
PG_ADMIN = {
    "pg-admin": {
        "admin": {
            "ADMIN_USERNAME": {"secure": "planted-admin-name"},
            "ADMIN_PASSWORD": {"secure": "planted-admin-password"},
        }
    }
}
PULL = {"pull": {"pull": {"DOCKER_CONFIG_JSON": {"secure": '{"auths": {"planted-registry-key": {}}}'}}}}
READY = {"server": "registry.example.com/server:1.0", "job": "registry.example.com/job:1.0"}


def create(**more: Any) -> dict[str, Any]:
    """A new cluster, with who administers it."""
    return {"create": {"adminGroups": [ADMINS], **more}}


EXISTING = {"existing": "data", "resourceGroup": "shared"}

PLAIN: dict[str, Any] = {
    "tags": None, "cluster": create(), "database": None, "artifacts": None, "server": None, "auth": None,
    "exposure": None,
}  # fmt: skip
"""What takes everything of ``Pulumi.azure.yaml`` away but the cloud, its location and its subscription."""

AZURE_CASES: Mapping[str, Settings] = {
    "azure in production": {},
    "azure by default": PLAIN,
    "azure with ranges of nodes, logs and an open API": PLAIN
    | {
        "cluster": create(
            version="1.35",
            network="10.0.0.0/18",
            zones=["1", "2"],
            nodes={
                "min": 0,
                "max": 6,
                "size": "Standard_D8s_v5",
                "diskGb": 80,
                "diskType": "Ephemeral",
            },
            systemNodes={"min": 1, "max": 3, "size": "Standard_D4s_v5"},
            access={"public": ["0.0.0.0/0"], "world": True},
            maintenance={"day": "Monday", "hour": 1, "hours": 4},
            monitoring=True,
            containerLogs=True,
            metrics=True,
            tier="free",
        )
    },
    "azure with private endpoints": PLAIN
    | {
        "database": {"access": "private-endpoint", "geoRedundantBackups": True},
        "artifacts": {"access": "private-endpoint", "redundancy": "GZRS"},
    },
    "azure with mysql": PLAIN
    | {"database": {"engine": "mysql", "directoryReader": READER, "highAvailability": True}},
    "azure with mysql behind an endpoint and a password": PLAIN
    | {"database": {"engine": "mysql", "signIn": "password", "access": "private-endpoint"}},
    "azure with a password": PLAIN | {"database": {"signIn": "password", "user": "tracker", "storageGb": 64}},
    "azure in an existing cluster": PLAIN
    | {
        "cluster": {**EXISTING, "storageClass": "managed-csi"},
        "database": {"subnet": SUBNET},
        "artifacts": {"access": "public", "transfer": "direct"},
    },
    "azure in an existing cluster with endpoints": PLAIN
    | {
        "cluster": EXISTING,
        "database": {"access": "private-endpoint", "subnet": SUBNET, "dnsZone": DATABASE_ZONE},
        "artifacts": {"access": "private-endpoint", "subnet": SUBNET, "dnsZone": BLOB_ZONE},
    },
    "azure with an existing database and container": PLAIN
    | {
        "cluster": EXISTING,
        "azure": {"resourceGroup": "ml-team"},
        "database": {
            "signIn": "password",
            "existing": {"instance": "shared", "admin": "pg-admin"},
            "resourceGroup": "shared",
        },
        "artifacts": {
            "existing": {"name": "data", "prefix": "ml/flow"},
            "account": "teamdata",
            "resourceGroup": "shared",
            "transfer": "direct",
        },
        "secrets": PG_ADMIN,
        "images": READY,
    },
    "azure with a finished database": PLAIN
    | {"database": {"existing": {"instance": "shared", "finished": True}, "resourceGroup": "shared"}},
    "azure with a finished mysql": PLAIN
    | {
        "database": {
            "engine": "mysql",
            "existing": {"instance": "shared", "finished": True},
            "resourceGroup": "shared",
        }
    },
    "azure with an administrator of an existing server": PLAIN
    | {
        "azure-native:subscriptionId": ADMINS,
        "cluster": EXISTING,
        "database": {
            "existing": {"instance": "shared"},
            "resourceGroup": "shared",
            "administrator": ADMINISTRATOR,
        },
        "artifacts": {"place": "in-cluster"},
    },
    "azure with a database and artifacts in the cluster": PLAIN
    | {"database": {"place": "in-cluster", "engine": "mysql"}, "artifacts": {"place": "in-cluster"}},
    "azure with a database elsewhere and both load balancers": PLAIN
    | {
        "database": {"url": {"secure": "postgresql://mlflow:planted-pg-password@db.example.com:5432/mlflow"}},
        "auth": {"mode": "basic"},
        "exposure": {"internal": {}, "external": {"host": HOST, "allow": OFFICE}},
    },
    "azure with an ingress": PLAIN
    | {
        "auth": {"mode": "basic"},
        "artifacts": {"transfer": "presigned", "access": "public"},
        "exposure": {
            "ingress": {
                "host": HOST,
                "className": "nginx",
                "allow": OFFICE,
                "annotations": {"nginx.ingress.kubernetes.io/whitelist-source-range": OFFICE[0]},
            }
        },
    },
    "azure with a gateway": PLAIN
    | {
        "auth": {"mode": "basic"},
        "exposure": {
            "ingress": {
                "api": "gateway",
                "host": HOST,
                "className": "approuting-istio",
                "allow": OFFICE,
                "tlsSecret": "mlflow-tls",
                "annotations": {"cert-manager.io/cluster-issuer": "letsencrypt"},
            }
        },
    },
    "azure with everything set": PLAIN
    | {
        "namespace": "team-a",
        "protect": False,
        "tags": {"team": "a", "cost centre": "42"},
        "cluster": create(access={"public": OFFICE}, network="10.20.0.0/20", nodes={"total": 6}),
        "database": {
            "storageGb": 128,
            "maxStorageGb": 128,
            "backupDays": 35,
            "name": "runs",
            "user": "tracker",
            "version": "16",
            "size": "Standard_E4ds_v5",
            "highAvailability": True,
        },
        "artifacts": {"redundancy": "LRS", "keepVersionsDays": 5},
        "azure": {"resourceGroup": "ml-team", "locks": True, "pullCredentials": "pull"},
        "secrets": PULL,
        "images": {"server": READY["server"]},
        "server": {"replicas": 3, "env": {"TEAM": "a"}},
        "auth": {"mode": "basic"},
        "exposure": {"internal": {"allow": ["10.0.0.0/8"]}, "external": {"allow": OFFICE}},
    },
}
"""Name of a way to set up a stack → settings put over ``Pulumi.azure.yaml``."""
