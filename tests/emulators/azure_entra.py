"""Entra's token endpoint: takes tokens of the cluster's ServiceAccounts, gives tokens of managed identities.

Tokens are JWTs with real signatures (RS256). Source: Microsoft Learn, "OAuth 2.0 client credentials flow",
third case, and "Microsoft Entra federated identity credentials".
"""

from __future__ import annotations

import json
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import parse_qs
from uuid import uuid4

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256

from .azure_network import Answer, Asked
from .azure_plan import AUTHORITY_HOST, TENANT, ManagedIdentity

ISSUER = f"https://sts.windows.net/{TENANT}/"
BASE = f"{AUTHORITY_HOST}{TENANT}"


class RefusedError(Exception):
    """What Entra says against a request."""


class Issuer(Protocol):
    """Whose tokens of pods Entra takes: a cluster."""

    def claims(self, token: str) -> dict[str, Any]:
        """What a token says.

        :raises RefusedError: when the cluster has not signed it, or it is too old.
        """
        ...


@dataclass
class Signer:
    """Who signs tokens: the cluster, and Entra.

    :ivar late: seconds that the clock of who checks runs ahead; tokens of now are then of the past.
    """

    issuer: str
    late: float = 0
    key: rsa.RSAPrivateKey = field(default_factory=lambda: rsa.generate_private_key(65537, 2048))

    def token(self, claims: Mapping[str, Any], *, lifetime: float = 3600) -> str:
        """A token of now."""
        now = time.time()
        times = {"iat": int(now), "nbf": int(now) - 5, "exp": int(now + lifetime)}
        parts = ({"alg": "RS256", "typ": "JWT"}, {"iss": self.issuer, **times, **claims})
        text = ".".join(_encoded(json.dumps(part).encode()) for part in parts)
        return f"{text}.{_encoded(self.key.sign(text.encode(), padding.PKCS1v15(), SHA256()))}"

    def claims(self, token: str) -> dict[str, Any]:
        """What a token says.

        :raises RefusedError: when it is not this signer's, or too old.
        """
        text, _, signature = token.rpartition(".")
        try:
            self.key.public_key().verify(_decoded(signature), text.encode(), padding.PKCS1v15(), SHA256())
            said = json.loads(_decoded(text.partition(".")[2]))
        except (InvalidSignature, ValueError):
            raise RefusedError("the signature is wrong") from None
        if said["iss"] != self.issuer:
            raise RefusedError(f"the issuer is {said['iss']}")
        if said["exp"] <= time.time() + self.late:
            raise RefusedError("the token has expired")
        return said


@dataclass
class Entra:
    """The endpoint.

    :ivar lifetime: of the tokens it gives, in seconds.
    :ivar given: names of identities, in the order of their tokens, with what each token is for.
    :ivar refused: what was said against requests.
    """

    identities: Sequence[ManagedIdentity]
    cluster: Issuer
    lifetime: float = 3600
    signer: Signer = field(default_factory=lambda: Signer(ISSUER))
    given: list[tuple[str, str]] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)

    def answer(self, asked: Asked) -> Answer:
        if asked.method == "POST" and asked.path == f"/{TENANT}/oauth2/v2.0/token":
            form = {name: values[0] for name, values in parse_qs(asked.body.decode()).items()}
            try:
                return _json(200, self._token(form))
            except RefusedError as no:
                self.refused.append(str(no))
                told = {"error": "invalid_client", "error_description": f"AADSTS70021: {no}"}
                return _json(400, told)
        known = {
            "authorization_endpoint": f"{BASE}/oauth2/v2.0/authorize",
            "token_endpoint": f"{BASE}/oauth2/v2.0/token",
            "issuer": f"{BASE}/v2.0",
        }
        if asked.path == f"/{TENANT}/v2.0/.well-known/openid-configuration":
            return _json(200, known)
        if asked.path == "/common/discovery/instance":
            host = AUTHORITY_HOST.split("/")[2]
            alias = {"preferred_network": host, "preferred_cache": host, "aliases": [host]}
            endpoint = f"{BASE}/v2.0/.well-known/openid-configuration"
            return _json(200, {"tenant_discovery_endpoint": endpoint, "metadata": [alias]})
        return _json(404, {"error": asked.path})

    def _token(self, form: Mapping[str, str]) -> dict[str, Any]:
        wanted = {
            "grant_type": "client_credentials",
            "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        }
        if wrong := [name for name, value in wanted.items() if form.get(name) != value]:
            raise RefusedError(f"{wrong[0]} is {form.get(wrong[0])}")
        who = next((one for one in self.identities if one.client_id == form.get("client_id")), None)
        if who is None:
            raise RefusedError(f"there is no identity {form.get('client_id')}")
        said = self.cluster.claims(form["client_assertion"])
        audience = said["aud"] if isinstance(said["aud"], list) else [said["aud"]]
        if not any(
            (one.issuer, one.subject) == (said["iss"], said["sub"]) and set(one.audiences) & set(audience)
            for one in who.trusts
        ):
            raise RefusedError(f"{who.name} trusts nobody who is {said['sub']}")
        resource, _, default = form.get("scope", "").rpartition("/")
        if default != ".default":
            raise RefusedError(f"the scope is {form.get('scope')}")
        self.given.append((who.name, resource))
        return {
            "token_type": "Bearer",
            "expires_in": int(self.lifetime),
            "access_token": self.token(who.object_id, resource, client_id=who.client_id),
        }

    def token(self, object_id: str, audience: str, *, client_id: str = "") -> str:
        """A token of somebody, for a service."""
        claims = {"aud": audience, "oid": object_id, "sub": object_id, "appid": client_id, "tid": TENANT}
        return self.signer.token({**claims, "ver": "1.0", "uti": uuid4().hex}, lifetime=self.lifetime)


def _json(status: int, said: Mapping[str, Any]) -> Answer:
    return Answer(status, [("Content-Type", "application/json")], json.dumps(said).encode())


def _encoded(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def _decoded(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))
