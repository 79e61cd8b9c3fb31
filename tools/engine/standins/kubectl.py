"""kubectl as the stand-in calls it: one cluster, objects in and out as plain dictionaries."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tools.common import cache_dir
from tools.engine.standins.plugin import ProviderError

Object = dict[str, Any]

FIELD_MANAGER = "pulumi-kubernetes"
REQUEST_LIMIT = "60s"  # one answer of the API server
WATCH_LASTS = "60s"  # so that none outlives a plugin that was killed by much
CALL_LIMIT = 90  # seconds for a whole kubectl call that does not wait for anything


class KubectlError(ProviderError):
    """kubectl said no; the text is what it wrote."""

    @property
    def not_found(self) -> bool:
        text = str(self)
        return (
            "(NotFound)" in text
            or "no matches for kind" in text
            or "the server doesn't have a resource" in text
        )

    @property
    def unreachable(self) -> bool:
        signs = ("connection refused", "no such host", "i/o timeout", "Unable to connect", "no route to host")
        return any(sign in str(self) for sign in signs)

    @property
    def namespace_missing(self) -> bool:
        return "(NotFound)" in str(self) and "namespaces " in str(self)


def reference(manifest: Object) -> Object:
    """The least of an object that names it."""
    metadata = {k: manifest["metadata"][k] for k in ("name", "namespace") if manifest["metadata"].get(k)}
    return {"apiVersion": manifest["apiVersion"], "kind": manifest["kind"], "metadata": metadata}


class Kubectl:
    """Calls for one provider resource.

    :param kubeconfig: a path, or the content itself.
    """

    def __init__(self, kubeconfig: str | None, context: str | None, cluster: str | None) -> None:
        binary = os.environ.get("MLFLOW_KUBECTL") or shutil.which("kubectl")
        if not binary:
            raise ProviderError("kubectl is not installed; run `make cluster`, or put it on PATH")
        self._command = [binary, "--cache-dir", str(cache_dir() / "kube-discovery")]
        if kubeconfig:
            self._command += ["--kubeconfig", self._as_file(kubeconfig)]
        if context:
            self._command += ["--context", context]
        if cluster:
            self._command += ["--cluster", cluster]
        self._context = context or "the current one"

    def _as_file(self, kubeconfig: str) -> str:
        if "\n" not in kubeconfig and not kubeconfig.lstrip().startswith("{"):
            return str(Path(kubeconfig).expanduser())
        # The object must outlive this call: the folder goes when the plugin ends.
        self._folder = tempfile.TemporaryDirectory(prefix="mlflow-kubeconfig-")
        path = Path(self._folder.name) / "kubeconfig"
        path.touch(mode=0o600)
        path.write_text(kubeconfig)
        return str(path)

    def call(self, *words: str, manifest: Object | None = None, limit: float = CALL_LIMIT) -> str:
        """Run kubectl; ``manifest`` goes to its standard input.

        :raises KubectlError: when it fails.
        """
        try:
            done = subprocess.run(
                [*self._command, *words],
                input=json.dumps(manifest) if manifest is not None else None,
                stdin=subprocess.DEVNULL if manifest is None else None,
                capture_output=True,
                text=True,
                timeout=limit,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise KubectlError(f"kubectl {words[0]} gave no answer within {limit:.0f} s") from None
        if done.returncode:
            error = KubectlError(done.stderr.strip() or done.stdout.strip())
            if error.unreachable:
                last = str(error).splitlines()[-1]
                raise KubectlError(
                    f"the cluster of context {self._context} does not answer ({last}); "
                    "start it (`make cluster`) or correct the stack's context"
                )
            raise error
        return done.stdout

    def get(self, manifest: Object, *, managed_fields: bool = False) -> Object | None:
        """The live object; None when it, its namespace or its kind does not exist."""
        words = ["get", "-f", "-", "-o", "json", "--ignore-not-found"]
        words.append(f"--request-timeout={REQUEST_LIMIT}")
        if managed_fields:
            words.append("--show-managed-fields")
        try:
            text = self.call(*words, manifest=reference(manifest))
        except KubectlError as error:
            if error.not_found:
                return None
            raise
        if not text.strip():
            return None
        found = json.loads(text)
        # kubectl answers a manifest on standard input with a list, of one.
        items = found["items"] if found.get("kind") == "List" else [found]
        return items[0] if items else None

    def list(self, *words: str) -> list[Object]:
        return json.loads(self.call("get", *words, "-o", "json"))["items"]

    def apply(self, manifest: Object, *, force: bool, dry_run: bool = False) -> Object:
        """Server-side apply; returns the object as the server now holds it."""
        words = ["apply", "--server-side", "-f", "-", "-o", "json", "--validate=strict"]
        words += [f"--field-manager={FIELD_MANAGER}", f"--request-timeout={REQUEST_LIMIT}"]
        if force:
            words.append("--force-conflicts")
        if dry_run:
            words.append("--dry-run=server")
        return json.loads(self.call(*words, manifest=manifest))

    def validate(self, manifest: Object) -> None:
        """Check an object against the server's schema only, for when its namespace is still to be made."""
        self.call(
            "create", "-f", "-", "--dry-run=client", "--validate=strict", "-o", "name", manifest=manifest
        )

    def delete(self, manifest: Object, *, wait: bool, seconds: float, propagation: str) -> None:
        """Delete and wait until it is gone; what is not there is no error."""
        words = ["delete", "-f", "-", "--ignore-not-found", f"--cascade={propagation}"]
        words += [f"--wait={'true' if wait else 'false'}", f"--timeout={seconds:.0f}s"]
        try:
            self.call(*words, manifest=reference(manifest), limit=seconds + CALL_LIMIT)
        except KubectlError as error:
            if not error.not_found:
                raise

    @contextlib.contextmanager
    def watch(self, kind: str, namespace: str | None, *selector: str) -> Iterator[queue.Queue[Object]]:
        """Follow objects: their states arrive on the queue as they change, each with ``kind`` set.

        A watch that the server ends is followed by a new one, which starts with the present state.
        """
        words = ["get", kind, *selector, "--watch", "--output-watch-events", "-o", "json"]
        words.append(f"--request-timeout={WATCH_LASTS}")
        if namespace:
            words += ["--namespace", namespace]
        events: queue.Queue[Object] = queue.Queue()
        stop = threading.Event()
        running: list[subprocess.Popen[str]] = []

        def follow() -> None:
            while not stop.is_set():
                process = subprocess.Popen(
                    [*self._command, *words],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,
                    text=True,
                )
                running[:] = [process]
                for event in _events(process):
                    events.put(event)
                stop.wait(1)

        thread = threading.Thread(target=follow, daemon=True)
        thread.start()
        try:
            yield events
        finally:
            stop.set()
            for process in running:
                process.kill()


def _events(process: subprocess.Popen[str]) -> Iterator[Object]:
    """Watch events from a running kubectl, which writes one on each line."""
    assert process.stdout is not None
    for line in process.stdout:
        yield json.loads(line)
    process.wait()
