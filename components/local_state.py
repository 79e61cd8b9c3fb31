"""Whether a stack's state lies on one machine, and what to do about it; program and `make` both ask."""

from __future__ import annotations

from urllib.parse import urlsplit

from .settings import Cloud

MADE_FOR = (Cloud.AWS, Cloud.GCP, Cloud.AZURE)
"""Clouds for which `make backend` makes a place: each a module of tools/backend."""


def lies_on_this_machine(backend: str | None) -> bool:
    """Without a backend `make` keeps it in .local; a plain `pulumi up` would have asked for a login."""
    return backend is None or urlsplit(backend).scheme == "file"


def way_out(stack: str, cloud: str | None, key: str = "mlflow:localState") -> str:
    """What to do, in one line."""
    make = f"make a shared place for it (make backend STACK={stack}), or " if cloud in MADE_FOR else ""
    return f"{make}log in to a shared backend (pulumi login); or set {key}: true"
