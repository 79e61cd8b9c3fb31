"""A stack under test: its settings, its pods, its server as host and pods see them."""

from __future__ import annotations

import base64
import json
import secrets
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import urlencode

from tests.cluster.clone import Clone, Done

Made = TypeVar("Made")
POSTGRESQL = {"database": {"engine": "postgresql"}}
"""Settings of the default stack."""
SIGNED_IN = {**POSTGRESQL, "auth": {"mode": "basic"}}
"""The same with sign-in."""
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

    def incarnation(self, component: str) -> list[tuple[str, int]]:
        """What changes when a component's pod or container is made anew; only ready ones count."""
        pods = self.objects("pods", "--selector", f"app.kubernetes.io/component={component}")
        return sorted(
            (pod["metadata"]["uid"], sum(each["restartCount"] for each in pod["status"]["containerStatuses"]))
            for pod in pods
            if is_ready(pod) and not pod["metadata"].get("deletionTimestamp")
        )

    def killed(self, component: str, kill: Callable[[Stack], None]) -> float:
        """Kill a component, wait until it is there anew and the server answers; the seconds that took."""
        before, start = self.incarnation(component), time.monotonic()
        kill(self)
        eventually(
            lambda: self.incarnation(component) not in ([], before),
            HEAL_LIMIT,
            f"{kill.__name__}: the {component} is not there anew",
        )
        self.wait_until_answers("/health")
        return time.monotonic() - start

    def kill_pod(self, component: str) -> None:
        """Remove a component's pod at once, without a chance to finish anything."""
        name = self.pod_of(component)["metadata"]["name"]
        self.kubectl("delete", "pod", name, "--grace-period=0", "--force")

    def secrets(self) -> dict[str, dict[str, str]]:
        """Every Secret of the stack with its values, encoded."""
        return {each["metadata"]["name"]: each["data"] for each in self.objects("secrets")}

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

    def python(self, script: str, *arguments: str, limit: float = POD_LIMIT, pod: str | None = None) -> Any:
        """Run Python as a job of the user's would: job image, jobs' account, jobs' environment.

        :param pod: its name; None for any.
        :returns: the JSON of its last line.
        """
        log = run_pod(self, ["python", "-c", script, *arguments], limit, pod)
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


def eventually(check: Callable[[], Any], limit: float, complaint: str | Callable[[], str]) -> Any:
    """Wait for something true.

    :raises AssertionError: with the complaint, after ``limit`` seconds.
    """
    deadline = time.monotonic() + limit
    while not (found := check()):
        if time.monotonic() >= deadline:
            raise AssertionError(
                f"{complaint if isinstance(complaint, str) else complaint()} ({limit:.0f} s)"
            )
        time.sleep(0.25)
    return found


def is_ready(pod: Mapping[str, Any]) -> bool:
    """Whether all containers of a pod are ready."""
    states = pod["status"].get("containerStatuses", [])
    return bool(states) and all(state["ready"] for state in states)


def run_pod(stack: Stack, command: list[str], limit: float = POD_LIMIT, name: str | None = None) -> str:
    """Run a command in a new pod that passes the restricted standard; its log."""
    name = name or f"test-{secrets.token_hex(3)}"
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
                # Little, or a small node has no room for it beside a stack that rolls.
                "resources": {"requests": {"cpu": "100m", "memory": "512Mi"}},
                "envFrom": environment,
                "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
            }],
        },
    }  # fmt: skip
    stack.kubectl("create", "-f", "-", stdin=json.dumps(pod))

    def ended() -> str | None:
        phase = stack.kubectl("get", "pod", name, "-o", "jsonpath={.status.phase}")
        return phase if phase in ("Succeeded", "Failed") else None

    def unended() -> str:
        known = stack.kubectl("get", "pod", name, "-o", "jsonpath={.status}")
        return f"pod {name} did not end: {known}\n{stack.kubectl('logs', name, check=False)[-3000:]}"

    try:
        phase = eventually(ended, limit, unended)
        log = stack.kubectl("logs", name)
    finally:
        stack.kubectl("delete", "pod", name, "--wait=false")
    assert phase == "Succeeded", log[-3000:]
    return log


@dataclass(frozen=True)
class SignedIn:
    """A stack with sign-in; names and passwords of its first user and of the user of jobs."""

    stack: Stack
    admin: tuple[str, str]
    jobs: tuple[str, str]


class Stage:
    """The one stack of this tier that is up: several at once would not fit onto a small node.

    :ivar experiment: what a pod logged since it came up, with :meth:`once`.
    """

    def __init__(self, clone: Clone) -> None:
        self.clone = clone
        self.stack: Stack | None = None
        self.settings: dict[str, Any] = {}
        self.made: dict[str, Any] = {}

    def show(self, stack: Stack, settings: Mapping[str, Any]) -> Stack:
        """Have this stack up with these settings, and no other."""
        if self.stack is not None and self.stack.name != stack.name:
            self.clear()
        if self.stack is None or self.settings != settings:
            self.stack, self.settings = stack, {}
            stack.configure(**settings)
            stack.up()
            self.settings = dict(settings)
        return stack

    def changed(self) -> None:
        """A test changed the stack's settings: the next :meth:`show` brings it up anew."""
        self.settings = {}

    def once(self, make: Callable[[Stack], Made]) -> Made:
        """What ``make`` makes, once in the life of the present stack's data."""
        assert self.stack is not None
        if make.__name__ not in self.made:
            self.made[make.__name__] = make(self.stack)
        return self.made[make.__name__]

    def clear(self) -> None:
        """Take the stack down that is up."""
        stack, self.stack, self.settings, self.made = self.stack, None, {}, {}
        if stack is not None:
            stack.down()


def local_files(stack: Stack) -> list[str]:
    """What the clone holds of the stack outside tracked files."""
    found = (stack.clone.root / ".local").rglob(f"*{stack.name}*")
    return sorted(path.relative_to(stack.clone.root).as_posix() for path in found)
