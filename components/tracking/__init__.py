"""The in-cluster half. Read ``tracking.py`` first; no cloud's SDK may be imported here."""

from .tracking import Tracking, TrackingArgs

__all__ = ["Tracking", "TrackingArgs"]
