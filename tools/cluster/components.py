"""What runs on the node and with which flags: plain functions from paths and addresses to configuration."""

from __future__ import annotations

import base64
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tools.cluster import NAME
from tools.cluster.network import Addresses
from tools.common import Failure

_CONTAINERD_SOCKET = "/run/containerd/containerd.sock"  # /run is the node's own, see node.py
_CNI_FOLDERS = (Path("/usr/lib/cni"), Path("/opt/cni/bin"))


@dataclass(frozen=True)
class Layout:
    """Where things are: ``state`` is the folder that removal deletes, the others are caches."""

    state: Path
    kubernetes: Path
    etcd: Path

    def config(self, name: str) -> str:
        return str(self.state / "config" / name)

    def key(self, name: str) -> str:
        return str(self.state / "pki" / name)


def kubeconfig(server: str, folder: Path, client: str, *, embed: bool = False) -> dict[str, Any]:
    """A kubeconfig with one context named like the cluster.

    :param client: name of the client certificate in ``folder``.
    :param embed: put the certificates in, so that the file can be copied elsewhere.
    """

    def credential(key: str, path: Path) -> dict[str, str]:
        if embed:
            return {f"{key}-data": base64.b64encode(path.read_bytes()).decode()}
        return {key: str(path)}

    user = credential("client-certificate", folder / f"{client}.crt")
    user |= credential("client-key", folder / f"{client}.key")
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": NAME,
        "clusters": [
            {
                "name": NAME,
                "cluster": {"server": server, **credential("certificate-authority", folder / "ca.crt")},
            }
        ],
        "users": [{"name": NAME, "user": user}],
        "contexts": [{"name": NAME, "context": {"cluster": NAME, "user": NAME}}],
    }


def node_config(layout: Layout, addresses: Addresses) -> dict[str, Any]:
    """What ``node.py`` gets: mounts and components in the order they start."""
    state = layout.state
    return {
        "state": str(state),
        "hostname": NAME,
        "address": f"{addresses.node}/24",
        "gateway": addresses.host,
        "mounts": [
            ["tmpfs", "/run"],
            # pods' network state ends with the pods, so a restarted node hands out addresses afresh
            ["tmpfs", "/var/lib/cni"],
            # the kubelet's device plugin folder is fixed, whatever --root-dir says
            [str(state / "kubelet"), "/var/lib/kubelet"],
            [str(state / "log"), "/var/log"],
        ],
        "components": [
            {"name": "etcd", "argv": _etcd(layout), "ready": "http://127.0.0.1:2379/health"},
            {"name": "containerd", "argv": ["containerd", "--config", layout.config("containerd.toml")]},
            {
                "name": "kube-apiserver",
                "argv": _api_server(layout, addresses),
                # ready comes after its own roles exist: the controllers end without them
                "ready": "https://127.0.0.1:6443/readyz",
            },
            {"name": "kube-controller-manager", "argv": _controller_manager(layout, addresses)},
            {"name": "kube-scheduler", "argv": _scheduler(layout)},
            {"name": "kubelet", "argv": _kubelet(layout, addresses)},
            {"name": "kube-proxy", "argv": _kube_proxy(layout)},
        ],
    }


def _etcd(layout: Layout) -> list[str]:
    return [
        str(layout.etcd / "etcd"),
        f"--name={NAME}",
        f"--data-dir={layout.state / 'etcd'}",
        "--listen-client-urls=http://127.0.0.1:2379",
        "--advertise-client-urls=http://127.0.0.1:2379",
        "--listen-peer-urls=http://127.0.0.1:2380",
        "--initial-advertise-peer-urls=http://127.0.0.1:2380",
        f"--initial-cluster={NAME}=http://127.0.0.1:2380",
        # an image import keeps the disk busy for seconds; waiting for it would stall the API server
        "--unsafe-no-fsync",
        "--log-level=warn",
    ]


