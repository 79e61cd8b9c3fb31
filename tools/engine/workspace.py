"""A stack, opened: engine, providers, backend, passphrase and settings put together for one operation."""

from __future__ import annotations

import json
import logging
import os
import runpy
import secrets
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

import pulumi
from pulumi import automation as auto
from pulumi.automation._stack import StackInitMode
from semver import VersionInfo

from components.local_state import lies_on_this_machine, way_out
from tools.common import ROOT, Failure, run
from tools.engine.advice import failure_of
from tools.engine.cli import find_cli, is_users_own, known_version
from tools.engine.place import Place, keep_additions, load, merge, place_of, prepare
from tools.engine.plugins import CHOICE, SERVED, STAND_INS, Providers, choose_providers, users_home
from tools.engine.standins import MARK, MARK_KEY

Program = Callable[[], None]
STAND_INS_VARIABLE = "MLFLOW_STAND_INS"
"""``1`` for programs that run with stand-ins, whose stacks ``.local/stacks/<stack>.stand-ins`` marks."""


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


def refuse_local_state(place: Place, env: Mapping[str, str]) -> None:
    """A cloud stack whose state lies on one machine is lost with it, and others cannot work on it.

    :raises Failure: unless the stack says ``mlflow:localState: true``.
    """
    backend = env.get("PULUMI_BACKEND_URL") or place.project()["backend"]["url"]
    key = f"{place.project()['name']}:localState"
    wanted = merge(load(place.tracked), load(place.overlay)).get("config", {}).get(key)
    if place.cloud() in SERVED or not lies_on_this_machine(backend) or str(wanted).lower() == "true":
        return
    raise Failure(
        f"the state of stack {place.stack} would lie on this machine only ({backend})",
        f"{way_out(place.stack, place.cloud(), key)} in {place.tracked.name}",
    )


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


class OpenedStack(auto.Stack):
    """A stack of the Automation API.

    :ivar state: its state when it was opened: ``resources``, ``pending_operations`` and more.
    :ivar providers: the plugins that serve it.
    """

    providers: Providers

    def __init__(self, name: str, workspace: auto.Workspace) -> None:
        # Every command names its stack, so it need not be selected first, which costs a call of the CLI.
        self.name, self.workspace, self._mode = name, workspace, StackInitMode.CREATE_OR_SELECT
        try:
            self.state = state_of(self)
        except auto.StackNotFoundError:
            workspace.create_stack(name)
            self.state = {}


def open_stack(stack: str, root: Path = ROOT, program: Program | None = None) -> OpenedStack:
    """Open a stack, making it in the backend when it is new.

    :param root: the folder of ``Pulumi.yaml``, ``Pulumi.<stack>.yaml`` and ``__main__.py``.
    :param program: an inline program instead of the root's ``__main__.py``.
    :raises Failure: no settings, no engine, no plugins, a cloud's state on this machine, or a state that
        other plugins made.
    """
    place = place_of(stack, root)
    place.local.mkdir(mode=0o700, exist_ok=True)
    cli = find_cli()
    providers = choose_providers(cli, stack, place.cloud(), place.local)
    env = environment(place, providers)
    refuse_local_state(place, env)
    prepare(place)
    workspace = auto.LocalWorkspace(
        work_dir=str(place.work),
        program=program or root_program(root),
        env_vars=env,
        secrets_provider=load(place.tracked).get("secretsprovider"),
        pulumi_command=_command(cli),
    )
    # When the engine fails it goes away before the program has ended; that is no news.
    logging.getLogger("grpc._server").setLevel(logging.CRITICAL)
    os.environ[STAND_INS_VARIABLE] = "1" if providers.stand_ins else "0"  # for the program, which runs here
    try:
        opened = OpenedStack(stack, workspace)
    except auto.CommandError as error:
        raise failure_of(error, "up", stack) from error
    opened.providers = providers
    keep_additions(place)
    check_makers(place, opened.state, providers)
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
        # Never on the command line, which every process can read. The CLI takes one newline off the end.
        input=f"{value}\n",
    )  # fmt: skip
    keep_additions(place)
    return place.tracked if shared else place.overlay
