"""Google's APIs as JSON over HTTPS, for what no Pulumi resource does: signed in as the engine and the
provider are.

Sources of the order: pulumi, ``authhelpers/gcpauth.go``; pulumi-gcp, "Provider configuration".
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

SCOPES = ("https://www.googleapis.com/auth/cloud-platform",)
SECONDS = 60
"""For one answer."""


class GoogleError(Exception):
    """What Google answered instead of a result.

    :ivar status: the HTTP status; 0 where there was no answer.
    :ivar disabled: the API that is not switched on in the project, such as ``cloudkms.googleapis.com``.
    """

    def __init__(self, message: str, status: int = 0, disabled: str | None = None) -> None:
        super().__init__(message)
        self.status, self.disabled = status, disabled


def credentials(project: str) -> Any:
    """Who the caller is, found where provider and engine look; a person's calls count for ``project``.

    :returns: ``google.auth.credentials.Credentials``.
    :raises google.auth.exceptions.GoogleAuthError: without any.
    """
    import google.auth  # late and only here: other stacks do without
    from google.auth import impersonated_credentials
    from google.oauth2.credentials import Credentials as Person

    if given := os.environ.get("GOOGLE_CREDENTIALS", "").strip():
        held = json.loads(given if given[0] == "{" else Path(given).expanduser().read_text())
        found, _ = google.auth.load_credentials_from_dict(held, scopes=SCOPES)
    elif token := os.environ.get("GOOGLE_OAUTH_ACCESS_TOKEN"):
        found = Person(token)
    else:
        found, _ = google.auth.default(scopes=SCOPES)
    if target := os.environ.get("GOOGLE_IMPERSONATE_SERVICE_ACCOUNT"):
        return impersonated_credentials.Credentials(found, target, SCOPES)
    if isinstance(found, Person) and not found.quota_project_id:
        return found.with_quota_project(project)
    return found


class GoogleApi:
    """Calls to Google's APIs as one caller."""

    def __init__(self, project: str) -> None:
        """:raises google.auth.exceptions.GoogleAuthError: without credentials."""
        from google.auth.transport.requests import AuthorizedSession

        self._session = AuthorizedSession(credentials(project))

    def call(
        self,
        method: str,
        url: str,
        *,
        params: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """One call, and its answer.

        :raises GoogleError: when Google refuses or does not answer.
        """
        return self._answer(method, url, params=params, json=body)

    def upload(self, url: str, *, params: Mapping[str, str], content: bytes, kind: str) -> None:
        """Send an object in one piece.

        :param kind: its media type.
        :raises GoogleError: when Google refuses or does not answer.
        """
        self._answer("POST", url, params=params, data=content, headers={"Content-Type": kind})

    def _answer(self, method: str, url: str, **request: Any) -> dict[str, Any]:
        from google.auth.exceptions import GoogleAuthError
        from requests.exceptions import RequestException

        try:
            answer = self._session.request(method, url, timeout=SECONDS, **request)
        except (GoogleAuthError, RequestException) as error:
            raise GoogleError(str(error)) from None
        if not answer.ok:
            raise _refusal(answer)
        return answer.json() if answer.content else {}

    def find(self, url: str, params: Mapping[str, str] | None = None) -> dict[str, Any] | None:
        """What is at an address; None where nothing is.

        :raises GoogleError: when Google refuses or does not answer.
        """
        try:
            return self.call("GET", url, params=params)
        except GoogleError as error:
            if error.status == 404:
                return None
            raise


def _refusal(answer: Any) -> GoogleError:
    """A refusal in Google's usual form (AIP-193), or in whatever form it came."""
    try:
        said = answer.json()["error"]
        message, details = str(said["message"]), said.get("details", [])
    except (ValueError, KeyError, TypeError):
        return GoogleError(answer.text.strip()[:200] or answer.reason, answer.status_code)
    disabled = next(
        (each["metadata"]["service"] for each in details if each.get("reason") == "SERVICE_DISABLED"), None
    )
    return GoogleError(message, answer.status_code, disabled)
