"""The shared state of a cloud's stacks: a bucket and a key, made once and never deleted by any verb.

One file per cloud, named after it, offers ``ensure(project, config) -> Backend``: it makes what is missing,
leaves alone what is there, and may run any number of times.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field

PURPOSE = "pulumi-state"
"""Value of the tag ``<project>`` on all that these verbs make: how a later run knows its own."""


@dataclass(frozen=True, kw_only=True)
class Backend:
    """Where states go, and who encrypts their secrets.

    :ivar url: for ``pulumi login`` or PULUMI_BACKEND_URL.
    :ivar secrets_provider: for ``secretsprovider`` in a stack file.
    :ivar made: what this run made or changed, a line each; empty when all was there.
    """

    url: str
    secrets_provider: str
    made: list[str] = field(default_factory=list)


def fitting_name(project: str, end: str, limit: int) -> str:
    """``<project><end>`` in lowercase letters, digits and hyphens, at most ``limit`` of them.

    A project that had to be changed or cut is told from all others by a hash of its name.
    """
    start = re.sub(r"[^a-z0-9-]+", "-", project.lower()).strip("-")
    if start != project or len(start + end) > limit:
        mark = hashlib.sha256(project.encode()).hexdigest()[:6]
        start = f"{start[: limit - len(end) - 7].rstrip('-')}-{mark}"
    return (start + end).strip("-")
