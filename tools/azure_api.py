"""Azure Resource Manager over its REST API, as whoever `az` is signed in as.

No SDK: a few calls need none, and `az` is there anyway, since the cluster's kubeconfig signs in by it.
"""

from __future__ import annotations

import base64
import http.client
import json
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from typing import Any

from tools.common import Failure, run

MANAGEMENT = "https://management.azure.com"
LIMIT = 60
"""Seconds for one answer."""
BUSY = 600
"""Seconds for something that is being made."""
PAUSE = 2.0
WORKING = {"Accepted", "Creating", "Updating", "ResolvingDns", "RegisteringDns", "Running"}


class AzureError(Exception):
    """What Azure refused.

    :ivar status: of HTTP; 0 where nobody answered.
    :ivar code: Azure's own word, such as AuthorizationFailed.
    """

    def __init__(self, status: int, code: str, text: str) -> None:
        super().__init__(text)
        self.status, self.code = status, code


class AzureApi:
    """One subscription.

    :param subscription: its id; None for the one that `az` has selected.
    :raises Failure: where nobody is signed in.
    """

    def __init__(self, subscription: str | None = None) -> None:
        account = ["--subscription", subscription] if subscription else []
        answer = run(
            ["az", "account", "get-access-token", *account, "--resource", MANAGEMENT, "-o", "json"],
            timeout=LIMIT,
            hint="install the Azure CLI and sign in: az login --tenant …",
        )
        found = json.loads(answer)
        self._token: str = found["accessToken"]
        self.subscription: str = subscription or found["subscription"]

    @property
    def root(self) -> str:
        """The subscription's own id."""
        return f"/subscriptions/{self.subscription}"

    def caller(self) -> tuple[str, str]:
        """Object id and kind (User or ServicePrincipal) of whoever is signed in, as their token says."""
        text = self._token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
        return claims["oid"], "ServicePrincipal" if claims.get("idtyp") == "app" else "User"

    def call(
        self,
        method: str,
        id_: str,
        version: str,
        body: Mapping[str, Any] | None = None,
        query: Mapping[str, str] | None = None,
    ) -> Any:
        """:raises AzureError: when it is refused, or nobody answers."""
        asked = {**(query or {}), "api-version": version}
        request = urllib.request.Request(
            f"{MANAGEMENT}{id_}?{urllib.parse.urlencode(asked)}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {self._token}", "Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=LIMIT) as answer:
                text = answer.read()
            return json.loads(text) if text else {}
        except urllib.error.HTTPError as error:
            raise _refused(error) from None
        except (OSError, http.client.HTTPException, ValueError) as error:  # also half an answer, or no JSON
            raise AzureError(0, "", str(getattr(error, "reason", error))) from None

    def find(self, id_: str, version: str) -> dict[str, Any] | None:
        """What has this id; None where there is nothing."""
        try:
            return self.call("GET", id_, version)
        except AzureError as error:
            if error.status == 404:
                return None
            raise

    def listed(self, id_: str, version: str) -> Iterator[dict[str, Any]]:
        """All of a list, whose pages each name the next one; nothing where there is no such list."""
        query: dict[str, str] = {}
        while True:
            try:
                page = self.call("GET", id_, version, query=query)
            except AzureError as error:
                if error.status == 404:
                    return
                raise
            yield from page["value"]
            if not page.get("nextLink"):
                return
            query = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(page["nextLink"]).query))

    def make(self, id_: str, version: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Make or change it, and wait until that is done.

        :raises Failure: when it takes more than ten minutes.
        """
        found = self.call("PUT", id_, version, body)
        deadline = time.monotonic() + BUSY
        while not found or found.get("properties", {}).get("provisioningState") in WORKING:
            if time.monotonic() > deadline:
                raise Failure(f"Azure is still at work on {id_}", "look there, and run this again")
            time.sleep(PAUSE)
            found = self.find(id_, version) or {}
        return found


def _refused(error: urllib.error.HTTPError) -> AzureError:
    try:
        said = json.loads(error.read())["error"]
        return AzureError(error.code, said.get("code", ""), said.get("message") or said.get("code", ""))
    except (ValueError, KeyError, TypeError):
        return AzureError(error.code, "", f"HTTP {error.code}")
