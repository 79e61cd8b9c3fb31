"""The registry-built node: its addresses, its configuration, and when it counts as ready."""

from __future__ import annotations

import hashlib
import io
import ipaddress
import json
import tarfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from tools.cluster import addons, binaries, network
from tools.cluster.components import Layout, cni_config, kubelet_config, node_config
from tools.cluster.network import Addresses
from tools.cluster.scratch_images import ScratchImage, write_archive
from tools.common import Failure

ADDRESSES = Addresses("10.77.0.0/16")
LAYOUT = Layout(Path("/state"), Path("/bin/kubernetes"), Path("/bin/etcd"))


def test_nodes_services_and_pods_share_the_range_and_nothing_else() -> None:
    whole = ipaddress.IPv4Network(ADDRESSES.range)
    link = ipaddress.IPv4Interface(f"{ADDRESSES.node}/24").network
    parts = [link, ipaddress.IPv4Network(ADDRESSES.services), ipaddress.IPv4Network(ADDRESSES.pods)]
    assert all(part.subnet_of(whole) for part in parts)
    assert not any(a.overlaps(b) for a in parts for b in parts if a != b)
    assert ipaddress.IPv4Address(ADDRESSES.host) in link
    for service in (ADDRESSES.api_service, ADDRESSES.dns):
        assert ipaddress.IPv4Address(service) in parts[1]


