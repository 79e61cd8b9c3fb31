"""README and docs say what is so: verbs, links, keys, tests and examples exist, and no workplace shows."""

from __future__ import annotations

import ast
import functools
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from components.settings import parse
from components.settings.load import REGION_KEYS
from tools.common import ROOT
from tools.docs import PAGES
from tools.image_build.host import pip_settings

README = ROOT / "README.md"
WRITTEN = sorted({README, *(ROOT / "docs").rglob("*.md")} - {ROOT / name for name in PAGES})
"""Every page that a person wrote."""

FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)\s]*)?(?: \"[^\"]*\")?\)")
TEST = re.compile(r"(tests/[\w/]+\.py)(?:::(\w+)| \"(\w+)\")?")
"""A test file, and perhaps one test in it: after ``::``, or as the title of a link."""
KEY = re.compile(r"(?<![\w/.])mlflow:([a-z]\w*(?:\.\w+)*)(?![\w:/])")
VERB = re.compile(r"\bmake (?!-)([a-z]+(?:-[a-z]+)*)")

each_page = pytest.mark.parametrize("page", WRITTEN, ids=lambda page: str(page.relative_to(ROOT)))


def blocks(page: Path, language: str) -> list[str]:
    """Contents of the fenced blocks of a language."""
    return [text for found, text in FENCE.findall(page.read_text()) if found == language]


def code(page: Path) -> str:
    """Everything on a page that is set as code: what a reader may copy."""
    text = page.read_text()
    outside = FENCE.sub("", text)
    return "\n".join([*re.findall(r"`([^`\n]+)`", outside), *(found for _, found in FENCE.findall(text))])


@functools.cache
def verbs() -> frozenset[str]:
    """Targets of the Makefile that it lists itself."""
    return frozenset(re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE))


@functools.cache
def keys() -> tuple[frozenset[str], frozenset[str]]:
    """Every settings key, and those whose own keys are free (maps)."""
    rows = re.findall(r"^\| `mlflow:([\w.]+)` \| ([^|]+) \|", PAGES["docs/settings.md"](), re.MULTILINE)
    return frozenset(key for key, _ in rows), frozenset(key for key, kind in rows if "map of" in kind)


def is_key(name: str) -> bool:
    known, maps = keys()
    return name in known or any(name.startswith(f"{each}.") for each in maps)


@functools.cache
def names_in(path: Path) -> frozenset[str]:
    tree = ast.parse(path.read_text())
    return frozenset(node.name for node in tree.body if isinstance(node, ast.FunctionDef))


@each_page
def test_every_verb_that_is_named_is_in_the_makefile(page: Path) -> None:
    named = set(VERB.findall(code(page)))
    assert named <= verbs(), f"no such verb: {sorted(named - verbs())}"


def test_the_readme_names_every_verb() -> None:
    named = set(VERB.findall(code(README)))
    assert not verbs() - named - {"help"}, "a verb that the README does not name"


@each_page
def test_every_link_inside_the_repository_leads_somewhere(page: Path) -> None:
    targets = [link for link in LINK.findall(page.read_text()) if "://" not in link]
    missing = [link for link in targets if not (page.parent / link).exists()]
    assert missing == []


@each_page
def test_every_settings_key_that_is_named_exists(page: Path) -> None:
    wrong = [name for name in KEY.findall(code(page)) if not is_key(name)]
    assert wrong == []


@each_page
def test_every_test_that_is_named_exists(page: Path) -> None:
    for file, one, other in TEST.findall(page.read_text()):
        name = one or other
        assert (ROOT / file).exists(), file
        assert not name or name in names_in(ROOT / file), f"{file} has no {name}"


def test_the_readme_names_a_test_for_each_claim() -> None:
    table = README.read_text().partition("| claim | test |")[2].partition("\n\n")[0]
    rows = [line for line in table.splitlines() if line.startswith("| ") and "---" not in line]
    assert len(rows) >= 10
    assert [row for row in rows if not any(one or other for _, one, other in TEST.findall(row))] == []


@each_page
def test_every_example_of_settings_is_accepted(page: Path) -> None:
    for text in blocks(page, "yaml"):
        assert text.startswith("config:"), f"not the settings of a stack:\n{text}"
        values, secret_keys = {}, set()
        config = yaml.safe_load(text)["config"]
        for name in (key.removeprefix("mlflow:") for key in config if key.startswith("mlflow:")):
            values[name] = opened(config[f"mlflow:{name}"])
            if values[name] != config[f"mlflow:{name}"]:
                secret_keys.add(name)
        cloud = str(values.get("cloud"))
        section, key = REGION_KEYS.get(cloud, (cloud, "region"))
        region = config.get(f"{section}:{key}", "")
        parse(values, secret_keys=secret_keys, region=region)


