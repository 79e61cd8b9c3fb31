"""A stack of workloads alone: a namespace of a cluster that is there already, and images for its nodes."""

from __future__ import annotations

from ...contracts import Foundation
from ...settings.existing import ExistingStack
from ..dev.local import refuse_stand_ins_state
from .cluster import connect
from .images import images_of


def build(settings: ExistingStack) -> Foundation:
    """The foundation, none of which is made here.

    :raises SettingsError: when the cluster of `make cluster` is meant and is missing, or its images are.
    """
    refuse_stand_ins_state()
    return Foundation(cluster=connect(settings), images=images_of(settings))
