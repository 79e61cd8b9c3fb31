"""`make backend`: the bucket and the key for the state of a cloud's stacks, made once."""

from __future__ import annotations

from importlib import import_module

from components.local_state import MADE_FOR
from tools.backend import Backend
from tools.common import Failure, cli, console, step
from tools.engine.place import Place, load, place_of
from tools.engine.verbs import parse

SALT, PROVIDER = "encryptionsalt", "secretsprovider"


def main(argv: list[str]) -> int:
    stack = parse(argv, __doc__ or "")
    place = place_of(stack)
    cloud = place.cloud()
    if cloud not in MADE_FOR:
        raise Failure(
            f"there is no backend to make for mlflow:cloud: {cloud}",
            f"it is for stacks on {', '.join(MADE_FOR)}; others keep their state where `pulumi login` points",
        )
    config = load(place.tracked).get("config") or {}
    with step(f"State bucket and key for stack {stack}"):
        backend: Backend = import_module(f"tools.backend.{cloud}").ensure(place.project()["name"], config)
    for line in backend.made or ["nothing to do: all of it is there"]:
        console.print(f"  {line}")
    remember(place, backend.secrets_provider)
    console.print("Use it in this shell, or for good on this machine:")
    print(f"export PULUMI_BACKEND_URL='{backend.url}'")
    print(f"# pulumi login '{backend.url}'")
    return 0


def remember(place: Place, provider: str) -> None:
    """Say in the tracked file who encrypts the stack's secrets: all who work on it must agree."""
    tracked = load(place.tracked)
    if tracked.get(PROVIDER) == provider:
        return
    if tracked.get(PROVIDER) or SALT in tracked or SALT in load(place.overlay):
        console.print(
            f"  [yellow]{place.stack} has secrets encrypted otherwise; to use the key:[/] "
            f"pulumi stack change-secrets-provider '{provider}'"
        )
        return
    text = place.tracked.read_text()
    place.tracked.write_text(f"{text.rstrip()}\n{PROVIDER}: {provider}\n")
    console.print(f"  [yellow]{place.tracked.name} now names the key: commit it[/]")


if __name__ == "__main__":
    cli(main)
