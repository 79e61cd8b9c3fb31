"""Jobs in the cluster, from settings and contracts. Read ``jobs.py`` first; no cloud's SDK here."""

from .jobs import Jobs, JobsArgs

__all__ = ["Jobs", "JobsArgs"]
