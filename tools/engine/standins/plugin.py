"""What every stand-in shares: values on the wire, the gRPC server, and how a failure is told."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Callable, Mapping
from concurrent import futures
from typing import Any

import grpc
from google.protobuf import any_pb2, empty_pb2, struct_pb2
from pulumi.runtime.proto import plugin_pb2, provider_pb2, provider_pb2_grpc, status_pb2

from tools.engine.standins import MARK, MARK_KEY

UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
"""The engine's sign for a value that is known only after an update (sdk/go/common/resource/plugin/rpc.go)."""

SIGNATURE = "4dabf18193072939515e22adb298388d"
SECRET = "1b47061264138c4ac30d75fd1eb44270"  # noqa: S105 - the engine's public sign for "this is secret"

Properties = dict[str, Any]
_MESSAGE_LIMIT = 400 * 1024 * 1024  # the engine's own


class ProviderError(Exception):
    """An operation that failed before it made or changed anything."""


class PartialError(Exception):
    """An object that exists but is not as it should be: the state must know it, the run must fail."""

    def __init__(self, identifier: str, outputs: Properties, inputs: Properties, reason: str) -> None:
        super().__init__(reason)
        self.identifier, self.outputs, self.inputs, self.reason = identifier, outputs, inputs, reason


def decode(message: struct_pb2.Struct) -> Properties:
    """Properties as plain Python; whole numbers, which travel as floats, become ints."""
    return {key: _decode(value) for key, value in message.fields.items()}


def _decode(value: struct_pb2.Value) -> Any:
    kind = value.WhichOneof("kind")
    if kind == "struct_value":
        inner = decode(value.struct_value)
        return inner["value"] if inner.get(SIGNATURE) == SECRET else inner
    if kind == "list_value":
        return [_decode(item) for item in value.list_value.values]
    if kind == "number_value":
        number = value.number_value
        return int(number) if number == int(number) else number
    return None if kind in (None, "null_value") else getattr(value, kind)


def encode(properties: Mapping[str, Any]) -> struct_pb2.Struct:
    message = struct_pb2.Struct()
    message.update(properties)
    return message


def secret(value: object) -> Properties:
    """Mark a value so that the engine encrypts it in the state."""
    return {SIGNATURE: SECRET, "value": value}


def has_unknown(value: object) -> bool:
    if isinstance(value, Mapping):
        return any(has_unknown(item) for item in value.values())
    if isinstance(value, list):
        return any(has_unknown(item) for item in value)
    return value == UNKNOWN


class Plugin(provider_pb2_grpc.ResourceProviderServicer):
    """The parts of the protocol that do not depend on what is provided.

    ``acceptSecrets`` stays false: the engine then unwraps secrets before it calls, and marks what
    comes back under the same key as secret again, so that none is lost and none is handled here.
    """

    name: str
    version: str

    def __init__(self) -> None:
        self.cancelled = threading.Event()

    def Handshake(self, request, context):  # noqa: N802, ARG002
        return provider_pb2.ProviderHandshakeResponse(supports_autonaming_configuration=True)

    def GetPluginInfo(self, request, context):  # noqa: N802, ARG002
        return plugin_pb2.PluginInfo(version=self.version)

    def CheckConfig(self, request, context):  # noqa: N802, ARG002
        failures = [
            provider_pb2.CheckFailure(property=key, reason=reason)
            for key, reason in self.check_config(decode(request.news))
        ]
        inputs = struct_pb2.Struct()
        inputs.CopyFrom(request.news)
        inputs[MARK_KEY] = MARK
        return provider_pb2.CheckResponse(inputs=inputs, failures=failures)

    def check_config(self, config: Properties) -> list[tuple[str, str]]:  # noqa: ARG002
        """Reasons to refuse a provider configuration: pairs of property and reason."""
        return []

    def DiffConfig(self, request, context):  # noqa: N802, ARG002
        return provider_pb2.DiffResponse()

    def Configure(self, request, context):  # noqa: N802
        self.guarded(context, lambda: self.configure(decode(request.args)))
        return provider_pb2.ConfigureResponse(supportsPreview=True, supports_autonaming_configuration=True)

    def configure(self, config: Properties) -> None:
        """Take the provider's configuration; nested values are JSON texts."""

    def Cancel(self, request, context):  # noqa: N802, ARG002
        self.cancelled.set()
        return empty_pb2.Empty()

    def Invoke(self, request, context):  # noqa: N802
        context.abort(grpc.StatusCode.UNIMPLEMENTED, f"the stand-in for {self.name} has no {request.tok}")

    def Construct(self, request, context):  # noqa: N802
        context.abort(grpc.StatusCode.UNIMPLEMENTED, f"the stand-in for {self.name} has no {request.type}")

    def guarded(self, context: Any, action: Callable[[], Any]) -> Any:
        """Run an operation; failures reach the engine in the form it understands."""
        try:
            return action()
        except PartialError as failure:
            _abort_partial(context, failure)
        except ProviderError as error:
            context.abort(grpc.StatusCode.UNKNOWN, str(error))


def _abort_partial(context, failure: PartialError) -> None:
    detail = any_pb2.Any()
    detail.Pack(
        provider_pb2.ErrorResourceInitFailed(
            id=failure.identifier,
            properties=encode(failure.outputs),
            inputs=encode(failure.inputs),
            reasons=[failure.reason],
        )
    )
    status = status_pb2.Status(
        code=grpc.StatusCode.UNKNOWN.value[0],
        message="it was made, but did not become ready",
        details=[detail],
    )
    context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
    context.abort(grpc.StatusCode.UNKNOWN, status.message)


def serve(plugin: Plugin) -> None:
    """Serve until the engine goes away, however it goes."""
    # One thread waits per resource that becomes ready, so there must be plenty.
    server = grpc.server(
        futures.ThreadPoolExecutor(max_workers=64),
        options=[
            ("grpc.max_receive_message_length", _MESSAGE_LIMIT),
            ("grpc.max_send_message_length", _MESSAGE_LIMIT),
        ],
    )
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(plugin, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(port, flush=True)  # how the engine learns where to connect
    parent = os.getppid()
    while os.getppid() == parent:  # a killed engine sends no signal
        time.sleep(0.5)
    server.stop(0)
    sys.exit(0)


def json_value(text: object) -> Any:
    """A nested configuration value, which the engine sends as a JSON text."""
    if not isinstance(text, str) or text[:1] not in ("[", "{"):
        return text  # a hash such as 12e45678 would be read as a number
    try:
        return json.loads(text)
    except ValueError:
        return text
