"""How an image is pushed to Azure Container Registry without a user of its own: by the caller's token.

Source: azure.github.io/acr/AAD-OAuth.html.
"""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.parse
import urllib.request

import pulumi

from ..state import OFFLINE

USER = "00000000-0000-0000-0000-000000000000"
"""Who signs in with a refresh token."""
SECONDS = 30


def push_password(server: str, tenant: str, token: str) -> str:
    """A password for :data:`USER`, good for three hours; a plan pushes nothing and asks nobody.

    :param server: the registry's, such as mlflow.azurecr.io.
    :param token: of the caller, for Azure Resource Manager.
    :raises RuntimeError: when the registry gives none; the message says why and holds no token.
    """
    if os.environ.get(OFFLINE) or pulumi.runtime.is_dry_run():
        return token
    return exchange(f"https://{server}", tenant, token)


def exchange(address: str, tenant: str, token: str) -> str:
    """The registry's refresh token for an Entra token. ``address`` is its scheme and host."""
    form = {
        "grant_type": "access_token",
        "service": urllib.parse.urlsplit(address).netloc,
        "tenant": tenant,
        "access_token": token,
    }
    request = urllib.request.Request(  # noqa: S310 - https, but for a test's own server
        f"{address}/oauth2/exchange", data=urllib.parse.urlencode(form).encode()
    )
    try:
        with urllib.request.urlopen(request, timeout=SECONDS) as answer:  # noqa: S310
            return json.load(answer)["refresh_token"]
    except urllib.error.HTTPError as error:
        reason = f"HTTP {error.code}"
    except (urllib.error.URLError, TimeoutError) as error:
        reason = str(getattr(error, "reason", error))
    except (ValueError, KeyError):
        reason = "no refresh_token in the answer"
    raise RuntimeError(
        f"{form['service']} gives no password to push images: {reason} (whoever runs `make up` needs the "
        "role AcrPush or Contributor)"
    )
