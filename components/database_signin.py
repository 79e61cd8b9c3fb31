"""What a cloud says to the server image's ``database_signin`` package, which signs in without a password.

The package itself is images/tracking-server/packages/database_signin; its README.md is the interface.
"""

from __future__ import annotations

from typing import Literal

PLUGIN = "database_signin"

LACKING = (
    f"this image lacks the Python package {PLUGIN}, which signs in to the database: build it from "
    f"images/tracking-server (leave images.server out), install packages/{PLUGIN} of that folder in your "
    "own image, or set database.signIn: password"
)

BOOTSTRAP_COMMAND = (
    "python",
    "-c",
    f"import importlib.util, runpy, sys; importlib.util.find_spec({PLUGIN!r}) or sys.exit({LACKING!r}); "
    f"runpy.run_module('{PLUGIN}.bootstrap', run_name='__main__')",
)
"""Of the bootstrap's container; says so in one line where the image lacks the package."""


def token_parameters(source: Literal["aws", "azure"], *, region: str | None = None) -> dict[str, str]:
    """URI query, beside the TLS parameters, with which each new connection signs in with a fresh token.

    :param region: AWS: of the database.
    """
    query = {"plugin": PLUGIN, "token_source": source}
    return {**query, "token_region": region} if region else query
