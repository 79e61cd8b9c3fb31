"""What stands in for Azure around a real MLflow server and its clients, as a plan of the stack wants it."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from components.contracts import JOBS_ACCOUNT, SERVER_ACCOUNT
from tests.cluster.outside import Authority
from tests.program.reading import pod_spec, server_environment
from tools.jobs.here import client_environment
from tools.offline import Plan
from tools.offline.wire import plain

from .azure_entra import Entra, Issuer, Signer
from .azure_network import Network, network
from .azure_plan import AUTHORITY_HOST, USE, assignments, injected, managed_identities, subject
from .azure_storage import Storage
from .azurite_server import azurite

WASBS = re.compile(r"wasbs://([^@]+)@([^.]+)\.blob\.core\.windows\.net/?(.*)")
AUDIENCE = "api://AzureADTokenExchange"
AS_ELSEWHERE = ("HOME", "TMPDIR", "MLFLOW_BACKEND_STORE_URI")
"""Of the plan's environment, what names places in the pod or the database: the machine has its own."""


@dataclass
class World:
    """The plan, and what stands in for Azure.

    :ivar destination: where artifacts lie.
    :ivar log: the server's.
    """

    planned: Plan
    entra: Entra
    network: Network
    storage: Storage
    authority: Authority
    folder: Path
    destination: str

    @property
    def log(self) -> Path:
        return self.folder / "server.log"

    @property
    def container(self) -> str:
        return _parts(self.destination)[0]

    @property
    def blobs(self) -> list[str]:
        return self.storage.blobs(self.container)

    def object_id(self, account: str) -> str:
        """Of the identity that pods of a ServiceAccount are."""
        client = injected(self.planned, account, "")["AZURE_CLIENT_ID"]
        (found,) = [one for one in self.entra.identities if one.client_id == client]
        return found.object_id

    def pod(self, account: str, *, really: str = "") -> dict[str, str]:
        """The environment of a pod of a ServiceAccount, from this machine, Azure's webhook and kubelet.

        :param really: subject of its token, where that is another one.
        """
        token = self.folder / f"token-{account}-{len(list(self.folder.glob('token-*')))}"
        claims = {"aud": [AUDIENCE], "sub": really or subject(self.planned, account)}
        assert isinstance(self.entra.cluster, Signer)
        token.write_text(self.entra.cluster.token(claims))
        certificates = self.folder / "trusted.pem"
        certificates.write_text(self.authority.certificate)
        here = {"PATH": f"{client_environment() / 'bin'}:{os.defpath}", "HOME": str(self.folder)}
        here |= {"TMPDIR": str(self.folder), "REQUESTS_CA_BUNDLE": str(certificates)}
        return here | injected(self.planned, account, str(token)) | self.network.environment

    def job(self, url: str) -> dict[str, str]:
        """The environment of a job's pod."""
        told = plain(self.planned.one("ConfigMap", "client").inputs)["data"]
        return self.pod(JOBS_ACCOUNT) | told | {"MLFLOW_TRACKING_URI": url}

    def server(self) -> dict[str, str]:
        """The environment of the server's pod."""
        template = plain(self.planned.one("Deployment", "mlflow-server").inputs)["spec"]["template"]
        assert template["metadata"]["labels"][USE] == "true", "the webhook would leave it alone"
        assert template["spec"]["serviceAccountName"] == SERVER_ACCOUNT
        given = server_environment(self.planned)
        assert not [name for name in given if name.startswith(("AZURE_", "AWS_"))]
        kept = {name: value for name, value in given.items() if name not in AS_ELSEWHERE}
        database = {"MLFLOW_BACKEND_STORE_URI": f"sqlite:///{self.folder}/mlflow.db"}
        return kept | self.pod(SERVER_ACCOUNT) | database

    def python(
        self, script: str, environment: Mapping[str, str], *words: str, seconds: float = 180
    ) -> subprocess.CompletedProcess[str]:
        """Run Python with what the job image holds."""
        return subprocess.run(
            [client_environment() / "bin" / "python", "-c", script, *words],
            env=environment, cwd=self.folder, capture_output=True, text=True, timeout=seconds, check=False,
        )  # fmt: skip

    @contextmanager
    def running(self, **more: str) -> Iterator[str]:
        """The address of the server, which runs by the very command of its pod."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        command = pod_spec(self.planned.one("Deployment", "mlflow-server"))["containers"][0]["command"]
        replaced = {"--host=0.0.0.0": "--host=127.0.0.1", "--port=5000": f"--port={port}"}
        python = str(client_environment() / "bin" / "python")
        words = [python, *(replaced.get(word, word) for word in command[1:])]
        assert command[0] == "python"
        assert replaced.keys() <= set(command)
        with self.log.open("a") as log:
            process = subprocess.Popen(
                words, env=self.server() | more, cwd=self.folder, stdout=log, stderr=subprocess.STDOUT
            )
            try:
                url = f"http://127.0.0.1:{port}"
                self._wait(f"{url}/health", process)
                yield url
            finally:
                process.terminate()
                process.wait(30)

    def _wait(self, url: str, process: subprocess.Popen, seconds: float = 120) -> None:
        deadline = time.monotonic() + seconds
        while True:
            assert process.poll() is None, self.log.read_text()[-3000:]
            assert time.monotonic() < deadline, f"{url} does not answer: {self.log.read_text()[-3000:]}"
            try:
                urllib.request.urlopen(url, timeout=5).close()
            except (OSError, urllib.error.URLError):
                time.sleep(0.2)
            else:
                return


@contextmanager
def azure_world(
    planned: Plan, folder: Path, cluster: Issuer, authority: Authority, address: str = "127.0.0.1"
) -> Iterator[World]:
    """Azure as a stack would find it after ``up``.

    :param cluster: whose pods' tokens are taken.
    :param address: of this machine, as the stack's pods reach it.
    """
    destination = server_environment(planned)["MLFLOW_ARTIFACTS_DESTINATION"]
    container, account, _ = _parts(destination)
    entra = Entra(managed_identities(planned), cluster)
    with azurite(account, authority, folder) as emulator:
        storage = Storage(account, emulator, entra, assignments(planned))
        storage.make(container)
        sites = {AUTHORITY_HOST.split("/")[2]: entra, emulator.host: storage}
        with network(sites, authority, address) as net:
            yield World(planned, entra, net, storage, authority, folder, destination)


def _parts(destination: str) -> tuple[str, str, str]:
    found = WASBS.fullmatch(destination)
    assert found, destination
    return found[1], found[2], found[3]
