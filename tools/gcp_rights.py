"""Rights of whoever runs `up` on Google Cloud: a custom role, and a condition on the roles they may give.

``python -m tools.gcp_rights`` writes both to ``docs/``. Source of the permissions: IAM, "Permissions
reference", and what the predefined roles of each service hold. The cluster is not in it: what is made inside
one takes ``roles/container.admin``, hundreds of permissions, a kind each.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Any

from tools.common import ROOT

ROLE, CONDITION = ROOT / "docs/gcp-role.json", ROOT / "docs/gcp-role-condition.json"
ALL = "create get update delete"
ADDRESS = f"{ALL.replace(' update', '')} createInternal deleteInternal setLabels use"

MAKES: Mapping[str, Mapping[str, str]] = {
    "artifactregistry/repository:Repository": {
        # Images are pushed, and looked for, as the caller.
        "artifactregistry.repositories": f"{ALL} uploadArtifacts downloadArtifacts",
        "artifactregistry.tags": "create get list update",
        "artifactregistry.versions": "get list",
        "artifactregistry.dockerimages": "get list",
    },
    "artifactregistry/repositoryIamMember:RepositoryIamMember": {
        "artifactregistry.repositories": "getIamPolicy setIamPolicy"
    },
    "compute/address:Address": {
        "compute.addresses": ADDRESS,
        "compute.subnetworks": "use",
        "compute.regionOperations": "get",
    },
    "compute/globalAddress:GlobalAddress": {
        "compute.globalAddresses": ADDRESS,
        "compute.networks": "use",
        "compute.globalOperations": "get",
    },
    "compute/managedSslCertificate:ManagedSslCertificate": {"compute.sslCertificates": "create get delete"},
    "compute/network:Network": {"compute.networks": f"{ALL} updatePolicy", "compute.globalOperations": "get"},
    "compute/router:Router": {"compute.routers": ALL, "compute.networks": "updatePolicy"},
    "compute/routerNat:RouterNat": {"compute.routers": "get update", "compute.subnetworks": "get use"},
    "compute/sSLPolicy:SSLPolicy": {"compute.sslPolicies": ALL},
    "compute/securityPolicy:SecurityPolicy": {"compute.securityPolicies": f"{ALL} setLabels"},
    "compute/subnetwork:Subnetwork": {
        "compute.subnetworks": f"{ALL} expandIpCidrRange setPrivateIpGoogleAccess",
        "compute.networks": "updatePolicy",
        "compute.regionOperations": "get",
    },
    # Nodes run as an account of the stack's.
    "container/cluster:Cluster": {"iam.serviceAccounts": "actAs", "compute.networks": "get"},
    "container/nodePool:NodePool": {"iam.serviceAccounts": "actAs"},
    "iap/webIamMember:WebIamMember": {"iap.web": "getIamPolicy setIamPolicy"},
    # The other half is bound to a condition.
    "projects/iAMMember:IAMMember": {"resourcemanager.projects": "get getIamPolicy"},
    "projects/service:Service": {
        "serviceusage.services": "enable get list",
        "serviceusage.operations": "get",
    },
    "serviceaccount/account:Account": {"iam.serviceAccounts": ALL},
    "serviceaccount/iAMMember:IAMMember": {"iam.serviceAccounts": "getIamPolicy setIamPolicy"},
    "servicenetworking/connection:Connection": {
        "servicenetworking.services": "addPeering deleteConnection get",
        "servicenetworking.operations": "get",
        "compute.networks": "addPeering get removePeering updatePeering use",
    },
    "sql/database:Database": {"cloudsql.databases": ALL},
    "sql/databaseInstance:DatabaseInstance": {
        "cloudsql.instances": f"{ALL} list",
        # The last one, when it is deleted.
        "cloudsql.backupRuns": "create get",
    },
    "sql/user:User": {"cloudsql.users": f"{ALL} list"},
    "storage/bucket:Bucket": {
        "storage.buckets": ALL,
        # Without `mlflow:protect` it goes with what is in it.
        "storage.objects": "list delete",
    },
    "storage/bucketIAMMember:BucketIAMMember": {"storage.buckets": "getIamPolicy setIamPolicy"},
}
"""Type of the provider, without its package → Google's type → what making, keeping and deleting one takes."""

BESIDE: Mapping[str, str] = {
    # A person's calls count for the project.
    "serviceusage.services": "use",
    # `make backend`, and the state in its bucket, encrypted with its key.
    "cloudkms.keyRings": "create get",
    "cloudkms.cryptoKeys": "create get update",
    "cloudkms.cryptoKeyVersions": "get list useToEncrypt useToDecrypt",
    "storage.objects": "create get update",
    # Cloud Build as a step of `up`, as an account of the stack's.
    "cloudbuild.builds": "create get list",
}
GIVES = (
    "roles/cloudsql.client",
    "roles/cloudsql.instanceUser",
    "roles/container.defaultNodeServiceAccount",
    "roles/logging.logWriter",
)
"""Roles that the stack gives in the project."""


def role() -> dict[str, Any]:
    """The custom role, in the form that ``gcloud iam roles create --file`` takes."""
    permissions = {
        f"{kind}.{verb}"
        for each in (*MAKES.values(), BESIDE)
        for kind, verbs in each.items()
        for verb in verbs.split()
    }
    return {
        "title": "MLflow stack",
        "description": "Makes, changes and takes away an MLflow stack (docs/gcp.md)",
        "stage": "GA",
        "includedPermissions": sorted(permissions),
    }


def condition() -> dict[str, str]:
    """What holds of the roles in the project that its holder gives or takes: these and no others (IAM, "Set
    limits on granting roles")."""
    roles = ", ".join(f"'{each}'" for each in GIVES)
    return {
        "title": "Roles of an MLflow stack",
        "description": "No others can be given or taken",
        "expression": f"api.getAttribute('iam.googleapis.com/modifiedGrantsByRole', []).hasOnly([{roles}])",
    }


def main() -> int:
    for file, content in ((ROLE, role()), (CONDITION, condition())):
        file.write_text(json.dumps(content, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
