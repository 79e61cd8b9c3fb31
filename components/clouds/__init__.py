"""The clouds: each a folder with the same file names, and a line in this table.

A cloud's module is imported only when a stack chooses it, so no other cloud's SDK is loaded.
"""

from __future__ import annotations

from importlib import import_module

from ..contracts import Foundation
from ..settings import AnyStack, Cloud
from ..settings.stack import CloudCommon
from .state import refuse_local_state

CLOUDS = {cloud: str(cloud) for cloud in Cloud}
"""Cloud → its folder, which offers ``build(settings) -> Foundation``."""


def build(settings: AnyStack) -> Foundation:
    """The foundation of the cloud that the settings choose."""
    if isinstance(settings, CloudCommon):
        refuse_local_state(settings, settings.cloud)
    module = import_module(f".{CLOUDS[settings.cloud]}", __package__)
    return module.build(settings)
