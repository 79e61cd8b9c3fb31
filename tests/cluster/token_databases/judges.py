"""Who may sign in with which token: what RDS and Entra check, recomputed here without the clouds' SDKs."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol
from urllib.parse import parse_qsl, quote


class Judge(Protocol):
    """Whether a database lets somebody in."""

    def why_not(self, user: str, password: str) -> str | None:
        """Why this password does not let ``user`` in; None when it does."""
        ...


@dataclass(frozen=True)
class AwsIdentity:
    """Temporary credentials of a role, and the database users it may ``rds-db:connect`` as."""

    access_key: str
    secret_key: str
    session_token: str
    may_connect_as: Sequence[str]

    @property
    def environment(self) -> dict[str, str]:
        return {
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_SESSION_TOKEN": self.session_token,
        }


@dataclass
class RdsJudge:
    """What RDS does with a token. Sources: AWS, "Create a signed AWS API request" (query string); RDS User
    Guide, "IAM database authentication" (15 minutes, the user in the token, the instance's own endpoint).

    :ivar late: seconds that this judge's clock runs ahead; tokens of now are then of the past.
    """

    host: str
    port: int
    region: str
    identities: Sequence[AwsIdentity]
    late: float = 0

    def why_not(self, user: str, password: str) -> str | None:
        address, _, query = password.partition("/?")
        if address != f"{self.host}:{self.port}":
            return f"the token is for {address[:80]}"
        values = dict(parse_qsl(query, keep_blank_values=True))
        key, _, scope = values.get("X-Amz-Credential", "").partition("/")
        identity = next((one for one in self.identities if one.access_key == key), None)
        if identity is None:
            return "the token is of an unknown access key"
        if values.get("X-Amz-Security-Token") != identity.session_token:
            return "the session token is another one"
        signature = self._signature(identity, values, scope)
        if not hmac.compare_digest(values.get("X-Amz-Signature", ""), signature):
            return "the signature is wrong"
        if values["Action"] != "connect" or values["DBUser"] != user:
            return f"the token is for user {values['DBUser']}"
        if user not in identity.may_connect_as:
            return f"no rds-db:connect as {user}"
        return self._too_old(values)

    def _signature(self, identity: AwsIdentity, values: Mapping[str, str], scope: str) -> str:
        date = values.get("X-Amz-Date", "")
        expected_scope = f"{date[:8]}/{self.region}/rds-db/aws4_request"
        signed = {name: value for name, value in values.items() if name != "X-Amz-Signature"}
        query = "&".join(f"{quote(name, safe='')}={quote(signed[name], safe='')}" for name in sorted(signed))
        nothing = hashlib.sha256(b"").hexdigest()
        request = f"GET\n/\n{query}\nhost:{self.host}:{self.port}\n\nhost\n{nothing}"
        digest = hashlib.sha256(request.encode()).hexdigest()
        text = f"AWS4-HMAC-SHA256\n{date}\n{expected_scope}\n{digest}"
        key = f"AWS4{identity.secret_key}".encode()
        for part in expected_scope.split("/"):
            key = hmac.digest(key, part.encode(), "sha256")
        # Another region or service in the token's own scope gives another signature.
        return hmac.digest(key, text.encode(), "sha256").hex() if scope == expected_scope else "-"

    def _too_old(self, values: Mapping[str, str]) -> str | None:
        made = datetime.strptime(values["X-Amz-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp()
        lifetime = int(values["X-Amz-Expires"])
        if lifetime > 900:
            return f"the token wants to live {lifetime} s"
        age = time.time() + self.late - made
        return None if -60 <= age <= lifetime else f"the token is {age:.0f} s old"


@dataclass
class EntraJudge:
    """What Azure's databases do with a token: whom it is for, who signed it, until when, and whose it is.

    Source: Microsoft Learn, "Microsoft Entra authentication with Azure Database for PostgreSQL" (object ids
    are matched, not names; PostgreSQL: ``oid``, MySQL: ``appid``).

    :ivar users: database user → id of its identity.
    :ivar claim: the claim that holds that id.
    """

    key: bytes
    audience: str
    claim: str
    users: dict[str, str] = field(default_factory=dict)

    def why_not(self, user: str, password: str) -> str | None:
        try:
            head, body, signature = password.split(".")
            claims: dict[str, Any] = json.loads(_decoded(body))
        except ValueError:
            return "this is no token"
        if not hmac.compare_digest(_decoded(signature), _signed(self.key, f"{head}.{body}")):
            return "the signature is wrong"
        if claims["aud"] != self.audience:
            return f"the token is for {claims['aud']}"
        if claims["exp"] < time.time():
            return "the token has expired"
        if claims[self.claim] != self.users.get(user):
            return f"the token is of {claims[self.claim]}, which is not {user}"
        return None


def entra_token(key: bytes, claims: Mapping[str, Any]) -> str:
    """A signed token (JWT, HS256)."""
    parts = [_encoded(json.dumps(part).encode()) for part in ({"alg": "HS256", "typ": "JWT"}, claims)]
    text = ".".join(parts)
    return f"{text}.{_encoded(_signed(key, text))}"


def _signed(key: bytes, text: str) -> bytes:
    return hmac.digest(key, text.encode(), "sha256")


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
