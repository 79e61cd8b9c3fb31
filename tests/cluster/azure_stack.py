"""The Kubernetes half of the Azure stack on the cluster of the tests: what ``make render`` writes, applied.

Added is what AKS adds: its webhook's environment and ServiceAccount token, and a network in which Azure's
names lead to stand-ins. The cluster's own kubelet gives the tokens, and its API server judges them for Entra.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy.engine import make_url

from components.database_engines import Engine
from tests.cluster.stack import eventually, kubectl
from tests.cluster.token_databases.judges import Judge
from tests.cluster.token_databases.servers import Done, own_namespace
from tests.cluster.token_databases.world import World as Databases
from tests.emulators.azure_entra import Entra, RefusedError
from tests.emulators.azure_plan import USE, Real, azure_plan, identity, injected
from tests.emulators.azure_world import AUDIENCE, World, azure_world
from tests.program.azure_cases import ADMINISTRATOR
from tests.program.reading import environment
from tools.offline import Plan
from tools.offline.wire import plain
from tools.render import manifests

USER = "azured"
"""Of MLflow, and its database, unless the settings say others: other tests have users there too."""
DATABASE_AUDIENCE = "https://ossrdbms-aad.database.windows.net"
FOLDER, FILE = "/var/run/secrets/azure/tokens", "azure-identity-token"
"""Where the webhook puts the token (Azure Workload Identity, "Mutating Admission Webhook")."""
SYSTEM_CAS = "/etc/ssl/certs/ca-certificates.crt"


@dataclass
class ReviewedTokens:
    """Tokens of the cluster's ServiceAccounts, as its API server judges them (TokenReview)."""

    cluster: Mapping[str, Any]
    issuer: str

    def claims(self, token: str) -> dict[str, Any]:
        review = {
            "apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview",
            "spec": {"token": token, "audiences": [AUDIENCE]},
        }  # fmt: skip
        words = ["create", "-f", "-", "-o", "json"]
        status = json.loads(kubectl(self.cluster, "default", *words, stdin=json.dumps(review)))["status"]
        if not status.get("authenticated"):
            raise RefusedError(f"the cluster does not know the token: {status.get('error')}")
        body = token.split(".")[1]
        said = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
        return {"iss": said["iss"], "sub": status["user"]["username"], "aud": status["audiences"]}


@dataclass
class DatabaseJudge:
    """What Azure's databases do with an Entra token: signature, audience, time, and whose it is.

    :ivar claim: that holds the id: PostgreSQL ``oid``, MySQL ``appid``.
    :ivar users: database user → id of its identity.
    :ivar otherwise: who judges all other users.
    """

    entra: Entra
    claim: str
    users: Mapping[str, str]
    otherwise: Judge

    def why_not(self, user: str, password: str) -> str | None:
        if user not in self.users:
            return self.otherwise.why_not(user, password)
        try:
            said = self.entra.signer.claims(password)
        except RefusedError as no:
            return str(no)
        if said["aud"] != DATABASE_AUDIENCE:
            return f"the token is for {said['aud']}"
        return None if said[self.claim] == self.users[user] else f"the token is not of {user}"


