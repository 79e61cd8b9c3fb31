"""What the image folders and the table of third-party images promise, read from their files."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from components.image_context import OWN_IMAGES, ROOT, context_folder, engine_hash, folder_hash
from components.third_party import PYTHON, THIRD_PARTY, ThirdPartyImage

DOCKERFILES = sorted((ROOT / "images").rglob("Dockerfile"))
OWN_DOCKERFILES = [context_folder(name) / "Dockerfile" for name in OWN_IMAGES]
SUBSTITUTES = [row for row in THIRD_PARTY.values() if row.substitute and row.substitute.context]
SERVERS = [row for row in SUBSTITUTES if row.port]
LOCKS = {name: context_folder(name) / "requirements.txt" for name in OWN_IMAGES}
FIXED_TAG = re.compile(r"^[a-z0-9.-]+\.[a-z]+/[a-z0-9/_-]+:v?\d+\.\d+(\.\d+)?(-[a-z0-9.]+)*$")
PUBLIC_REGISTRY = re.compile(
    r"(?<![\w./-])(?:docker\.io|ghcr\.io|quay\.io|gcr\.io|registry\.k8s\.io|public\.ecr\.aws|mcr\.microsoft\.com)"
    r"/[\w./-]+(?::[\w.-]+)?"
)


def by_folder(path: Path) -> str:
    return path.parent.relative_to(ROOT / "images").as_posix()


def instructions(dockerfile: Path) -> list[tuple[str, str]]:
    """(instruction, rest) of each line, continuation lines joined."""
    text = re.sub(r"\\\n\s*(#.*\n\s*)*", " ", dockerfile.read_text())
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return [(word.upper(), rest) for word, _, rest in (line.partition(" ") for line in lines)]


def values(dockerfile: Path, instruction: str) -> list[str]:
    return [rest for word, rest in instructions(dockerfile) if word == instruction]


def locked(lock: Path) -> dict[str, set[str]]:
    """Package → its pinned versions (one per marker)."""
    found: dict[str, set[str]] = {}
    for name, version in re.findall(r"^([\w.-]+)==([\w.+!]+)", lock.read_text(), flags=re.M):
        found.setdefault(canonical(name), set()).add(version)
    return found


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_there_is_a_dockerfile_for_every_image_that_is_built_and_for_no_other() -> None:
    expected = [
        context_folder(name) / "Dockerfile" for name in (*OWN_IMAGES, *(row.name for row in SUBSTITUTES))
    ]
    assert sorted(expected) == DOCKERFILES


@pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=by_folder)
def test_an_image_takes_its_base_as_an_argument(dockerfile: Path) -> None:
    first, second = instructions(dockerfile)[:2]
    assert first[0] == "ARG"
    assert first[1].startswith("BASE_IMAGE=")
    assert second == ("FROM", "${BASE_IMAGE}")
    assert len(values(dockerfile, "FROM")) == 1


@pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=by_folder)
def test_an_image_ends_as_a_numeric_user_that_is_not_root(dockerfile: Path) -> None:
    last = values(dockerfile, "USER")[-1]
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", last)
    after = instructions(dockerfile)[[word for word, _ in instructions(dockerfile)].index("USER") :]
    assert not any(word in {"RUN", "COPY", "ADD"} for word, _ in after)


@pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=by_folder)
@pytest.mark.parametrize("label", ["title", "description", "version", "licenses"])
def test_an_image_says_what_it_is(dockerfile: Path, label: str) -> None:
    assert re.search(rf'org\.opencontainers\.image\.{label}="[^"]+"', " ".join(values(dockerfile, "LABEL")))


@pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=by_folder)
def test_no_image_builds_on_bitnami_or_latest(dockerfile: Path) -> None:
    code = "\n".join(f"{word} {rest}" for word, rest in instructions(dockerfile)).lower()
    assert "bitnami" not in code
    assert "latest" not in code


@pytest.mark.parametrize("dockerfile", OWN_DOCKERFILES, ids=by_folder)
def test_own_images_share_one_user_and_leave_the_command_to_the_program(dockerfile: Path) -> None:
    assert values(dockerfile, "USER") == ["10001:10001"]
    assert values(dockerfile, "ENTRYPOINT") == []


@pytest.mark.parametrize("dockerfile", OWN_DOCKERFILES, ids=by_folder)
def test_the_default_base_is_the_tables_and_has_the_python_that_runs_these_tests(dockerfile: Path) -> None:
    assert values(dockerfile, "ARG") == [f"BASE_IMAGE={PYTHON.reference}"]
    minor = re.search(r":(\d+\.\d+)\.\d+-slim", PYTHON.reference)
    assert minor
    assert minor.group(1) == f"{sys.version_info.major}.{sys.version_info.minor}"


@pytest.mark.parametrize("dockerfile", OWN_DOCKERFILES, ids=by_folder)
def test_packages_are_installed_by_hash_and_only_from_wheels(dockerfile: Path) -> None:
    first, *own = [run for run in values(dockerfile, "RUN") if "pip install" in run]
    for option in ("--require-hashes", "--only-binary=:all:", "--no-cache-dir"):
        assert option in first
    # Packages of this repository fetch nothing.
    assert [run for run in own if "--no-index" not in run or "--no-deps" not in run] == []


@pytest.mark.parametrize("name", LOCKS)
def test_every_locked_package_has_a_hash_and_no_index_is_named(name: str) -> None:
    requirements = re.split(r"\n(?=\S)", LOCKS[name].read_text().strip())
    assert len(requirements) > 50
    for requirement in requirements:
        assert re.match(r"[\w.-]+==\S+( ; .*)? \\\n", requirement), requirement[:80]
        assert "--hash=sha256:" in requirement
    assert "://" not in LOCKS[name].read_text()
    assert "--index" not in LOCKS[name].read_text()


@pytest.mark.parametrize("name", LOCKS)
def test_the_lock_holds_everything_that_is_asked_for(name: str) -> None:
    asked = re.findall(r"^([A-Za-z][\w.-]*)", LOCKS[name].with_suffix(".in").read_text(), flags=re.M)
    assert asked
    assert {canonical(word) for word in asked} <= locked(LOCKS[name]).keys()


def test_jobs_and_server_agree_on_every_package_they_share() -> None:
    server, job = locked(LOCKS["tracking-server"]), locked(LOCKS["job"])
    shared = server.keys() & job.keys()
    assert "mlflow" in shared
    assert {name: job[name] for name in shared} == {name: server[name] for name in shared}


@pytest.mark.parametrize("name", OWN_IMAGES)
def test_the_version_label_is_the_mlflow_that_is_installed(name: str) -> None:
    label = re.search(r'image\.version="([^"]+)"', (context_folder(name) / "Dockerfile").read_text())
    assert label
    assert locked(LOCKS[name])["mlflow"] == {label.group(1)}


def test_the_server_has_every_driver_and_sdk_that_settings_can_ask_for() -> None:
    needed = {"psycopg2-binary", "pymysql", "cryptography", "boto3", "google-cloud-storage", "azure-identity"}
    needed |= {"azure-storage-blob", "flask-wtf", "prometheus-flask-exporter", "uvloop", "httptools"}
    assert needed <= locked(LOCKS["tracking-server"]).keys()


@pytest.mark.parametrize("row", THIRD_PARTY.values(), ids=lambda row: row.name)
def test_a_third_party_image_has_a_fixed_version_and_a_contract(row: ThirdPartyImage) -> None:
    assert FIXED_TAG.match(row.reference), row.reference
    assert "latest" not in row.reference
    assert "bitnami" not in row.reference
    assert row.contract


@pytest.mark.parametrize("row", SUBSTITUTES, ids=lambda row: row.name)
def test_a_substitute_keeps_upstreams_user_port_and_entry_point(row: ThirdPartyImage) -> None:
    dockerfile = context_folder(row.name) / "Dockerfile"
    assert values(dockerfile, "USER") == [f"{row.uid}:{row.gid}"]
    assert values(dockerfile, "EXPOSE") == ([str(row.port)] if row.port else [])
    entry_point = "docker-entrypoint.sh" if row in SERVERS else row.name
    assert values(dockerfile, "ENTRYPOINT") == [f'["{entry_point}"]']
    assert row.data_path is None or row.data_path in dockerfile.read_text()


@pytest.mark.parametrize("row", SERVERS, ids=lambda row: row.name)
def test_a_substitute_reads_every_variable_of_its_contract(row: ThirdPartyImage) -> None:
    script = (context_folder(row.name) / "entrypoint.sh").read_text()
    promised = {
        name for line in row.contract for name in re.findall(r"(?:POSTGRES|MYSQL)_[A-Z_]+[A-Z]", line)
    }
    assert len(promised) >= 5
    assert {name for name in promised if name not in script} == set()


@pytest.mark.parametrize("row", SERVERS, ids=lambda row: row.name)
def test_a_substitutes_entry_point_is_sound_shell(row: ThirdPartyImage) -> None:
    script = context_folder(row.name) / "entrypoint.sh"
    assert script.read_text().startswith("#!/bin/sh\n")
    checked = subprocess.run(["sh", "-n", str(script)], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr


def test_only_images_of_the_table_are_named_in_the_repository() -> None:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout.splitlines()  # fmt: skip
    code = [
        ROOT / name for name in listed if name.startswith(("components/", "tools/", "images/", "examples/"))
    ]
    code = [path for path in code if path.suffix in {".py", ".yaml", ".yml", ".sh", ""} and path.is_file()]
    assert len(code) > 20
    allowed = {row.reference for row in THIRD_PARTY.values()} | {
        row.repository for row in THIRD_PARTY.values()
    }
    # A step of a build on Google's own workers, in no cluster of anybody's; Google gives it no versions.
    allowed.add("gcr.io/cloud-builders/docker")
    strangers = {
        f"{path.relative_to(ROOT)}: {found}"
        for path in code
        for found in PUBLIC_REGISTRY.findall(path.read_text(errors="ignore"))
        if found.rstrip(".:") not in allowed
    }
    assert strangers == set()


def test_what_makes_a_build_engine_build_again_is_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its own comparison takes in leftovers and every mode bit, which do not change what an image holds."""
    folder = tmp_path / "image"
    (folder / "src" / "__pycache__").mkdir(parents=True)
    (folder / "Dockerfile").write_text("FROM scratch\n")
    (folder / ".dockerignore").write_text("*\n!src\n")
    (folder / "src" / "a.py").write_text("")
    monkeypatch.setattr("components.image_context.context_folder", lambda _: folder)
    first, content = engine_hash("job"), folder_hash(folder)
    (folder / "src" / "__pycache__" / "a.pyc").write_bytes(b"x")
    with_leftover = engine_hash("job")
    (folder / "src" / "a.py").chmod(0o664)
    assert len({first, with_leftover, engine_hash("job")}) == 3
    assert folder_hash(folder) == content
