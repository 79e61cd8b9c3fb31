"""A stack, opened: engine, providers, backend, passphrase and settings put together for one operation.

Tracked files stay as they are. What an operation adds to a stack's settings (the passphrase's salt,
encrypted values) lives in ``.local/stacks/Pulumi.<stack>.yaml``; ``.local/work/<stack>`` holds the
settings merged from both, which is all that the engine sees.
"""

from __future__ import annotations

import json
import logging
import os
import runpy
import secrets
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pulumi
import yaml
from pulumi import automation as auto
from semver import VersionInfo

from tools.common import ROOT, Failure, run
from tools.engine.advice import failure_of
from tools.engine.cli import find_cli, is_users_own, known_version
from tools.engine.plugins import CHOICE, STAND_INS, Providers, choose_providers, users_home
from tools.engine.standins import MARK, MARK_KEY

Program = Callable[[], None]
STAND_INS_VARIABLE = "MLFLOW_STAND_INS"
"""``1`` for programs that run with stand-ins, whose stacks ``.local/stacks/<stack>.stand-ins`` marks."""


@dataclass(frozen=True)
class Place:
    """Where one stack's files are.

    :ivar root: the folder of ``Pulumi.yaml``.
    """

    root: Path
    stack: str

    @property
    def local(self) -> Path:
        return self.root / ".local"

    @property
    def tracked(self) -> Path:
        return self.root / f"Pulumi.{self.stack}.yaml"

    @property
    def overlay(self) -> Path:
        return self.local / "stacks" / f"Pulumi.{self.stack}.yaml"

    @property
    def mark(self) -> Path:
        return self.local / "stacks" / f"{self.stack}.stand-ins"

    @property
    def work(self) -> Path:
        return self.local / "work" / self.stack

    @property
    def merged(self) -> Path:
        return self.work / f"Pulumi.{self.stack}.yaml"

    def project(self) -> dict[str, Any]:
        return load(self.root / "Pulumi.yaml")

    def cloud(self) -> str | None:
        """The stack's ``mlflow:cloud`` (``<project>:cloud`` where the project is named otherwise)."""
        return (load(self.tracked).get("config") or {}).get(f"{self.project()['name']}:cloud")


def load(path: Path) -> dict[str, Any]:
    """A YAML file; empty when missing."""
    return (yaml.safe_load(path.read_text()) or {}) if path.exists() else {}


def place_of(stack: str, root: Path = ROOT) -> Place:
    """:raises Failure: when the stack has no settings file."""
    place = Place(root, stack)
    if not place.tracked.exists():
        known = sorted(path.name.split(".")[1] for path in root.glob("Pulumi.*.yaml"))
        raise Failure(
            f"there is no {place.tracked.name}", f"stacks with a settings file: {', '.join(known) or 'none'}"
        )
    return place


def environment(place: Place, providers: Providers) -> dict[str, str]:
    """Environment variables with which a Pulumi CLI works on the same state as these verbs."""
    env = {
        "PULUMI_HOME": str(providers.home),
        "PULUMI_SKIP_UPDATE_CHECK": "true",
        **_backend(place),
    }
    env |= _passphrase(place, env.get("PULUMI_BACKEND_URL", ""))
    kubectl = load(place.local / "cluster.json").get("kubectl")
    if kubectl and "MLFLOW_KUBECTL" not in os.environ:
        env["MLFLOW_KUBECTL"] = kubectl
    if providers.stand_ins:
        env[STAND_INS_VARIABLE] = "1"
        # The engine must not try to replace a stand-in by a download in the middle of an operation.
        env["PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION"] = "true"
        if (users_home() / "credentials.json").exists() and "PULUMI_CREDENTIALS_PATH" not in os.environ:
            env["PULUMI_CREDENTIALS_PATH"] = str(users_home())
    return env


def _backend(place: Place) -> dict[str, str]:
    """Where the state is: what the user or the project says, what the user is logged in to, else a folder."""
    if os.environ.get("PULUMI_BACKEND_URL"):
        return {"PULUMI_BACKEND_URL": os.environ["PULUMI_BACKEND_URL"]}
    if (place.project().get("backend") or {}).get("url"):
        return {}
    folder = Path(os.environ.get("PULUMI_CREDENTIALS_PATH") or users_home())
    credentials = load(folder / "credentials.json")
    if credentials.get("current"):
        return {"PULUMI_BACKEND_URL": credentials["current"]}
    if os.environ.get("PULUMI_ACCESS_TOKEN"):
        return {"PULUMI_BACKEND_URL": "https://api.pulumi.com"}
    (place.local / "state").mkdir(parents=True, exist_ok=True)
    return {"PULUMI_BACKEND_URL": _own_backend(place)}


