"""Running an MLproject in a pod or on this machine."""
