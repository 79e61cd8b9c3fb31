"""A stack that is up: its outputs, and kubectl on the cluster it runs on."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tools.access import kubectl_of_stack, make
from tools.common import Failure, run

CALL_LIMIT = 60
"""Seconds for one kubectl call that does not wait for anything."""


@dataclass(frozen=True)
class Deployed:
    """What the verbs that look at a running stack need.

    :ivar outputs: the stack's exports in plain text, secrets included: never print them as a whole.
    :ivar kubectl_command: kubectl with a kubeconfig of the project's own and the stack's context.
    """

    stack: str
    outputs: Mapping[str, Any]
    kubectl_command: tuple[str, ...]

    @property
    def namespace(self) -> str:
        return self.outputs["namespace"]

    @property
    def url(self) -> str:
        """Where people reach the server, without a trailing slash."""
        return self.outputs["url"].rstrip("/")

    def command(self, *words: str) -> list[str]:
        """kubectl in the stack's namespace, for a caller that runs it itself."""
        return [*self.kubectl_command, "--namespace", self.namespace, *words]

    def kubectl(self, *words: str, manifest: Mapping[str, Any] | None = None) -> str:
        """Run kubectl in the stack's namespace and return what it wrote.

        :param manifest: goes to standard input as JSON.
        :raises Failure: when it fails.
        """
        return run(
            self.command(*words),
            input=None if manifest is None else json.dumps(manifest),
            timeout=CALL_LIMIT,
            hint="is the cluster up? make status",
        )

    def objects(self, *words: str) -> list[dict[str, Any]]:
        """``kubectl get <words>`` as a list of plain objects."""
        return json.loads(self.kubectl("get", *words, "-o", "json"))["items"]

    def lines(self, *words: str) -> Iterator[str]:
        """Lines of a kubectl call as they come; it is ended when the caller stops reading.

        :raises Failure: when kubectl fails.
        """
        with subprocess.Popen(
            self.command(*words), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as process:
            assert process.stdout is not None
            try:
                yield from process.stdout
            except BaseException:
                process.terminate()
                raise
            if process.wait():
                raise Failure(f"kubectl {words[0]} exited {process.returncode}", "see its last line above")


def find(stack: str) -> Deployed:
    """The running stack of this name.

    :raises Failure: when it is not up, or its cluster is not there.
    """
    # Late: this costs a fifth of a second, and a verb's --help does without.
    from tools.engine.workspace import open_stack

    outputs = {name: output.value for name, output in open_stack(stack).outputs().items()}
    if "namespace" not in outputs:
        raise Failure(f"stack {stack} is not up", make("up", stack))
    return Deployed(stack, outputs, kubectl_of_stack(stack, outputs))
