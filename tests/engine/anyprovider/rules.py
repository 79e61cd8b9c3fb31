"""The tables: which properties a package's resources need, compute, change in place or not at all."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

RULES = {"required", "computed", "replaced", "in-place", "default", "autonamed", "result", "guards"}
TABLES = Path(__file__).parent / "tables"


class UnknownRuleError(Exception):
    """Something that no line of a table covers."""


@dataclass(frozen=True)
class Line:
    """One rule of a table."""

    type: str
    property: str
    rules: frozenset[str]
    value: str
    source: str

    def covers(self, path: str) -> bool:
        return path == self.property or path.startswith((self.property + ".", self.property + "["))

    def filled(self, **names: str) -> Any:
        """The line's value for one resource."""
        text = self.value
        for name, value in names.items():
            text = text.replace(f"{{{name}}}", value)
        try:
            return json.loads(text)
        except ValueError:
            return text


class Table:
    """The rules of one package.

    :raises ValueError: for a line without a source, with an unknown rule, or that contradicts itself.
    """

    def __init__(self, lines: Iterable[dict[str, str]], name: str) -> None:
        self.name = name
        self.lines = [self._line(number, line) for number, line in enumerate(lines, start=2)]

    @classmethod
    def load(cls, package: str) -> Table:
        with (TABLES / f"{package}.csv").open(newline="") as file:
            return cls(csv.DictReader(file), package)

    def _line(self, number: int, line: dict[str, str]) -> Line:
        rules = frozenset(line["rules"].split())
        where = f"{self.name}.csv, line {number}"
        if not line["source"]:
            raise ValueError(f"{where}: no source")
        if not rules or rules - RULES:
            raise ValueError(f"{where}: rules are {sorted(RULES)}, not {line['rules']!r}")
        if {"replaced", "in-place"} <= rules:
            raise ValueError(f"{where}: both replaced and in-place")
        return Line(line["type"], line["property"], rules, line["value"], line["source"])

    def of(self, token: str) -> list[Line]:
        """The lines of a type.

        :raises UnknownRuleError: when there are none.
        """
        found = [line for line in self.lines if line.type == token]
        if not found:
            raise UnknownRuleError(
                f"no line of {self.name}.csv is about {token}: add its rules, with sources"
            )
        return found

    def change(self, token: str, path: str) -> str:
        """``replaced`` or ``in-place`` for a changed property; the most exact line decides.

        :raises UnknownRuleError: when no line says which.
        """
        lines = [
            line for line in self.of(token) if line.covers(path) and line.rules & {"replaced", "in-place"}
        ]
        if not lines:
            raise UnknownRuleError(
                f"{token}: {path} changed, and no line of {self.name}.csv says what that does: add one"
            )
        exact = max(lines, key=lambda line: len(line.property))
        return "replaced" if "replaced" in exact.rules else "in-place"
