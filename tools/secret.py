"""`make secret GROUP= NAME= KEY= STACK=`: a value from standard input into a stack's encrypted settings.

``KEY=mlflow:database.url`` alone sets that setting instead of a value of a secret group.
"""

from __future__ import annotations

import argparse
import re
import sys

from components import reserved
from tools.common import Failure, cli, console
from tools.engine.workspace import set_secret

DNS_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
SECRET_SETTINGS = ("mlflow:database.url",)
"""Settings outside the secret groups that only secret configuration may hold."""
ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def config_path(group: str, name: str, key: str) -> str:
    """The configuration path of one value.

    :raises Failure: when a part is not a name that Kubernetes and a process environment take.
    """
    if not group and not name and key in SECRET_SETTINGS:
        return key
    for word, text in (("GROUP", group), ("NAME", name)):
        if not DNS_LABEL.fullmatch(text):
            raise Failure(
                f"{word}={text!r} is not a name: lower-case letters, digits and '-', at most 63 of them",
                f"for example {word}=object-store",
            )
    if not ENV_NAME.fullmatch(key):
        raise Failure(
            f"KEY={key!r} is not the name of an environment variable: letters, digits and '_'",
            "for example KEY=AWS_SECRET_ACCESS_KEY",
        )
    if (instead := reserved.instead_of(key)) is not None:
        raise Failure(f"KEY={key} is set by the program: {instead}", "choose another name")
    return f'mlflow:secrets["{group}"]["{name}"]["{key}"]'


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stack", default="dev")
    parser.add_argument("--group", default="")
    parser.add_argument("--name", default="")
    parser.add_argument("--key", required=True)
    args = parser.parse_args(argv)
    path = config_path(args.group, args.name, args.key)
    if sys.stdin.isatty():
        console.print("Type the value, then press Enter and Ctrl-D:")
    value = sys.stdin.read()
    if value.count("\n") == 1:  # the end of the line; a file keeps its own, which OpenSSH wants of a key
        value = value.removesuffix("\n")
    if not value:
        raise Failure("no value came on standard input", "printf %s VALUE | make secret GROUP=… NAME=… KEY=…")
    file = set_secret(args.stack, path, value)
    console.print(
        f"[green]✓[/] set, encrypted in {file}; `make up STACK={args.stack}` brings it to the cluster"
    )
    return 0


if __name__ == "__main__":
    cli(main)
