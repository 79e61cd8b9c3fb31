"""What was built keeps nothing of how this host reaches its package indexes, read from the archives."""

from __future__ import annotations

import json
import os
import tarfile
from pathlib import Path
from typing import Any

import pytest

from components.image_context import OWN_IMAGES
from tests.needs import missing
from tools.common import LOCAL
from tools.image_build import host
from tools.image_build.build import images_folder

NEVER = ("run/secrets/", "etc/pip.conf", "root/.config/pip", "root/.pip", "root/.cache", "tmp/")
NOT_IN_OUR_BASE = ("etc/apt/sources.list", "etc/apt/apt.conf.d/99mmdebstrap", "var/lib/apt/lists/deb")
EMPTY_FOLDERS = ("run/secrets/", "tmp/", "etc/apt/sources.list.d/")


@pytest.mark.parametrize("name", [*OWN_IMAGES, "postgresql", "mysql"])
def test_no_file_of_the_host_and_no_setting_is_left_in_the_image(name: str) -> None:
    archive, base = built(name)
    names, configuration = read(archive)
    forbidden = (*NEVER, *NOT_IN_OUR_BASE) if "/debian-root:" in base else NEVER
    assert [path for path in names if path.startswith(forbidden) and path not in EMPTY_FOLDERS] == []
    text = json.dumps(configuration)
    settings = host.pip_settings()
    private = {settings.get(key) for key in host.PIP_KEYS if key not in {"timeout", "retries"}}
    private |= {os.environ.get(variable) for variable in host.PROXIES} | {settings.get("cert")}
    assert [value for value in private if value and value in text] == []


def built(name: str) -> tuple[Path, str]:
    """The archive of an image that this machine built for the cluster, and its base's reference."""
    path = LOCAL / "images.json"
    entry = json.loads(path.read_text())["images"].get(name, {}) if path.is_file() else {}
    archive = images_folder() / f"{name}-{entry.get('reference', '').rpartition(':')[2]}.tar"
    if archive.is_file():
        return archive, entry["base"]
    if name in OWN_IMAGES:
        missing(f"{name} has not been built here: run `make images`")
    pytest.skip(f"{name} was not built on this machine")


def read(archive: Path) -> tuple[list[str], dict[str, Any]]:
    """Every path in the layers (folders end in /), and the image's configuration."""
    names = []
    with tarfile.open(archive) as tar:
        manifest = json.load(member(tar, "manifest.json"))[0]
        for layer in manifest["Layers"]:
            with tarfile.open(fileobj=member(tar, layer)) as files:
                names += [file.name.removeprefix("./") + ("/" if file.isdir() else "") for file in files]
        return names, json.load(member(tar, manifest["Config"]))


def member(tar: tarfile.TarFile, name: str) -> Any:
    found = tar.extractfile(name)
    assert found is not None
    return found