def _own_backend(place: Place) -> str:
    return f"file://{place.local / 'state'}"


def _passphrase(place: Place, backend: str) -> dict[str, str]:
    """The user's passphrase, else, for this checkout's own state only, one generated for its owner's eyes.

    Others who share a backend could not read a state whose passphrase lies here.
    """
    for name in ("PULUMI_CONFIG_PASSPHRASE", "PULUMI_CONFIG_PASSPHRASE_FILE"):
        if os.environ.get(name) is not None:
            return {name: os.environ[name]}
    if backend != _own_backend(place):
        return {}
    path = place.local / "passphrase"
    if not path.exists():
        path.touch(mode=0o600)
        path.write_text(secrets.token_urlsafe(32))
    return {"PULUMI_CONFIG_PASSPHRASE_FILE": str(path)}


def prepare(place: Place) -> None:
    """Write the work folder: the project file that an inline program needs, and the merged settings."""
    place.work.mkdir(parents=True, exist_ok=True)
    # The program runs inside this process: the runtime's options (its virtual environment) do not apply.
    project = {**place.project(), "runtime": "python"}
    project.pop("main", None)
    (place.work / "Pulumi.yaml").write_text(yaml.safe_dump(project, sort_keys=False))
    merged = merge(load(place.tracked), load(place.overlay))
    place.merged.touch(mode=0o600)
    place.merged.write_text(yaml.safe_dump(merged, sort_keys=False))


def keep_additions(place: Place) -> None:
    """Carry what the engine or ``make secret`` added to the work folder's settings over to the overlay."""
    added = difference(load(place.merged), load(place.tracked))
    if added and added != load(place.overlay):
        place.overlay.parent.mkdir(parents=True, exist_ok=True)
        place.overlay.touch(mode=0o600)
        place.overlay.write_text(yaml.safe_dump(added, sort_keys=False))


