"""Google's APIs on this machine, as far as the tools speak them: what they do not know, they refuse.

It stands in below the client libraries, in the place of the network. Sources of the fields and answers: the
discovery documents of Cloud Storage v1, Cloud KMS v1 and Resource Manager v1, and AIP-193 (errors).
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
from requests.adapters import HTTPAdapter

TOKEN = "ya29.stood-in"
BUCKET_FIELDS = {"name", "location", "labels", "iamConfiguration", "versioning", "lifecycle"}
KEY_FIELDS = {"purpose", "labels", "rotationPeriod", "nextRotationTime"}
LABEL = re.compile(r"[a-z0-9_-]{0,63}")
BUCKET_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{1,61}[a-z0-9]")
RESOURCE_ID = re.compile(r"[a-zA-Z0-9_-]{1,63}")

Answer = dict[str, Any]
Handler = Callable[["Google", re.Match[str], dict[str, str], Any], Answer]


class Refused(Exception):  # noqa: N818 - an answer
    """An answer other than 200."""

    def __init__(self, status: int, message: str, reason: str = "", **metadata: str) -> None:
        super().__init__(message)
        self.status = status
        details = [{"reason": reason, "metadata": metadata}] if reason else []
        self.body = {"error": {"code": status, "message": message, "details": details}}


@dataclass
class Google:
    """What there is, in whose project, and every call so far as ``METHOD path``."""

    projects: dict[str, str] = field(default_factory=lambda: {"acme-ml": "123456789012"})
    disabled: set[str] = field(default_factory=set)
    buckets: dict[str, Answer] = field(default_factory=dict)
    rings: set[str] = field(default_factory=set)
    keys: dict[str, Answer] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    handlers: list[tuple[str, re.Pattern[str], Handler]] = field(default_factory=list)

    def answer(self, method: str, url: str, headers: Mapping[str, str], body: bytes) -> tuple[int, Answer]:
        """What Google answers to a request."""
        parts = urlsplit(url)
        self.calls.append(f"{method} {parts.path}")
        assert parts.scheme == "https", url
        assert (parts.hostname or "").endswith(".googleapis.com"), url
        if headers.get("authorization") != f"Bearer {TOKEN}":
            return 401, Refused(401, "Request had invalid authentication credentials.").body
        query = {key: values[0] for key, values in parse_qs(parts.query).items()}
        try:
            self._switched_on(str(parts.hostname))
            for wanted, pattern, handler in [*self.handlers, *HANDLERS]:
                if wanted == method and (match := pattern.fullmatch(f"{parts.hostname}{parts.path}")):
                    return 200, handler(self, match, query, _content(headers, body))
        except Refused as refused:
            return refused.status, refused.body
        raise AssertionError(f"nothing here answers {method} {url}")

    def _switched_on(self, api: str) -> None:
        if api in self.disabled:
            raise Refused(403, "API has not been used", "SERVICE_DISABLED", service=api)

    @property
    def changes(self) -> list[str]:
        """The calls that were not questions."""
        return [call for call in self.calls if not call.startswith("GET ")]


def use(google: Google, monkeypatch: pytest.MonkeyPatch) -> Google:
    """From now on every request of this process goes there, signed in with :data:`TOKEN`."""
    for name in (
        "GOOGLE_CREDENTIALS",
        "GOOGLE_IMPERSONATE_SERVICE_ACCOUNT",
        "GOOGLE_APPLICATION_CREDENTIALS",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GOOGLE_OAUTH_ACCESS_TOKEN", TOKEN)

    def send(_: HTTPAdapter, request: requests.PreparedRequest, **_more: Any) -> requests.Response:
        body = request.body if isinstance(request.body, bytes) else (request.body or "").encode()  # pyright: ignore[reportAttributeAccessIssue]
        headers = {name.lower(): str(value) for name, value in request.headers.items()}
        status, said = google.answer(str(request.method), str(request.url), headers, body)
        response = requests.Response()
        response.status_code, response.request, response.url = status, request, str(request.url)
        response.headers["Content-Type"] = "application/json"
        response.raw = io.BytesIO(json.dumps(said).encode())
        return response

    monkeypatch.setattr(HTTPAdapter, "send", send)
    return google


def _content(headers: Mapping[str, str], body: bytes) -> Any:
    """JSON as what it says, anything else as it is."""
    if headers.get("content-type", "").startswith("application/json"):
        return json.loads(body) if body else None
    return body or None


def only(body: Answer, known: set[str]) -> None:
    """:raises Refused: for a field that the API does not have."""
    if extra := body.keys() - known:
        raise Refused(400, f'Invalid JSON payload received. Unknown name "{sorted(extra)[0]}"')
    for key, value in body.get("labels", {}).items():
        if not (LABEL.fullmatch(key) and LABEL.fullmatch(value)):
            raise Refused(400, f"Invalid label {key}: {value}")


def _project(google: Google, match: re.Match[str], _query: dict[str, str], _body: Any) -> Answer:
    if match[1] not in google.projects:
        raise Refused(403, "The caller does not have permission")
    return {"projectId": match[1], "projectNumber": google.projects[match[1]], "lifecycleState": "ACTIVE"}


def _bucket(google: Google, match: re.Match[str], _query: dict[str, str], _body: Any) -> Answer:
    if match[1] not in google.buckets:
        raise Refused(404, "The specified bucket does not exist.")
    found = google.buckets[match[1]]
    if found.get("closed"):
        raise Refused(403, "you do not have storage.buckets.get access to the Google Cloud Storage bucket.")
    return found


def _new_bucket(google: Google, _match: re.Match[str], query: dict[str, str], body: Any) -> Answer:
    only(body, BUCKET_FIELDS)
    if not BUCKET_NAME.fullmatch(body["name"]) or body["name"].startswith("goog"):
        raise Refused(400, f"Invalid bucket name: '{body['name']}'")
    if body["name"] in google.buckets:
        raise Refused(409, "The requested bucket name is not available.")
    google.buckets[body["name"]] = made = {
        **body, "projectNumber": google.projects[query["project"]], "metageneration": "1",
    }  # fmt: skip
    return made


def _changed_bucket(google: Google, match: re.Match[str], query: dict[str, str], body: Any) -> Answer:
    only(body, BUCKET_FIELDS - {"name", "location"})
    found = google.buckets[match[1]]
    if query.get("ifMetagenerationMatch", found["metageneration"]) != found["metageneration"]:
        raise Refused(412, "At least one of the pre-conditions you specified did not hold.")
    found |= {**body, "metageneration": str(int(found["metageneration"]) + 1)}
    return found


def _ring(google: Google, match: re.Match[str], _query: dict[str, str], _body: Any) -> Answer:
    if match[1] not in google.rings:
        raise Refused(404, f"KeyRing {match[1]} not found.")
    return {"name": match[1]}


def _new_ring(google: Google, match: re.Match[str], query: dict[str, str], body: Any) -> Answer:
    only(body, set())
    name = _resource(match[1], "keyRings", query["keyRingId"])
    if name in google.rings:
        raise Refused(409, f"KeyRing {name} already exists.")
    google.rings.add(name)
    return {"name": name}


def _key(google: Google, match: re.Match[str], _query: dict[str, str], _body: Any) -> Answer:
    if match[1] not in google.keys:
        raise Refused(404, f"CryptoKey {match[1]} not found.")
    return google.keys[match[1]]


def _new_key(google: Google, match: re.Match[str], query: dict[str, str], body: Any) -> Answer:
    only(body, KEY_FIELDS)
    if match[1] not in google.rings:
        raise Refused(404, f"KeyRing {match[1]} not found.")
    if ("rotationPeriod" in body) != ("nextRotationTime" in body):
        raise Refused(400, "rotation_period and next_rotation_time must be set together")
    name = _resource(match[1], "cryptoKeys", query["cryptoKeyId"])
    primary = {"name": f"{name}/cryptoKeyVersions/1", "state": "ENABLED"}
    google.keys[name] = {"name": name, "primary": primary, **body}
    return google.keys[name]


def _changed_key(google: Google, match: re.Match[str], query: dict[str, str], body: Any) -> Answer:
    only(body, KEY_FIELDS - {"purpose"})
    if set(query["updateMask"].split(",")) != body.keys():
        raise Refused(400, "the update mask names other fields than the body has")
    google.keys[match[1]] |= body
    return google.keys[match[1]]


def _resource(parent: str, kind: str, name: str) -> str:
    if not RESOURCE_ID.fullmatch(name):
        raise Refused(400, f"{name} does not match {RESOURCE_ID.pattern}")
    return f"{parent}/{kind}/{name}"


STORAGE, KMS = r"storage\.googleapis\.com/storage/v1", r"cloudkms\.googleapis\.com/v1"
LOCATION = r"(projects/[^/]+/locations/[^/]+"
HANDLERS: list[tuple[str, re.Pattern[str], Handler]] = [
    (method, re.compile(pattern), handler)
    for method, pattern, handler in (
        ("GET", r"cloudresourcemanager\.googleapis\.com/v1/projects/([^/]+)", _project),
        ("GET", rf"{STORAGE}/b/([^/]+)", _bucket),
        ("POST", rf"{STORAGE}/b", _new_bucket),
        ("PATCH", rf"{STORAGE}/b/([^/]+)", _changed_bucket),
        ("GET", rf"{KMS}/{LOCATION}/keyRings/[^/]+)", _ring),
        ("POST", rf"{KMS}/{LOCATION})/keyRings", _new_ring),
        ("GET", rf"{KMS}/{LOCATION}/keyRings/[^/]+/cryptoKeys/[^/]+)", _key),
        ("POST", rf"{KMS}/{LOCATION}/keyRings/[^/]+)/cryptoKeys", _new_key),
        ("PATCH", rf"{KMS}/{LOCATION}/keyRings/[^/]+/cryptoKeys/[^/]+)", _changed_key),
    )
]
