"""`make up`: bring a stack to what its settings say."""

from __future__ import annotations

import http.client
import ssl
import time
import urllib.error
import urllib.request

from rich.markup import escape

from components.settings.stack import Cloud
from tools.access import gcp, make
from tools.common import cli, console, step
from tools.engine import verbs
from tools.settings import settings_of

ANSWER_LIMIT = 30
"""Seconds until a dev stack's address answers: nodes lead to a pod a moment after the API calls it ready."""
REST = 0.2
"""Seconds between attempts."""


def answers(url: str, limit: float = ANSWER_LIMIT) -> bool:
    """Wait until somebody answers HTTP there, whatever is said.

    :param limit: in seconds.
    """
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    end = time.monotonic() + limit
    while True:
        try:
            with opener.open(f"{url.rstrip('/')}/health", timeout=5):
                return True
        except urllib.error.HTTPError:
            return True
        except (OSError, http.client.HTTPException) as error:
            if isinstance(getattr(error, "reason", None), ssl.SSLCertVerificationError):
                return True  # with a certificate that only its people's machines trust
            if time.monotonic() >= end:
                return False
            time.sleep(REST)


def main(argv: list[str]) -> int:
    stack = verbs.parse(argv, __doc__ or "")
    cloud = settings_of(stack).cloud
    if cloud is Cloud.GCP:
        # Before half an hour of infrastructure, at whose end nobody could sign in.
        console.print(f"  the cluster is signed in to as {escape(gcp.signed_in())}")
    made = {name: output.value for name, output in verbs.up(stack).outputs.items()}
    # A load balancer's address needs people's own DNS; a node's is there at once, or is of no use from here.
    if cloud is Cloud.DEV and made["url"] != made["inClusterUrl"]:
        with step(f"Waiting for {made['url']} to answer"):
            found = answers(made["url"])
        if not found:
            said = f"not from this machine; [bold]{make('open', stack)}[/] leads a port of it there"
            console.print(f"  [yellow]{said}[/]")
    return 0


if __name__ == "__main__":
    cli(main)