def opened(value: Any) -> Any:
    """A value with each ciphertext replaced by what a secret reads as offline."""
    if isinstance(value, dict):
        return "[secret]" if value.keys() == {"secure"} else {key: opened(one) for key, one in value.items()}
    return value


def test_every_command_of_the_readme_is_run_by_a_test_or_says_that_it_is_not() -> None:
    text = README.read_text()
    fences = re.findall(r"(?:<!-- ([^\n]+) -->\n)?```sh\n(.*?)```", text, re.DOTALL)
    assert fences
    for marker, commands in fences:
        if marker.startswith("not run by a test: "):
            continue
        found = re.fullmatch(r"tested: (\w+)", marker)
        assert found, f"no test runs this, and it does not say so:\n{commands}"
        walk = ROOT / f"tests/cluster/test_readme_{found[1]}.py"
        assert walk.exists(), f"{walk.relative_to(ROOT)} does not exist"
        assert f"tested: {found[1]}" in walk.read_text(), f"{walk.name} does not read its commands here"


def test_every_decision_is_in_the_list_and_has_its_three_parts() -> None:
    folder = ROOT / "docs" / "decisions"
    listed = re.findall(r"^- \[(.+)\]\((.+)\)$", (folder / "README.md").read_text(), re.MULTILINE)
    notes = sorted(folder.glob("[0-9]*.md"))
    assert [file for _, file in listed] == [note.name for note in notes]
    for (title, _), note in zip(listed, notes, strict=True):
        text = note.read_text()
        assert text.startswith(f"# {title}\n")
        assert note.name.startswith(title.partition(" ")[0])
        assert [part for part in ("Context", "Decision", "Consequences") if f"**{part}.**" not in text] == []


def test_pictures_are_small_and_what_they_say_they_are() -> None:
    runs = (ROOT / "docs/pictures/runs.png").read_bytes()
    assert runs.startswith(b"\x89PNG")
    assert len(runs) < 300_000
    assert (ROOT / "docs/pictures/architecture.svg").read_text().startswith("<svg")


PUBLIC = {
    "pypi.org", "files.pythonhosted.org", "test.pypi.org", "proxy.golang.org", "sum.golang.org",
    "registry.npmjs.org", "deb.debian.org", "security.debian.org", "archive.ubuntu.com",
    "security.ubuntu.com", "azure.archive.ubuntu.com", "ports.ubuntu.com", "index.crates.io",
    "static.crates.io", "localhost", "127.0.0.1", "::1", "github.com",
}  # fmt: skip
"""Hosts that anybody may name."""

REGISTRIES = re.compile(r"(INDEX|PROXY|REGISTRY|MIRROR)", re.IGNORECASE)


def private_hosts() -> set[str]:
    """Hosts over which this machine reaches its packages, where they are nobody else's."""
    words = [value for name, value in os.environ.items() if REGISTRIES.search(name)]
    words += pip_settings().values()
    sources = [Path("/etc/apt/sources.list"), *Path("/etc/apt").glob("*.d/*")]
    words += [path.read_text(errors="replace") for path in sources if path.is_file()]
    files = [Path.home() / name for name in (".npmrc", ".cargo/config.toml", ".m2/settings.xml")]
    words += [path.read_text(errors="replace") for path in files if path.is_file()]
    found = (urlsplit(url).hostname for url in re.findall(r"https?://[^\s,|\"'<>;]+", " ".join(words)))
    return {host for host in found if host and "." in host} - PUBLIC


def tracked() -> Iterator[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    return (ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file())


BUILDS_HOME = "/root" + "/.cache"
"""Home of whoever runs a step inside an image build: no path of this machine."""


def workplace_in(text: str, hosts: set[str]) -> list[str]:
    """What in a text belongs to the machine it was written on."""
    places = {f"{folder}/" for folder in (ROOT, Path.home()) if len(folder.parts) > 1}
    places |= {"/work" + f"/{name}" for name in ("main", "shared")}
    return [word for word in sorted(places | hosts) if word in text.replace(BUILDS_HOME, "")]


def test_no_file_names_a_path_or_a_package_host_of_the_machine_it_was_written_on() -> None:
    hosts = private_hosts()
    found = {
        str(path.relative_to(ROOT)): words
        for path in tracked()
        if path.suffix != ".png" and (words := workplace_in(path.read_text(errors="replace"), hosts))
    }
    assert found == {}


@pytest.mark.parametrize("text", [f"see {ROOT}/README.md", "pip -i https://packages.corp.example/simple"])
def test_a_planted_path_or_host_is_found(text: str) -> None:
    assert workplace_in(text, {"packages.corp.example"})


@pytest.mark.parametrize(
    ("name", "known"),
    [("server.replicas", True), ("server.env.TEAM", True), ("server.replica", False), ("secrets.a.b", True)],
)
def test_a_misspelt_key_is_told_from_a_free_one(name: str, *, known: bool) -> None:
    assert is_key(name) is known
