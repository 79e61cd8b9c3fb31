"""One image through Cloud Build: upload what it is built from, build, and find out the digest.

Sources: Cloud Build API v1, "Build"; Artifact Registry API v1,
"projects.locations.repositories.packages.tags"; Cloud Storage JSON API, "Objects: insert".
"""

from __future__ import annotations

import io
import tarfile
import time
from dataclasses import dataclass
from typing import Any

import pulumi

from ...google_api import GoogleApi, GoogleError
from ...image_context import OWN_IMAGES, context_files, context_folder

CLOUD_BUILD = "https://cloudbuild.googleapis.com/v1"
REGISTRY = "https://artifactregistry.googleapis.com/v1"
UPLOAD = "https://storage.googleapis.com/upload/storage/v1"
DOCKER = "gcr.io/cloud-builders/docker"
"""Cloud Build's own image with Docker in it."""
LIMIT_SECONDS = 1800
ASK_SECONDS = 5
TRIES, FRESH_SECONDS = 3, 60
"""A new service account's rights take up to some minutes (IAM, "Access change propagation")."""
TOO_FRESH = {"PUSH_NOT_AUTHORIZED", "FETCH_SOURCE_FAILED", "LOGGING_FAILURE"}
"""How a build fails without them."""
UNFINISHED = {"STATUS_UNKNOWN", "PENDING", "QUEUED", "WORKING"}


@dataclass(frozen=True, kw_only=True)
class ImageBuild:
    """What is to be built.

    :ivar image: its key in :data:`~components.image_context.OWN_IMAGES`.
    :ivar address: where it goes, without a tag.
    :ivar repository: resource name, ``projects/…/locations/…/repositories/…``.
    :ivar tag: the hash of what it is built from.
    :ivar base: its Dockerfile's BASE_IMAGE.
    :ivar account: resource name of the service account that builds.
    :ivar bucket: for the upload.
    """

    project: str
    image: str
    address: str
    repository: str
    tag: str
    base: str
    account: str
    bucket: str

    @property
    def reference(self) -> str:
        return f"{self.address}:{self.tag}"

    @property
    def source(self) -> str:
        """Name of the uploaded object."""
        return f"{self.image}-{self.tag}.tar.gz"

    @property
    def mark(self) -> str:
        """Tag of its builds, by which a later run finds one that is at work."""
        return f"{self.repository.rpartition('/')[2]}-{self.image}-{self.tag}"[:128]


def built(wanted: ImageBuild) -> str | None:
    """The digest of an image that is in the repository; None when it is not.

    :raises pulumi.RunError: when Google refuses or does not answer.
    """
    from google.auth.exceptions import GoogleAuthError  # late: other stacks do without

    package = OWN_IMAGES[wanted.image].repository
    try:
        google = GoogleApi(wanted.project)
        found = google.find(f"{REGISTRY}/{wanted.repository}/packages/{package}/tags/{wanted.tag}")
    except (GoogleAuthError, GoogleError) as error:
        raise _failed(wanted, str(error)) from None
    return found["version"].rpartition("/")[2] if found else None


def build(wanted: ImageBuild) -> str:
    """Build and push it, and return its digest.

    A build of the same files that is at work already, of a run that was ended, is waited for instead.

    :raises pulumi.RunError: when it cannot be built; names the log.
    """
    step = _Step(wanted)
    try:
        done = step.waited(step.at_work() or step.started())
        for _ in range(TRIES - 1):
            if done.get("failureInfo", {}).get("type") not in TOO_FRESH:
                break
            time.sleep(FRESH_SECONDS)
            done = step.waited(step.started())
    except GoogleError as error:
        raise _failed(wanted, str(error)) from None
    if done["status"] == "SUCCESS":
        return done["results"]["images"][0]["digest"]
    reason = done.get("failureInfo", {}).get("detail") or done.get("statusDetail", "no reason given")
    raise _failed(wanted, f"{done['status']}: {reason}; its log: {done['logUrl']}")


def _failed(wanted: ImageBuild, reason: str) -> pulumi.RunError:
    return pulumi.RunError(
        f"mlflow:gcp.builder: Cloud Build has no {wanted.image} image to give: {reason} "
        "(whoever runs `make up` needs roles/cloudbuild.builds.editor, roles/iam.serviceAccountUser and "
        "roles/storage.admin; or use builder: docker)"
    )


class _Step:
    """The calls of one build; builds are plain JSON, as the API has them."""

    def __init__(self, wanted: ImageBuild) -> None:
        self.wanted, self.google = wanted, GoogleApi(wanted.project)
        # No region: in some of them new projects have no quota (Cloud Build, "Restricted regions for some
        # projects"). What is pushed lies in the repository's region all the same.
        self.builds = f"{CLOUD_BUILD}/projects/{wanted.project}/builds"

    def at_work(self) -> dict[str, Any] | None:
        """A build of the same that has not ended."""
        unfinished = f'tags="{self.wanted.mark}" AND (status="QUEUED" OR status="WORKING")'
        found = self.google.call("GET", self.builds, params={"filter": unfinished}).get("builds")
        return found[0] if found else None

    def started(self) -> dict[str, Any]:
        """A new build."""
        wanted = self.wanted
        self._upload()
        order = {
            "source": {"storageSource": {"bucket": wanted.bucket, "object": wanted.source}},
            "steps": [
                {
                    "name": DOCKER,
                    "args": f"build --build-arg BASE_IMAGE={wanted.base} -t {wanted.reference} .".split(),
                    "env": ["DOCKER_BUILDKIT=1"],
                }
            ],
            "images": [wanted.reference],
            "serviceAccount": wanted.account,
            # With a service account of one's own there is no default bucket for logs.
            "options": {"logging": "CLOUD_LOGGING_ONLY"},
            "tags": [wanted.mark],
            "timeout": f"{LIMIT_SECONDS}s",
            "queueTtl": f"{LIMIT_SECONDS}s",
        }
        return self.google.call("POST", self.builds, body=order)["metadata"]["build"]

    def waited(self, running: dict[str, Any]) -> dict[str, Any]:
        """The build once it has ended, one way or another."""
        pulumi.log.info(f"Cloud Build builds the {self.wanted.image} image: {running['logUrl']}")
        while running["status"] in UNFINISHED:
            time.sleep(ASK_SECONDS)
            running = self.google.call("GET", f"{self.builds}/{running['id']}")
        return running

    def _upload(self) -> None:
        """What the image is built from, and nothing else of this checkout."""
        folder, packed = context_folder(self.wanted.image), io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w:gz") as archive:
            for path in sorted(context_files(folder)):
                archive.add(path, path.relative_to(folder).as_posix(), recursive=False, filter=_nobodys)
        self.google.upload(
            f"{UPLOAD}/b/{self.wanted.bucket}/o",
            params={"uploadType": "media", "name": self.wanted.source},
            content=packed.getvalue(),
            kind="application/gzip",
        )


def _nobodys(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    """Without who has the file here, and with the modes that everybody has."""
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    entry.mode = 0o755 if entry.mode & 0o100 else 0o644
    return entry
