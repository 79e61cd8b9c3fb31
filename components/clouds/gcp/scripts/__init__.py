"""Scripts that run inside the server image."""
