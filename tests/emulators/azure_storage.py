"""Blob Storage as Azure guards it: the plan's role assignments say who may do what, then Azurite answers.

Sources: Azure Storage, "Authorize with Microsoft Entra ID" (which operation needs which action), "Azure
built-in roles", "Azure role assignment condition format and syntax", "Create a user delegation SAS" (whoever
signed needs the rights).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple
from urllib.parse import parse_qs, unquote

from components.clouds.azure.roles import Role

from .azure_entra import Entra, RefusedError
from .azure_network import Answer, Asked
from .azure_plan import ACCOUNTS, Assignment, container_id
from .azurite_server import Azurite

SERVICE = "Microsoft.Storage/storageAccounts/blobServices"
BLOBS = f"{SERVICE}/containers/blobs"
DELEGATION = f"{SERVICE}/generateUserDelegationKey/action"
DATA = {f"{BLOBS}/{action}" for action in ("read", "write", "delete", "add/action", "move/action")}
ALLOWS = {Role.BLOB_DATA_CONTRIBUTOR: {*DATA, DELEGATION}, Role.BLOB_DELEGATOR: {DELEGATION}}
AUDIENCE = "https://storage.azure.com"
HOP = {"connection", "keep-alive", "transfer-encoding", "host", "proxy-connection", "content-length"}


class Operation(NamedTuple):
    """What a request is about.

    :ivar scope: id of the resource.
    """

    action: str
    scope: str
    blob: str = ""
    prefix: str | None = None


class Seen(NamedTuple):
    """A request that was answered.

    :ivar who: object id; of who signed the address where it is a signed one.
    :ivar signed: whether it came with a signed address instead of a token.
    """

    who: str
    signed: bool
    method: str
    blob: str
    query: str
    status: int


@dataclass
class Storage:
    """One storage account.

    :ivar seen: every request, in order.
    """

    account: str
    azurite: Azurite
    entra: Entra
    assignments: Sequence[Assignment]
    seen: list[Seen] = field(default_factory=list)

    def answer(self, asked: Asked) -> Answer:
        signed = "sig=" in asked.query
        operation = self._operation(asked)
        who = ""
        try:
            who = self._who(asked, signed)
        except RefusedError:
            answer = _error(401, "InvalidAuthenticationInfo")
        else:
            if any(self._allows(each, who, operation) for each in self.assignments):
                answer = self._forward(asked)
            else:
                answer = _error(403, "AuthorizationPermissionMismatch")
        # A signature is a secret, in what a failing test prints too.
        query = re.sub(r"sig=[^&]*", "sig=…", asked.query)
        self.seen.append(Seen(who, signed, asked.method, operation.blob, query, answer.status))
        return answer

    def make(self, container: str) -> None:
        """What the program does through Azure's management API."""
        status = self._directly("PUT", f"/{container}?restype=container").status
        assert status == 201, status

    def blobs(self, container: str) -> list[str]:
        """The names of all blobs."""
        listed = self._directly("GET", f"/{container}?restype=container&comp=list").body.decode()
        return re.findall("<Name>(.*?)</Name>", listed)

    def _directly(self, method: str, path: str) -> Answer:
        token = self.entra.token("the test itself", AUDIENCE)
        headers = {"Authorization": f"Bearer {token}", "x-ms-version": "2023-11-03", "Content-Length": "0"}
        return Answer(*self.azurite.answer(method, path, headers))

    def _who(self, asked: Asked, signed: bool) -> str:
        if signed:
            # Azurite checks the signature itself.
            return parse_qs(asked.query).get("skoid", ["somebody with the account's key"])[0]
        kind, _, token = asked.headers.get("Authorization", "").partition(" ")
        if kind != "Bearer":
            raise RefusedError("keys are off in this account")
        said = self.entra.signer.claims(token)
        if said["aud"].rstrip("/") != AUDIENCE:
            raise RefusedError(f"the token is for {said['aud']}")
        return said["oid"]

    def _operation(self, asked: Asked) -> Operation:
        given = parse_qs(asked.query, keep_blank_values=True)
        container, _, blob = unquote(asked.path.lstrip("/")).partition("/")
        scope = container_id(self.account, container) if container else f"{ACCOUNTS}/{self.account}"
        what = {key: values[0] for key, values in given.items()}
        if what.get("comp") == "userdelegationkey":
            return Operation(DELEGATION, scope)
        if what.get("comp") == "list" and not blob:
            return Operation(f"{BLOBS}/read", scope, prefix=what.get("prefix", ""))
        if not blob or asked.method not in ("GET", "HEAD", "PUT", "DELETE"):
            return Operation(f"unknown: {asked.method} {asked.path}", scope)
        action = {"PUT": "write", "DELETE": "delete"}.get(asked.method, "read")
        return Operation(f"{BLOBS}/{action}", scope, blob)

    def _allows(self, given: Assignment, who: str, operation: Operation) -> bool:
        if given.principal != who or operation.action not in ALLOWS.get(Role(given.role), ()):
            return False
        below = operation.scope == given.scope or operation.scope.startswith(f"{given.scope}/")
        return below and (given.condition is None or holds(given.condition, operation))

    def _forward(self, asked: Asked) -> Answer:
        path = f"{asked.path}?{asked.query}" if asked.query else asked.path
        kept = {name: value for name, value in asked.headers.items() if name.lower() not in HOP}
        kept["Content-Length"] = str(len(asked.body))
        status, headers, body = self.azurite.answer(asked.method, path, kept, asked.body)
        dropped = HOP - {"content-length"} if asked.method == "HEAD" else HOP
        return Answer(status, [pair for pair in headers if pair[0].lower() not in dropped], body)


def holds(condition: str, operation: Operation) -> bool:
    """Whether a role assignment's condition holds for an operation; knows the words that the product uses."""
    listing = operation.prefix is not None
    words = {
        r"ActionMatches\{'([^']*)'\}": lambda found: operation.action == found[1],
        r"SubOperationMatches\{'([^']*)'\}": lambda found: listing and found[1] == "Blob.List",
        rf"@Resource\[{BLOBS}:path\] StringStartsWith '([^']*)'": lambda found: operation.blob.startswith(
            found[1]
        ),
        rf"@Request\[{BLOBS}:prefix\] StringStartsWith '([^']*)'": lambda found: (
            listing and str(operation.prefix).startswith(found[1])
        ),
    }
    text = condition
    for pattern, judge in words.items():
        text = re.sub(pattern, lambda found, judge=judge: str(bool(judge(found))), text)
    text = re.sub(r"!|\bNOT\b", " not ", text).replace("AND", "and").replace("OR", "or")
    left = set(re.findall(r"\w+", text)) - {"True", "False", "not", "and", "or"}
    assert not left, f"not known in conditions: {left}"
    return bool(eval(text, {"__builtins__": {}}))  # noqa: S307 - nothing but the words above is left


def _error(status: int, code: str) -> Answer:
    text = f'<?xml version="1.0" encoding="utf-8"?><Error><Code>{code}</Code><Message>no</Message></Error>'
    return Answer(status, [("x-ms-error-code", code), ("Content-Type", "application/xml")], text.encode())
