"""How this host reaches its package indexes, for builds to do the same and keep none of it.

pip's settings and the CA bundle become build secrets, apt's become options of mmdebstrap; neither ends in
an image, nor in a file of this repository.
"""

from __future__ import annotations

import configparser
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

SECRETS = "/run/secrets"
"""Where a Dockerfile finds a build secret, by its id."""

PIP_KEYS = ("index-url", "extra-index-url", "trusted-host", "find-links", "proxy", "timeout", "retries")
"""pip settings that say how to reach an index; the others are about this host only."""

PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy")

APT_KEYS = (
    "Acquire::http::",
    "Acquire::https::",
    "Acquire::ftp::",
    "Acquire::Check-",
    "Acquire::Retries",
    "Acquire::ForceIPv",
)

DEBIAN = "http://deb.debian.org/debian"
DEBIAN_SECURITY = "http://security.debian.org/debian-security"
UNRELEASED = {"sid", "unstable"}


@contextmanager
def build_secrets() -> Iterator[dict[str, Path]]:
    """Secret id → file, for the time of a build; the files are readable by this user only."""
    with TemporaryDirectory(prefix="build-secrets-") as folder:
        secrets: dict[str, Path] = {}
        settings = pip_settings()
        bundle = ca_bundle(settings)
        if bundle:
            secrets["ca-bundle"] = bundle
        path = Path(folder) / "pip-config"
        path.write_text(pip_config(settings, with_bundle=bundle is not None))
        path.chmod(0o600)
        yield {**secrets, "pip-config": path}


def pip_settings(env: Mapping[str, str] = os.environ) -> dict[str, str]:
    """What pip would use here: its files from global to site, PIP_CONFIG_FILE, then PIP_* variables."""
    home = Path.home()
    files = [
        *(Path(base) / "pip/pip.conf" for base in env.get("XDG_CONFIG_DIRS", "/etc/xdg").split(":")),
        Path("/etc/pip.conf"),
        home / ".pip/pip.conf",
        Path(env.get("XDG_CONFIG_HOME", home / ".config")) / "pip/pip.conf",
        Path(sys.prefix) / "pip.conf",
        *([Path(env["PIP_CONFIG_FILE"])] if env.get("PIP_CONFIG_FILE") else []),
    ]
    parser = configparser.RawConfigParser()
    parser.read([file for file in files if file.is_file()])
    found: dict[str, str] = {}
    for section in ("global", "install"):
        if parser.has_section(section):
            found |= {key.replace("_", "-"): value for key, value in parser.items(section)}
    found |= {
        name.removeprefix("PIP_").lower().replace("_", "-"): value
        for name, value in env.items()
        if name.startswith("PIP_")
    }
    if "default-timeout" in found:
        found["timeout"] = found.pop("default-timeout")
    return {key: value for key, value in found.items() if value}


def pip_config(settings: Mapping[str, str], *, with_bundle: bool) -> str:
    """A pip.conf that reaches the same indexes from within a build.

    Folders of this host under ``find-links`` are left out: a build cannot see them.
    """
    lines = ["[global]", "disable-pip-version-check = true"]
    for key in PIP_KEYS:
        words = settings.get(key, "").split()
        if key == "find-links":
            words = [word for word in words if "://" in word]
        if words:
            lines.append(f"{key} = " + "\n    ".join(words))
    if with_bundle:
        lines.append(f"cert = {SECRETS}/ca-bundle")
    return "\n".join(lines) + "\n"


def ca_bundle(settings: Mapping[str, str], env: Mapping[str, str] = os.environ) -> Path | None:
    """The CA bundle that this host sets for pip or for Python; None when it sets none."""
    for named in (settings.get("cert"), env.get("REQUESTS_CA_BUNDLE"), env.get("SSL_CERT_FILE")):
        if named and Path(named).is_file():
            return Path(named)
    return None


def proxy_arguments(env: Mapping[str, str] = os.environ) -> list[str]:
    """``--build-arg`` words that hand this host's proxies to a build; engines keep them out of the image."""
    return [word for name in PROXIES if env.get(name) for word in ("--build-arg", name)]


def apt_options() -> list[str]:
    """This host's apt settings about reaching a mirror (proxies, TLS, date checks), one option each."""
    if shutil.which("apt-config") is None:
        return []
    dump = subprocess.run(["apt-config", "dump"], capture_output=True, text=True, check=True).stdout
    options = [line for line in dump.splitlines() if line.startswith(APT_KEYS) and not line.endswith(' "";')]
    logins = Path("/etc/apt/auth.conf.d")
    if logins.is_dir() and any(logins.iterdir()):
        options.append(f'Dir::Etc::netrcparts "{logins}";')
    return options


def debian_sources(suite: str) -> list[str]:
    """apt source lines for a Debian suite, on the mirror that this host uses, else on Debian's own."""
    archive, security = DEBIAN, DEBIAN_SECURITY
    for uri, origin, codename in _apt_repositories():
        if origin == "Debian" and codename.endswith("-security"):
            security = uri
        elif origin == "Debian" and "-" not in codename:
            archive = uri
    lines = [f"deb {archive} {suite} main"]
    if suite not in UNRELEASED:
        lines += [f"deb {archive} {suite}-updates main", f"deb {security} {suite}-security main"]
    return lines


def _apt_repositories() -> list[tuple[str, str, str]]:
    """(URI, origin, codename) of each repository that apt knows here."""
    if shutil.which("apt-get") is None:
        return []
    listed = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(REPO_URI)|$(ORIGIN)|$(CODENAME)", "Created-By: Packages"],
        capture_output=True,
        text=True,
        check=False,
    )
    rows = [line.split("|") for line in listed.stdout.splitlines()]
    return [(row[0], row[1], row[2]) for row in rows if len(row) == 3]
