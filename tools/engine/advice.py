"""The engine's failures, each with one line that says what to do."""

from __future__ import annotations

import re
from collections.abc import Sequence

from pulumi import automation as auto

from tools.common import Failure

HINTS = (
    (r"mistakes? in Pulumi\.", "correct the settings named above; every key is in docs/settings.md"),
    (r"passphrase must be set",
     "the secrets of this backend are encrypted with a passphrase that you choose and share: set "
     "PULUMI_CONFIG_PASSPHRASE_FILE"),
    (r"incorrect passphrase|unable to .*decrypt",
     "the passphrase is not the one that this stack was made with: set PULUMI_CONFIG_PASSPHRASE_FILE, "
     "or restore .local/passphrase"),
    (r"currently locked by|conflict: Another update",
     "another run is at work on this stack: wait for it; if there is none: pulumi cancel"),
    (r"does not answer|configured Kubernetes cluster is unreachable",
     "start the cluster: make cluster; or correct the context in the stack's settings"),
    (r"protected|marked for protection|unprotect",
     "see what would be lost, then release it: make unprotect STACK={stack}"),
    (r"ErrImageNeverPull|ImagePullBackOff|ErrImagePull|InvalidImageName",
     "put the images where the nodes find them: make images STACK={stack}; then make up STACK={stack}"),
    (r"Unschedulable|Insufficient (cpu|memory)",
     "the nodes have no room: lower requests in the stack's settings, or add nodes"),
    (r"(PersistentVolumeClaim|Namespace|StatefulSet) \S+ already exists and is not in this stack",
     "it may hold data of a stack whose state was lost: restore the state (.local/state) or import it; do "
     "not delete it unless you know what it is; or give this stack another namespace"),
    (r"already exists and is not in this stack",
     "something else made it: delete it, or give this stack another namespace"),
    (r"Apply failed with \d+ conflict",
     "someone else changed that field: undo the change with the tool that made it, or annotate the object "
     "pulumi.com/patchForce"),
    # Azure: astronomer/deploy-action#33 and hashicorp/terraform-provider-azurerm#10360.
    (r"disk size '?\d+'? cannot be less than current|StorageMB Downscaling",
     "Azure made the database's storage larger by itself: make refresh STACK={stack}; and where "
     "mlflow:database.storageGb is set, set it to the size that it has now"),
    # Azure/azure-service-operator#3267; Azure RBAC, "Troubleshoot": new principals and assignments.
    (r"CustomKubeletIdentityMissingPermission|PrincipalNotFound|AuthorizationPermissionMismatch",
     "a right that was just given is not known everywhere yet, which takes Azure up to ten minutes: wait, "
     "then make up STACK={stack} goes on"),
    # MicrosoftDocs/azure-docs#110791.
    (r"ScopeLocked|following scope\(s\) are locked",
     "a lock holds what is on and below it, rights included; if it is the stack's: set mlflow:azure.locks: "
     "false and the rest as it was, make up, then make the change, and lock again"),
    (r"violates PodSecurity",
     "the pod does not pass the namespace's Pod Security level: see the fields named above"),
    (r"no resource plugin|could not load plugin",
     "install the plugin named above with `pulumi plugin install`"),
)  # fmt: skip


def failure_of(error: auto.CommandError, verb: str, stack: str, told: Sequence[str] = ()) -> Failure:
    """A failed engine command as a :class:`Failure`.

    :param told: error texts that were shown already.
    """
    text = "\n".join([*told, str(error)])
    shown = "" if told else f": {_tail(str(error))}"
    return Failure(f"{verb} of stack {stack} failed{shown}", hint_for(text, verb, stack))


def _tail(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    told = re.findall(r"error: (.+)", text) or lines[-5:]
    return "\n".join(told)


def hint_for(text: str, verb: str, stack: str) -> str:
    """One line of advice for an error text."""
    for pattern, advice in HINTS:
        if re.search(pattern, text, re.IGNORECASE):
            return advice.format(stack=stack)
    return f"correct what the first error names, then run make {verb} STACK={stack} again"