@dataclass
class AzureStack:
    """The stack, and all that stands in for Azure.

    :ivar azure: Entra, the storage account and the network.
    :ivar admin: name of the identity that is the database's administrator.
    """

    cluster: Mapping[str, Any]
    namespace: str
    engine: Engine
    azure: World
    databases: Databases
    admin: str

    @property
    def manifests(self) -> list[dict[str, Any]]:
        """The objects of the stack, in order, as they come to be on AKS."""
        found = [one.content for one in manifests(self.azure.planned, show_secrets=True)]
        return [self._admitted(one) for one in found if one["kind"] != "StorageClass"]

    def kubectl(self, *words: str, check: bool = True, stdin: str | None = None) -> str:
        return kubectl(self.cluster, self.namespace, *words, check=check, stdin=stdin)

    def up(self) -> None:
        """Apply everything, each when what it needs is there, as the program does."""
        for one in self.manifests:
            self.apply(one)
        words = ["rollout", "status", "deployment/mlflow-server", "--timeout=170s"]
        told = self.kubectl(*words, check=False)
        assert "successfully rolled out" in told, told + self.log("deployment/mlflow-server")

    def bootstrap(self) -> str:
        """Run the bootstrap's Job with what it needs, for the first time or once more; its log."""
        found = self.manifests
        names = [f"{one['kind']}/{one['metadata']['name']}" for one in found]
        last = next(i for i, name in enumerate(names) if name.startswith("Job/mlflow-bootstrap"))
        for one in found[:last]:
            self.apply(one)
        self.kubectl("delete", names[last], "--ignore-not-found")
        return self.apply(found[last])

    def apply(self, one: Mapping[str, Any]) -> str:
        """Apply one object; of a Job the log, once it is through."""
        self.kubectl("apply", "-f", "-", stdin=json.dumps(one))
        if one["kind"] != "Job":
            return ""
        job = f"job/{one['metadata']['name']}"
        told = self.kubectl("wait", job, "--for=condition=Complete", "--timeout=170s", check=False)
        log = self.log(job)
        assert "condition met" in told, told + log
        return log

    def log(self, what: str) -> str:
        return self.kubectl("logs", what, "--tail=60", check=False)

    def python(self, script: str, *words: str, **more: str) -> Done:
        """Run Python in the server's pod, as the server."""
        environment = [f"{key}={value}" for key, value in more.items()]
        command = ["sh", "-c", '"$@" 2>&1; echo "exit=$?"', "run", "env", *environment]
        command += ["python", "-c", script, *words]
        text, _, code = self.kubectl("exec", "deployment/mlflow-server", "--", *command).rpartition("exit=")
        return Done(int(code), text)

    def pod(self, name: str, account: str, command: list[str], **more: str) -> Done:
        """Run a command in a pod of its own of another ServiceAccount, with the server's environment."""
        (server,) = [one for one in self.manifests if one["kind"] == "Deployment"]
        (given,) = server["spec"]["template"]["spec"]["containers"]
        container = {key: given[key] for key in ("image", "imagePullPolicy", "envFrom", "securityContext")}
        container |= {"name": name, "command": command}
        container["env"] = [{"name": key, "value": value} for key, value in more.items()]
        container["resources"] = {"requests": {"cpu": "20m", "memory": "128Mi"}}
        spec = server["spec"]["template"]["spec"]
        spec = {key: spec[key] for key in ("securityContext", "automountServiceAccountToken")}
        spec |= {"containers": [container], "serviceAccountName": account, "restartPolicy": "Never"}
        template = {"metadata": {"labels": {USE: "true"}}, "spec": spec}
        job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}}
        job["spec"] = {"template": template, "backoffLimit": 0}
        self.kubectl("apply", "-f", "-", stdin=json.dumps(self._admitted(job)))
        kinds = ("get", f"job/{name}", "-o", "jsonpath={.status.conditions[*].type}")
        # FailureTarget and SuccessCriteriaMet come first, while the pod may still be writing.
        ended = eventually(
            lambda: {"Complete", "Failed"} & set(self.kubectl(*kinds).split()),
            120,
            f"{name} does not end",
        )
        log = self.log(f"job/{name}")
        self.kubectl("delete", "job", name)
        return Done(int("Failed" in ended), log)

    def _admitted(self, manifest: dict[str, Any]) -> dict[str, Any]:
        """A workload as it comes out of admission on AKS, and in the network of the tests."""
        template = manifest.get("spec", {}).get("template", {})
        labels = template.get("metadata", {}).get("labels", {})
        if manifest["kind"] not in ("Job", "Deployment") or labels.get(USE) != "true":
            return manifest
        spec = template["spec"]
        added = injected(self.azure.planned, spec["serviceAccountName"], f"{FOLDER}/{FILE}")
        added |= self.azure.network.environment | {"REQUESTS_CA_BUNDLE": SYSTEM_CAS}
        source = {"audience": AUDIENCE, "expirationSeconds": 3600, "path": FILE}
        volumes = [
            {"name": FILE, "projected": {"sources": [{"serviceAccountToken": source}]}},
            {"name": "system-cas", "configMap": {"name": "system-cas"}},
        ]
        mounts = [
            {"name": FILE, "mountPath": FOLDER, "readOnly": True},
            {"name": "system-cas", "mountPath": SYSTEM_CAS, "subPath": "ca.pem", "readOnly": True},
        ]
        entries = [{"name": key, "value": value} for key, value in added.items()]

        def with_more(container: dict[str, Any]) -> dict[str, Any]:
            env, given = container.get("env", []), container.get("volumeMounts", [])
            return container | {"env": [*env, *entries], "volumeMounts": [*given, *mounts]}

        spec = spec | {"volumes": [*spec.get("volumes", []), *volumes]}
        for kind in ("containers", "initContainers"):
            spec[kind] = [with_more(one) for one in spec.get(kind, [])]
        return manifest | {"spec": manifest["spec"] | {"template": template | {"spec": spec}}}


