"""The test-only plugin: answers from a table (``python -m tests.engine.anyprovider.plugin PACKAGE``)."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from google.protobuf import empty_pb2
from pulumi.runtime.proto import provider_pb2

from tests.engine.anyprovider.rules import Line, Table, UnknownRuleError
from tools.engine.standins import diff
from tools.engine.standins.objects import clean, token_of
from tools.engine.standins.plugin import (
    UNKNOWN,
    Plugin,
    Properties,
    ProviderError,
    decode,
    encode,
    has_unknown,
    json_value,
    serve,
)

Diff = provider_pb2.PropertyDiff
DELAY = "ANYPROVIDER_DELAY"
"""Environment variable: seconds that each creation and update takes, for tests that interrupt one; for one
type only as ``<type>=<seconds>``."""
FAIL = "ANYPROVIDER_FAIL"
"""Environment variable: a type whose creation fails, as when a quota is used up."""
DRIFT = "ANYPROVIDER_DRIFT"
"""Environment variable: ``{type: {property: value}}``, JSON: what somebody else changed, or what a
look-up finds."""
LINGERING = "ANYPROVIDER_LINGERING"
"""Environment variable: a file that remembers which names deleted resources keep (rule ``lingers``)."""
AUTONAMED = "__autonamed"
"""Input that says that the name was made up; keys with these dashes are left out of every comparison."""
COPIED = "{name}"
"""Value of an ``autonamed`` line whose resources take the program's name as it is: nothing is made up."""


