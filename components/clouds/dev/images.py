"""Images that ``make images`` built and put onto the cluster's nodes."""

from __future__ import annotations

import pulumi

from ...contracts import Images
from ...image_context import OWN_IMAGES, context_hash
from ...settings.dev import DevStack
from ...settings.errors import Problem, SettingsError
from ...third_party import ON_THE_CLUSTER, THIRD_PARTY
from .local import read

KEY = "mlflow:images"


def local_images(settings: DevStack) -> Images:
    """Exactly the images that were built and loaded.

    :raises SettingsError: when one is missing or its files have changed since.
    """
    built = read("images.json", KEY, "there are no images yet; run `make images`")
    if built is None:
        # Offline: what users get by default, under the names a build would use.
        third_party = {name: THIRD_PARTY[name].reference for name in ON_THE_CLUSTER}
        own = {
            name: f"localhost/{image.repository}:{context_hash(name)[:12]}"
            for name, image in OWN_IMAGES.items()
        }
    else:
        _check(built["images"], settings)
        references = {name: image["reference"] for name, image in built["images"].items()}
        third_party = {name: references.get(name, THIRD_PARTY[name].reference) for name in ON_THE_CLUSTER}
        own = {name: references[name] for name in OWN_IMAGES if name in references}
    return Images(
        server=settings.images.server or own["tracking-server"],
        job=settings.images.job or own["job"],
        third_party=third_party,
    )


def _check(images: dict[str, dict], settings: DevStack) -> None:
    ready = {"tracking-server": settings.images.server, "job": settings.images.job}
    problems = []
    for name in OWN_IMAGES:
        if ready[name]:
            continue
        if name not in images:
            problems.append(Problem(KEY, f"{name} has not been built; run `make images`"))
        elif images[name]["contextHash"] != context_hash(name):
            problems.append(
                Problem(KEY, f"the files of {name} changed after it was built; run `make images`")
            )
    if problems:
        raise SettingsError(problems, stack=pulumi.get_stack())
