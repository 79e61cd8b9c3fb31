"""State on Google Cloud: a bucket on Cloud Storage, and a Cloud KMS key for the secrets in it.

Bucket: versioned, uniform access, never public; Google encrypts and takes TLS only. Source: Cloud Storage,
"Best practices" and "Public access prevention"; Pulumi, "Managing state and backend options" and "Secrets"
(the URLs).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from components.google_api import GoogleApi, GoogleError
from tools.backend import PURPOSE, Backend, fitting_name
from tools.common import Failure

STORAGE = "https://storage.googleapis.com/storage/v1"
KMS = "https://cloudkms.googleapis.com/v1"
PROJECTS = "https://cloudresourcemanager.googleapis.com/v1/projects"
NAME_LIMIT = 63
"""Cloud Storage: bucket names without dots have 3 to 63 characters; Cloud KMS: as long is a key ring's."""
ROOM = 15
"""Characters that a bucket's name keeps for the Pulumi project."""
KEPT_DAYS = 365
"""Days for which an overwritten state can be brought back."""
ROTATION_DAYS = 90
"""Cloud KMS, "Key rotation": recommended for symmetric keys. Older versions go on decrypting."""
KEY = "secrets"
PRIVATE = {"uniformBucketLevelAccess": {"enabled": True}, "publicAccessPrevention": "enforced"}
LIFECYCLE = {
    "rule": [
        {"action": {"type": "Delete"}, "condition": {"daysSinceNoncurrentTime": KEPT_DAYS}},
        {"action": {"type": "AbortIncompleteMultipartUpload"}, "condition": {"age": 7}},
    ]
}
SAFEGUARDS = {"iamConfiguration": PRIVATE, "versioning": {"enabled": True}, "lifecycle": LIFECYCLE}


def ensure(project: str, config: Mapping[str, Any]) -> Backend:
    """Make what is missing of bucket and key, in the stack's project and region.

    :param config: the stack file's ``config``; ``gcp:project`` and ``gcp:region`` are read.
    :raises Failure: without these or credentials, or when the bucket is somebody else's.
    """
    place, region = config.get("gcp:project"), config.get("gcp:region")
    for key, value in (("gcp:project", place), ("gcp:region", region)):
        if not value:
            raise Failure(f"the stack names no {key.partition(':')[2]}", f"set {key} in the stack file")
    made: list[str] = []
    with _understandable(str(place)):
        google = GoogleApi(str(place))
        number = google.call("GET", f"{PROJECTS}/{place}")["projectNumber"]
        bucket = _Bucket(google, bucket_name(project, str(place), str(region)), labels(project))
        bucket.make(str(place), str(region), number, made)
        bucket.protect(made)
        key = _key(google, f"projects/{place}/locations/{region}", project, made)
    return Backend(url=f"gs://{bucket.name}", secrets_provider=f"gcpkms://{key}", made=made)


def bucket_name(project: str, place: str, region: str) -> str:
    """A name that no other Pulumi project, Google Cloud project or region of ours has."""
    # Projects of a domain have an id such as example.com:ml.
    start = f"-state-{re.sub(r'[^a-z0-9-]', '-', place)}-"
    # With the longest ids and regions nothing would be left for the project.
    short = len(start + region) <= NAME_LIMIT - ROOM
    end = region if short else hashlib.sha256(region.encode()).hexdigest()[:6]
    return fitting_name(project, start + end, NAME_LIMIT)


def labels(project: str) -> dict[str, str]:
    """How a later run knows its own (Cloud Storage, "Bucket labels": up to 63 of a-z, 0-9, _ and -)."""
    return {"pulumi-project": fitting_name(project, "", NAME_LIMIT), "purpose": PURPOSE}


