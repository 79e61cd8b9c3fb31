"""Cloud Build and Artifact Registry, as far as a build of ours needs them, on top of ``google_apis``.

Nothing is built: a build takes two questions, and then the tag is there with a digest. Sources of fields and
rules: the discovery documents of Cloud Build v1, Artifact Registry v1 and Cloud Storage v1.
"""

from __future__ import annotations

import hashlib
import io
import re
import tarfile
from dataclasses import dataclass, field
from typing import Any

from tests.emulators.google_apis import Answer, Google, Refused, only

BUILD_FIELDS = {
    "source", "steps", "images", "serviceAccount", "options", "tags", "timeout", "queueTtl"
}  # fmt: skip
MARK = re.compile(r"[\w][\w.-]{0,127}")
SUCCESS, FAILED = "SUCCESS", "FAILURE"


@dataclass
class Builds:
    """What was uploaded and built.

    :ivar objects: bucket/name → content.
    :ivar tags: repository/packages/package/tags/tag → digest.
    :ivar failures: what becomes of the next builds: failure types, or "" for one without a type.
    """

    objects: dict[str, bytes] = field(default_factory=dict)
    builds: list[Answer] = field(default_factory=list)
    tags: dict[str, str] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)

    def serve(self, google: Google) -> Google:
        """Answer for these APIs too."""
        cloud_build = r"cloudbuild\.googleapis\.com/v1"
        registry = r"artifactregistry\.googleapis\.com/v1"
        for method, pattern, handler in (
            ("GET", rf"{registry}/(projects/.+/packages/[^/]+/tags/[^/]+)", self._tag),
            ("POST", r"storage\.googleapis\.com/upload/storage/v1/b/([^/]+)/o", self._upload),
            ("GET", rf"{cloud_build}/(projects/[^/]+)/builds", self._list),
            ("POST", rf"{cloud_build}/(projects/[^/]+)/builds", self._create),
            ("GET", rf"{cloud_build}/(projects/[^/]+/builds/[^/]+)", self._get),
        ):
            google.handlers.append((method, re.compile(pattern), handler))
        return google

    def files(self, image: str) -> set[str]:
        """The names of what an image was last built from."""
        name = self.builds[-1]["source"]["storageSource"]["object"]
        assert name.startswith(image)
        bucket = self.builds[-1]["source"]["storageSource"]["bucket"]
        with tarfile.open(fileobj=io.BytesIO(self.objects[f"{bucket}/{name}"])) as archive:
            assert all(not entry.uname and entry.uid == 0 for entry in archive)
            return set(archive.getnames())

    def _tag(self, _google: Google, match: re.Match[str], _query: dict[str, str], _body: Any) -> Answer:
        if match[1] not in self.tags:
            raise Refused(404, f"Requested entity was not found: {match[1]}")
        package = match[1].partition("/tags/")[0]
        return {"name": match[1], "version": f"{package}/versions/{self.tags[match[1]]}"}

    def _upload(self, _google: Google, match: re.Match[str], query: dict[str, str], body: Any) -> Answer:
        assert query["uploadType"] == "media"
        self.objects[f"{match[1]}/{query['name']}"] = body
        return {"name": query["name"]}

    def _list(self, _google: Google, _match: re.Match[str], query: dict[str, str], _body: Any) -> Answer:
        asked = re.fullmatch(r'tags="([^"]+)" AND \(status="QUEUED" OR status="WORKING"\)', query["filter"])
        assert asked, query
        return {
            "builds": [
                each
                for each in self.builds
                if asked[1] in each["tags"] and each["status"] in ("QUEUED", "WORKING")
            ]
        }

    def _create(self, _google: Google, match: re.Match[str], _query: dict[str, str], body: Any) -> Answer:
        only(body, BUILD_FIELDS)
        source = body["source"]["storageSource"]
        if f"{source['bucket']}/{source['object']}" not in self.objects:
            raise Refused(404, "the source does not exist")
        if not all(MARK.fullmatch(tag) for tag in body["tags"]):
            raise Refused(400, f"invalid build tag: {body['tags']}")
        if "serviceAccount" in body and body["options"].get("logging") != "CLOUD_LOGGING_ONLY":
            raise Refused(400, "if 'build.service_account' is specified, the build must say where logs go")
        (step,), (image,) = body["steps"], body["images"]
        assert image in step["args"], "what is pushed is what was built"
        number = str(len(self.builds) + 1)
        made = {
            **body,
            "name": f"{match[1]}/locations/global/builds/{number}",
            "id": number,
            "status": "QUEUED",
            "logUrl": f"https://console.cloud.google.com/{number}",
        }
        self.builds.append(made)
        metadata = {
            "@type": "type.googleapis.com/google.devtools.cloudbuild.v1.BuildOperationMetadata",
            "build": made,
        }
        return {"name": f"operations/build/{number}", "metadata": metadata, "done": False}

    def _get(self, _google: Google, match: re.Match[str], _query: dict[str, str], _body: Any) -> Answer:
        (found,) = [each for each in self.builds if match[1].endswith(f"/{each['id']}")]
        if found["status"] == "QUEUED":
            found["status"] = "WORKING"
        elif found["status"] == "WORKING":
            self._end(found)
        return found

    def _end(self, found: Answer) -> None:
        if self.failures:
            kind = self.failures.pop(0)
            found |= {"status": FAILED, "statusDetail": "step exited with 1"}
            found |= {"failureInfo": {"type": kind, "detail": "no"}} if kind else {}
            return
        (image,) = found["images"]
        host, project, repository, package = image.rpartition(":")[0].split("/")
        place = f"projects/{project}/locations/{host.removesuffix('-docker.pkg.dev')}"
        name = f"{place}/repositories/{repository}/packages/{package}/tags/{image.rpartition(':')[2]}"
        assert name not in self.tags, "its tags are immutable: this push would be refused"
        digest = "sha256:" + hashlib.sha256(f"{image} {found['id']}".encode()).hexdigest()
        self.tags[name] = digest
        found |= {"status": SUCCESS, "results": {"images": [{"name": image, "digest": digest}]}}
