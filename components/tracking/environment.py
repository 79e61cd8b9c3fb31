"""The environment of the server and its migration, and how their secrets are kept."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
import pulumi_kubernetes as kubernetes
import pulumi_random as random

from ..contracts import ArtifactStore, Database, FileFromText, Text
from ..settings import Stack
from ..settings.server import JOBS_USER, Auth, AuthMode
from .labels import labels
from .pods import TMP, Mounts, mount_texts

core = kubernetes.core.v1
meta = kubernetes.meta.v1

AUTH_CONFIG = "/etc/mlflow/basic-auth.ini"
AUTH_CACHE_SECONDS = 60
"""How long a checked password is trusted: 314 requests a second instead of 11 (mlflow.md §2). A password
changed through another replica is accepted this long."""
POD_ENV = {
    "HOME": TMP,
    "TMPDIR": TMP,
    "PYTHONDONTWRITEBYTECODE": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
}
"""Of every pod that runs MLflow: its root file system is read-only, and telemetry stays off."""
POOL = {"MLFLOW_SQLALCHEMYSTORE_POOL_SIZE": "10", "MLFLOW_SQLALCHEMYSTORE_MAX_OVERFLOW": "5"}
"""Database connections per worker process: SQLAlchemy's own ceiling of 15, but ten of them are kept. By
default five are, and a sixth request at the same time pays for signing in to the database: with 8 clients
66 instead of 111 logged metrics a second (`make bench`'s load, on a busy machine)."""
KEY_LENGTH = 48
PASSWORD_LENGTH = 24


@dataclass(frozen=True, kw_only=True)
class EnvironmentArgs:
    """Inputs of :class:`Environment`."""

    settings: Stack
    namespace: pulumi.Output[str]
    database: Database
    artifacts: ArtifactStore
    allowed_hosts: Text
    cors_origins: Text


class Environment(pulumi.ComponentResource):
    """ConfigMap and Secrets of the server. Their names change with their content, so pods roll by themselves.

    :ivar config_map: name of the plain settings.
    :ivar server_secrets: names of the Secrets the server takes as environment.
    :ivar migration_env: plain environment of the migration; changing another setting does not run it again.
    :ivar migration_secrets: Secrets of the migration, which needs no more than the database.
    :ivar admin_password: of the first user; None without sign-in.
    :ivar jobs_secret: name of the Secret that jobs sign in with; None without sign-in.
    """

    def __init__(self, name: str, args: EnvironmentArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("mlflow:tracking:Environment", name, {}, opts)
        self._name, self._namespace = name, args.namespace
        self._child = pulumi.ResourceOptions(parent=self)
        self.admin_password: pulumi.Output[str] | None = None
        self.jobs_secret: pulumi.Output[str] | None = None
        self.auth_secret: pulumi.Output[str] | None = None
        self._database, self._artifacts = args.database, args.artifacts

        self._auth_env: dict[str, Text] = {}
        if args.settings.auth.mode is AuthMode.BASIC:
            self._auth_env["MLFLOW_AUTH_CONFIG_PATH"] = AUTH_CONFIG
            self._auth_env["MLFLOW_AUTH_ADMIN_USERNAME"] = args.settings.auth.admin_username
        self.migration_env: dict[str, Text] = {**POD_ENV, **args.database.env, **self._auth_env}
        self.config_map = self._plain(args)
        self._guarded = args.settings.protected(pulumi.get_stack())
        keys = self._secret("server", {**self._keys(), **args.artifacts.secret_env})
        database = self._secret("database", {"MLFLOW_BACKEND_STORE_URI": args.database.uri})
        self.server_secrets = [database, keys]
        self.migration_secrets = [database]
        # Made without sign-in as well: users stay in the database when it is switched off and on again.
        admin = self._generated("admin-password", PASSWORD_LENGTH)
        jobs = self._generated("jobs-password", PASSWORD_LENGTH)
        if args.settings.auth.mode is AuthMode.BASIC:
            self.admin_password = admin
            self.migration_secrets.append(self._basic_auth(args.settings.auth, args.database, admin, jobs))
        self.register_outputs({})

    def mounts(self, owner: str, *, artifacts: bool) -> Mounts:
        """Scratch space, volumes and files of a pod that opens the database (and the artifacts)."""
        mounts = Mounts()
        files: list[FileFromText] = list(self._database.files)
        if self._database.volume:
            mounts.claim("database", self._database.volume)
        if artifacts:
            files += self._artifacts.files
            if self._artifacts.volume:
                mounts.claim("artifacts", self._artifacts.volume)
        mount_texts(owner, files, mounts, self._namespace, self._child)
        if self.auth_secret:
            mounts.secret_file("auth", AUTH_CONFIG, self.auth_secret, "basic-auth.ini")
        return mounts

    def _plain(self, args: EnvironmentArgs) -> pulumi.Output[str]:
        settings = args.settings
        data: dict[str, Text] = {
            **POD_ENV,
            "MLFLOW_ARTIFACTS_DESTINATION": args.artifacts.destination,
            "MLFLOW_DEFAULT_ARTIFACT_ROOT": args.artifacts.default_root,
            "MLFLOW_SERVE_ARTIFACTS": "true",
            "MLFLOW_SERVER_ALLOWED_HOSTS": args.allowed_hosts,
            "MLFLOW_SERVER_CORS_ALLOWED_ORIGINS": args.cors_origins,
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
            "MLFLOW_LOGGING_LEVEL": settings.log_level.server,
            # The access log writes a line per request: a tenth of the throughput, and it names experiments.
            "MLFLOW_UVICORN_OPTS": " ".join(
                [
                    "--no-access-log",
                    f"--timeout-graceful-shutdown {settings.server.drain_seconds}",
                    # By default a worker that is slow to answer for 5 s is killed, and its requests with it:
                    # on a crowded node that is no sign of death.
                    "--timeout-worker-healthcheck 60",
                    f"--log-level {settings.log_level.server.lower()}",
                ]
            ),
            **POOL,
            **args.database.env,
            **args.artifacts.env,
            **self._auth_env,
            **settings.server.env,
        }
        config = core.ConfigMap(
            f"{self._name}-server",
            metadata=meta.ObjectMetaArgs(namespace=self._namespace, labels=labels("server")),
            data=data,
            opts=self._child,
        )
        return config.metadata.name

    def _keys(self) -> dict[str, pulumi.Output[str]]:
        """Keys that must be the same on every replica and after every update (mlflow.md §3)."""
        names = {
            "MLFLOW_FLASK_SERVER_SECRET_KEY": "flask-key",
            "MLFLOW_CRYPTO_KEK_PASSPHRASE": "kek-passphrase",
        }
        keys = {variable: self._generated(short, KEY_LENGTH) for variable, short in names.items()}
        # A Fernet key: 32 bytes in URL-safe base64 (MLflow's webhook secrets).
        webhook = random.RandomBytes(f"{self._name}-webhook-key", length=32, opts=self._kept())
        keys["MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY"] = webhook.base64.apply(
            lambda text: text.replace("+", "-").replace("/", "_")
        )
        return keys

    def _basic_auth(
        self,
        auth: Auth,
        database: Database,
        admin_password: pulumi.Output[str],
        jobs_password: pulumi.Output[str],
    ) -> pulumi.Output[str]:
        ini = pulumi.Output.all(uri=database.uri).apply(lambda known: auth_config(auth, known["uri"]))
        self.auth_secret = self._secret("auth", {"basic-auth.ini": ini})
        self.jobs_secret = self._secret(
            "jobs", {"MLFLOW_TRACKING_USERNAME": JOBS_USER, "MLFLOW_TRACKING_PASSWORD": jobs_password}
        )
        # The users are made by the migration; the server itself never holds their passwords.
        return self._secret(
            "users",
            {
                "MLFLOW_AUTH_ADMIN_PASSWORD": admin_password,
                "JOBS_USERNAME": JOBS_USER,
                "JOBS_PASSWORD": jobs_password,
            },
        )

    def _generated(self, short: str, length: int) -> pulumi.Output[str]:
        name = f"{self._name}-{short}"
        return random.RandomPassword(name, length=length, special=False, opts=self._kept()).result

    def _kept(self) -> pulumi.ResourceOptions:
        """Guarded like the data: what these open cannot be opened with others."""
        return pulumi.ResourceOptions(parent=self, protect=self._guarded)

    def _secret(self, short: str, values: dict[str, Text]) -> pulumi.Output[str]:
        secret = core.Secret(
            f"{self._name}-{short}",
            metadata=meta.ObjectMetaArgs(namespace=self._namespace, labels=labels("server")),
            string_data={key: pulumi.Output.secret(value) for key, value in values.items()},
            opts=self._child,
        )
        return secret.metadata.name


def auth_config(auth: Auth, uri: str) -> str:
    """MLflow's basic-auth file. ``%`` is doubled: configparser interpolates."""
    return "\n".join(
        [
            "[mlflow]",
            f"default_permission = {auth.default_permission}",
            f"database_uri = {uri.replace('%', '%%')}",
            f"admin_username = {auth.admin_username}",
            f"auth_cache_ttl_seconds = {AUTH_CACHE_SECONDS}",
            "",
        ]
    )
