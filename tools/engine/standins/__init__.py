"""Stand-ins for official provider plugins, for dev stacks on machines that cannot download them.

Each is a program that serves the provider protocol of the Pulumi engine and behaves as the official
plugin is documented to; what it does not know, it refuses. See ``docs/decisions`` for why they exist.
"""

MARK = "mlflow-on-kubernetes"
"""Value of the ``standIn`` property that a stand-in adds to its provider resource in the state."""

MARK_KEY = "standIn"
