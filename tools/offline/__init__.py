"""Runs the Pulumi program with no CLI, no credentials and no cluster, and checks what it would ask for.

`run` executes the real ``__main__.py`` against a monitor of our own and returns a `Plan`.  `make plan`,
`make render` and the tests under ``tests/program`` all stand on it.

It uses modules of the Pulumi SDK that are not public, which is why the SDK is pinned exactly and why
``tests/program/test_strict_selftest.py`` plants mistakes and fails when one goes unnoticed.
"""

from tools.offline.answers import Answers, Mocked, Preview
from tools.offline.plan import Plan, Resource
from tools.offline.runner import run
from tools.offline.wire import SECRET_TEXT, UNKNOWN, UNKNOWN_TEXT, Secret

__all__ = [
    "SECRET_TEXT",
    "UNKNOWN",
    "UNKNOWN_TEXT",
    "Answers",
    "Mocked",
    "Plan",
    "Preview",
    "Resource",
    "Secret",
    "run",
]
