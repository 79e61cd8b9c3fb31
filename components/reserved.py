"""Environment variables that belong to the program; settings may not set them."""

from __future__ import annotations

RESERVED: dict[str, str] = {
    "MLFLOW_BACKEND_STORE_URI": "use mlflow:database",
    "MLFLOW_REGISTRY_STORE_URI": "use mlflow:database",
    "MLFLOW_TRACKING_URI": "the address is the server's own",
    "MLFLOW_DEFAULT_ARTIFACT_ROOT": "use mlflow:artifacts",
    "MLFLOW_ARTIFACTS_DESTINATION": "use mlflow:artifacts",
    "MLFLOW_SERVE_ARTIFACTS": "artifacts go through the server",
    "MLFLOW_HOST": "use mlflow:exposure",
    "MLFLOW_PORT": "use mlflow:exposure",
    "MLFLOW_WORKERS": "use mlflow:server.workers",
    "MLFLOW_UVICORN_OPTS": "the program tunes it",
    "MLFLOW_SQLALCHEMYSTORE_POOL_SIZE": "the program tunes it",
    "MLFLOW_SQLALCHEMYSTORE_MAX_OVERFLOW": "the program tunes it",
    "MLFLOW_SERVER_ALLOWED_HOSTS": "it follows from mlflow:exposure",
    "MLFLOW_SERVER_CORS_ALLOWED_ORIGINS": "it follows from mlflow:exposure",
    "MLFLOW_SERVER_DISABLE_SECURITY_MIDDLEWARE": "the host check stays on",
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "it costs 230 MB a process and stays off",
    "MLFLOW_DISABLE_TELEMETRY": "telemetry stays off",
    "DO_NOT_TRACK": "telemetry stays off",
    "MLFLOW_LOGGING_LEVEL": "use mlflow:logLevel",
    "LAUNCHER_LOG_LEVEL": "use mlflow:logLevel.launcher",
    "MLFLOW_FLASK_SERVER_SECRET_KEY": "it is generated and kept stable",
    "MLFLOW_CRYPTO_KEK_PASSPHRASE": "it is generated and kept stable",
    "MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY": "it is generated and kept stable",
    "MLFLOW_AUTH_CONFIG_PATH": "use mlflow:auth",
    "MLFLOW_AUTH_ADMIN_USERNAME": "use mlflow:auth.adminUsername",
    "MLFLOW_AUTH_ADMIN_PASSWORD": "it is generated",
    "MLFLOW_S3_ENDPOINT_URL": "use mlflow:artifacts.endpoint",
    "MLFLOW_S3_IGNORE_TLS": "TLS is always checked",
    "AWS_CA_BUNDLE": "use mlflow:artifacts.caBundle",
    "AWS_DEFAULT_REGION": "use mlflow:artifacts.region",
    "GOOGLE_APPLICATION_CREDENTIALS": "put the JSON in GOOGLE_CREDENTIALS, see mlflow:artifacts.credentials",
    "GOOGLE_CLOUD_PROJECT": "it is the stack's, gcp:project",
    "GCE_METADATA_TIMEOUT": "the program tunes it",
    "HOME": "the root file system is read-only",
    "TMPDIR": "the root file system is read-only; size it with mlflow:server.tmpSize",
    "PYTHONDONTWRITEBYTECODE": "the program sets it",
    "MLFLOW_STATIC_PREFIX": "the server's probes and entrances are at the root",
    "MLFLOW_READ_REPLICA_BACKEND_STORE_URI": "its password would stand in plain text",
    "MLFLOW_ARTIFACTS_ONLY": "the server serves both",
    "MLFLOW_GUNICORN_OPTS": "the server runs under uvicorn",
    "MLFLOW_WAITRESS_OPTS": "the server runs under uvicorn",
    "WEB_CONCURRENCY": "use mlflow:server.workers",
}
"""Name → what to do instead. A test compares it with the environment of every rendered pod."""


def instead_of(name: str) -> str | None:
    """What to do instead of setting ``name``; None where it is free."""
    return RESERVED.get(name)


RESERVED_IN_JOBS: dict[str, str] = {
    "MLFLOW_TRACKING_URI": RESERVED["MLFLOW_TRACKING_URI"],
    "MLFLOW_DISABLE_TELEMETRY": RESERVED["MLFLOW_DISABLE_TELEMETRY"],
    "DO_NOT_TRACK": RESERVED["DO_NOT_TRACK"],
    "MLFLOW_LOGGING_LEVEL": RESERVED["MLFLOW_LOGGING_LEVEL"],
    "LAUNCHER_LOG_LEVEL": RESERVED["LAUNCHER_LOG_LEVEL"],
    "HOME": RESERVED["HOME"],
    "TMPDIR": "the root file system is read-only; size it with tmpSize",
    "PYTHONDONTWRITEBYTECODE": RESERVED["PYTHONDONTWRITEBYTECODE"],
    "MLFLOW_TRACKING_USERNAME": "jobs sign in as a user of their own",
    "MLFLOW_TRACKING_PASSWORD": "jobs sign in as a user of their own",
    "MLFLOW_ENABLE_PROXY_MULTIPART_DOWNLOAD": "use mlflow:artifacts.transfer",
    "MLFLOW_ENABLE_PROXY_MULTIPART_UPLOAD": "use mlflow:artifacts.transfer",
    "MLFLOW_RUN_ID": "each attempt opens a run of its own",
    "MLFLOW_EXPERIMENT_ID": "use experiment",
    "MLFLOW_EXPERIMENT_NAME": "use experiment",
    "WORKSPACE": "use workspace",
    "JOB_NAME": "it is the template's",
    "JOB_RUN": "it is the Job's",
    "JOB_UID": "it is the Job's",
    "JOB_IMAGE": "use image",
    "JOB_COMMIT": "an image built by `make image` says it",
    "JOB_TRIGGER": "it says what started the Job",
    "PATH": "name programs by their whole path",
    "VIRTUAL_ENV": "use requirements",
    "GIT_CONFIG_COUNT": "the program sets it",
    "GIT_CONFIG_KEY_0": "the program sets it",
    "GIT_CONFIG_VALUE_0": "the program sets it",
}
"""The same for jobs and services; what only the server reads is free there."""


def instead_of_in_jobs(name: str) -> str | None:
    """What to do instead of setting ``name`` on a job; None where it is free."""
    return RESERVED_IN_JOBS.get(name)
