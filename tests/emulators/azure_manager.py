"""Azure Resource Manager as far as the tools ask it: resources by their ids, with ARM's own manners.

Sources: Azure Resource Manager, "Track asynchronous Azure operations" (202, then provisioningState);
azure-rest-api-specs of the versions that are asked for; Key Vault, "Soft-delete overview".
"""

from __future__ import annotations

import base64
import http.server
import json
import re
import threading
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

SUBSCRIPTION = "11111111-1111-1111-1111-111111111111"
TENANT = "22222222-2222-2222-2222-222222222222"
ME = "33333333-3333-3333-3333-333333333333"
VERSIONS = {
    "Microsoft.Storage": "2024-01-01",
    "Microsoft.KeyVault": "2024-11-01",
    "Microsoft.Authorization": "2022-04-01",
}
SLOW = ("storageAccounts", "vaults")
"""What is answered with 202 first, and is being made for a while."""


def token(**claims: Any) -> str:
    """Of Entra, but signed by nobody."""
    text = json.dumps({"oid": ME, "tid": TENANT, **claims}).encode()
    return f"header.{base64.urlsafe_b64encode(text).decode().rstrip('=')}.signature"


class Azure:
    """One subscription.

    :ivar resources: id → what is there.
    :ivar deleted: ids of vaults that were deleted.
    :ivar refuses: part of an id → status and code with which a PUT of it is answered.
    :ivar permissions: the caller's own, wherever they are asked for.
    :ivar refuses_reading: nobody may read anything.
    :ivar calls: method and id of everything that was asked.
    """

    def __init__(self) -> None:
        self.resources: dict[str, dict[str, Any]] = {}
        self.deleted: set[str] = set()
        self.calls: list[tuple[str, str]] = []
        self.refuses: dict[str, tuple[int, str]] = {}
        self.permissions: list[dict[str, Any]] = []
        self.refuses_reading = False
        self._working: dict[str, int] = {}

    @property
    def changes(self) -> list[str]:
        return [id_ for method, id_ in self.calls if method != "GET"]

    def of_type(self, kind: str) -> dict[str, Any]:
        """The only one of a kind."""
        (found,) = [each for id_, each in self.resources.items() if re.search(rf"/{kind}/[^/]+$", id_)]
        return found

    def answer(
        self, method: str, id_: str, version: str, body: Any, page: str | None = None
    ) -> tuple[int, Any]:
        """
        :param page: of a list; None for the first.
        """
        self.calls.append((method, id_))
        if method == "GET" and id_.endswith("/resources") and not self.refuses_reading:
            return self._list(id_.removesuffix("/resources"), version, int(page or 0))
        for part, (status, code) in self.refuses.items():
            if method == "PUT" and part in id_:
                return status, {"error": {"code": code, "message": f"{code} of {id_}"}}
        provider = (re.findall(r"/providers/([\w.]+)/", id_) or [""])[-1]
        if VERSIONS.get(provider, version) != version:
            return 400, {"error": {"code": "InvalidApiVersion", "message": version}}
        if method == "GET":
            return self._get(id_)
        assert method == "PUT", method
        return self._put(id_, body)

    def _get(self, id_: str) -> tuple[int, Any]:
        if id_ == f"/subscriptions/{SUBSCRIPTION}":
            return 200, {"tenantId": TENANT}
        if self.refuses_reading:
            return 403, {"error": {"code": "AuthorizationFailed", "message": "you may not look"}}
        if id_.endswith("/providers/Microsoft.Authorization/permissions"):
            return 200, {"value": self.permissions}
        if "/deletedVaults/" in id_:
            name = id_.rpartition("/")[2]
            there = any(each.endswith(f"/vaults/{name}") for each in self.deleted)
            return (200, {"name": name}) if there else _missing(id_)
        found = self.resources.get(id_)
        if found is None:
            return _missing(id_)
        if (left := self._working.get(id_, 0)) > 0:
            self._working[id_] = left - 1
            # At first it is not even to be seen.
            return _missing(id_) if left > 1 else (200, _state(found, "Creating"))
        return 200, found

    def _list(self, group: str, version: str, start: int) -> tuple[int, Any]:
        """What is in a group, one to a page (Azure Resource Manager, "List by resource group")."""
        if group not in self.resources:
            return _missing(group)
        found = [
            {"id": id_, "name": id_.rpartition("/")[2], "type": _type(id_)}
            for id_ in self.resources
            if id_.lower().startswith(f"{group}/providers/".lower())
        ]
        address = (
            f"https://management.azure.com{group}/resources?$skiptoken={start + 1}&api-version={version}"
        )
        more = {"nextLink": address} if start + 1 < len(found) else {}
        return 200, {"value": found[start : start + 1], **more}

    def _put(self, id_: str, body: Any) -> tuple[int, Any]:
        parent = re.sub(r"/(providers/Microsoft\.Authorization/)?[^/]+/[^/]+$", "", id_)
        parent = re.sub(r"/providers/[\w.]+$", "", parent)
        if parent != f"/subscriptions/{SUBSCRIPTION}" and parent not in self.resources:
            return 404, {"error": {"code": "ParentResourceNotFound", "message": parent}}
        kind, name = id_.split("/")[-2:]
        before = self.resources.get(id_)
        made = {**(before or {}), **body, "id": id_, "name": name}
        made["properties"] = {**(before or {}).get("properties", {}), **body.get("properties", {})}
        if kind == "vaults" and id_ in self.deleted:
            if made["properties"].pop("createMode", None) != "recover":
                return 409, {"error": {"code": "ConflictError", "message": "a vault of this name is deleted"}}
            self.deleted.remove(id_)
        if kind == "keys":
            if before:
                return 200, before
            vault = id_.split("/")[-3]
            made["properties"]["keyUriWithVersion"] = (
                f"https://{vault}.vault.azure.net/keys/{name}/{'f' * 32}"
            )
        if kind == "storageAccounts":
            self.resources[f"{id_}/blobServices/default"] = {"properties": {}, "name": "default"}
        self.resources[id_] = made
        if kind in SLOW and before is None:
            self._working[id_] = 2
            return 202, None
        return 200 if before else 201, made


