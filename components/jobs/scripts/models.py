"""Which version of a model a model server is to serve, asked of the tracking server by REST.

The standard library only, Python 3.10 and newer: importing MLflow would cost 150 MB and seconds.
Source: MLflow, "REST API" (registered-models/alias, model-versions/get, runs/get, logged-models, artifacts).
"""

import base64
import http.client
import json
import os
import re
import ssl
import urllib.error
import urllib.request
from urllib.parse import urlencode

REGISTERED = re.compile(r"models:/(?P<name>[^/@]+)(?:@(?P<alias>[^/@]+)|/(?P<version>[0-9]+))")
OF_A_RUN = re.compile(r"runs:/(?P<run>[0-9a-f]{32})/(?P<path>\S+)")
ANSWER_SECONDS = 20
"""For one answer."""


class NotYet(Exception):  # noqa: N818 - what a person sees
    """There is no such model, version or alias so far; one line."""


class Registry:
    """The tracking server's registry, as this pod's environment says how to reach it."""

    def __init__(self, environment=None):
        known = os.environ if environment is None else environment
        self.address = known["MLFLOW_TRACKING_URI"].rstrip("/")
        self.sign_in = None
        if token := known.get("MLFLOW_TRACKING_TOKEN"):
            self.sign_in = f"Bearer {token}"
        elif user := known.get("MLFLOW_TRACKING_USERNAME"):
            pair = f"{user}:{known.get('MLFLOW_TRACKING_PASSWORD', '')}"
            self.sign_in = f"Basic {base64.b64encode(pair.encode()).decode()}"
        self.context = ssl.create_default_context(cafile=known.get("MLFLOW_TRACKING_SERVER_CERT_PATH"))

    def ask(self, call, **query):
        """A call's answer.

        :raises NotYet: where the server says that it does not have it.
        :raises OSError: where it does not answer, or refuses.
        """
        address = f"{self.address}/api/2.0/mlflow/{call}?{urlencode(query)}"
        request = urllib.request.Request(address)  # noqa: S310 - the stack's own server
        if self.sign_in:
            request.add_unredirected_header("Authorization", self.sign_in)
        opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=self.context)
        )
        try:
            with opener.open(request, timeout=ANSWER_SECONDS) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            code, message = _told(error)
            # A missing alias is INVALID_PARAMETER_VALUE with status 400 (MLflow 3.17, sqlalchemy_store).
            if code == "RESOURCE_DOES_NOT_EXIST" or (error.code == 400 and "not found" in message):
                raise NotYet(message) from None
            if error.code == 403:  # under sign-in also of a model that nobody has registered
                raise NotYet(
                    "the server says permission denied: it is not there, or not for this user"
                ) from None
            raise OSError(f"{call}: {error.code} {message}") from None
        except (http.client.HTTPException, ValueError) as error:
            raise OSError(f"{call}: an answer that is cut off or no JSON ({error})") from None

    def resolved(self, model):
        """The URI of exactly one version, such as ``models:/churn/3``.

        :param model: as settings have it: ``models:/name@alias``, ``models:/name/3``, ``runs:/id/path``.
        :raises NotYet: while there is none.
        """
        if found := REGISTERED.fullmatch(model):
            if found["alias"]:
                answer = self.ask("registered-models/alias", name=found["name"], alias=found["alias"])
            else:
                answer = self.ask("model-versions/get", name=found["name"], version=found["version"])
            version = answer["model_version"]
            if version.get("status", "READY") != "READY":
                raise NotYet(f"{found['name']} version {version['version']} is {version['status']}")
            return f"models:/{found['name']}/{version['version']}"
        found = OF_A_RUN.fullmatch(model)
        if found is None:
            raise NotYet(f"{model} is no address of a model")
        if not self._logged(found["run"], found["path"]):
            raise NotYet(f"run {found['run']} has no model {found['path']}")
        return model

    def _logged(self, run, path):
        """Whether a run has this model: as an output (MLflow 3), or among its artifacts (before)."""
        known = self.ask("runs/get", run_id=run)["run"]
        for output in (known.get("outputs") or {}).get("model_outputs") or []:
            info = self.ask(f"logged-models/{output['model_id']}")["model"]["info"]
            if info.get("name") == path:
                return True
        files = self.ask("artifacts/list", run_id=run, path=path).get("files") or []
        return any(each["path"] == f"{path}/MLmodel" for each in files)


def _told(error):
    """The error code and message of an answer of MLflow's."""
    text = error.read(2000)
    try:
        told = json.loads(text)
        return told.get("error_code", ""), str(told.get("message", "")).splitlines()[0][:300]
    except (ValueError, IndexError, AttributeError):
        return "", text[:200].decode(errors="replace")
