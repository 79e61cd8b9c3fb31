"""A stack's tracking server, asked by REST from this machine as the jobs' user."""

from __future__ import annotations

import json
import ssl
import urllib.error
import urllib.request
from typing import Any

from components.jobs.scripts.models import Registry
from components.settings.existing import ExistingStack
from tools.common import Failure
from tools.deployed import Deployed
from tools.jobs.here import credentials
from tools.settings import settings_of

LIMIT = 10
"""Seconds for an answer."""


class Server:
    """Signs in as the pods of jobs do.

    Its certificate is checked against public authorities, and against ``tracking.caBundle`` where the stack
    has one: people may come by another way than pods.
    """

    def __init__(self, deployed: Deployed) -> None:
        self._deployed = deployed
        self._pods = Registry({"MLFLOW_TRACKING_URI": deployed.url, **credentials(deployed)})
        self._context = ssl.create_default_context()
        settings = settings_of(deployed.stack)
        if isinstance(settings, ExistingStack) and settings.tracking.ca_bundle:
            self._context.load_verify_locations(cadata=settings.tracking.ca_bundle)

    def ask(self, call: str, body: dict[str, Any]) -> dict[str, Any]:
        """A call of MLflow's REST API.

        :raises Failure: when the server does not answer it.
        """
        address = f"{self._pods.address}/api/2.0/mlflow/{call}"
        request = urllib.request.Request(
            address, json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        if self._pods.sign_in:
            request.add_unredirected_header("Authorization", self._pods.sign_in)
        opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=self._context)
        )
        try:
            with opener.open(request, timeout=LIMIT) as answer:
                return json.load(answer)
        except OSError as error:
            reason = error.read(300).decode() if isinstance(error, urllib.error.HTTPError) else error
            hint = f"is the server up? make status STACK={self._deployed.stack}"
            if isinstance(getattr(error, "reason", None), ssl.SSLCertVerificationError):
                hint = "its authority goes into mlflow:tracking.caBundle, or into this machine's"
            raise Failure(f"{address}: {reason}", hint) from None
