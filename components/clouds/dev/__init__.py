"""The dev stack: any cluster that is already there, no cloud.

Database and artifacts are left to the in-cluster half, and pods need no identity outside the cluster.
"""

from __future__ import annotations

from ...contracts import Foundation
from ...settings.dev import DevStack
from .cluster import connect
from .code import local_code
from .images import local_images
from .local import refuse_stand_ins_state


def build(settings: DevStack) -> Foundation:
    """The foundation from ``make cluster images``.

    :raises SettingsError: when either is missing or out of date, or local code cannot be served.
    """
    refuse_stand_ins_state()
    code = local_code(settings)
    return Foundation(cluster=connect(settings), images=local_images(settings), local_code=code)
