"""A stack's checked settings, read without the engine."""

from __future__ import annotations

from pathlib import Path

from components.settings import AnyStack, SettingsError
from components.settings.load import NAMESPACE, decode, parse
from tools.common import ROOT, Failure
from tools.offline import config

PREFIX = f"{NAMESPACE}:"


def settings_of(stack: str, root: Path = ROOT) -> AnyStack:
    """The settings of a stack; secrets read ``[secret]``.

    :raises Failure: with every mistake in the stack file.
    """
    given = config.load(root, stack, local=True)
    mine = {
        key.removeprefix(PREFIX): decode(value)
        for key, value in given.values.items()
        if key.startswith(PREFIX)
    }
    secret = {key.removeprefix(PREFIX) for key in given.secret_keys}
    try:
        return parse(mine, secret_keys=secret, stack=stack, file=root / f"Pulumi.{stack}.yaml")
    except SettingsError as error:
        raise Failure(str(error), "mend the stack file; docs/settings.md lists every key") from None
