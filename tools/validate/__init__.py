"""What `make validate` finds, and what its checks look at.

A check is a function ``(Subject) -> Iterator[Finding]``; ``__main__`` holds the list of them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from components.settings import AnyStack
from tools.common import run

CALL_LIMIT = 60
"""Seconds for one kubectl call."""


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong, or that could not be checked.

    :ivar key: the setting that it is about.
    :ivar fails: whether `make up` would fail, or the stack would not work; else it is a warning.
    """

    key: str
    text: str
    fails: bool = True


@dataclass(frozen=True)
class ClusterAccess:
    """kubectl on the stack's cluster."""

    command: tuple[str, ...]

    def kubectl(self, *words: str, manifest: Any = None, limit: float = CALL_LIMIT) -> str:
        """Run kubectl and return what it wrote.

        :param manifest: goes to standard input as JSON.
        :raises Failure: when it fails.
        """
        return run(
            [*self.command, *words], input=None if manifest is None else json.dumps(manifest), timeout=limit
        )

    def objects(self, *words: str) -> list[dict[str, Any]]:
        """``kubectl get <words>`` as a list of plain objects."""
        return json.loads(self.kubectl("get", *words, "-o", "json"))["items"]


@dataclass(frozen=True)
class Subject:
    """What is validated.

    :ivar manifests: the stack's Kubernetes objects, in the order in which they can be applied.
    :ivar cluster: None where no cluster can be reached.
    :ivar image: a server image that the cluster's nodes have or can pull; None while there is none.
    :ivar credentials: secret group → key → value in plain text, never to be printed; of those groups alone
        that a check needs, and empty where they cannot be decrypted.
    """

    stack: str
    settings: AnyStack
    manifests: Sequence[Mapping[str, Any]]
    cluster: ClusterAccess | None
    image: str | None
    credentials: Mapping[str, Mapping[str, str]] = field(default_factory=dict, repr=False)

    def of_kind(self, *kinds: str) -> Iterator[Mapping[str, Any]]:
        """The manifests of these kinds."""
        return (each for each in self.manifests if each["kind"] in kinds)


def reason(failure: Exception) -> str:
    """A failed command's last words in one line, without the command."""
    return str(failure).strip().splitlines()[-1]
