"""What jobs, stages and services have in common: where code comes from, what runs, and on what."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

from .base import DnsLabel, EnvironmentName, Model, Quantity, Resources

SCP_LIKE = re.compile(r"^[A-Za-z0-9._-]+@[A-Za-z0-9.-]+:[^/:][^:]*$")
"""git@host:path, git's short way to write ssh://git@host/path. Source: git-fetch(1), "GIT URLS"."""


def _text(value: Any) -> Any:
    """Numbers and true or false as the text that a command line gets."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, int | float) else value


Text = Annotated[
    str, BeforeValidator(_text), WithJsonSchema({"type": ["string", "number", "boolean"], "title": "Text"})
]
"""A word of a command line; numbers may be written without quotes."""


def _repository(value: str) -> str:
    if SCP_LIKE.match(value):
        return value
    parts = urlsplit(value)
    if parts.scheme not in ("https", "ssh") or not parts.hostname or not parts.path.strip("/"):
        raise ValueError("must be https://host/path, ssh://user@host/path or user@host:path")
    return value


def _ref(value: str) -> str:
    # Source: git-check-ref-format(1), as far as a word that git-sync passes on can go wrong.
    if not re.match(r"^[A-Za-z0-9][A-Za-z0-9._/@+-]*$", value) or ".." in value:
        raise ValueError("must be a branch, a tag or a commit")
    return value


def _folder(value: str) -> str:
    if value.startswith("/") or ".." in value.split("/"):
        raise ValueError("must be a folder inside, such as train or models/churn")
    return value.strip("/")


def _absolute(value: str) -> str:
    if not value.startswith("/") or ".." in value.split("/"):
        raise ValueError("must be an absolute path, such as /opt/project")
    return value.rstrip("/") or "/"


Folder = Annotated[str, AfterValidator(_folder)]
"""A path inside a repository or volume, without .. and without a leading slash."""


class Submodules(StrEnum):
    """Which submodules git-sync checks out."""

    OFF = "off"
    SHALLOW = "shallow"
    RECURSIVE = "recursive"


class Git(Model):
    """Code from a Git repository, fetched anew for each run."""

    repo: Annotated[str, AfterValidator(_repository)] | None = None
    """https://host/path, ssh://user@host/path or user@host:path."""
    local: str | None = None
    """On dev, instead of `repo`: a checkout on this machine, relative to this project; its committed HEAD
    runs."""
    ref: Annotated[str, AfterValidator(_ref)] = "HEAD"
    """Branch, tag or commit. Default: the repository's default branch."""
    path: Folder = ""
    """Folder in it that holds the project. Default: its root."""
    depth: Annotated[int, Field(ge=0)] = 1
    """Commits of history that are fetched; 0 for all."""
    submodules: Submodules = Submodules.RECURSIVE
    """Which submodules are fetched as well."""
    credentials: DnsLabel | None = None
    """Secret group of a private repository: GIT_TOKEN for https, GIT_SSH_KEY and GIT_KNOWN_HOSTS for SSH."""
    username: str = "git"
    """User name beside GIT_TOKEN; most hosts take any."""
    ca_bundle: str | None = None
    """PEM certificates that the host's certificate is checked against. Default: public authorities."""

    @property
    def holds_credentials(self) -> bool:
        """Whether `repo` holds a password or token."""
        parts = urlsplit(self.repo or "")
        return bool(parts.password or (parts.scheme == "https" and parts.username))

    @property
    def archive_key(self) -> tuple[str, str, str]:
        """Under which the files of `local` are found."""
        return self.local or "", self.ref, self.path

    @property
    def over_ssh(self) -> bool:
        """Whether `repo` is reached by SSH."""
        return self.repo is not None and not self.repo.startswith("https:")


class CodeVolume(Model):
    """Code on a volume claim that is there already; it is mounted read-only."""

    claim: DnsLabel
    """Name of the claim in the stack's namespace."""
    path: Folder = ""
    """Folder on it that holds the project. Default: its root."""


class TolerationOperator(StrEnum):
    """How a toleration compares."""

    EQUAL = "Equal"
    EXISTS = "Exists"


class TaintEffect(StrEnum):
    """What a taint does."""

    NO_SCHEDULE = "NoSchedule"
    PREFER_NO_SCHEDULE = "PreferNoSchedule"
    NO_EXECUTE = "NoExecute"


class Toleration(Model):
    """A taint of nodes that the pods accept, in Kubernetes' words."""

    key: str | None = None
    """The taint's key. Default: every key (with operator Exists)."""
    operator: TolerationOperator = TolerationOperator.EQUAL
    """Equal or Exists."""
    value: str | None = None
    """The taint's value, for Equal."""
    effect: TaintEffect | None = None
    """The taint's effect. Default: every effect."""


class Code(Model):
    """Code, and what to run of it. Exactly one source and one thing to run."""

    git: Git | None = None
    """Source: a Git repository."""
    folder: Annotated[str, AfterValidator(_absolute)] | None = None
    """Source: a folder of `image`, with the code baked in, such as /opt/project."""
    volume: CodeVolume | None = None
    """Source: an existing volume."""
    module: Annotated[str, Field(pattern=r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*$")] | None = None
    """What runs: a Python module (`python -m`), with `arguments`."""
    arguments: list[Text] = []
    """Arguments of `module`."""
    command: list[Text] = []
    """What runs: a command, word by word."""
    requirements: list[str] = []
    """Packages installed at start, as pip writes them, into an environment on top of the image's."""
    requirements_file: Folder | None = None
    """The same as a file of the project, such as requirements.txt."""


class Pod(Model):
    """The pod that something runs in."""

    image: str | None = None
    """The image, by fixed tag or digest; it needs Python, MLflow and bash. Default: `images.job`."""
    resources: Resources = Resources()
    """CPU and memory."""
    gpus: Annotated[int, Field(ge=0, le=64)] = 0
    """GPUs, as an extended resource of the nodes."""
    gpu_resource: str = "nvidia.com/gpu"
    """The name under which the nodes offer GPUs."""
    node_selector: dict[str, str] = {}
    """Labels that the node must have."""
    tolerations: list[Toleration] = []
    """Taints that the pods accept."""
    env: dict[EnvironmentName, str] = {}
    """Environment variables. Names the program sets itself are refused; secrets belong in a group."""
    secrets: list[DnsLabel] = []
    """Secret groups whose values become environment variables."""
    tmp_size: Quantity = "5Gi"
    """Scratch space in /tmp."""


class Workload(Pod, Code):
    """Code, what to run of it, and the pod it runs in."""
