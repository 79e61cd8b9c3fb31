"""The restricted Pod Security standard, rule by rule, and where pods stand in a plan.

Source: Kubernetes documentation, "Pod Security Standards" (v1.36), profiles baseline and restricted;
restricted contains baseline.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

VOLUME_TYPES = {
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "persistentVolumeClaim",
    "projected",
    "secret",
}
SAFE_SYSCTLS = {
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.ping_group_range",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
}
SECCOMP_TYPES = {"RuntimeDefault", "Localhost"}
SELINUX_TYPES = {None, "", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"}


class Pod(NamedTuple):
    """A pod template found in an object.

    :ivar where: kind and name of the object, and the path inside it.
    """

    where: str
    spec: dict[str, Any]
    metadata: dict[str, Any]


def pods_in(objects: list[dict[str, Any]]) -> Iterator[Pod]:
    """Every pod and pod template in these objects, however deep it lies."""
    for one in objects:
        name = one.get("metadata", {}).get("name", "")
        yield from _pods(one, f"{one.get('kind')} {name}".strip())


def _pods(value: Any, where: str) -> Iterator[Pod]:
    if isinstance(value, list):
        for item in value:
            yield from _pods(item, where)
    if not isinstance(value, dict):
        return
    if isinstance(value.get("spec"), dict) and "containers" in value["spec"]:
        yield Pod(where, value["spec"], value.get("metadata", {}))
        return
    for key, item in value.items():
        yield from _pods(item, f"{where}.{key}")


def containers(spec: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every container of a pod with the name of its list."""
    for kind in ("initContainers", "containers", "ephemeralContainers"):
        for container in spec.get(kind, []):
            yield f"{kind} {container.get('name')}", container


def violations(spec: dict[str, Any], metadata: dict[str, Any] | None = None) -> list[str]:
    """What the restricted standard refuses in a pod; empty when it passes."""
    pod = spec.get("securityContext") or {}
    found = [
        *_host_access(spec),
        *_volumes(spec),
        *_profiles(pod, "pod"),
        *_apparmor_annotations(metadata or {}),
    ]
    if pod.get("runAsUser") == 0:
        found.append("pod: runAsUser is 0")
    for sysctl in pod.get("sysctls", []):
        if sysctl.get("name") not in SAFE_SYSCTLS:
            found.append(f"pod: sysctl {sysctl.get('name')}")
    for where, container in containers(spec):
        found += [f"{where}: {text}" for text in _container(container, pod)]
    return found


def _host_access(spec: dict[str, Any]) -> Iterator[str]:
    for key in ("hostNetwork", "hostPID", "hostIPC"):
        if spec.get(key):
            yield f"pod: {key}"
    for _, container in [("pod", spec), *containers(spec)]:
        windows = (container.get("securityContext") or {}).get("windowsOptions") or {}
        if windows.get("hostProcess"):
            yield "windowsOptions.hostProcess"


def _volumes(spec: dict[str, Any]) -> Iterator[str]:
    for volume in spec.get("volumes", []):
        other = set(volume) - VOLUME_TYPES - {"name"}
        if other:
            yield f"pod: volume {volume.get('name')} is a {', '.join(sorted(other))}"


def _profiles(context: dict[str, Any], where: str) -> Iterator[str]:
    """SELinux and AppArmor, which pods and containers state alike."""
    selinux = context.get("seLinuxOptions") or {}
    if selinux.get("type") not in SELINUX_TYPES or selinux.get("user") or selinux.get("role"):
        yield f"{where}: seLinuxOptions"
    apparmor = (context.get("appArmorProfile") or {}).get("type", "RuntimeDefault")
    if apparmor not in SECCOMP_TYPES:
        yield f"{where}: appArmorProfile {apparmor}"


def _apparmor_annotations(metadata: dict[str, Any]) -> Iterator[str]:
    for key, value in (metadata.get("annotations") or {}).items():
        is_profile = key.startswith("container.apparmor.security.beta.kubernetes.io/")
        if is_profile and value != "runtime/default" and not value.startswith("localhost/"):
            yield f"pod: annotation {key}={value}"


def _container(container: dict[str, Any], pod: dict[str, Any]) -> Iterator[str]:
    context = container.get("securityContext") or {}
    capabilities = context.get("capabilities") or {}
    if context.get("privileged"):
        yield "privileged"
    if context.get("allowPrivilegeEscalation") is not False:
        yield "allowPrivilegeEscalation is not false"
    if "ALL" not in capabilities.get("drop", []):
        yield "capabilities.drop lacks ALL"
    if set(capabilities.get("add", [])) - {"NET_BIND_SERVICE"}:
        yield f"capabilities.add {capabilities['add']}"
    if context.get("runAsNonRoot", pod.get("runAsNonRoot")) is not True:
        yield "runAsNonRoot is not true"
    if context.get("runAsUser") == 0:
        yield "runAsUser is 0"
    seccomp = context.get("seccompProfile") or pod.get("seccompProfile") or {}
    if seccomp.get("type") not in SECCOMP_TYPES:
        yield f"seccompProfile {seccomp.get('type')}"
    if context.get("procMount", "Default") != "Default":
        yield f"procMount {context['procMount']}"
    if any(port.get("hostPort") for port in container.get("ports", [])):
        yield "hostPort"
    yield from _profiles(context, "securityContext")
    yield from _probe_hosts(container)


def _probe_hosts(container: dict[str, Any]) -> Iterator[str]:
    """Probes and hooks that name a host let a pod make the kubelet call elsewhere."""
    hooks = container.get("lifecycle") or {}
    probes = {key: container.get(key) for key in ("livenessProbe", "readinessProbe", "startupProbe")}
    for name, probe in {**probes, **hooks}.items():
        for kind in ("httpGet", "tcpSocket"):
            if ((probe or {}).get(kind) or {}).get("host"):
                yield f"{name}.{kind}.host"