def _settings(
    databases: Databases, engine: Engine, namespace: str, more: Mapping[str, Any]
) -> dict[str, Any]:
    images = {"server": databases.images["tracking-server"], "job": databases.images["job"]}
    return {
        **more,
        "namespace": namespace,
        "images": {kind: image["reference"] for kind, image in images.items()},
        "database": {"engine": str(engine), "name": USER, "user": USER, **more["database"]},
        "server": {"replicas": 1},
    }


@contextmanager
def azure_stack(
    databases: Databases, engine: Engine, namespace: str, folder: Path, more: Mapping[str, Any]
) -> Iterator[AzureStack]:
    """The stack before it is up, on one of the databases, whose administrator is there.

    :param databases: the judge of this one knows the stack's users meanwhile.
    :param more: settings, of the database too.
    """
    cluster, place = databases.cluster, databases.places[engine]
    found = json.loads(kubectl(cluster, "default", "get", "--raw", "/.well-known/openid-configuration"))
    real = Real(issuer=found["issuer"], database=place.server.host)
    planned = azure_plan(_settings(databases, engine, namespace, more), real)
    tokens = ReviewedTokens(cluster, found["issuer"])
    with ExitStack() as stack:
        azure = stack.enter_context(
            azure_world(planned, folder, tokens, databases.authority, cluster["hostAddress"])
        )
        stack.enter_context(own_namespace(cluster, namespace))
        admin, admin_id = _administrator(planned, engine)
        claim = "oid" if engine is Engine.POSTGRESQL else "appid"
        order = environment(planned, planned.one("Job", "bootstrap"))
        user = str(make_url(order["DATABASE_URI"]).username)
        users = {user: order["IDENTITY_ID"], admin: admin_id}
        before = place.court.judge
        place.court.judge = DatabaseJudge(azure.entra, claim, users, before)
        stack.callback(setattr, place.court, "judge", before)
        made = AzureStack(cluster, namespace, engine, azure, databases, admin)
        trusted = f"--from-literal=ca.pem={azure.authority.certificate}"
        made.kubectl("create", "configmap", "system-cas", trusted)
        _prepare(made)
        yield made


def _administrator(planned: Plan, engine: Engine) -> tuple[str, str]:
    """The Entra administrator that the plan gives the server, or that an existing server has: name and id."""
    kind, name, identifier = {
        Engine.POSTGRESQL: ("AdministratorsMicrosoftEntra", "principalName", "objectId"),
        Engine.MYSQL: ("AzureADAdministrator", "login", "sid"),
    }[engine]
    for one in planned.of_type(kind):
        given = plain(one.inputs)
        return given[name], given[identifier]
    there = identity(ADMINISTRATOR.rpartition("/")[2])
    return there["name"], there["principalId" if engine is Engine.POSTGRESQL else "clientId"]


def _prepare(stack: AzureStack) -> None:
    """What Azure makes of an Entra administrator in the database."""
    query = stack.databases.places[stack.engine].server.query
    if stack.engine is Engine.POSTGRESQL:
        query(
            f'CREATE ROLE "{stack.admin}" LOGIN CREATEROLE CREATEDB; GRANT azure_ad_user TO "{stack.admin}"'
        )
        return
    query(f"CREATE USER '{stack.admin}' IDENTIFIED WITH aad_auth REQUIRE SSL")
    query(f"GRANT ALL ON *.* TO '{stack.admin}' WITH GRANT OPTION")
    # CREATE AADUSER is a statement that only Azure's MySQL knows.
    query(f"CREATE USER {USER} IDENTIFIED WITH aad_auth REQUIRE SSL")
