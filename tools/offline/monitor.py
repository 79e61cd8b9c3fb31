"""The end of the wire that a program normally talks to the engine over.

Records every registration with all of its options (the SDK's own mocks drop them), answers with what an
`Answers` says, and puts secrets and unknowns into the answers as the engine does.
"""

from __future__ import annotations

import threading
from typing import Any

from google.protobuf import empty_pb2
from pulumi.runtime.mocks import MockMonitor, Mocks
from pulumi.runtime.proto import engine_pb2, resource_pb2

from tools.offline.answers import Answers
from tools.offline.plan import Resource
from tools.offline.wire import UNKNOWN, Secret, decode, encode_struct

STACK_TYPE = "pulumi:pulumi:Stack"


class Recorder(MockMonitor):
    """The resource monitor of an offline run.

    :ivar recorded: in the order of registration; a URN that is registered twice stands here twice.
    :ivar stack_outputs: what the program exported.
    """

    def __init__(self, answers: Answers, project: str, stack: str) -> None:
        super().__init__(mocks=_NoMocks())
        self.answers = answers
        self.project = project
        self.stack = stack
        self.recorded: list[Resource] = []
        self.stack_outputs: dict[str, Any] = {}
        self._stack_urn = ""
        self._by_urn: dict[str, Resource] = {}
        self._lock = threading.Lock()

    def make_urn(self, parent: str, type_: str, name: str) -> str:
        """The engine's own rule: all types from below the stack down to this one, joined by ``$``."""
        above = parent.split("::")[2] if parent else ""
        qualified = type_ if above in ("", STACK_TYPE) else f"{above}${type_}"
        return f"urn:pulumi:{self.stack}::{self.project}::{qualified}::{name}"

    def RegisterResource(self, request: Any) -> resource_pb2.RegisterResourceResponse:  # noqa: N802
        urn = self.make_urn(request.parent, request.type, request.name)
        if request.type == STACK_TYPE:
            self._stack_urn = urn
            return resource_pb2.RegisterResourceResponse(urn=urn)
        if request.remote:
            raise RuntimeError(f"{request.type} is built by a plugin, which an offline run does not have")
        inputs = decode(request.object)
        identity, outputs = "", {}
        if request.custom:
            identity, outputs = self.answers.created(request.type, request.name, urn, inputs)
            identity = request.importId or identity
            outputs = self._with_secrets(inputs | outputs, request.additionalSecretOutputs)
        self._record(
            Resource(
                urn=urn,
                type=request.type,
                name=request.name,
                parent=request.parent,
                component=not request.custom,
                inputs=inputs,
                outputs=outputs,
                id=identity,
                depends_on=sorted(set(request.dependencies)),
                property_depends_on={
                    key: sorted(set(value.urns)) for key, value in request.propertyDependencies.items()
                },
                protect=request.protect,
                retain_on_delete=request.retainOnDelete,
                provider=request.provider,
                options=_options(request),
            )
        )
        return resource_pb2.RegisterResourceResponse(urn=urn, id=identity, object=encode_struct(outputs))

    def ReadResource(self, request: Any) -> resource_pb2.ReadResourceResponse:  # noqa: N802
        urn = self.make_urn(request.parent, request.type, request.name)
        state = decode(request.properties)
        _, outputs = self.answers.created(request.type, request.name, urn, state)
        outputs = self._with_secrets(state | outputs, request.additionalSecretOutputs)
        self._record(
            Resource(
                urn=urn,
                type=request.type,
                name=request.name,
                parent=request.parent,
                component=False,
                inputs=state,
                outputs=outputs,
                id=request.id,
                depends_on=sorted(set(request.dependencies)),
                provider=request.provider,
                read=True,
            )
        )
        return resource_pb2.ReadResourceResponse(urn=urn, properties=encode_struct(outputs))

    def RegisterResourceOutputs(self, request: Any) -> empty_pb2.Empty:  # noqa: N802
        outputs = decode(request.outputs)
        if request.urn == self._stack_urn:
            self.stack_outputs = outputs
        elif request.urn in self._by_urn:
            self._by_urn[request.urn].outputs = outputs
        return empty_pb2.Empty()

    def Invoke(self, request: Any) -> resource_pb2.ResourceInvokeResponse:  # noqa: N802
        result = self.answers.looked_up(request.tok, decode(request.args))
        if result is None:
            return resource_pb2.ResourceInvokeResponse(unknown=True)
        response = resource_pb2.ResourceInvokeResponse()
        getattr(response, "return").CopyFrom(encode_struct(result))
        return response

    def Call(self, request: Any) -> Any:  # noqa: N802
        raise RuntimeError(
            f"{request.tok} is a method that only a provider can answer: "
            "use a resource's own outputs or a look-up instead, so that plans work offline"
        )

    def _with_secrets(self, outputs: dict[str, Any], names: Any) -> dict[str, Any]:
        """Mark the outputs that the SDK lists as secret; the ones nobody knows yet become unknown secrets."""
        for name in names:
            value = outputs.get(name, UNKNOWN)
            if name in outputs or self.answers.preview:
                outputs[name] = value if isinstance(value, Secret) else Secret(value)
        return outputs

    def _record(self, resource: Resource) -> None:
        with self._lock:
            self.recorded.append(resource)
            self._by_urn.setdefault(resource.urn, resource)


class Messages:
    """The engine's end for log messages.

    :ivar recorded: (severity, text), debug messages left out.
    """

    def __init__(self) -> None:
        self.recorded: list[tuple[str, str]] = []

    def Log(self, request: Any) -> empty_pb2.Empty:  # noqa: N802
        if request.severity != engine_pb2.DEBUG:
            self.recorded.append((engine_pb2.LogSeverity.Name(request.severity).lower(), request.message))
        return empty_pb2.Empty()

    def RequirePulumiVersion(self, request: Any) -> Any:  # noqa: N802, ARG002
        return engine_pb2.RequirePulumiVersionResponse()


class _NoMocks(Mocks):
    """The base class wants one; everything that would call it is replaced above."""

    def call(self, args: Any) -> Any:
        raise NotImplementedError(args)

    def new_resource(self, args: Any) -> Any:
        raise NotImplementedError(args)


def _options(request: Any) -> dict[str, Any]:
    """The options that are set, by the engine's names."""
    timeouts = request.customTimeouts
    aliases = [one.urn or one.spec.name or one.spec.parentUrn for one in request.aliases]
    options = {
        # The SDK adds aliases of its own for a type's other API versions: they name a type only.
        "aliases": [one for one in aliases if one],
        "deleteBeforeReplace": request.deleteBeforeReplace,
        "deletedWith": request.deletedWith,
        "ignoreChanges": list(request.ignoreChanges),
        "replaceOnChanges": list(request.replaceOnChanges),
        "customTimeouts": {
            key: getattr(timeouts, key) for key in ("create", "update", "delete") if getattr(timeouts, key)
        },
        "import": request.importId,
        "version": request.version,
    }
    return {key: value for key, value in options.items() if value}