def merge(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """Two settings files as one; ``over`` wins where both say something."""
    result = dict(base)
    for key, value in over.items():
        old = result.get(key)
        both = isinstance(old, dict) and isinstance(value, dict) and "secure" not in value
        result[key] = merge(old, value) if both else value  # type: ignore[arg-type]
    return result


def difference(whole: dict[str, Any], base: dict[str, Any]) -> dict[str, Any]:
    """What ``whole`` says and ``base`` does not."""
    result = {}
    for key, value in whole.items():
        old = base.get(key)
        if isinstance(value, dict) and isinstance(old, dict) and "secure" not in value:
            value = difference(value, old)
            if not value:
                continue
        elif key in base and (value == old or _as_written(value) == _as_written(old)):
            continue
        result[key] = value
    return result


def _as_written(value: Any) -> str:
    """A plain value as the engine writes it: whenever it adds a salt it turns ``false`` into ``"false"``."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def root_program(root: Path) -> Program:
    """The project's ``__main__.py`` as an inline program; a :class:`Failure` in it needs no traceback."""

    def run_it() -> None:
        if str(root) not in sys.path:
            sys.path.insert(0, str(root))
        try:
            runpy.run_path(str(root / "__main__.py"), run_name="__main__")
        except Failure as failure:
            raise pulumi.RunError(f"{failure}\nWhat to do: {failure.hint}") from failure

    return run_it


def open_stack(stack: str, root: Path = ROOT, program: Program | None = None) -> auto.Stack:
    """Open a stack, making it in the backend when it is new.

    :param root: the folder of ``Pulumi.yaml``, ``Pulumi.<stack>.yaml`` and ``__main__.py``.
    :param program: an inline program instead of the root's ``__main__.py``.
    :raises Failure: no settings, no engine, no plugins, or a state that other plugins made.
    """
    place = place_of(stack, root)
    place.local.mkdir(mode=0o700, exist_ok=True)
    cli = find_cli()
    providers = choose_providers(cli, stack, place.cloud(), place.local)
    prepare(place)
    workspace = auto.LocalWorkspace(
        work_dir=str(place.work),
        program=program or root_program(root),
        env_vars=environment(place, providers),
        pulumi_command=_command(cli),
    )
    # When the engine fails it goes away before the program has ended; that is no news.
    logging.getLogger("grpc._server").setLevel(logging.CRITICAL)
    os.environ[STAND_INS_VARIABLE] = "1" if providers.stand_ins else "0"  # for the program, which runs here
    try:
        opened = auto.Stack.create_or_select(stack, workspace)
        keep_additions(place)
        check_makers(place, state_of(opened), providers)
    except auto.CommandError as error:
        raise failure_of(error, "up", stack) from error
    return opened


def state_of(stack: auto.Stack) -> dict[str, Any]:
    """The stack's state as the engine holds it: ``resources``, ``pending_operations`` and more."""
    return cast(dict[str, Any], stack.export_stack().deployment or {})


class _KnownCommand(auto.PulumiCommand):
    """A CLI that this project installed: its version is known, so the call that asks for it is saved."""

    def __init__(self, cli: Path) -> None:
        self.command = str(cli)
        self.version = VersionInfo.parse(known_version(cli))


def _command(cli: Path) -> auto.PulumiCommand:
    try:
        return auto.PulumiCommand() if is_users_own(cli) else _KnownCommand(cli)
    except auto.InvalidVersionError as error:
        raise Failure(f"the Pulumi CLI at {cli} does not fit: {error}", "update it") from error


def check_makers(place: Place, state: dict[str, Any], providers: Providers) -> None:
    """Refuse a state that the other kind of plugins made, and mark the stack for runs by a plain CLI.

    :raises Failure: with the way out.
    """
    for package, stand_in in makers(state).items():
        if stand_in != (package in providers.stand_ins):
            kind = "a stand-in" if stand_in else "the official plugin"
            choice = "stand-ins" if stand_in else "official"
            raise Failure(
                f"the state of stack {place.stack} was made with {kind} for {package}, which is not the "
                "one in use now",
                "take the stack down with the plugins that made it, then bring it up: "
                f"{CHOICE}={choice} make down STACK={place.stack} && make up STACK={place.stack}",
            )
    place.mark.parent.mkdir(parents=True, exist_ok=True)
    if providers.stand_ins:
        place.mark.write_text(json.dumps(sorted(providers.stand_ins)) + "\n")
    else:
        place.mark.unlink(missing_ok=True)


def makers(state: dict[str, Any]) -> dict[str, bool]:
    """Packages that this project has stand-ins for and a state uses, and whether a stand-in made them."""
    prefix = "pulumi:providers:"
    found = {
        resource["type"].removeprefix(prefix): (resource.get("inputs") or {}).get(MARK_KEY) == MARK
        for resource in state.get("resources") or []
        if resource["type"].startswith(prefix)
    }
    return {package: stand_in for package, stand_in in found.items() if package in STAND_INS}


def forget(place: Place) -> list[str]:
    """Remove what this checkout holds of a stack that was taken down.

    Values that the user set by ``make secret`` are kept, or a later ``make up`` could not use them.

    :returns: the configuration keys kept.
    """
    shutil.rmtree(place.work, ignore_errors=True)
    place.mark.unlink(missing_ok=True)
    kept = sorted(load(place.overlay).get("config") or {})
    if not kept:
        place.overlay.unlink(missing_ok=True)
    # The engine keeps copies of a removed stack's state, for which nobody has a use any more.
    project, engine = place.project()["name"], place.local / "state" / ".pulumi"
    for folder in ("history", "backups"):
        shutil.rmtree(engine / folder / project / place.stack, ignore_errors=True)
    for copy in (engine / "stacks" / project).glob(f"{place.stack}.json*"):
        copy.unlink()
    return kept


def set_secret(stack: str, path: str, value: str, root: Path = ROOT) -> Path:
    """Put an encrypted value into a stack's settings.

    :param path: configuration path, e.g. ``mlflow:secrets.storage.s3.AWS_SECRET_ACCESS_KEY``.
    :returns: the file that now holds the encrypted value.
    """
    place = place_of(stack, root)
    opened = open_stack(stack, root)
    tracked = load(place.tracked)
    shared = not load(place.merged).get("encryptionsalt") or "encryptionsalt" in tracked
    target = place.tracked if shared else place.merged
    run(
        [find_cli(), "config", "set", "--path", path, "--secret", "--stack", stack, "--non-interactive",
         "--config-file", target],
        cwd=place.work,
        env=dict(opened.workspace.env_vars),
        input=value,  # never on the command line, which every process can read
    )  # fmt: skip
    keep_additions(place)
    return place.tracked if shared else place.overlay
