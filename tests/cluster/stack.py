"""A stack under test: its settings, its pods, its server as host and pods see them."""

from __future__ import annotations

import base64
import json
import secrets
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from tests.cluster.clone import Clone, Done

POD_LIMIT = 180
"""Seconds for a pod that runs a script of the tests."""
HEAL_LIMIT = 120
"""Seconds in which a server or database that was killed must be back."""


@dataclass(frozen=True)
class Answer:
    """An HTTP answer; status 0 when there was none."""

    status: int
    body: str

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Stack:
    """A stack of the clone.

    :ivar node_port: its port on the nodes.
    """

    clone: Clone
    name: str
    node_port: int

    @property
    def namespace(self) -> str:
        return self.name

    # -- verbs ---------------------------------------------------------------

    def configure(self, **settings: Any) -> None:
        """Write the stack's file: these settings beside its own namespace and port."""
        base = {
            "cloud": "dev",
            "namespace": self.namespace,
            # Scripts take it down; protection has tests of its own.
            "protect": False,
            "exposure": {"nodePort": {"port": self.node_port}},
        }
        self.clone.configure(self.name, {**base, **settings})

    def up(self, *, check: bool = True) -> Done:
        return self.clone.verb("up", self.name, check=check)

    def down(self) -> Done:
        return self.clone.verb("down", self.name, env={"FORCE": self.name})

    def train(self, *words: str, check: bool = True) -> Done:
        return self.clone.verb("train", self.name, *words, check=check)

    # -- the server, from the machine of the tests -----------------------------

    @property
    def url(self) -> str:
        return f"http://{self.clone.local('cluster.json')['nodeAddress']}:{self.node_port}"

    def ask(
        self,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        user: tuple[str, str] | None = None,
        limit: float = 30,
    ) -> Answer:
        """GET, or POST of JSON where there is a body."""
        request = urllib.request.Request(self.url + path, headers=dict(headers or {}))
        if user:
            request.add_header("Authorization", f"Basic {base64.b64encode(':'.join(user).encode()).decode()}")
        if body is not None:
            request.data = json.dumps(body).encode()
            request.add_header("Content-Type", "application/json")
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=limit) as answer:
                return Answer(answer.status, answer.read().decode(errors="replace"))
        except urllib.error.HTTPError as error:
            return Answer(error.code, error.read().decode(errors="replace"))
        except OSError as error:
            return Answer(0, str(error))

    def api(self, name: str, body: Mapping[str, Any] | None = None, **query: Any) -> Any:
        """A call of MLflow's REST API that must succeed."""
        path = f"/api/2.0/mlflow/{name}" + (f"?{urlencode(query)}" if query else "")
        answer = self.ask(path, body)
        assert answer.status == 200, f"{name}: {answer.status} {answer.body[:500]}"
        return answer.json()

    def wait_until_answers(self, path: str = "/api/2.0/mlflow/experiments/get?experiment_id=0") -> float:
        """Seconds until the server answers from its database again."""
        start = time.monotonic()
        eventually(lambda: self.ask(path, limit=5).status == 200, HEAL_LIMIT, f"{path} does not answer")
        return time.monotonic() - start

    # -- pods ------------------------------------------------------------------

    def kubectl(self, *words: str, check: bool = True, stdin: str | None = None) -> str:
        return kubectl(self.clone.local("cluster.json"), self.namespace, *words, check=check, stdin=stdin)

    def objects(self, *words: str) -> list[dict[str, Any]]:
        return json.loads(self.kubectl("get", *words, "-o", "json"))["items"]

    def pod_of(self, component: str) -> dict[str, Any]:
        """The one running, not ending pod of a component."""
        selector = f"app.kubernetes.io/component={component}"
        pods = self.objects("pods", "--selector", selector, "--field-selector", "status.phase=Running")
        living = [pod for pod in pods if not pod["metadata"].get("deletionTimestamp")]
        assert len(living) == 1, [pod["metadata"]["name"] for pod in living]
        return living[0]

    def execute(self, component: str, *command: str, check: bool = True) -> str:
        """Run a command in a component's container; output and errors."""
        name = self.pod_of(component)["metadata"]["name"]
        return self.kubectl("exec", name, "--", *command, check=check)

    def python(self, script: str, *arguments: str) -> Any:
        """Run Python as a job of the user's would: job image, jobs' account, jobs' environment.

        :returns: the JSON of its last line.
        """
        log = run_pod(self, ["python", "-c", script, *arguments])
        return json.loads(log.strip().splitlines()[-1])


