"""Mistakes in a stack file, all of them at once."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Problem:
    """One mistake: where (full key path), what was given, and what to write instead."""

    key: str
    message: str

    def __str__(self) -> str:
        return f"{self.key}: {self.message}"


class SettingsError(ValueError):
    """The stack file cannot be used; nothing has been created.

    ``problems`` holds every mistake found, in the order of the keys.
    """

    def __init__(self, problems: list[Problem], *, stack: str = "") -> None:
        self.problems = sorted(problems, key=lambda problem: problem.key)
        where = f"Pulumi.{stack}.yaml" if stack else "the stack file"
        count = "1 mistake" if len(problems) == 1 else f"{len(problems)} mistakes"
        lines = [
            f"{count} in {where}; nothing was changed:",
            *(f"  - {problem}" for problem in self.problems),
        ]
        super().__init__("\n".join(lines))
