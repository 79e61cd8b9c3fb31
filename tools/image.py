"""`make image`: a job image that holds a project's committed files and its requirements."""

from __future__ import annotations

import argparse
import hashlib
import re
from pathlib import Path
from tempfile import TemporaryDirectory

from components.contracts import CodeArchive
from components.image_context import OWN_REGISTRY
from components.local_code import NotServable, archived
from tools.cluster import info
from tools.cluster.loader import load_archive
from tools.common import Failure, cli, console, run, step
from tools.image_build.build import Base, base_of, build, build_archive, images_folder, push
from tools.image_build.deliver import image_settings, node_platform
from tools.image_build.engines import BuildEngine, Docker, choose_engine

DOCKERFILE = Path(__file__).parent / "image_build" / "project" / "Dockerfile"
PLACE = "/opt/project"
"""Where the image holds the project; `folder` of a job names it."""


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stack", default="dev", help="the stack to build for (default: dev)")
    parser.add_argument("--project", required=True, metavar="DIR", help="a folder of a Git checkout")
    args = parser.parse_args(argv)
    folder = Path(args.project).resolve() if args.project else None
    if folder is None or not folder.is_dir():
        raise Failure(f"there is no folder {args.project!r}", "name one: make image PROJECT=dir")
    code = committed(folder)
    settings = image_settings(args.stack)
    engine, platform = choose_engine(), node_platform()
    base = _job_image(engine, platform, settings.job)
    name = re.sub(r"[^a-z0-9]+", "-", folder.name.lower()).strip("-") or "project"
    tag = hashlib.sha256(
        "\n".join([code.commit, base.reference, DOCKERFILE.read_text()]).encode()
    ).hexdigest()
    version = f"{code.commit[:12]}-{tag[:8]}"
    reference = f"{OWN_REGISTRY}/mlflow-job-{name}:{version}"
    archive = images_folder() / f"project-{name}-{version}.tar"
    with TemporaryDirectory(prefix="project-", dir=images_folder()) as context:
        write_context(Path(context), code)
        build_archive(Path(context), reference, archive, engine, base=base, platform=platform)
    if settings.registry:
        target = f"{settings.registry.rstrip('/')}/mlflow-job-{name}:{version}"
        reference = push(archive, reference, target, engine)
    else:
        with step(f"Loading {reference} onto the nodes"):
            load_archive(archive)
    console.print(f"{folder.name} at {code.commit[:12]}; a job runs it with these settings:")
    print(f"image: {reference}\nfolder: {PLACE}")
    return 0


def committed(folder: Path) -> CodeArchive:
    """The folder's files at HEAD, by paths relative to it.

    :raises Failure: when it is no checkout, or something in it is not committed.
    """
    try:
        return archived(folder, "HEAD", "", limit=None)
    except NotServable as error:
        raise Failure(f"{folder}: {error}", "an image holds a commit, so that a run can name it") from None


def write_context(context: Path, code: CodeArchive) -> None:
    """The folder that the image is built from."""
    (context / "Dockerfile").write_text(f"{DOCKERFILE.read_text()}ENV JOB_COMMIT={code.commit}\n")
    (context / "project").mkdir()
    packed = context / "project.tar.gz"
    packed.write_bytes(code.tar_gz)
    run(["tar", "-xzf", packed, "-C", context / "project"])


def _job_image(engine: BuildEngine, platform: str, given: str | None) -> Base:
    """The job image to build on: the stack's own, else the one of this repository."""
    if given:
        return Base(reference=given)
    can_pull = bool(info()["canPull"]) or isinstance(engine, Docker)
    built = build("job", engine, base=base_of("job", can_pull=can_pull), platform=platform)
    return Base(reference=built.reference, archive=built.archive)


if __name__ == "__main__":
    cli(main)
