"""The whole program: settings → cloud → contracts → cluster → exports."""

from __future__ import annotations

from typing import Any

import pulumi

from . import clouds
from .settings import Stack
from .tracking import Tracking, TrackingArgs


def build(settings: Stack) -> dict[str, Any]:
    """Declare every resource of the stack and return its exports."""
    foundation = clouds.build(settings)
    tracking = Tracking(
        "mlflow",
        TrackingArgs(
            settings=settings, foundation=foundation, protect=settings.protected(pulumi.get_stack())
        ),
        opts=pulumi.ResourceOptions(providers=[foundation.cluster.provider]),
    )
    return tracking.exports
