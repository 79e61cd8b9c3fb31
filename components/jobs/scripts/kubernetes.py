"""The Kubernetes API, as a pod's own ServiceAccount reaches it.

For the scripts of this folder that run in pods as ``python -m launcher.<name>``: a module ``kubernetes`` on
the path itself would hide the client of that name. The standard library only, Python 3.10 and newer.
"""

import http.client
import json
import os
import ssl
import time
from pathlib import Path
from urllib.parse import urlencode

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""Where the kubelet keeps token, CA and namespace. Source: Kubernetes, "Accessing the API from a Pod"."""
ANSWER_SECONDS = 30
"""For one answer."""
PATIENCE = 300.0
"""Seconds for which a server that does not answer is asked again: a control plane that is being renewed."""
PAUSE = 1.0
"""Seconds before a question is asked again."""
PERIOD = 2.0
"""Seconds between two looks at what is waited for."""
PASSING = (429, 500, 502, 503, 504)
"""Answers of a server that is busy or starting. Source: Kubernetes, "API Concepts"."""
USER_AGENT = "mlflow-jobs/1"
"""Its first word is who owns the fields that a patch sets, and who stands in the audit log."""
MERGE = "application/merge-patch+json"


class Refused(Exception):  # noqa: N818 - what a person sees
    """The API server's answer is no.

    :ivar status: of HTTP: 403 not allowed, 404 not there, 409 there already or changed meanwhile.
    """

    def __init__(self, method, path, status, message):
        super().__init__(f"{method} {path}: {status} {message}")
        self.status = status


class Unreachable(Exception):  # noqa: N818 - what a person sees
    """The API server did not answer, or is not the one that the CA vouches for."""


class Late(Exception):  # noqa: N818 - what a person sees
    """What was waited for did not come in time."""


class Api:
    """One namespace of the API server.

    :ivar namespace: the pod's own.
    :param patience: seconds for which a question is repeated while nothing answers it.
    """

    def __init__(self, *, host=None, port=None, account=ACCOUNT, patience=PATIENCE):
        self.account, self.patience = Path(account), patience
        try:
            self.host = host or os.environ["KUBERNETES_SERVICE_HOST"]
            self.port = int(port or os.environ["KUBERNETES_SERVICE_PORT"])
            self.namespace = (self.account / "namespace").read_text().strip()
            self._token()
        except (KeyError, OSError) as error:
            raise Unreachable(f"this pod has no ServiceAccount token mounted ({error})") from None

    def path(self, kind, name=None):
        """Of a resource in the namespace, such as ``batch/v1/jobs`` or, of the core group, ``v1/pods``."""
        root = "api" if kind.startswith("v1/") else "apis"
        group, _, plural = kind.rpartition("/")
        return f"/{root}/{group}/namespaces/{self.namespace}/{plural}" + (f"/{name}" if name else "")

    def get(self, kind, name):
        """One object; None when it is not there."""
        try:
            return self.ask("GET", self.path(kind, name))
        except Refused as refused:
            if refused.status == 404:
                return None
            raise

    def list(self, kind, *, labels=None, fields=None):
        """Objects of a kind.

        :param labels, fields: selectors, as kubectl writes them.
        """
        asked = {"labelSelector": labels, "fieldSelector": fields}
        query = urlencode({name: value for name, value in asked.items() if value})
        return self.ask("GET", self.path(kind) + (f"?{query}" if query else ""))["items"]

    def create(self, kind, body):
        """The object made. One whose answer was lost is there already: 409, told by its name."""
        return self.ask("POST", self.path(kind), body)

    def patch(self, kind, name, body):
        """The object after a merge patch (RFC 7386)."""
        return self.ask("PATCH", self.path(kind, name), body, MERGE)

    def delete(self, kind, name, *, propagation="Foreground"):
        """Have an object deleted, with what it owns; one that is gone already is no error.

        :param propagation: Foreground (it goes last), Background or Orphan.
        """
        options = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": propagation}
        try:
            self.ask("DELETE", self.path(kind, name), options)
        except Refused as refused:
            if refused.status != 404:
                raise

    def until(self, kind, name, done, *, seconds):
        """Look at an object again and again.

        :param done: of the object (None when it is not there): what to return, or None to go on.
        :raises Late: after ``seconds``.
        """
        deadline = time.monotonic() + seconds
        while True:
            if (found := done(self.get(kind, name))) is not None:
                return found
            if time.monotonic() >= deadline:
                raise Late(f"{kind.rpartition('/')[2]} {name}: not within {seconds} s")
            time.sleep(PERIOD)

    def ask(self, method, path, body=None, content="application/json"):
        """The answer's JSON.

        :raises Refused: when the server says no.
        :raises Unreachable: when it says nothing for ``patience``.
        """
        deadline = time.monotonic() + self.patience
        while True:
            pause = PAUSE
            try:
                status, headers, text = self._once(method, path, body, content)
                if status < 300:
                    return json.loads(text)
                trouble = Refused(method, path, status, _told(text))
                if status not in PASSING:
                    raise trouble
                pause = _seconds(headers.get("Retry-After")) or pause
            except ssl.SSLCertVerificationError as error:
                raise Unreachable(f"{self.host}:{self.port}: {error.verify_message}") from None
            except (OSError, http.client.HTTPException, ValueError) as error:
                trouble = Unreachable(f"{method} {path}: {type(error).__name__}: {error}")
            if time.monotonic() + pause > deadline:
                raise trouble
            time.sleep(pause)

    def _token(self):
        return (self.account / "token").read_text().strip()

    def _once(self, method, path, body, content):
        # Both are read each time: they are renewed under a running pod.
        token = self._token()
        context = ssl.create_default_context(cafile=str(self.account / "ca.crt"))
        # Neither a proxy of the environment nor a redirect: the token is for this server only.
        connection = http.client.HTTPSConnection(
            self.host, self.port, timeout=ANSWER_SECONDS, context=context
        )
        headers = {
            "Authorization": f"Bearer {token}",
            "Accept": "application/json",
            "Content-Type": content,
            "User-Agent": USER_AGENT,
        }
        try:
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read()
        finally:
            connection.close()


def _told(text):
    """The message of a Status object, or the start of what came instead."""
    try:
        return json.loads(text)["message"]
    except (ValueError, KeyError, TypeError):
        return text[:200].decode(errors="replace")


def _seconds(header):
    return int(header) if header and header.isdigit() else None
