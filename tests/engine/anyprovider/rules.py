"""The tables: which properties a package's resources need, compute, change in place or not at all."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tools.engine.standins.plugin import UNKNOWN

RULES = {
    "required": "an input that must be given",
    "computed": "what the cloud answers; no input, unless `in-place` or `replaced` stands with it",
    "default": "what the cloud fills in when the input is not given",
    "autonamed": "a name made up when it is not given, in the form of `value`",
    "in-place": "a change updates the resource",
    "replaced": "a change makes a new one",
    "result": "what a function answers",
    "guards": "while it is true the resource cannot be deleted",
    "lingers": "a name that nothing new may have for a while after the resource was deleted",
    "empties": "while it is not true the resource, which is taken to hold something, cannot be deleted",
    "owns": "the resource, taken to own something in what it is part of, cannot be deleted by itself",
    "merged": "of a provider: its pairs are added to the property that `value` names",
    "unanswered": "an input that the outputs do not hold, or not in its form",
    "ignored": "a change counts for nothing",
    "renewed": "of what is computed: anew by each update, a number by counting",
}
CHANGES = {"in-place", "replaced", "ignored"}
TABLES = Path(__file__).parent / "tables"
EVERY = "*"
_PLACE = re.compile(r"\{([A-Za-z][A-Za-z0-9.]*)\}")
JSON = '[{"'
"""How a text begins that is more than a word."""


class UnknownRuleError(Exception):
    """Something that no line of a table covers."""


@dataclass(frozen=True)
class Line:
    """One rule of a table, about one property."""

    type: str
    property: str
    rules: frozenset[str]
    value: str
    source: str

    def covers(self, path: str) -> bool:
        return path == self.property or path.startswith((self.property + ".", self.property + "["))

    def filled(self, known: Mapping[str, Any]) -> Any:
        """The line's value for one resource; unknown while anything that it names is.

        :param known: what its places stand for.
        """
        found = {name: _at(known, name) for name in _PLACE.findall(self.value)}
        if any(value in (None, UNKNOWN) for value in found.values()):
            return UNKNOWN
        if whole := _PLACE.fullmatch(self.value):
            return found[whole[1]]
        text = _PLACE.sub(lambda match: str(found[match[1]]), self.value)
        if found and text[0] not in JSON:
            return text  # of hexadecimal digits some read as a number: 12e45678 is infinite
        try:
            return json.loads(text)
        except ValueError:
            return text


def _at(known: Mapping[str, Any], path: str) -> Any:
    value: Any = known
    for part in path.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


class Table:
    """The rules of one package.

    :raises ValueError: for a line without a source, with an unknown rule, or that contradicts itself.
    """

    def __init__(self, lines: Iterable[dict[str, str]], name: str) -> None:
        self.name = name
        self.lines = [one for number, line in enumerate(lines, start=2) for one in self._read(number, line)]

    @classmethod
    def load(cls, package: str) -> Table:
        with (TABLES / f"{package}.csv").open(newline="") as file:
            return cls(csv.DictReader(file), package)

    def _read(self, number: int, line: dict[str, str]) -> Iterable[Line]:
        rules = frozenset(line["rules"].split())
        where = f"{self.name}.csv, line {number}"
        if not line["source"]:
            raise ValueError(f"{where}: no source")
        if not rules or rules - set(RULES):
            raise ValueError(f"{where}: rules are {sorted(RULES)}, not {line['rules']!r}")
        if len(rules & CHANGES) > 1:
            raise ValueError(f"{where}: both {' and '.join(sorted(rules & CHANGES))}")
        for token in line["types"].split():
            for name in line["properties"].split():
                yield Line(token, name, rules, line["value"], line["source"])

    def of(self, token: str) -> list[Line]:
        """The lines of a type.

        :raises UnknownRuleError: when there are none.
        """
        found = [line for line in self.lines if line.type == token]
        if not found:
            raise UnknownRuleError(
                f"no line of {self.name}.csv is about {token}: add its rules, with sources"
            )
        return found + [line for line in self.lines if line.type == EVERY]

    def change(self, token: str, path: str) -> str:
        """``replaced``, ``in-place`` or ``ignored`` for a changed property; the most exact line decides.

        :raises UnknownRuleError: when no line says which.
        """
        plain = re.sub(r"\[\d+\]", "", path)  # whichever of a list it is
        lines = [line for line in self.of(token) if line.covers(plain) and line.rules & CHANGES]
        if not lines:
            raise UnknownRuleError(
                f"{token}: {path} changed, and no line of {self.name}.csv says what that does: add one"
            )
        exact = max(lines, key=lambda line: (len(line.property), line.type != EVERY))
        return next(iter(exact.rules & CHANGES))