def kubectl(
    cluster: Mapping[str, Any], namespace: str, *words: str, check: bool = True, stdin: str | None = None
) -> str:
    """kubectl's standard output, followed by its errors where it may fail."""
    done = subprocess.run(
        [cluster["kubectl"], "--kubeconfig", cluster["kubeconfig"], "--context", cluster["context"],
         "--namespace", namespace, *words],
        input=stdin, capture_output=True, text=True, timeout=POD_LIMIT, check=False,
    )  # fmt: skip
    assert done.returncode == 0 or not check, f"kubectl {' '.join(words[:4])}: {done.stderr}"
    return done.stdout if check else done.stdout + done.stderr


def eventually(check: Callable[[], Any], limit: float, complaint: str) -> Any:
    """Wait for something true.

    :raises AssertionError: with the complaint, after ``limit`` seconds.
    """
    deadline = time.monotonic() + limit
    while not (found := check()):
        assert time.monotonic() < deadline, f"{complaint} ({limit:.0f} s)"
        time.sleep(0.25)
    return found


def run_pod(stack: Stack, command: list[str]) -> str:
    """Run a command in a new pod that passes the restricted standard; its log."""
    name = f"test-{secrets.token_hex(3)}"
    state = json.loads(
        stack.kubectl("get", "configmap,secret", "--selector", "app.kubernetes.io/name=mlflow", "-o", "json")
    )
    names = {kind: [] for kind in ("ConfigMap", "Secret")}
    for each in state["items"]:
        names[each["kind"]].append(each)
    environment: list[dict[str, Any]] = [
        {"configMapRef": {"name": each["metadata"]["name"]}}
        for each in names["ConfigMap"]
        if "MLFLOW_TRACKING_URI" in each.get("data", {})
    ]
    environment += [
        {"secretRef": {"name": each["metadata"]["name"]}}
        for each in names["Secret"]
        if "MLFLOW_TRACKING_PASSWORD" in each.get("data", {})
    ]
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {
            "restartPolicy": "Never",
            "serviceAccountName": "mlflow-jobs",
            "enableServiceLinks": False,
            "securityContext": {
                "runAsNonRoot": True, "runAsUser": 10001, "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [{
                "name": "main",
                "image": stack.clone.local("images.json")["images"]["job"]["reference"],
                "imagePullPolicy": "IfNotPresent",
                "command": command,
                "envFrom": environment,
                "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
            }],
        },
    }  # fmt: skip
    stack.kubectl("create", "-f", "-", stdin=json.dumps(pod))

    def ended() -> str | None:
        phase = stack.kubectl("get", "pod", name, "-o", "jsonpath={.status.phase}")
        return phase if phase in ("Succeeded", "Failed") else None

    phase = eventually(ended, POD_LIMIT, f"pod {name} did not end")
    log = stack.kubectl("logs", name)
    stack.kubectl("delete", "pod", name, "--wait=false")
    assert phase == "Succeeded", log[-3000:]
    return log


@contextmanager
def brought_up(stack: Stack) -> Iterator[Stack]:
    """The stack, up; taken down at the end whatever happened."""
    try:
        stack.up()
        yield stack
    finally:
        if (stack.clone.root / ".local" / "stacks" / f"Pulumi.{stack.name}.yaml").exists():
            stack.down()


def local_files(stack: Stack) -> list[str]:
    """What the clone holds of the stack outside tracked files."""
    found = (stack.clone.root / ".local").rglob(f"*{stack.name}*")
    return sorted(path.relative_to(stack.clone.root).as_posix() for path in found)
