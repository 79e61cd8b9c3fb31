"""Who may change which Deployments: an account, a Role for exactly those, and its token in one pod.

Who may patch a Deployment decides what its pods run, as which account and with which Secrets of the
namespace: such a token is worth the namespace, and only our own scripts have one.

Source: Kubernetes, "Using RBAC Authorization" (resourceNames), "RBAC Good Practices" (workload creation) and
"Projected Volumes" (what a token needs).
"""

from __future__ import annotations

from collections.abc import Sequence

import pulumi
import pulumi_kubernetes as kubernetes

from ..contracts import TrackingAccess
from ..tracking.labels import labels

core = kubernetes.core.v1
meta = kubernetes.meta.v1
rbac = kubernetes.rbac.v1

TOKEN_FOLDER = "/var/run/secrets/kubernetes.io/serviceaccount"  # noqa: S105 - where it is, not what
TOKEN_SECONDS = 3607
"""How long a token is good for; the kubelet renews it before. The least that one may ask for is 600, and the
API server's own default is this."""


def roller(
    name: str,
    account: str,
    deployments: Sequence[str],
    access: TrackingAccess,
    opts: pulumi.ResourceOptions,
    also: Sequence[rbac.PolicyRuleArgs] = (),
) -> tuple[pulumi.Output[str], list[pulumi.Resource]]:
    """An account that may get and patch these Deployments, with all that lies in that, and ``also`` these.

    :param account: name of ServiceAccount, Role and RoleBinding.
    :returns: the account's name, and what must be there before its pods work.
    """

    def metadata() -> meta.ObjectMetaArgs:
        return meta.ObjectMetaArgs(name=account, namespace=access.namespace, labels=labels("service"))

    made = core.ServiceAccount(
        f"{name}-account",
        metadata=metadata(),
        # Its token reaches the one container that needs it, by a volume.
        automount_service_account_token=False,
        image_pull_secrets=[core.LocalObjectReferenceArgs(name=one) for one in access.pull_secrets] or None,
        opts=opts,
    )
    rolls = rbac.PolicyRuleArgs(
        api_groups=["apps"],
        resources=["deployments"],
        resource_names=list(deployments),
        verbs=["get", "patch"],
    )
    # A rule that names none would be for all of them.
    role = rbac.Role(
        f"{name}-role", metadata=metadata(), rules=[*([rolls] if deployments else []), *also], opts=opts
    )
    binding = rbac.RoleBinding(
        f"{name}-binding",
        metadata=metadata(),
        role_ref=rbac.RoleRefArgs(api_group="rbac.authorization.k8s.io", kind="Role", name=account),
        subjects=[rbac.SubjectArgs(kind="ServiceAccount", name=account, namespace=access.namespace)],
        # Who is no administrator may bind a Role only when it is there, and holds no more than he has.
        opts=pulumi.ResourceOptions(parent=opts.parent, depends_on=[role]),
    )
    return made.metadata.name, [role, binding]


def token_volume() -> tuple[core.VolumeArgs, core.VolumeMountArgs]:
    """The account's token, the cluster's authority and the namespace, where a client looks for them."""
    sources = [
        core.VolumeProjectionArgs(
            service_account_token=core.ServiceAccountTokenProjectionArgs(
                path="token", expiration_seconds=TOKEN_SECONDS
            )
        ),
        core.VolumeProjectionArgs(
            config_map=core.ConfigMapProjectionArgs(
                name="kube-root-ca.crt", items=[core.KeyToPathArgs(key="ca.crt", path="ca.crt")]
            )
        ),
        core.VolumeProjectionArgs(
            downward_api=core.DownwardAPIProjectionArgs(
                items=[
                    core.DownwardAPIVolumeFileArgs(
                        path="namespace",
                        field_ref=core.ObjectFieldSelectorArgs(field_path="metadata.namespace"),
                    )
                ]
            )
        ),
    ]
    projected = core.ProjectedVolumeSourceArgs(default_mode=0o440, sources=sources)
    volume = core.VolumeArgs(name="api", projected=projected)
    return volume, core.VolumeMountArgs(name="api", mount_path=TOKEN_FOLDER, read_only=True)
