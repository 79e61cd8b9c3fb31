"""What the tests of the tokens need: databases, judges, clouds, and a pod of the server image."""

from __future__ import annotations

import json
import ssl
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from components.database_engines import Engine, sqlalchemy_uri, tls_parameters
from components.database_signin import BOOTSTRAP_COMMAND, token_parameters
from tests.cluster.outside import Authority, ObjectStore, object_store

from .courts import Court, ldap_court, line_court
from .entra import TENANT, Entra, ManagedIdentity, serve
from .judges import AwsIdentity, EntraJudge, Judge, RdsJudge
from .servers import (
    ENTRA_ADMIN,
    MASTER,
    Client,
    Done,
    PasswordOr,
    Server,
    build_plugin,
    own_namespace,
    run_server,
)

REGION = "eu-west-1"
CA_FILE = "/files/ca.pem"
AUDIENCE = "https://ossrdbms-aad.database.windows.net"
KEY = b"not-a-real-key-0123456789abcdef0"
LONG = "x" * 1000 + "/+="
"""Session tokens are long: with them a token does not fit where a password would."""
SERVER = AwsIdentity("AKIASERVER", "server-secret", f"server{LONG}", ("mlflow", "later", "stacked"))
ADMIN = AwsIdentity(
    "AKIAADMIN", "admin-secret", f"admin{LONG}", ("mlflow", "later", "stacked", "by_hand", MASTER)
)
BYSTANDER = AwsIdentity("AKIABYSTANDER", "bystander-secret", f"bystander{LONG}", ())
ENTRA_SERVER = ManagedIdentity("client-of-server", "object-of-server", "serviceaccount-token-of-server")
ENTRA_BOOTSTRAP = ManagedIdentity("client-of-admin", "object-of-admin", "serviceaccount-token-of-admin")
ENTRA_USER = "mlflow_entra"


@dataclass
class ByCloud:
    """One database for both clouds: who is an Entra identity there shows an Entra token."""

    rds: RdsJudge
    entra: EntraJudge

    def why_not(self, user: str, password: str) -> str | None:
        judge: Judge = self.entra if user in self.entra.users else self.rds
        return judge.why_not(user, password)


@dataclass
class Place:
    """A database server, its judges, and what was shown to them."""

    server: Server
    rds: RdsJudge
    court: Court

    def verdicts(self, user: str) -> list[str | None]:
        return [why_not for who, why_not in self.court.verdicts if who == user]


