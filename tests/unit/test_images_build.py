"""Tags, the host's own settings, engines, and the record of what was delivered."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import sys
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest

from components import image_context
from components.image_context import OWN_IMAGES, context_files, context_hash, folder_hash, tag
from components.settings.cluster import Images as ImageSettings
from components.third_party import ON_THE_CLUSTER, PYTHON, THIRD_PARTY
from tools import images
from tools.common import Failure
from tools.image_build import build, deliver, engines, host
from tools.image_build.build import Base, Built, base_of, configuration_digest
from tools.image_build.deliver import Record, image_settings
from tools.image_build.watch import run_watched

BUILT = [*OWN_IMAGES, *ON_THE_CLUSTER]
HERE = {"kind": "registry", "context": "mlflow-dev", "instance": "1"}


@pytest.fixture
def copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of images/ that hashes are computed from."""
    shutil.copytree(image_context.ROOT / "images", tmp_path / "images")
    monkeypatch.setattr(image_context, "ROOT", tmp_path)
    return tmp_path / "images"


@pytest.mark.parametrize("name", BUILT)
def test_the_hash_changes_with_each_file_of_the_context(name: str, copy: Path) -> None:
    folder = image_context.context_folder(name)
    assert folder.is_relative_to(copy)
    seen = {context_hash(name)}
    for file in sorted(context_files(folder)):
        if file.name != ".dockerignore":
            file.write_text(file.read_text() + "\n# changed\n")
            seen.add(context_hash(name))
    assert len(seen) == len(list(context_files(folder)))  # the .dockerignore stood still, the start counts


@pytest.mark.parametrize("name", BUILT)
def test_the_hash_does_not_change_with_times_or_files_that_a_build_cannot_see(name: str, copy: Path) -> None:
    before = context_hash(name)
    folder = image_context.context_folder(name)
    for file in folder.rglob("*"):
        os.utime(file, (1, 1))
    (folder / "notes.txt").write_text("not let through")
    assert context_hash(name) == before


def test_the_hash_changes_when_a_script_becomes_executable(copy: Path) -> None:
    before = context_hash("mysql")
    script = copy / "substitutes/mysql/entrypoint.sh"
    script.chmod(script.stat().st_mode ^ 0o111)
    assert context_hash("mysql") != before


def test_a_folder_that_is_let_through_counts_file_by_file_without_python_leftovers(copy: Path) -> None:
    folder = copy / "tracking-server"
    (folder / "packages/inner").mkdir(parents=True)
    (folder / "packages/inner/a.py").write_text("a = 1\n")
    (folder / ".dockerignore").write_text("*\n!requirements.txt\n!packages\n")
    before = folder_hash(folder)
    (folder / "packages/inner/__pycache__").mkdir()
    (folder / "packages/inner/__pycache__/a.pyc").write_text("x")
    assert folder_hash(folder) == before
    (folder / "packages/inner/a.py").write_text("a = 2\n")
    assert folder_hash(folder) != before


def test_a_dockerignore_that_the_hash_cannot_follow_is_refused(copy: Path) -> None:
    (copy / "job/.dockerignore").write_text("*.txt\n")
    with pytest.raises(ValueError, match="must be \\* followed by"):
        context_hash("job")


def test_a_dockerignore_that_lets_a_missing_file_through_is_refused(copy: Path) -> None:
    (copy / "job/.dockerignore").write_text("*\n!requirements.txt\n!gone\n")
    with pytest.raises(ValueError, match="gone through, which does not exist"):
        context_hash("job")


def test_the_tag_changes_with_context_base_and_platform(copy: Path) -> None:
    tags = {
        tag("job", base="a", platform="linux/amd64"),
        tag("job", base="b", platform="linux/amd64"),
        tag("job", base="a", platform="linux/arm64"),
    }
    (copy / "job/requirements.txt").write_text("")
    tags.add(tag("job", base="a", platform="linux/amd64"))
    assert len(tags) == 4
    assert all(len(value) == 12 for value in tags)


