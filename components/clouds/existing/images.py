"""Images of workloads that the nodes can pull, or already hold."""

from __future__ import annotations

from ...contracts import Images
from ...image_context import OWN_IMAGES, context_hash
from ...settings.existing import ExistingStack
from ...third_party import GIT_SYNC, ON_THE_CLUSTER, THIRD_PARTY
from ..dev.local import read

KEY = "mlflow:images.job"
REMEDY = "is missing, and there are no images of `make images`; name one that the nodes can pull"


def images_of(settings: ExistingStack) -> Images:
    """The images that the settings name; in the cluster of `make cluster` else those of `make images`.

    :raises SettingsError: when there is no job image.
    """
    given = settings.images
    third_party = {name: THIRD_PARTY[name].reference for name in ON_THE_CLUSTER}
    job = given.job
    if settings.cluster.context is None:
        built = ((read("images.json", KEY, REMEDY) if job is None else None) or {}).get("images", {})
        third_party |= {name: built[name]["reference"] for name in ON_THE_CLUSTER if name in built}
        # Offline: under the name that a build would use.
        made = built.get("job", {}).get("reference")
        job = job or made or f"localhost/{OWN_IMAGES['job'].repository}:{context_hash('job')[:12]}"
    assert job is not None, "the settings require it"  # noqa: S101
    if given.git_sync:
        third_party[GIT_SYNC.name] = given.git_sync
    # No workload is a tracking server.
    return Images(server=job, job=job, third_party=third_party, pull_secrets=tuple(given.pull_secrets))
