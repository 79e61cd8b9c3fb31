"""What can go wrong, in words for the person who reads a pod's log. No message ever holds a token."""

from __future__ import annotations

from sqlalchemy.exc import ArgumentError


class NotAllowedError(ArgumentError):
    """The URI asks for something that is refused, whatever the cloud or the database answer."""


class NoTokenError(RuntimeError):
    """The cloud gave no token; it may give one a little later, when the identity is known everywhere."""


def append_hint(error: Exception, hint: str) -> None:
    """Add a hint to a driver's error; its type and its codes stay, which SQLAlchemy judges by."""
    *codes, text = error.args or ("",)
    error.args = (*codes, f"{str(text).strip()} [{hint}]")
