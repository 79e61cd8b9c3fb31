"""The pod security rules themselves: a good pod passes, and each planted violation is found."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from tests.program.pod_security import pods_in, violations

pytestmark = pytest.mark.program

GOOD: dict[str, Any] = {
    "securityContext": {"runAsNonRoot": True, "runAsUser": 999, "seccompProfile": {"type": "RuntimeDefault"}},
    "volumes": [{"name": "tmp", "emptyDir": {}}, {"name": "data", "persistentVolumeClaim": {}}],
    "initContainers": [
        {
            "name": "prepare",
            "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        }
    ],
    "containers": [
        {
            "name": "main",
            "ports": [{"containerPort": 5000}],
            "livenessProbe": {"httpGet": {"path": "/health", "port": 5000}},
            "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        }
    ],
}

PLANTED: list[tuple[str, Any, str]] = [
    ("hostNetwork", True, "hostNetwork"),
    ("hostPID", True, "hostPID"),
    ("hostIPC", True, "hostIPC"),
    ("volumes.0", {"name": "root", "hostPath": {"path": "/"}}, "volume root is a hostPath"),
    ("volumes.0", {"name": "share", "nfs": {"server": "x"}}, "volume share is a nfs"),
    ("securityContext.runAsUser", 0, "runAsUser is 0"),
    ("securityContext.runAsNonRoot", None, "runAsNonRoot is not true"),
    ("securityContext.seccompProfile", None, "seccompProfile None"),
    ("securityContext.seccompProfile", {"type": "Unconfined"}, "seccompProfile Unconfined"),
    ("securityContext.sysctls", [{"name": "kernel.msgmax"}], "sysctl kernel.msgmax"),
    ("securityContext.seLinuxOptions", {"type": "spc_t"}, "seLinuxOptions"),
    ("securityContext.seLinuxOptions", {"user": "root"}, "seLinuxOptions"),
    ("securityContext.appArmorProfile", {"type": "Unconfined"}, "appArmorProfile"),
    ("securityContext.windowsOptions", {"hostProcess": True}, "hostProcess"),
    ("containers.0.securityContext.privileged", True, "privileged"),
    ("containers.0.securityContext.allowPrivilegeEscalation", None, "allowPrivilegeEscalation"),
    ("containers.0.securityContext.capabilities", {}, "drop lacks ALL"),
    ("containers.0.securityContext.capabilities.add", ["SYS_ADMIN"], "capabilities.add"),
    ("containers.0.securityContext.runAsNonRoot", False, "runAsNonRoot"),
    ("containers.0.securityContext.runAsUser", 0, "runAsUser is 0"),
    ("containers.0.securityContext.procMount", "Unmasked", "procMount"),
    ("containers.0.securityContext.seccompProfile", {"type": "Unconfined"}, "seccompProfile Unconfined"),
    ("containers.0.ports.0.hostPort", 80, "hostPort"),
    ("containers.0.livenessProbe.httpGet.host", "169.254.169.254", "livenessProbe.httpGet.host"),
    ("containers.0.lifecycle", {"preStop": {"tcpSocket": {"host": "x"}}}, "preStop.tcpSocket.host"),
    ("initContainers.0.securityContext", None, "initContainers prepare"),
]


def with_change(path: str, value: Any) -> dict[str, Any]:
    """The good pod with the field at ``path`` set, or taken away when ``value`` is None."""
    pod = copy.deepcopy(GOOD)
    *parents, last = path.split(".")
    holder: Any = pod
    for part in parents:
        holder = holder[int(part)] if part.isdigit() else holder[part]
    if value is None:
        del holder[last]
    else:
        holder[int(last) if last.isdigit() else last] = value
    return pod


def test_a_good_pod_passes() -> None:
    assert violations(GOOD) == []


@pytest.mark.parametrize(("path", "value", "expected"), PLANTED, ids=[f"{p}={v}" for p, v, _ in PLANTED])
def test_a_planted_violation_is_found(path: str, value: Any, expected: str) -> None:
    assert any(expected in one for one in violations(with_change(path, value)))


def test_an_apparmor_annotation_is_found() -> None:
    annotation = {"container.apparmor.security.beta.kubernetes.io/main": "unconfined"}
    assert violations(GOOD, {"annotations": annotation})


def test_pods_are_found_however_deep_they_lie() -> None:
    template = {"spec": {"containers": []}}
    objects: list[dict[str, Any]] = [
        {"kind": "Pod", **template},
        {"kind": "Deployment", "spec": {"template": template}},
        {"kind": "CronJob", "spec": {"jobTemplate": {"spec": {"template": template}}}},
        {"kind": "List", "items": [{"kind": "Job", "spec": {"template": template}}]},
    ]
    assert [pod.where for pod in pods_in(objects)] == [
        "Pod",
        "Deployment.spec.template",
        "CronJob.spec.jobTemplate.spec.template",
        "List.items.spec.template",
    ]
