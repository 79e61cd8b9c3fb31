"""The clouds: each a folder with the same file names, and a line in this table.

A cloud's module is imported only when a stack chooses it, so no other cloud's SDK is loaded.
"""

from __future__ import annotations

from importlib import import_module

from ..contracts import Foundation
from ..settings import Cloud, Stack

CLOUDS = {Cloud.DEV: "dev", Cloud.AWS: "aws"}
"""Cloud → its folder, which offers ``build(settings) -> Foundation``."""


def build(settings: Stack) -> Foundation:
    """The foundation of the cloud that the settings choose."""
    module = import_module(f".{CLOUDS[settings.cloud]}", __package__)
    return module.build(settings)
