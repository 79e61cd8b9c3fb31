"""The dev stack: any cluster that is already there, no cloud.

Database and artifacts are left to the in-cluster half, and pods need no identity outside the cluster.
"""

from __future__ import annotations

from ...contracts import Foundation
from ...settings.dev import DevStack
from .cluster import connect
from .images import local_images
from .local import refuse_stand_ins_state


def build(settings: DevStack) -> Foundation:
    """The foundation from ``make cluster images``.

    :raises SettingsError: when either is missing or out of date.
    """
    refuse_stand_ins_state()
    return Foundation(cluster=connect(settings), images=local_images(settings))