class AnyProvider(Plugin):
    """Serves one package by its table."""

    def __init__(self, table: Table) -> None:
        super().__init__()
        self.name, self.version, self.table = table.name, "", table
        self.config: Properties = {}

    def CheckConfig(self, request, context):  # noqa: N802, ARG002
        return provider_pb2.CheckResponse(inputs=request.news)  # unmarked: it passes for the official plugin

    def DiffConfig(self, request, context):  # noqa: N802
        return self.guarded(context, lambda: self._diff(request))

    def configure(self, config: Properties) -> None:
        self.config = {key: json_value(value) for key, value in config.items()}

    def Check(self, request, context):  # noqa: N802
        return self.guarded(context, lambda: self._check(request))

    def _check(self, request: Any) -> provider_pb2.CheckResponse:
        lines, inputs = self._lines(request.urn), request.news
        news, olds = decode(inputs), decode(request.olds)
        failures = []
        for line in lines:
            given = _get(news, line.property) is not None
            if "required" in line.rules and not given:
                failures.append((line.property, "required"))
            if "computed" in line.rules and given and not line.rules & {"default", "in-place", "replaced"}:
                failures.append((line.property, "computed, not an input"))
            if "autonamed" in line.rules and not given:
                before = _get(olds, line.property) if AUTONAMED in olds else None
                _put(inputs, line.property, before or _name(line, request.urn.rsplit("::", 1)[1]))
                if line.value != COPIED:
                    inputs[AUTONAMED] = True
        for line in self._merged():
            if any(each.property == line.value for each in lines):
                pairs = _get(self.config, line.property) or {}
                own = news.get("tags") or {}
                inputs[line.value] = UNKNOWN if UNKNOWN in (pairs, own) else {**pairs, **own}
        return provider_pb2.CheckResponse(
            inputs=inputs,
            failures=[provider_pb2.CheckFailure(property=key, reason=why) for key, why in failures],
        )

    def _merged(self) -> Iterator[Line]:
        return (line for line in self.table.lines if "merged" in line.rules)

    def Diff(self, request, context):  # noqa: N802
        return self.guarded(context, lambda: self._diff(request))

    def _diff(self, request: Any) -> provider_pb2.DiffResponse:
        token = token_of(request.urn)
        found = diff.changes(_compared(request.old_inputs), _compared(request.news))
        details, replaced = {}, []
        for path, change in found.items():
            text = diff.property_path(path)
            try:
                effect = self.table.change(token, text)
            except UnknownRuleError as error:
                raise ProviderError(str(error)) from error
            if effect == "ignored":
                continue
            replaces = effect == "replaced"
            details[text] = Diff(
                kind=Diff.Kind.Value(change.upper() + ("_REPLACE" if replaces else "")), inputDiff=True
            )
            replaced += [text] if replaces else []
        response = provider_pb2.DiffResponse
        return response(
            changes=response.DIFF_SOME if details else response.DIFF_NONE,
            replaces=replaced,
            deleteBeforeReplace=bool(replaced) and self._keeps_name(token, request),
            detailedDiff=details,
            hasDetailedDiff=True,
        )

    def _keeps_name(self, token: str, request: Any) -> bool:
        """Whether old and new would have the same name, one that was given: the old one must go first."""
        names = [line.property for line in self.table.of(token) if "autonamed" in line.rules]
        olds, news = decode(request.old_inputs), decode(request.news)
        return AUTONAMED not in news and any(_get(olds, name) == _get(news, name) for name in names)

    def Create(self, request, context):  # noqa: N802
        def create() -> provider_pb2.CreateResponse:
            if request.preview:
                _, outputs = self._answer(request.urn, request.properties, "")
                return provider_pb2.CreateResponse(properties=encode(outputs))
            _take_time(request.urn)
            if os.environ.get(FAIL) == token_of(request.urn):
                raise ProviderError("LimitExceeded: the quota is used up")
            _refuse_lingering(self._lines(request.urn), decode(request.properties))
            made_up = hashlib.sha256((request.urn + secrets.token_hex(4)).encode()).hexdigest()[:12]
            identifier, outputs = self._answer(request.urn, request.properties, made_up)
            if has_unknown(outputs):
                raise ProviderError("its lines name properties that nothing gives")
            return provider_pb2.CreateResponse(id=identifier, properties=encode(outputs))

        return self.guarded(context, create)

    def Update(self, request, context):  # noqa: N802
        def update() -> provider_pb2.UpdateResponse:
            if not request.preview:
                _take_time(request.urn)
            # What was computed once is known in previews too: the resource stays the one it is.
            _, outputs = self._answer(request.urn, request.news, request.id)
            for line in self._lines(request.urn):
                if "renewed" in line.rules:
                    before = _get(decode(request.olds), line.property)
                    if request.preview:
                        _put(outputs, line.property, UNKNOWN)
                    elif isinstance(before, int):
                        _put(outputs, line.property, before + 1)
            return provider_pb2.UpdateResponse(properties=encode(outputs))

        return self.guarded(context, update)

    def Read(self, request, context):  # noqa: N802, ARG002
        drifted = json.loads(os.environ.get(DRIFT, "{}")).get(token_of(request.urn), {})
        for struct in (request.properties, request.inputs):
            struct.update(drifted)
        return provider_pb2.ReadResponse(id=request.id, properties=request.properties, inputs=request.inputs)

    def Delete(self, request, context):  # noqa: N802
        def delete() -> empty_pb2.Empty:
            held = decode(request.properties)
            for line in self._lines(request.urn):
                if "guards" in line.rules and held.get(line.property):
                    raise ProviderError(f"cannot be deleted while {line.property} is true")
                if "empties" in line.rules and not held.get(line.property):
                    raise ProviderError(f"not empty: cannot be deleted while {line.property} is not true")
                if "owns" in line.rules:
                    raise ProviderError("cannot be deleted by itself: it owns something there")
            _keep_lingering(self._lines(request.urn), held)
            return empty_pb2.Empty()

        return self.guarded(context, delete)

    def Invoke(self, request, context):  # noqa: N802
        def invoke() -> provider_pb2.InvokeResponse:
            try:
                lines = self.table.of(request.tok)
            except UnknownRuleError as error:
                raise ProviderError(str(error)) from error
            # The engine asks only when it knows every argument.
            known = {**self.config, **decode(request.args), "fresh": secrets.token_hex(8)}
            results = {line.property: line.filled(known) for line in lines if "result" in line.rules}
            results |= json.loads(os.environ.get(DRIFT, "{}")).get(request.tok, {})
            if has_unknown(results):
                raise ProviderError(f"{request.tok}: its lines name arguments that are not given")
            keyword: Any = {"return": encode(results)}
            return provider_pb2.InvokeResponse(**keyword)

        return self.guarded(context, invoke)

    def _lines(self, urn: str) -> list[Line]:
        try:
            return self.table.of(token_of(urn))
        except UnknownRuleError as error:
            raise ProviderError(str(error)) from error

    def _answer(self, urn: str, inputs: Any, identifier: str) -> tuple[str, Properties]:
        """Identifier and outputs: the inputs plus what the cloud adds.

        :param identifier: used unless the table says what it is; empty in the preview of a creation, in
            which what the cloud adds is unknown.
        """
        outputs = decode(inputs)
        text = json.dumps(outputs, sort_keys=True).encode()
        digest = UNKNOWN if has_unknown(outputs) else hashlib.sha256(text).hexdigest()
        known = {"name": urn.rsplit("::", 1)[1], "id": identifier, "hash": digest} | self.config
        for line in self._lines(urn):
            if "unanswered" in line.rules:
                _drop(outputs, line.property)
            if not line.rules & {"computed", "default"} or _get(outputs, line.property) is not None:
                continue
            decided = identifier or "default" in line.rules
            value = line.filled({**known, **outputs}) if decided else UNKNOWN
            if line.property == "id":
                identifier = known["id"] = value
            else:
                _put(outputs, line.property, value)
        return identifier, outputs


