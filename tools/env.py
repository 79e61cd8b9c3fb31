"""`eval "$(python -m tools.env)"`: the environment with which a plain Pulumi CLI works on the same state."""

from __future__ import annotations

import shlex

from tools.common import cli
from tools.engine.cli import find_cli
from tools.engine.place import place_of, prepare
from tools.engine.plugins import choose_providers
from tools.engine.verbs import parse
from tools.engine.workspace import environment, open_stack


def main(argv: list[str]) -> int:
    stack = parse(argv, __doc__ or "")
    place = place_of(stack)
    # Makes the stack where it is new: a plain `pulumi stack init` would write its salt into a tracked file.
    open_stack(stack)
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
