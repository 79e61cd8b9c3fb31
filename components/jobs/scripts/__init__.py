"""Scripts that run in pods, in the job image: the standard library and MLflow only."""
