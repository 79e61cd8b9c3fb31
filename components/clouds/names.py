"""Names that have to be known before their resource exists; everything else is named by Pulumi."""

from __future__ import annotations

import hashlib
import re

import pulumi

LONGEST = 63
"""Characters of the longest name here: a DNS label (Kubernetes), and within what each cloud allows."""


def stack_name(suffix: str = "", *, longest: int = LONGEST) -> str:
    """``<project>-<stack>[-<suffix>]`` in lower-case letters, digits and dashes, unique however long it is.

    What does not fit, or would lose characters, is cut and told apart by a hash of the whole.
    """
    whole = f"{pulumi.get_project()}-{pulumi.get_stack()}"
    tail = f"-{suffix}" if suffix else ""
    plain = re.sub(r"[^a-z0-9]+", "-", whole.lower()).strip("-")
    if plain != whole or len(plain + tail) > longest:
        tail = f"-{hashlib.sha256(whole.encode()).hexdigest()[:8]}{tail}"
    return plain[: longest - len(tail)].strip("-") + tail
