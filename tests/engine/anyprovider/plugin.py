"""The test-only plugin: answers from a table (``python -m tests.engine.anyprovider.plugin PACKAGE``)."""

from __future__ import annotations

import hashlib
import os
import secrets
import sys
import time
from typing import Any

from google.protobuf import empty_pb2
from pulumi.runtime.proto import provider_pb2

from tests.engine.anyprovider.rules import Table, UnknownRuleError
from tools.engine.standins import diff
from tools.engine.standins.objects import clean, token_of
from tools.engine.standins.plugin import UNKNOWN, Plugin, ProviderError, decode, encode, serve

Diff = provider_pb2.PropertyDiff
DELAY = "ANYPROVIDER_DELAY"
"""Environment variable: seconds that each creation and update takes, for tests that interrupt one."""


class AnyProvider(Plugin):
    """Serves one package by its table."""

    def __init__(self, table: Table) -> None:
        super().__init__()
        self.name, self.version, self.table = table.name, "", table

    def Check(self, request, context):  # noqa: N802
        return self.guarded(context, lambda: self._check(request))

    def _check(self, request: Any) -> provider_pb2.CheckResponse:
        news, olds = decode(request.news), decode(request.olds)
        failures = []
        for line in self._lines(request.urn):
            if "required" in line.rules and line.property not in news:
                failures.append(provider_pb2.CheckFailure(property=line.property, reason="required"))
            if (
                "computed" in line.rules
                and line.property in news
                and not line.rules & {"default", "in-place"}
            ):
                failures.append(
                    provider_pb2.CheckFailure(property=line.property, reason="computed, not an input")
                )
            if "autonamed" in line.rules and line.property not in news:
                name = request.urn.rsplit("::", 1)[1]
                request.news[line.property] = olds.get(line.property) or f"{name}-{secrets.token_hex(4)[:7]}"
        return provider_pb2.CheckResponse(inputs=request.news, failures=failures)

    def Diff(self, request, context):  # noqa: N802
        return self.guarded(context, lambda: self._diff(request))

    def _diff(self, request: Any) -> provider_pb2.DiffResponse:
        found = diff.changes(clean(decode(request.old_inputs)), clean(decode(request.news)))
        details, replaced = {}, []
        for path, change in found.items():
            text = diff.property_path(path)
            try:
                replaces = self.table.change(token_of(request.urn), text) == "replaced"
            except UnknownRuleError as error:
                raise ProviderError(str(error)) from error
            details[text] = Diff(
                kind=Diff.Kind.Value(change.upper() + ("_REPLACE" if replaces else "")), inputDiff=True
            )
            replaced += [text] if replaces else []
        response = provider_pb2.DiffResponse
        return response(
            changes=response.DIFF_SOME if details else response.DIFF_NONE,
            replaces=replaced,
            detailedDiff=details,
            hasDetailedDiff=True,
        )

    def Create(self, request, context):  # noqa: N802
        def create() -> provider_pb2.CreateResponse:
            if request.preview:
                return provider_pb2.CreateResponse(
                    properties=encode(self._outputs(request, request.properties, ""))
                )
            time.sleep(float(os.environ.get(DELAY, "0")))
            identifier = hashlib.sha256((request.urn + secrets.token_hex(4)).encode()).hexdigest()[:12]
            outputs = self._outputs(request, request.properties, identifier)
            return provider_pb2.CreateResponse(id=identifier, properties=encode(outputs))

        return self.guarded(context, create)

    def Update(self, request, context):  # noqa: N802
        def update() -> provider_pb2.UpdateResponse:
            identifier = "" if request.preview else request.id
            time.sleep(0 if request.preview else float(os.environ.get(DELAY, "0")))
            return provider_pb2.UpdateResponse(
                properties=encode(self._outputs(request, request.news, identifier))
            )

        return self.guarded(context, update)

    def Read(self, request, context):  # noqa: N802, ARG002
        return provider_pb2.ReadResponse(id=request.id, properties=request.properties, inputs=request.inputs)

    def Delete(self, request, context):  # noqa: N802
        def delete() -> empty_pb2.Empty:
            held = decode(request.properties)
            for line in self._lines(request.urn):
                if "guards" in line.rules and held.get(line.property):
                    raise ProviderError(f"cannot be deleted while {line.property} is true")
            return empty_pb2.Empty()

        return self.guarded(context, delete)

    def Invoke(self, request, context):  # noqa: N802
        def invoke() -> provider_pb2.InvokeResponse:
            try:
                lines = self.table.of(request.tok)
            except UnknownRuleError as error:
                raise ProviderError(str(error)) from error
            arguments = {key: str(value) for key, value in decode(request.args).items()}
            results = {line.property: line.filled(**arguments) for line in lines if "result" in line.rules}
            keyword: Any = {"return": encode(results)}
            return provider_pb2.InvokeResponse(**keyword)

        return self.guarded(context, invoke)

    def _lines(self, urn: str):
        try:
            return self.table.of(token_of(urn))
        except UnknownRuleError as error:
            raise ProviderError(str(error)) from error

    def _outputs(self, request: Any, properties: Any, identifier: str) -> dict[str, Any]:
        """The inputs plus what the cloud adds; without an identifier (a preview) that is unknown."""
        outputs = decode(properties)
        name = request.urn.rsplit("::", 1)[1]
        for line in self._lines(request.urn):
            if line.rules & {"computed", "default"} and line.property not in outputs:
                known = identifier or "default" in line.rules
                outputs[line.property] = line.filled(name=name, id=identifier) if known else UNKNOWN
        return outputs


if __name__ == "__main__":
    serve(AnyProvider(Table.load(sys.argv[1])))
