"""Stand-in for the official ``kubernetes`` plugin: any object that kubectl can apply.

Server-side apply, server-side dry run in previews, autonaming, replacement on immutable properties and
waits follow the official provider's documentation
(https://www.pulumi.com/registry/packages/kubernetes/). What it does not do, it refuses: Helm, Kustomize
and YAML resources, ``…Patch`` resources, functions, and provider options not named in
``configuration.OPTIONS``.
"""

from __future__ import annotations

import copy
import secrets
import sys
from typing import Any

import grpc
from google.protobuf import empty_pb2
from pulumi.runtime.proto import engine_pb2, engine_pb2_grpc, provider_pb2

from tools.engine.standins import diff, drift
from tools.engine.standins.configuration import Configuration, same_cluster
from tools.engine.standins.kubectl import Kubectl, KubectlError, Object
from tools.engine.standins.objects import (
    CLUSTER_SCOPED,
    check_token,
    clean,
    forces,
    identifier,
    kind_of,
    outputs_of,
    token_of,
)
from tools.engine.standins.plugin import (
    UNKNOWN,
    PartialError,
    Plugin,
    Properties,
    ProviderError,
    decode,
    encode,
    has_unknown,
    secret,
    serve,
)
from tools.engine.standins.wait import NotReadyError, Waiter, limit_of, skips, unready

PROPAGATION = "pulumi.com/deletionPropagationPolicy"
Diff = provider_pb2.PropertyDiff