def _api_server(layout: Layout, addresses: Addresses) -> list[str]:
    return [
        str(layout.kubernetes / "kube-apiserver"),
        f"--advertise-address={addresses.node}",
        "--etcd-servers=http://127.0.0.1:2379",
        f"--service-cluster-ip-range={addresses.services}",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        "--allow-privileged=true",
        f"--client-ca-file={layout.key('ca.crt')}",
        f"--tls-cert-file={layout.key('apiserver.crt')}",
        f"--tls-private-key-file={layout.key('apiserver.key')}",
        f"--kubelet-certificate-authority={layout.key('ca.crt')}",
        f"--kubelet-client-certificate={layout.key('apiserver-kubelet-client.crt')}",
        f"--kubelet-client-key={layout.key('apiserver-kubelet-client.key')}",
        # logs, exec and port-forward go to the kubelet: nothing resolves the node's name
        "--kubelet-preferred-address-types=InternalIP,Hostname",
        "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
        f"--service-account-key-file={layout.key('service-accounts.pub')}",
        f"--service-account-signing-key-file={layout.key('service-accounts.key')}",
    ]


def _controller_manager(layout: Layout, addresses: Addresses) -> list[str]:
    return [
        str(layout.kubernetes / "kube-controller-manager"),
        *_as_client(layout, "controller-manager"),
        f"--cluster-name={NAME}",
        "--allocate-node-cidrs=true",
        f"--cluster-cidr={addresses.pods}",
        "--node-cidr-mask-size=24",
        f"--service-cluster-ip-range={addresses.services}",
        f"--cluster-signing-cert-file={layout.key('ca.crt')}",
        f"--cluster-signing-key-file={layout.key('ca.key')}",
        f"--root-ca-file={layout.key('ca.crt')}",
        f"--service-account-private-key-file={layout.key('service-accounts.key')}",
        "--use-service-account-credentials=true",
    ]


def _scheduler(layout: Layout) -> list[str]:
    return [str(layout.kubernetes / "kube-scheduler"), *_as_client(layout, "scheduler")]


def _as_client(layout: Layout, name: str) -> list[str]:
    config = layout.config(f"{name}.kubeconfig")
    access = ["kubeconfig", "authentication-kubeconfig", "authorization-kubeconfig"]
    # one instance only: a lease would just be one more thing that a busy machine can lose
    return [*(f"--{flag}={config}" for flag in access), "--leader-elect=false", "--bind-address=127.0.0.1"]


def _kubelet(layout: Layout, addresses: Addresses) -> list[str]:
    return [
        str(layout.kubernetes / "kubelet"),
        f"--config={layout.config('kubelet.json')}",
        f"--kubeconfig={layout.config('kubelet.kubeconfig')}",
        f"--hostname-override={NAME}",
        f"--node-ip={addresses.node}",
    ]


def _kube_proxy(layout: Layout) -> list[str]:
    return [str(layout.kubernetes / "kube-proxy"), f"--config={layout.config('kube-proxy.json')}"]


def kubelet_config(layout: Layout, addresses: Addresses) -> dict[str, Any]:
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": layout.key("ca.crt")},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": layout.key("kubelet.crt"),
        "tlsPrivateKeyFile": layout.key("kubelet.key"),
        "clusterDNS": [addresses.dns],
        "clusterDomain": "cluster.local",
        "resolvConf": layout.config("resolv.conf"),
        "containerRuntimeEndpoint": f"unix://{_CONTAINERD_SOCKET}",
        "cgroupDriver": "cgroupfs",
        # everything of the node below one cgroup: removal takes that one away
        "cgroupRoot": f"/{NAME}",
        "failCgroupV1": False,
        "failSwapOn": False,
        "oomScoreAdj": 0,  # below 0 takes CAP_SYS_RESOURCE, which containers and small VMs often lack
        "volumePluginDir": str(layout.state / "kubelet/volume-plugins"),
        # a developer's disk may well be 90 % full, and images here cannot be pulled again
        "evictionHard": {"memory.available": "100Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
        "imageGCHighThresholdPercent": 100,
    }