def test_other_debian_packages_make_another_substitute(monkeypatch: pytest.MonkeyPatch) -> None:
    before = context_hash("postgresql")
    row = THIRD_PARTY["postgresql"]
    assert row.substitute
    root = replace(row.substitute.root, packages=("postgresql-16",))
    changed = replace(row, substitute=replace(row.substitute, root=root))
    monkeypatch.setattr(image_context, "THIRD_PARTY", {**THIRD_PARTY, "postgresql": changed})
    assert context_hash("postgresql") != before


def test_own_images_build_on_upstream_where_it_can_be_pulled_and_on_debian_where_not() -> None:
    assert base_of("job", can_pull=True) == Base(reference=PYTHON.reference)
    substitute = base_of("job", can_pull=False)
    assert substitute.root
    assert substitute.root.packages[-1] == "git"
    assert substitute.reference != base_of("tracking-server", can_pull=False).reference


def test_pips_settings_come_from_files_and_variables_the_latter_winning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host.Path, "home", lambda: tmp_path)
    (tmp_path / ".config/pip").mkdir(parents=True)
    (tmp_path / ".config/pip/pip.conf").write_text(
        "[global]\nindex-url = https://user:secret@one.example/simple\ntimeout = 9\n"
        "[install]\nextra-index-url =\n    https://two.example/simple\n    https://three.example/simple\n"
    )
    found = host.pip_settings({"PIP_DEFAULT_TIMEOUT": "60", "PIP_TRUSTED_HOST": "one.example"})
    assert found["index-url"] == "https://user:secret@one.example/simple"
    assert found["extra-index-url"].split() == ["https://two.example/simple", "https://three.example/simple"]
    assert (found["timeout"], found["trusted-host"]) == ("60", "one.example")


def test_a_builds_pip_configuration_reaches_the_same_indexes_and_leaves_out_local_folders() -> None:
    text = host.pip_config(
        {
            "index-url": "https://one.example/simple",
            "find-links": "/opt/wheels https://wheels.example/",
            "cache-dir": "/home/me/cache",
        },
        with_bundle=True,
    )
    assert "index-url = https://one.example/simple\n" in text
    assert "find-links = https://wheels.example/\n" in text
    assert "cert = /run/secrets/ca-bundle\n" in text
    assert "/opt/wheels" not in text
    assert "cache" not in text


def test_build_secrets_are_private_files_that_vanish_after_the_build() -> None:
    with host.build_secrets() as secrets:
        path = secrets["pip-config"]
        assert path.stat().st_mode & 0o077 == 0
        assert path.parent.stat().st_mode & 0o077 == 0
    assert not path.parent.exists()