class Kubernetes(Plugin):
    """The servicer for one provider resource: one cluster, one context."""

    name = "kubernetes"

    def __init__(self, version: str, engine: str) -> None:
        super().__init__()
        self.version = version
        self.configuration = Configuration({})
        self._engine = engine_pb2_grpc.EngineStub(grpc.insecure_channel(engine)) if engine else None

    def check_config(self, config: Properties) -> list[tuple[str, str]]:
        return Configuration(config).mistakes()

    def DiffConfig(self, request, context):  # noqa: N802, ARG002
        """A change of cluster replaces every object, any other change none (official: DiffConfig)."""
        olds, news = decode(request.old_inputs), decode(request.news)
        changed = sorted(key for key in {*olds, *news} if olds.get(key) != news.get(key))
        moved = bool(changed) and not has_unknown(news) and not same_cluster(olds, news)
        response = provider_pb2.DiffResponse
        return response(
            changes=response.DIFF_SOME if changed else response.DIFF_NONE,
            diffs=changed,
            replaces=changed if moved else [],
        )

    def configure(self, config: Properties) -> None:
        self.configuration = Configuration(config)

    @property
    def kubectl(self) -> Kubectl:
        return self.configuration.kubectl

    def Check(self, request, context):  # noqa: N802, ARG002
        olds, news = clean(decode(request.olds)), clean(decode(request.news))
        failures = check_token(token_of(request.urn), news)
        if not failures:
            self._name(request, olds, news)
        for key in ("data", "stringData"):
            if news.get("kind") == "Secret" and key in news:
                news[key] = secret(news[key])
        return provider_pb2.CheckResponse(
            inputs=encode(news),
            failures=[provider_pb2.CheckFailure(reason=reason) for reason in failures],
        )

    def _name(self, request: Any, olds: Object, news: Object) -> None:
        metadata = news.setdefault("metadata", {})
        if metadata == UNKNOWN:
            return
        namespace = self.configuration.values.get("namespace")
        if namespace and not metadata.get("namespace") and news["kind"] not in CLUSTER_SCOPED:
            metadata["namespace"] = namespace
        if metadata.get("name"):
            return
        if diff.is_autonamed(olds):
            metadata["name"] = olds["metadata"]["name"]
        else:
            base = request.urn.rsplit("::", 1)[1]
            # Eight hexadecimal digits, as the engine's NewUniqueName makes by default.
            metadata["name"] = request.autonaming.proposed_name or f"{base}-{secrets.token_hex(4)}"
        metadata["annotations"] = {**(metadata.get("annotations") or {}), diff.AUTONAMED: "true"}

    def Diff(self, request, context):  # noqa: N802, ARG002
        olds, news = clean(decode(request.old_inputs)), clean(decode(request.news))
        found = diff.changes(olds, news)
        ignored = tuple(request.ignoreChanges)
        details, replaced = {}, []
        for path, change in found.items():
            text = diff.property_path(path)
            if any(text == each or text.startswith((each + ".", each + "[")) for each in ignored):
                continue
            replace = diff.replaces(news, path, mutable=self.configuration.mutable)
            kind = Diff.Kind.Value(change.upper() + ("_REPLACE" if replace else ""))
            details[text] = Diff(kind=kind, inputDiff=True)
            replaced += [text] if replace else []
        if self._is_unready_job(news):
            details[diff.REPLACE_UNREADY] = Diff(kind=Diff.Kind.Value("UPDATE_REPLACE"), inputDiff=True)
            replaced.append(diff.REPLACE_UNREADY)
        same_place = all(
            (olds.get("metadata") or {}).get(key) == (news.get("metadata") or {}).get(key)
            for key in ("name", "namespace")
        )
        response = provider_pb2.DiffResponse
        return response(
            changes=response.DIFF_SOME if details else response.DIFF_NONE,
            diffs=sorted({text.split(".")[0].split("[")[0] for text in details}),
            detailedDiff=details,
            hasDetailedDiff=True,
            replaces=replaced,
            # An autonamed object gets a new name: the new one can be there before the old one goes.
            deleteBeforeReplace=bool(replaced) and same_place and not diff.is_autonamed(news),
        )

    def _is_unready_job(self, news: Object) -> bool:
        """Whether this is a Job that did not complete and asks to be replaced then, as officially."""
        annotations = (news.get("metadata") or {}).get("annotations") or {}
        if news.get("kind") != "Job" or annotations.get("pulumi.com/replaceUnready") != "true":
            return False
        live = self.kubectl.get(news)
        conditions = ((live or {}).get("status") or {}).get("conditions") or []
        complete = any(each["type"] == "Complete" and each["status"] == "True" for each in conditions)
        return live is not None and not complete

    def Create(self, request, context):  # noqa: N802
        return self.guarded(context, lambda: self._create(request))

    def _create(self, request: Any) -> provider_pb2.CreateResponse:
        inputs = clean(decode(request.properties))
        if request.preview:
            return provider_pb2.CreateResponse(properties=encode(self._preview(inputs, force=False)))
        upsert = self.configuration.is_on("upsertExistingObjects")
        if not upsert and self.kubectl.get(inputs) is not None:
            raise ProviderError(
                f"{inputs['kind']} {identifier(inputs)} already exists and is not in this stack's state; "
                "delete it, or choose another name or namespace"
            )
        live = self.kubectl.apply(inputs, force=upsert or forces(inputs))
        live = self._await(request, live, inputs)
        return provider_pb2.CreateResponse(id=identifier(live), properties=encode(outputs_of(live)))

    def Update(self, request, context):  # noqa: N802
        return self.guarded(context, lambda: self._update(request))

    def _update(self, request: Any) -> provider_pb2.UpdateResponse:
        inputs = clean(decode(request.news))
        if request.ignoreChanges:
            current = self.kubectl.get(inputs, managed_fields=True)
            inputs = drift.without_others_fields(inputs, current, list(request.ignoreChanges))
        if request.preview:
            return provider_pb2.UpdateResponse(properties=encode(self._preview(inputs, force=forces(inputs))))
        live = self.kubectl.apply(inputs, force=forces(inputs))
        live = self._await(request, live, clean(decode(request.news)))
        return provider_pb2.UpdateResponse(properties=encode(outputs_of(live)))

    def _preview(self, inputs: Object, *, force: bool) -> Object:
        """What the object would be: from the server's dry run where everything is known."""
        if has_unknown(inputs) or has_unknown(self.configuration.values):
            return inputs
        try:
            return outputs_of(self.kubectl.apply(inputs, force=force, dry_run=True))
        except KubectlError as error:
            if error.namespace_missing:
                self.kubectl.validate(inputs)
                return inputs
            if error.not_found:  # its definition comes with this same update
                return inputs
            raise

    def _await(self, request: Any, live: Object, inputs: Object) -> Object:
        """Wait until the object is ready; on failure the state still learns that it exists."""

        def report(text: str) -> None:
            if self._engine:
                info = engine_pb2.LogSeverity.INFO
                self._engine.Log(
                    engine_pb2.LogRequest(severity=info, message=text, urn=request.urn, ephemeral=True)
                )

        waiter = Waiter(self.kubectl, live, limit_of(inputs, request.timeout), report, self.cancelled)
        try:
            return waiter.wait()
        except (NotReadyError, ProviderError) as error:
            where = identifier(live)
            reason = f"{live['kind']} {where}: {error}"
            raise PartialError(where, outputs_of(waiter.live), inputs, reason) from error

    def Read(self, request, context):  # noqa: N802
        return self.guarded(context, lambda: self._read(request))

    def _read(self, request: Any) -> provider_pb2.ReadResponse:
        inputs, outputs = clean(decode(request.inputs)), clean(decode(request.properties))
        # Neither where the program asks for somebody else's object by its id.
        manifest = copy.deepcopy(inputs or outputs) or kind_of(request.urn)
        namespace, _, name = request.id.rpartition("/")
        manifest.setdefault("metadata", {}).update(
            {"name": name, **({"namespace": namespace} if namespace else {})}
        )
        live = self.kubectl.get(manifest)
        if live is None:
            return provider_pb2.ReadResponse()  # gone: the engine drops it from the state
        live = outputs_of(live)
        if not outputs.get("metadata", {}).get("uid"):  # made by an interrupted run
            outputs = live
        new_inputs = drift.seen(inputs, outputs, live)
        new_outputs = drift.refreshed(outputs, live, inputs)
        missing = unready(live)
        if missing:  # the next update waits for it, e.g. after a run that was interrupted
            raise PartialError(request.id, new_outputs, new_inputs, f"{live['kind']} {request.id}: {missing}")
        if new_inputs.get("kind") == "Secret":
            new_inputs = {k: secret(v) if k in ("data", "stringData") else v for k, v in new_inputs.items()}
        return provider_pb2.ReadResponse(
            id=request.id, properties=encode(new_outputs), inputs=encode(new_inputs)
        )

    def Delete(self, request, context):  # noqa: N802
        return self.guarded(context, lambda: self._delete(request))

    def _delete(self, request: Any) -> empty_pb2.Empty:
        outputs = clean(decode(request.properties))
        inputs = clean(decode(request.old_inputs)) or outputs
        policy = (inputs["metadata"].get("annotations") or {}).get(PROPAGATION, "foreground")
        seconds = limit_of(inputs, request.timeout)
        try:
            self.kubectl.delete(
                outputs if outputs.get("metadata") else inputs,
                wait=not skips(inputs),
                seconds=seconds,
                propagation=policy.lower(),
            )
        except KubectlError as error:
            if error.unreachable and self.configuration.forgets_unreachable:
                return empty_pb2.Empty()
            raise ProviderError(
                f"{inputs['kind']} {request.id} could not be deleted: {error}{self._holders(inputs)}"
            ) from error
        return empty_pb2.Empty()

    def _holders(self, manifest: Object) -> str:
        """What keeps a deleted object: finalizers, or what is left in a namespace."""
        try:
            live = self.kubectl.get(manifest)
        except KubectlError:
            return ""
        if live is None:
            return ""
        finalizers = live["metadata"].get("finalizers") or []
        left = [
            c["message"]
            for c in (live.get("status") or {}).get("conditions") or []
            if c.get("status") == "True"
        ]
        return "".join(f"\n  held by {text}" for text in [*finalizers, *left])


if __name__ == "__main__":
    serve(Kubernetes(version=sys.argv[1], engine=sys.argv[2] if len(sys.argv) > 2 else ""))
