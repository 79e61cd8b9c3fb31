"""The pods' own client of the API server, against an HTTPS server of this machine."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from components.jobs.scripts import kubernetes
from components.jobs.scripts.kubernetes import Api, Late, Refused, Unreachable
from tests.cluster.outside import Authority

pytestmark = pytest.mark.unit
JOBS = "/apis/batch/v1/namespaces/team/jobs"


@dataclass
class Request:
    method: str
    path: str
    token: str
    content: str
    body: Any


@dataclass
class Server:
    """What was asked of it, and what it answers: (status, JSON, headers), or None to hang up."""

    port: int = 0
    asked: list[Request] = field(default_factory=list)
    answers: list[tuple[int, Any, dict[str, str]] | None] = field(default_factory=list)

    def says(self, *answers: Any, status: int = 200, **headers: str) -> None:
        self.answers += [(status, each, headers) for each in answers]


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    made = Authority.make(tmp_path_factory.mktemp("authority") / "ca")
    made.issue("api", "IP:127.0.0.1")
    made.issue("other", "DNS:elsewhere.example.com")
    return made


@contextmanager
def serving(authority: Authority, name: str) -> Iterator[Server]:
    server = Server()

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            raw = self.rfile.read(length)
            server.asked.append(
                Request(
                    self.command,
                    self.path,
                    self.headers["Authorization"],
                    self.headers["Content-Type"],
                    json.loads(raw) if raw else None,
                )
            )
            given = server.answers.pop(0)
            if given is None:
                self.connection.close()
                return
            status, body, headers = given
            text = body if isinstance(body, bytes) else json.dumps(body).encode()
            self.send_response(status)
            for key, value in {**headers, "Content-Length": str(len(text))}.items():
                self.send_header(key.replace("_", "-"), value)
            self.end_headers()
            self.wfile.write(text)

        do_GET = do_POST = do_PATCH = do_DELETE = answer  # noqa: N815

        def log_message(self, format: str, *args: Any) -> None:
            pass

        def handle(self) -> None:
            with suppress(OSError, ValueError):  # the connection this test closed
                super().handle()

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority.folder / f"{name}.crt", authority.folder / f"{name}.key")
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        http.socket = context.wrap_socket(http.socket, server_side=True)
        server.port = http.server_port
        thread = threading.Thread(target=http.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield server
        http.shutdown()


@pytest.fixture
def server(authority: Authority) -> Iterator[Server]:
    with serving(authority, "api") as made:
        yield made


@pytest.fixture
def account(tmp_path: Path, authority: Authority) -> Path:
    """The folder of a ServiceAccount, as the kubelet mounts it."""
    (tmp_path / "namespace").write_text("team\n")
    (tmp_path / "token").write_text("first\n")
    (tmp_path / "ca.crt").write_text(authority.certificate)
    return tmp_path


@pytest.fixture
def reach(account: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Server], Api]:
    monkeypatch.setattr(kubernetes, "PAUSE", 0.01)
    monkeypatch.setattr(kubernetes, "PERIOD", 0.01)
    return lambda server: Api(host="127.0.0.1", port=server.port, account=account, patience=0.5)


Reach = Callable[[Server], Api]


def test_an_object_is_asked_for_by_its_path_with_the_accounts_token(server: Server, reach: Reach) -> None:
    server.says({"metadata": {"name": "train"}}, {"metadata": {"name": "p"}})
    api = reach(server)
    assert api.get("batch/v1/jobs", "train") == {"metadata": {"name": "train"}}
    assert api.get("v1/pods", "p")
    assert [each.path for each in server.asked] == [f"{JOBS}/train", "/api/v1/namespaces/team/pods/p"]
    assert server.asked[0].token == "Bearer first"


def test_the_address_comes_from_the_pods_environment(
    server: Server, account: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", str(server.port))
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    server.says({})
    assert Api(account=account).get("batch/v1/jobs", "train") == {}


def test_a_pod_without_a_token_is_told_so(tmp_path: Path) -> None:
    with pytest.raises(Unreachable, match="no ServiceAccount token mounted"):
        Api(host="127.0.0.1", port=1, account=tmp_path)


def test_a_renewed_token_is_used_at_once(server: Server, reach: Reach, account: Path) -> None:
    server.says({}, {})
    api = reach(server)
    api.get("batch/v1/jobs", "a")
    (account / "token").write_text("second")
    api.get("batch/v1/jobs", "a")
    assert [each.token for each in server.asked] == ["Bearer first", "Bearer second"]


def test_lists_are_narrowed_by_selectors(server: Server, reach: Reach) -> None:
    server.says({"items": [{"a": 1}]})
    assert reach(server).list("v1/pods", labels="job-name=x,y", fields="a=b") == [{"a": 1}]
    assert server.asked[0].path.endswith("/pods?labelSelector=job-name%3Dx%2Cy&fieldSelector=a%3Db")


def test_a_patch_is_a_merge_patch_and_a_deletion_takes_what_is_owned_along(
    server: Server, reach: Reach
) -> None:
    server.says({}, {}, {})
    api = reach(server)
    api.create("batch/v1/jobs", {"x": 1})
    api.patch("apps/v1/deployments", "s", {"spec": {"replicas": 2}})
    api.delete("batch/v1/jobs", "train")
    made, patched, deleted = server.asked
    assert (made.method, made.content, made.body) == ("POST", "application/json", {"x": 1})
    assert (patched.method, patched.content) == ("PATCH", "application/merge-patch+json")
    assert patched.body == {"spec": {"replicas": 2}}
    assert deleted.method == "DELETE"
    assert deleted.body["propagationPolicy"] == "Foreground"


def test_what_is_not_there_is_none_and_need_not_be_deleted(server: Server, reach: Reach) -> None:
    server.says({"message": "gone"}, {"message": "gone"}, status=404)
    api = reach(server)
    assert api.get("batch/v1/jobs", "train") is None
    api.delete("batch/v1/jobs", "train")


@pytest.mark.parametrize("status", [400, 401, 403, 409, 422])
def test_a_no_is_told_once_in_the_servers_words(server: Server, reach: Reach, status: int) -> None:
    server.says({"kind": "Status", "message": "jobs is forbidden: User x cannot create"}, status=status)
    with pytest.raises(Refused, match=rf"POST {JOBS}: {status} jobs is forbidden") as refused:
        reach(server).create("batch/v1/jobs", {})
    assert refused.value.status == status
    assert len(server.asked) == 1


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_a_server_that_is_busy_is_asked_again(server: Server, reach: Reach, status: int) -> None:
    server.says(b"<html>busy</html>", status=status)
    server.says({"ok": True})
    assert reach(server).get("batch/v1/jobs", "x") == {"ok": True}


def test_a_lost_connection_and_half_an_answer_are_asked_again(server: Server, reach: Reach) -> None:
    server.answers.append(None)
    server.says(b'{"half": ', {"ok": True})
    assert reach(server).get("batch/v1/jobs", "x") == {"ok": True}
    assert len(server.asked) == 3


def test_a_server_that_says_when_is_asked_no_sooner(server: Server, reach: Reach) -> None:
    server.says({"message": "slow down"}, status=429, Retry_After="7")
    with pytest.raises(Refused, match="429 slow down"):  # 7 s are more than its patience
        reach(server).get("batch/v1/jobs", "x")
    assert len(server.asked) == 1


def test_a_server_that_stays_away_is_told_after_a_while(server: Server, reach: Reach) -> None:
    server.says(*["not yet"] * 100, status=503)
    with pytest.raises(Refused, match="503"):
        reach(server).get("batch/v1/jobs", "x")
    gone = Server(port=1)
    with pytest.raises(Unreachable, match="ConnectionRefusedError"):
        reach(gone).get("batch/v1/jobs", "x")


def test_no_token_goes_to_a_server_of_another_name_or_authority(
    authority: Authority, reach: Reach, account: Path, tmp_path: Path
) -> None:
    with serving(authority, "other") as other:
        with pytest.raises(Unreachable, match="IP address mismatch"):
            reach(other).get("batch/v1/jobs", "x")
        assert other.asked == []
    stranger = Authority.make(tmp_path / "stranger")
    (account / "ca.crt").write_text(stranger.certificate)
    with serving(authority, "api") as unknown:
        with pytest.raises(Unreachable, match=r"self-signed|unable to get local issuer|signature"):
            reach(unknown).get("batch/v1/jobs", "x")
        assert unknown.asked == []


def test_no_token_follows_a_redirect(server: Server, reach: Reach) -> None:
    server.says({}, status=302, Location="https://127.0.0.1:9/")
    with pytest.raises(Refused, match="302"):
        reach(server).get("batch/v1/jobs", "x")


def test_what_is_waited_for_is_looked_at_until_it_comes_or_it_is_late(server: Server, reach: Reach) -> None:
    server.says({"n": 1}, {"n": 2}, {"n": 3})
    api = reach(server)

    def three(found: Any) -> str | None:
        return "three" if found["n"] == 3 else None

    assert api.until("batch/v1/jobs", "x", three, seconds=5) == "three"
    server.says(*[{"n": 0}] * 100)
    with pytest.raises(Late, match=r"jobs x: not within 0\.05 s"):
        api.until("batch/v1/jobs", "x", three, seconds=0.05)
