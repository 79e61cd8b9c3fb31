"""Signs in to a database with short-lived tokens of the pod's cloud identity, instead of a password."""