def kube_proxy_config(layout: Layout, addresses: Addresses) -> dict[str, Any]:
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "iptables",
        "clientConnection": {"kubeconfig": layout.config("kube-proxy.kubeconfig")},
        "clusterCIDR": addresses.pods,
        "hostnameOverride": NAME,
        "oomScoreAdj": 0,
        # these settings belong to the machine, not to the node's network namespace
        "conntrack": {
            "maxPerCore": 0,
            "min": 0,
            "tcpEstablishedTimeout": "0s",
            "tcpCloseWaitTimeout": "0s",
        },
    }


def cni_config(addresses: Addresses, mtu: int) -> dict[str, Any]:
    """Each pod gets a link of its own to the node (ptp): unlike a bridge, no packet can go past iptables."""
    return {
        "cniVersion": "0.4.0",
        "name": NAME,
        "plugins": [
            {
                "type": "ptp",
                "ipMasq": True,
                "mtu": mtu,
                "ipam": {
                    "type": "host-local",
                    "dataDir": "/run/cni-ipam",
                    "ranges": [[{"subnet": addresses.pods}]],
                    "routes": [{"dst": "0.0.0.0/0"}],
                },
            },
            {"type": "portmap", "capabilities": {"portMappings": True}},
        ],
    }


def containerd_config(layout: Layout, pause: str) -> str:
    """containerd's own folder, socket and plugins, apart from any other containerd of this machine (TOML)."""
    plugins = next((folder for folder in _CNI_FOLDERS if (folder / "ptp").exists()), None)
    if plugins is None or shutil.which("containerd") is None:
        raise Failure("containerd or its network plugins are not installed", "run `make cluster` as root")
    cri = 'plugins."io.containerd.grpc.v1.cri"'
    return f"""\
version = 2
root = "{layout.state}/containerd"
state = "/run/containerd"
disabled_plugins = ["io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs", \
"io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.aufs"]
[grpc]
address = "{_CONTAINERD_SOCKET}"
[{cri}]
sandbox_image = "{pause}"
# without CAP_SYS_RESOURCE no sandbox starts unless negative scores are left out
restrict_oom_score_adj = true
# a profile would stay loaded in the machine's kernel after the cluster is gone
disable_apparmor = true
[{cri}.cni]
bin_dir = "{plugins}"
conf_dir = "{layout.state}/config/cni"
[{cri}.containerd]
snapshotter = "overlayfs"
[{cri}.containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
[{cri}.containerd.runtimes.runc.options]
SystemdCgroup = false
"""


def write_configuration(
    layout: Layout, addresses: Addresses, *, pause: str, mtu: int, resolvers: list[str]
) -> None:
    """Write every configuration file below ``state/config``; needs the certificates."""
    folder = layout.state / "config"
    (folder / "cni").mkdir(parents=True, exist_ok=True)
    pki = layout.state / "pki"
    for client in ("controller-manager", "scheduler", "kube-proxy", "kubelet"):
        # over the node's address, as a kubelet on another machine would
        config = kubeconfig(f"https://{addresses.node}:6443", pki, client)
        (folder / f"{client}.kubeconfig").write_text(json.dumps(config))
    files = {
        "kubelet.json": json.dumps(kubelet_config(layout, addresses), indent=1),
        "kube-proxy.json": json.dumps(kube_proxy_config(layout, addresses), indent=1),
        "cni/10-mlflow-dev.conflist": json.dumps(cni_config(addresses, mtu), indent=1),
        "containerd.toml": containerd_config(layout, pause),
        "resolv.conf": "".join(f"nameserver {server}\n" for server in resolvers),
        "node.json": json.dumps(node_config(layout, addresses), indent=1),
    }
    for name, text in files.items():
        (folder / name).write_text(text)