@dataclass
class World:
    """See the module.

    :ivar secret_arn: of the master's secret, per engine.
    """

    cluster: Mapping[str, Any]
    namespace: str
    authority: Authority
    store: ObjectStore
    entra: Entra
    client: Client
    images: Mapping[str, Any]
    places: dict[Engine, Place] = field(default_factory=dict)
    secret_arn: dict[Engine, str] = field(default_factory=dict)

    def uri(self, engine: Engine, user: str = "mlflow", *, password: str = "", cloud: Any = "aws") -> str:
        """MLflow's URI, for the database named like the user."""
        query = tls_parameters(engine, CA_FILE)
        if not password:
            query |= token_parameters(cloud, region=REGION if cloud == "aws" else None)
        host = self.places[engine].server.host
        return sqlalchemy_uri(engine, host=host, database=user, user=user, password=password, query=query)

    def aws(self, identity: AwsIdentity) -> dict[str, str]:
        """The environment of a pod that is this identity."""
        endpoint = {"AWS_ENDPOINT_URL_SECRETS_MANAGER": self.store.endpoint, "AWS_CA_BUNDLE": CA_FILE}
        return {**identity.environment, **endpoint}

    def azure(self, identity: ManagedIdentity) -> dict[str, str]:
        """What Azure's webhook puts into a pod with the label."""
        return {
            "AZURE_CLIENT_ID": identity.client_id,
            "AZURE_TENANT_ID": TENANT,
            "AZURE_AUTHORITY_HOST": self.entra.address,
            "AZURE_FEDERATED_TOKEN_FILE": f"/files/{identity.client_id}",
            "REQUESTS_CA_BUNDLE": CA_FILE,
        }

    def by_secret(self, engine: Engine) -> dict[str, str]:
        """The administrator from the secret that RDS manages."""
        return {"ADMIN_SIGN_IN": "secrets-manager", "ADMIN_SECRET_ARN": self.secret_arn[engine]}

    def by_password(self, engine: Engine) -> dict[str, str]:
        """The administrator from a Secret."""
        password = self.places[engine].server.password
        return {"ADMIN_SIGN_IN": "password", "ADMIN_USERNAME": MASTER, "ADMIN_PASSWORD": password}

    def bootstrap(self, uri: str, who: Mapping[str, str], admin: Mapping[str, str] | None = None) -> Done:
        """Run the bootstrap in the server image, as ``who``."""
        environment = {"DATABASE_URI": uri, "BOOTSTRAP_SECONDS": "1", **who, **(admin or {})}
        return self.client.run(BOOTSTRAP_COMMAND, environment)

    def python(self, script: str, who: Mapping[str, str]) -> Done:
        """Run Python in the server image."""
        return self.client.run(["python", "-c", script], who)

    def manage_secret(self, engine: Engine) -> str:
        """Keep the master's password where RDS keeps it; the secret's ARN."""
        server = self.places[engine].server
        value = json.dumps({"username": MASTER, "password": server.password})
        answer = self._secrets("CreateSecret", Name=f"rds!db-{engine}", SecretString=value)
        return answer["ARN"]

    def _secrets(self, action: str, **body: str) -> dict[str, Any]:
        scope = f"Credential=x/20260101/{REGION}/secretsmanager/aws4_request"
        headers = {
            "X-Amz-Target": f"secretsmanager.{action}",
            "Content-Type": "application/x-amz-json-1.1",
            "Authorization": f"AWS4-HMAC-SHA256 {scope}, SignedHeaders=host, Signature=x",
        }
        url = f"https://localhost:{self.store.port}/"
        request = urllib.request.Request(url, json.dumps(body).encode(), headers)
        context = ssl.create_default_context(cadata=self.authority.certificate)
        handlers = [urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)]
        with urllib.request.build_opener(*handlers).open(request, timeout=10) as answer:
            return json.load(answer)


@contextmanager
def token_world(
    cluster: Mapping[str, Any], images: Mapping[str, Any], namespace: str, folder: Path
) -> Iterator[World]:
    """Start all of it: about half a minute."""
    host = cluster["hostAddress"]
    authority = Authority.make(folder / "authority")
    with ExitStack() as stack:
        stack.enter_context(own_namespace(cluster, namespace))
        store = stack.enter_context(object_store(host, authority, folder / "moto.log"))
        certificate, key = authority.issue("entra", f"IP:{host},DNS:localhost")
        entra = Entra([ENTRA_SERVER, ENTRA_BOOTSTRAP], KEY, AUDIENCE, lifetime=3600)
        stack.enter_context(serve(entra, host, certificate, key))
        files = {"ca.pem": authority.certificate, "other.pem": Authority.make(folder / "other").certificate}
        files |= {one.client_id: one.assertion for one in entra.identities}
        reference = images["tracking-server"]["reference"]
        client = Client.start(cluster, namespace, "client", reference, files)
        world = World(cluster, namespace, authority, store, entra, client, images)
        plugin = build_plugin(folder)
        for engine, listen in ((Engine.POSTGRESQL, ldap_court), (Engine.MYSQL, line_court)):
            court = Court(PasswordOr(None))
            address = (host, stack.enter_context(listen(court)))
            server = stack.enter_context(
                run_server(cluster, images, namespace, engine, authority, address, plugin)
            )
            rds = RdsJudge(server.host, server.port, REGION, (SERVER, ADMIN, BYSTANDER))
            claim = "oid" if engine is Engine.POSTGRESQL else "appid"
            known = {ENTRA_ADMIN: ENTRA_BOOTSTRAP, ENTRA_USER: ENTRA_SERVER}
            ids = {user: one.object_id if claim == "oid" else one.client_id for user, one in known.items()}
            court.judge = PasswordOr(ByCloud(rds, EntraJudge(KEY, AUDIENCE, claim, ids)), server)
            world.places[engine] = Place(server, rds, court)
            world.secret_arn[engine] = world.manage_secret(engine)
        yield world