def _compared(struct: Any) -> Properties:
    """Inputs as they are compared; nested values of a provider's configuration are JSON texts."""
    return {key: json_value(value) for key, value in clean(decode(struct)).items()}


def _get(properties: Any, path: str) -> Any:
    for part in path.split("."):
        properties = properties.get(part) if isinstance(properties, dict) else None
    return properties


def _drop(properties: Properties, path: str) -> None:
    parent, _, last = path.rpartition(".")
    held = _get(properties, parent) if parent else properties
    if isinstance(held, dict):
        held.pop(last, None)


def _put(properties: Any, path: str, value: Any) -> None:
    """Set a nested value in a dictionary or, where nothing else may change, in the message itself."""
    *parents, last = path.split(".")
    for part in parents:
        if part not in properties:
            properties[part] = {}
        properties = properties[part]
    properties[last] = value


def _name(line: Line, name: str) -> str:
    """A name for a resource that was given none."""
    if not line.value:
        return f"{name}-{secrets.token_hex(4)[:7]}"
    return line.filled({"name": name, "fresh": secrets.token_hex(4), "uuid": str(uuid.uuid4())})


def _lingering(lines: list[Line], properties: Properties) -> list[str]:
    return [
        f"{line.type} {_get(properties, line.property)}"
        for line in lines
        if "lingers" in line.rules and _get(properties, line.property)
    ]


def _keep_lingering(lines: list[Line], properties: Properties) -> None:
    kept, names = os.environ.get(LINGERING), _lingering(lines, properties)
    if kept and names:
        with Path(kept).open("a") as file:
            file.writelines(f"{each}\n" for each in names)


def _refuse_lingering(lines: list[Line], properties: Properties) -> None:
    kept = Path(os.environ.get(LINGERING) or os.devnull)
    taken = set(kept.read_text().splitlines()) if kept.exists() else set()
    for each in _lingering(lines, properties):
        if each in taken:
            raise ProviderError(f"a deleted resource keeps its name: {each}")


def _take_time(urn: str) -> None:
    token, _, seconds = os.environ.get(DELAY, "0").rpartition("=")
    if token in ("", token_of(urn)):
        time.sleep(float(seconds))


if __name__ == "__main__":
    serve(AnyProvider(Table.load(sys.argv[1])))