@pytest.mark.parametrize("text", ["10.1.0.0/24", "10.1.2.3/16", "banana"])
def test_a_range_that_is_not_a_16_is_refused_by_its_name(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("CLUSTER_RANGE", text)
    with pytest.raises(Failure, match=f"CLUSTER_RANGE={text}"):
        network.wanted_addresses()


@pytest.mark.parametrize(
    ("route", "refused"),
    [
        ({"dst": "10.77.3.0/24", "dev": "tun0"}, True),
        ({"dst": "10.0.0.0/8", "dev": "tun0"}, True),
        ({"dst": "10.77.0.9", "dev": "eth0"}, True),
        ({"dst": "10.78.0.0/16", "dev": "tun0"}, False),
        ({"dst": "default", "dev": "eth0"}, False),
        ({"dst": "10.77.0.0/24", "dev": network.LINK}, False),
    ],
)
def test_a_range_that_is_routed_elsewhere_is_found_out(route: dict[str, str], refused: bool) -> None:
    assert bool(network.overlapping(ADDRESSES, [route])) is refused


def test_every_firewall_rule_carries_the_mark_by_which_it_is_found_again() -> None:
    for rule in network.rules(ADDRESSES):
        assert rule[rule.index("--comment") + 1] == "mlflow-dev"
        assert ADDRESSES.range in rule or network.LINK in rule


def test_loopback_and_ipv6_name_servers_are_of_no_use_to_pods() -> None:
    text = "# x\nnameserver 127.0.0.53\nnameserver fd00::1\nnameserver\nnameserver 192.0.2.1\nsearch a\n"
    assert network.usable_resolvers(text) == ["192.0.2.1"]


def test_controllers_start_only_when_the_api_server_is_ready() -> None:
    components = node_config(LAYOUT, ADDRESSES)["components"]
    names = [component["name"] for component in components]
    assert names.index("etcd") < names.index("kube-apiserver") < names.index("kube-controller-manager")
    ready = {component["name"] for component in components if "ready" in component}
    assert {"etcd", "kube-apiserver"} <= ready


def test_the_kubelet_keeps_to_its_own_cgroup_socket_and_name_servers() -> None:
    config = kubelet_config(LAYOUT, ADDRESSES)
    assert config["cgroupRoot"] == "/mlflow-dev"
    assert config["resolvConf"].startswith("/state/")
    assert config["clusterDNS"] == [ADDRESSES.dns]
    assert config["authentication"]["anonymous"] == {"enabled": False}


def test_pods_get_addresses_of_the_range_and_the_size_of_packet_that_the_way_out_takes() -> None:
    plugin = cni_config(ADDRESSES, 1400)["plugins"][0]
    assert plugin["ipam"]["ranges"] == [[{"subnet": ADDRESSES.pods}]]
    assert plugin["mtu"] == 1400


def manifests(forward: bool) -> list[dict[str, Any]]:
    images: dict[str, str] = dict.fromkeys(("PAUSE", "COREDNS", "PROVISIONER", "BUSYBOX"), "localhost/x:1")
    return list(yaml.safe_load_all(addons.manifests(ADDRESSES, images, Path("/v"), forward=forward)))


def test_there_is_one_storage_class_it_is_the_default_and_it_waits_for_the_pod() -> None:
    (found,) = [m for m in manifests(True) if m["kind"] == "StorageClass"]
    assert found["metadata"]["annotations"]["storageclass.kubernetes.io/is-default-class"] == "true"
    assert found["volumeBindingMode"] == "WaitForFirstConsumer"


def test_the_volume_scripts_keep_the_variables_of_the_provisioner() -> None:
    (config,) = [m for m in manifests(True) if m["metadata"]["name"] == "local-path-config"]
    assert 'mkdir -m 0755 -p "$VOL_DIR"' in config["data"]["setup"]
    assert json.loads(config["data"]["config.json"])["nodePathMap"][0]["paths"] == ["/v"]


@pytest.mark.parametrize("forward", [True, False])
def test_names_outside_the_cluster_are_asked_for_only_where_somebody_answers(forward: bool) -> None:
    (config,) = [
        m for m in manifests(forward) if m["kind"] == "ConfigMap" and m["metadata"]["name"] == "coredns"
    ]
    assert ("forward ." in config["data"]["Corefile"]) is forward


NOW = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
BEFORE, AFTER = "2026-01-01T11:59:59Z", "2026-01-01T12:00:01Z"


def reported(at: str, status: str = "True") -> list[dict[str, Any]]:
    ready = {"type": "Ready", "status": status, "lastHeartbeatTime": at}
    items: list[dict[str, Any]] = [
        {"kind": "Node", "metadata": {"name": "mlflow-dev"}, "status": {"conditions": [ready]}}
    ]
    for name in ("coredns-5698b46984-s8fpx", "local-path-provisioner-7b7cb4c4f-6r9bw"):
        containers = [{"state": {"running": {"startedAt": at}}}]
        body = {"conditions": [ready], "containerStatuses": containers}
        items.append({"kind": "Pod", "metadata": {"name": name}, "status": body})
    return items


def test_a_node_that_reports_after_its_start_is_ready() -> None:
    assert addons.not_ready(reported(AFTER), NOW) == []


@pytest.mark.parametrize(("at", "status"), [(BEFORE, "True"), (AFTER, "False")])
def test_what_was_reported_before_a_crash_does_not_count(at: str, status: str) -> None:
    assert addons.not_ready(reported(at, status), NOW) == [
        "coredns",
        "local-path-provisioner",
        "node mlflow-dev",
    ]


def test_an_image_archive_names_each_layer_by_its_content(tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_bytes(b"\x7fELF")
    write_archive(tmp_path / "a.tar", [ScratchImage("localhost/a:1", {"/bin/a": program}, ("/bin/a",))])
    with tarfile.open(tmp_path / "a.tar") as archive:

        def member(name: str) -> bytes:
            file = archive.extractfile(name)
            assert file is not None
            return file.read()

        (image,) = json.loads(member("manifest.json"))
        layer, config = member(image["Layers"][0]), json.loads(member(image["Config"]))
    assert image["RepoTags"] == ["localhost/a:1"]
    assert config["rootfs"]["diff_ids"] == [f"sha256:{hashlib.sha256(layer).hexdigest()}"]
    with tarfile.open(fileobj=io.BytesIO(layer)) as files:
        assert files.getmember("bin/a").mode == 0o755


def test_an_image_archive_is_the_same_bytes_each_time(tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_bytes(b"x")
    for name in ("a.tar", "b.tar"):
        write_archive(tmp_path / name, [ScratchImage("localhost/a:1", {"/bin/a": program}, ("/bin/a",))])
    assert (tmp_path / "a.tar").read_bytes() == (tmp_path / "b.tar").read_bytes()


def test_a_changed_sum_or_flag_is_another_build(tmp_path: Path) -> None:
    folder = tmp_path / "thing"
    folder.mkdir()
    (folder / "go.mod").write_text("module x")
    (folder / "go.sum").write_text("a")
    first = binaries.cache_key(binaries.Module("thing"), tmp_path)
    assert binaries.cache_key(binaries.Module("thing", ldflags="-X a=b"), tmp_path) != first
    (folder / "go.sum").write_text("b")
    assert binaries.cache_key(binaries.Module("thing"), tmp_path) != first


@pytest.mark.parametrize("module", binaries.MODULES.values(), ids=lambda module: module.folder)
def test_every_module_is_pinned_with_its_sums(module: binaries.Module) -> None:
    text = (binaries.BUILD / module.folder / "go.mod").read_text()
    if "require" in text:
        assert (binaries.BUILD / module.folder / "go.sum").stat().st_size > 0


def test_all_parts_of_kubernetes_are_built_in_the_version_that_is_announced() -> None:
    text = (binaries.BUILD / "kubernetes/go.mod").read_text()
    assert f"k8s.io/kubernetes v{binaries.KUBERNETES}" in text
    assert f"k8s.io/api => k8s.io/api v0{binaries.KUBERNETES[1:]}" in text