def _missing(id_: str) -> tuple[int, Any]:
    return 404, {"error": {"code": "ResourceNotFound", "message": id_}}


def _type(id_: str) -> str:
    """Microsoft.Sql/servers/databases of …/providers/Microsoft.Sql/servers/a/databases/b."""
    provider, *rest = id_.rpartition("/providers/")[2].split("/")
    return "/".join([provider, *rest[::2]])


def _state(found: dict[str, Any], state: str) -> dict[str, Any]:
    return {**found, "properties": {**found["properties"], "provisioningState": state}}


@contextmanager
def managed(azure: Azure, folder: Path, **claims: Any) -> Iterator[None]:
    """Let the tools ask it, and an `az` that is signed in."""
    good = token(**claims)

    class Handler(http.server.BaseHTTPRequestHandler):
        def _handle(self) -> None:
            address = urllib.parse.urlsplit(self.path)
            size = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(size)) if size else None
            if self.headers.get("Authorization") != f"Bearer {good}":
                status, said = 401, {"error": {"code": "InvalidAuthenticationToken", "message": "no"}}
            else:
                asked = dict(urllib.parse.parse_qsl(address.query))
                page = asked.get("$skiptoken")
                status, said = azure.answer(self.command, address.path, asked["api-version"], body, page)
            self.send_response(status)
            self.end_headers()
            if said is not None:
                self.wfile.write(json.dumps(said).encode())

        do_GET = do_PUT = _handle  # noqa: N815

        def log_message(self, format: str, *args: Any) -> None:
            """Quiet."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    answer = json.dumps({"accessToken": good, "subscription": SUBSCRIPTION, "tenant": TENANT})
    script = folder / "az"
    script.write_text(f"#!/bin/sh\necho \"$@\" >> {folder}/asked\ncat <<'END'\n{answer}\nEND\n")
    script.chmod(0o755)
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("PATH", str(folder), prepend=":")
            patch.setenv("no_proxy", "127.0.0.1")
            patch.setattr("tools.azure_api.MANAGEMENT", f"http://127.0.0.1:{server.server_port}")
            patch.setattr("tools.azure_api.PAUSE", 0.0)
            yield
    finally:
        server.shutdown()