class _Bucket:
    """The bucket, changed only in the caller's own project."""

    def __init__(self, google: GoogleApi, name: str, own: Mapping[str, str]) -> None:
        self.google, self.name, self.own = google, name, own
        self.url = f"{STORAGE}/b/{name}"
        self.found: dict[str, Any] = {}

    def make(self, place: str, region: str, number: str, made: list[str]) -> None:
        """:raises Failure: when somebody else has it, or it serves another purpose."""
        self.found = self._find(place, number) or {}
        if not self.found:
            # Private and versioned from its first moment on.
            wanted = {"name": self.name, "location": region, "labels": self.own, **SAFEGUARDS}
            self.found = self.google.call("POST", f"{STORAGE}/b", params={"project": place}, body=wanted)
            made.append(f"bucket {self.name}")
        elif not self.own.items() <= self.found.get("labels", {}).items():
            raise Failure(
                f"bucket {self.name} is in your project, but `make backend` did not make it",
                "if it holds this project's states, label it: "
                + ", ".join(f"{key}={value}" for key, value in self.own.items())
                + "; else delete it",
            )

    def _find(self, place: str, number: str) -> dict[str, Any] | None:
        """:raises Failure: when it is in another project: names are shared by all the world, and this one can
        be guessed."""
        not_ours = Failure(
            f"bucket {self.name} belongs to another project, or you may not see it",
            f"check gcp:project, and that you have roles/storage.admin in {place}",
        )
        try:
            found = self.google.find(self.url)
        except GoogleError as error:
            if error.status == 403 and not error.disabled:
                raise not_ours from None
            raise
        if found and found["projectNumber"] != number:
            raise not_ours
        return found

    def protect(self, made: list[str]) -> None:
        """Bring each safeguard to what it must be, and nothing that is right already."""
        change: dict[str, Any] = {}
        if not self.found.get("versioning", {}).get("enabled"):
            change["versioning"] = SAFEGUARDS["versioning"]
            made.append("versioning")
        access = self.found.get("iamConfiguration", {})
        uniform = access.get("uniformBucketLevelAccess", {}).get("enabled")
        if not uniform or access.get("publicAccessPrevention") != "enforced":
            change["iamConfiguration"] = PRIVATE
            made.append("no public access")
        if not self.found.get("lifecycle", {}).get("rule"):
            change["lifecycle"] = LIFECYCLE
            made.append(f"old versions kept for {KEPT_DAYS} days")
        if change:
            # Only if nobody changed it meanwhile.
            same = {"ifMetagenerationMatch": self.found["metageneration"]}
            self.google.call("PATCH", self.url, params=same, body=change)


def _key(google: GoogleApi, location: str, project: str, made: list[str]) -> str:
    """The key's resource name, it and its ring made when missing, rotated by Google.

    Neither can ever be deleted, so both may be there from an earlier time.
    """
    ring = f"{location}/keyRings/{(ring_id := fitting_name(project, '-state', NAME_LIMIT))}"
    name = f"{ring}/cryptoKeys/{KEY}"
    if google.find(f"{KMS}/{ring}") is None:
        google.call("POST", f"{KMS}/{location}/keyRings", params={"keyRingId": ring_id}, body={})
        made.append(f"key ring {ring_id}")
    key = google.find(f"{KMS}/{name}")
    if key is None:
        wanted = {"purpose": "ENCRYPT_DECRYPT", "labels": labels(project), **_rotation()}
        google.call("POST", f"{KMS}/{ring}/cryptoKeys", params={"cryptoKeyId": KEY}, body=wanted)
        made.append(f"key {KEY}")
        return name
    version = key.get("primary", {})
    if version.get("state") != "ENABLED":
        number = str(version.get("name", "")).rpartition("/")[2] or "…"
        raise Failure(
            f"the key {name} is {version.get('state', 'without a version')}: secrets in the state cannot be "
            "read",
            f"bring it back: gcloud kms keys versions restore {number} --key {name}, then … enable {number}",
        )
    if "rotationPeriod" not in key:
        mask = {"updateMask": "rotationPeriod,nextRotationTime"}
        google.call("PATCH", f"{KMS}/{name}", params=mask, body=_rotation())
        made.append(f"rotation of the key every {ROTATION_DAYS} days")
    return name


def _rotation() -> dict[str, str]:
    first = datetime.now(UTC) + timedelta(days=ROTATION_DAYS)
    return {
        "rotationPeriod": f"{ROTATION_DAYS * 86400}s",
        "nextRotationTime": first.strftime("%Y-%m-%dT%H:%M:%SZ"),
    }


@contextmanager
def _understandable(place: str) -> Iterator[None]:
    """Turn what Google answers into a line that says what to do."""
    from google.auth.exceptions import GoogleAuthError

    try:
        yield
    except GoogleAuthError as error:
        raise Failure(f"no Google credentials: {error}", "gcloud auth application-default login") from None
    except GoogleError as error:
        if error.disabled:
            raise Failure(
                f"{error.disabled} is not switched on in project {place}",
                f"gcloud services enable {error.disabled} --project {place}",
            ) from None
        if not error.status:
            raise Failure(f"Google did not answer: {error}", "check the network and who you are") from None
        raise Failure(
            f"Google refused: {error}",
            f"you need roles/storage.admin, roles/cloudkms.admin and roles/browser in project {place}",
        ) from None