def test_debian_packages_come_from_the_mirror_that_this_host_uses(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [
        ("http://mirror.example/debian/", "Debian", "bookworm"),
        ("http://mirror.example/debian/", "Debian", "bookworm-updates"),
        ("http://mirror.example/security/", "Debian", "bookworm-security"),
        ("http://elsewhere.example/node", "Node", "nodistro"),
    ]
    monkeypatch.setattr(host, "_apt_repositories", lambda: rows)
    assert host.debian_sources("trixie") == [
        "deb http://mirror.example/debian/ trixie main",
        "deb http://mirror.example/debian/ trixie-updates main",
        "deb http://mirror.example/security/ trixie-security main",
    ]
    assert host.debian_sources("sid") == ["deb http://mirror.example/debian/ sid main"]


def test_debians_own_mirror_serves_hosts_of_another_distribution(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "_apt_repositories", lambda: [("http://u.example", "Ubuntu", "noble")])
    assert host.debian_sources("sid") == [f"deb {host.DEBIAN} sid main"]


def fake_docker(folder: Path, monkeypatch: pytest.MonkeyPatch, *, answers: bool) -> Path:
    """A `docker` on PATH that notes how it is called."""
    calls = folder / "calls"
    script = folder / "docker"
    script.write_text(f'#!/bin/sh\necho "$@" >> {calls}\nexit {0 if answers else 1}\n')
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return calls


def test_docker_builds_where_its_engine_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_docker(tmp_path, monkeypatch, answers=True)
    assert isinstance(engines.choose_engine(), engines.Docker)


def test_without_a_docker_engine_root_on_linux_builds_with_buildah(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    fake_docker(tmp_path, monkeypatch, answers=False)
    monkeypatch.setattr(engines.os, "geteuid", lambda: 0)
    assert isinstance(engines.choose_engine(), engines.Buildah) == (sys.platform == "linux")


def test_without_a_docker_engine_others_are_told_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_docker(tmp_path, monkeypatch, answers=False)
    monkeypatch.setattr(engines.os, "geteuid", lambda: 1000)
    with pytest.raises(Failure) as failure:
        engines.choose_engine()
    assert "start Docker" in failure.value.hint


def test_docker_gets_platform_base_and_secret_files_but_no_secret_value(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = fake_docker(tmp_path, monkeypatch, answers=True)
    engines.Docker().build(
        Path("ctx"),
        "localhost/x:1",
        base="b:1",
        platform="linux/arm64",
        secrets={"pip-config": Path("/s/pip")},
    )
    words = calls.read_text().split()
    assert words[:3] == ["build", "--platform", "linux/arm64"]
    assert "BASE_IMAGE=b:1" in words
    assert "id=pip-config,src=/s/pip" in words
    assert words[-3:] == ["--tag", "localhost/x:1", "ctx"]


def archive_with(path: Path, configuration: bytes) -> None:
    manifest = json.dumps([{"Config": "c.json", "RepoTags": ["localhost/x:1"], "Layers": []}]).encode()
    with tarfile.open(path, "w") as tar:
        for name, content in (("manifest.json", manifest), ("c.json", configuration)):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))


def test_the_digest_is_that_of_the_images_configuration(tmp_path: Path) -> None:
    archive_with(tmp_path / "x.tar", b"{}")
    assert configuration_digest(tmp_path / "x.tar") == f"sha256:{hashlib.sha256(b'{}').hexdigest()}"


def test_a_damaged_archive_is_named_with_the_way_out(tmp_path: Path) -> None:
    broken = tmp_path / "x.tar"
    broken.write_bytes(b"half")
    with pytest.raises(Failure) as failure:
        configuration_digest(broken)
    assert str(broken) in failure.value.hint


def built(tmp_path: Path, name: str = "job") -> Built:
    return Built(
        name=name, reference="localhost/mlflow-job:abc", archive=tmp_path / "job.tar", digest="sha256:1",
        context_hash="c", base=Base(reference="b"),
    )  # fmt: skip


class Pushes:
    """An engine that notes what it pushes."""

    name = "test"

    def __init__(self) -> None:
        self.targets: list[str] = []

    def push(self, _archive: Path, _reference: str, target: str) -> str:
        self.targets.append(target)
        return "sha256:2"


def test_an_image_is_loaded_once_per_cluster_and_noted_with_what_the_program_checks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded: list[Path] = []
    monkeypatch.setattr(deliver, "load_archive", loaded.append)
    path = tmp_path / "images.json"
    for _ in range(2):
        deliver.deliver(built(tmp_path), Record(HERE, set(), path), Pushes(), None)  # type: ignore[arg-type]
    assert loaded == [tmp_path / "job.tar"]
    noted = json.loads(path.read_text())
    assert noted["loadedInto"] == HERE
    assert noted["images"]["job"]["reference"] == "localhost/mlflow-job:abc"
    assert noted["images"]["job"]["contextHash"] == "c"
    another = {**HERE, "instance": "2"}
    deliver.deliver(built(tmp_path), Record(another, set(), path), Pushes(), None)  # type: ignore[arg-type]
    assert len(loaded) == 2


def test_an_image_that_the_nodes_dropped_is_loaded_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded: list[Path] = []
    monkeypatch.setattr(deliver, "load_archive", loaded.append)
    path = tmp_path / "images.json"
    deliver.deliver(built(tmp_path), Record(HERE, set(), path), Pushes(), None)  # type: ignore[arg-type]
    long_ago = path.stat().st_mtime - deliver.NODES_NAME_IMAGES_AFTER - 1
    os.utime(path, (long_ago, long_ago))
    named = {"localhost/mlflow-job:abc"}
    deliver.deliver(built(tmp_path), Record(HERE, named, path), Pushes(), None)  # type: ignore[arg-type]
    assert len(loaded) == 1
    deliver.deliver(built(tmp_path), Record(HERE, set(), path), Pushes(), None)  # type: ignore[arg-type]
    assert len(loaded) == 2


def test_a_second_clone_loads_nothing_that_the_nodes_have(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deliver, "load_archive", lambda _: pytest.fail("it is there already"))
    path = tmp_path / "images.json"
    record = Record(HERE, {"localhost/mlflow-job:abc"}, path)
    deliver.deliver(built(tmp_path), record, Pushes(), None)  # type: ignore[arg-type]
    assert json.loads(path.read_text())["images"]["job"]["reference"] == "localhost/mlflow-job:abc"


def test_an_image_counts_as_there_when_every_node_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    nodes = [[["a:1"], ["b:1", "c:1"]], [["c:1"], None]]
    items = [{"status": {"images": [{"names": names} for names in images]}} for images in nodes]
    monkeypatch.setattr(deliver, "kubectl", lambda *_: json.dumps({"items": items}))
    assert deliver.held_by_nodes() == {"c:1"}


def test_images_are_pushed_once_to_the_registry_and_deployed_by_digest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deliver, "load_archive", lambda _: pytest.fail("nothing is loaded"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    path, engine = tmp_path / "images.json", Pushes()
    for _ in range(2):
        deliver.deliver(built(tmp_path), Record(HERE, set(), path), engine, "reg.example/team/")  # type: ignore[arg-type]
    assert engine.targets == ["reg.example/team/mlflow-job:abc"]
    noted = json.loads(path.read_text())["images"]["job"]
    assert noted["reference"] == "reg.example/team/mlflow-job:abc@sha256:2"


def test_a_failed_load_is_not_noted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(_: Path) -> None:
        raise Failure("the node is gone")

    monkeypatch.setattr(deliver, "load_archive", fails)
    record = Record(HERE, set(), tmp_path / "images.json")
    with pytest.raises(Failure, match="the node is gone"):
        deliver.deliver(built(tmp_path), record, Pushes(), None)  # type: ignore[arg-type]
    assert not (tmp_path / "images.json").exists()


def test_only_the_last_used_archives_of_an_image_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    folder = build.images_folder()
    for age in range(build.KEPT + 2):
        path = folder / f"job-{age:012x}.tar"
        path.touch()
        os.utime(path, (1000 - age, 1000 - age))
    (folder / "job-other-000000000000.tar").touch()
    build._prune("job")
    kept = {path.name for path in folder.glob("*.tar")}
    assert kept == {f"job-{age:012x}.tar" for age in range(build.KEPT)} | {"job-other-000000000000.tar"}


def test_an_unknown_image_is_refused_with_the_names_there_are() -> None:
    with pytest.raises(Failure, match="unknown image mariadb") as failure:
        images.main(["--only", "mariadb"])
    assert "postgresql" in failure.value.hint


def test_a_stack_without_a_file_is_refused_with_those_there_are() -> None:
    with pytest.raises(Failure, match=r"no Pulumi\.nope\.yaml") as failure:
        image_settings("nope")
    assert "dev" in failure.value.hint


def test_a_nodes_architecture_is_the_images_platform(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deliver, "kubectl", lambda *_: "arm64 arm64")
    assert deliver.node_platform() == "linux/arm64"
    monkeypatch.setattr(deliver, "kubectl", lambda *_: "arm64 amd64")
    with pytest.raises(Failure, match="amd64, arm64"):
        deliver.node_platform()


def test_a_watched_command_shows_its_stages_only(capfd: pytest.CaptureFixture[str]) -> None:
    run_watched(
        ["sh", "-c", "echo 'STEP 3/9: RUN x'; echo noise; echo 'I: installing packages...' >&2"], limit=10
    )
    shown = capfd.readouterr().err
    assert "STEP 3/9: RUN x" in shown
    assert "I: installing packages..." in shown
    assert "noise" not in shown


def test_a_watched_command_that_fails_shows_its_last_lines() -> None:
    with pytest.raises(Failure, match="exited 3") as failure:
        run_watched(["sh", "-c", "echo the reason >&2; exit 3"], limit=10, hint="mend it")
    assert "the reason" in str(failure.value)
    assert failure.value.hint == "mend it"


def test_a_watched_command_is_ended_with_its_children_at_its_limit() -> None:
    with pytest.raises(Failure, match="did not end within 1 s"):
        run_watched(["sh", "-c", "sleep 30 & wait"], limit=1)


def test_a_missing_command_is_named() -> None:
    with pytest.raises(Failure, match="no-such-builder is not installed"):
        run_watched(["no-such-builder"], limit=1)


def images_run(
    argv: list[str], *, can_pull: bool, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> dict[str, Base]:
    """A run of `make images` that finds each image built already; what each was built on."""
    bases: dict[str, Base] = {}

    def cached(name: str, _engine: object, *, base: Base, platform: str) -> Built:
        bases[name] = base
        (folder / name).touch()
        return replace(built(folder, name), reference=f"localhost/{name}:1", base=base, archive=folder / name)

    monkeypatch.setattr(images, "info", lambda: {"canPull": can_pull})
    monkeypatch.setattr(images, "image_settings", lambda _: ImageSettings())  # whatever this checkout's say
    monkeypatch.setattr(images, "node_platform", lambda: "linux/amd64")
    monkeypatch.setattr(images, "choose_engine", Pushes)
    monkeypatch.setattr(images, "cluster_instance", lambda: HERE)
    monkeypatch.setattr(images, "held_by_nodes", set)
    record = Record(HERE, set(), folder / "images.json")
    monkeypatch.setattr(images, "Record", lambda *_: record)
    monkeypatch.setattr(images, "build", cached)
    monkeypatch.setattr(deliver, "load_archive", lambda _: None)
    assert images.main(argv) == 0
    return bases


@pytest.mark.parametrize("argv", [[], ["--build-only"]], ids=["delivered", "only built"])
def test_each_run_names_every_substitute_and_what_it_stands_in_for(
    argv: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bases = images_run(argv, can_pull=False, folder=tmp_path, monkeypatch=monkeypatch)
    assert set(bases) == set(BUILT)
    shown = capsys.readouterr().err.partition("Substitutes in use, since")[2].splitlines()[1:]
    debian = {name: f"Debian {base.root.suite} packages" for name, base in bases.items() if base.root}
    own = [f"  - {name}: built on {debian[name]} instead of {PYTHON.reference}" for name in OWN_IMAGES]
    others = [
        f"  - {name}: localhost/{name}:1 ({debian[name]}) for {THIRD_PARTY[name].reference}"
        for name in ON_THE_CLUSTER
    ]
    assert shown == own + others


def test_a_run_without_substitutes_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bases = images_run([], can_pull=True, folder=tmp_path, monkeypatch=monkeypatch)
    assert set(bases) == set(OWN_IMAGES), "the cluster pulls the others"
    shown = capsys.readouterr().err
    assert "No substitutes: every third-party image is the upstream one." in shown
    assert "Substitutes in use" not in shown
