"""`eval "$(python -m tools.env)"`: the environment with which a plain Pulumi CLI works on the same state."""

from __future__ import annotations

import shlex

from tools.common import cli
from tools.engine.cli import find_cli
from tools.engine.place import place_of, prepare
from tools.engine.plugins import choose_providers
from tools.engine.verbs import parse
from tools.engine.workspace import environment


def main(argv: list[str]) -> int:
    stack = parse(argv, __doc__ or "")
    place = place_of(stack)
    place.local.mkdir(mode=0o700, exist_ok=True)
    executable = find_cli()
    providers = choose_providers(executable, stack, place.cloud(), place.local)
    prepare(place)
    settings = {
        **environment(place, providers),
        # The settings with the salt and the encrypted values, which tracked files do not hold.
        "PULUMI_OPTION_CONFIG_FILE": str(place.merged),
    }
    for name, value in settings.items():
        print(f"export {name}={shlex.quote(value)}")
    print(f'export PATH={shlex.quote(str(executable.parent))}:"$PATH"')
    return 0


if __name__ == "__main__":
    cli(main)
