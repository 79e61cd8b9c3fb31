"""What a stack on any cloud must not say together about its database and its artifacts."""

from __future__ import annotations

from collections.abc import Iterator

from ..database_engines import Engine
from .artifacts import ManagedArtifacts
from .cloud_rules import said
from .database import ExistingDatabase, ManagedDatabase, Place, SignIn
from .errors import Problem
from .rules import no_group, rule
from .server import Server
from .stack import Cloud, Groups, place_of

DATABASE_KEYS = {
    Place.MANAGED: (
        "version", "size", "storage_gb", "max_storage_gb", "high_availability", "backup_days", "sign_in",
        "name", "user", "existing",
    ),
    Place.IN_CLUSTER: ("volume", "resources"),
}  # fmt: skip
"""Fields that only one place has a use for. ``url`` and ``caBundle`` are external's, on dev as well."""

ARTIFACT_KEYS = {
    Place.MANAGED: ("transfer", "keep_versions_days", "existing"),
    Place.IN_CLUSTER: ("volume",),
}
"""The same for artifacts."""

EXISTING = "mlflow:database.existing"
OF_THE_SERVICE = ("version", "size", "storage_gb", "max_storage_gb", "high_availability", "backup_days")
"""What an existing service has decided already."""

ADMIN_KEYS = ("ADMIN_USERNAME", "ADMIN_PASSWORD")

TAKEN_NAMES: dict[Engine, frozenset[str]] = {
    Engine.POSTGRESQL: frozenset({"postgres", "template0", "template1"}),
    Engine.MYSQL: frozenset({"mysql", "sys", "information_schema", "performance_schema", "root"}),
    Engine.SQLITE: frozenset(),
}
"""Databases and users that every server of an engine has from the start."""


@rule
def keys_of_another_database_place(database: ManagedDatabase, cloud: Cloud) -> Iterator[Problem]:
    place = place_of(database, cloud)
    for fits, names in DATABASE_KEYS.items():
        for key in said(database, *names) if fits is not place else ():
            yield Problem(f"mlflow:database.{key}", _misplaced("database", fits, place))


@rule
def keys_of_another_artifacts_place(artifacts: ManagedArtifacts, cloud: Cloud) -> Iterator[Problem]:
    place = place_of(artifacts, cloud)
    for fits, names in ARTIFACT_KEYS.items():
        for key in said(artifacts, *names) if fits is not place else ():
            yield Problem(f"mlflow:artifacts.{key}", _misplaced("artifacts", fits, place))


def _misplaced(section: str, fits: Place, place: Place) -> str:
    return f"only fits place {fits}, but it is {place}; remove it, or set mlflow:{section}.place: {fits}"


@rule
def existing_database(database: ManagedDatabase) -> Iterator[Problem]:
    existing = database.existing
    if existing is None:
        return
    if (existing.instance is None) == (existing.cluster is None):
        yield Problem(f"{EXISTING}.instance", "or cluster: name exactly one of the two")
    for key in said(database, *OF_THE_SERVICE):
        yield Problem(f"mlflow:database.{key}", f"is decided already where {EXISTING} is; remove it")


@rule
def password_of_a_finished_database(database: ManagedDatabase) -> Iterator[Problem]:
    if database.existing and database.existing.finished and database.sign_in is SignIn.PASSWORD:
        yield Problem(
            "mlflow:database.signIn",
            f"is password, which {EXISTING} has no place for once it is finished; give the whole address "
            "in mlflow:database.url instead, or set identity",
        )


@rule
def admin_of_the_existing_database(
    database: ManagedDatabase, server: Server, secrets: Groups
) -> Iterator[Problem]:
    existing = database.existing
    if existing is None:
        return
    key, group = f"{EXISTING}.admin", existing.admin
    if group is None:
        if not existing.finished and not getattr(database, "administrator", None):
            yield Problem(
                key,
                "is missing; name a secret group with ADMIN_USERNAME and ADMIN_PASSWORD, or say "
                f"{EXISTING}.finished: true where database and user are there",
            )
        return
    if existing.finished:
        yield Problem(key, "is not needed for a finished database; remove it, and its secret group")
    yield from _admin_group(key, group, secrets)
    if group in server.secrets:
        yield Problem(
            f"mlflow:server.secrets[{server.secrets.index(group)}]",
            f"would give the server the credentials of the database's administrator; remove {group}",
        )


def _admin_group(key: str, group: str, secrets: Groups) -> Iterator[Problem]:
    if group not in secrets:
        yield no_group(key, group, secrets)
        return
    have = {name for secret in secrets[group].values() for name in secret}
    for name in ADMIN_KEYS:
        if name not in have:
            yield Problem(
                key, f"group {group} lacks {name}; `make secret GROUP={group} NAME=admin KEY={name}`"
            )


def makes_database(existing: ExistingDatabase | None) -> bool:
    """Whether the stack makes database and user, in a service of its own or an existing one."""
    return existing is None or not existing.finished


@rule
def database_names(database: ManagedDatabase) -> Iterator[Problem]:
    for key in said(database, "name", "user"):
        name = getattr(database, key)
        reserved = name in TAKEN_NAMES[database.engine] or name.startswith("pg_")
        if reserved and makes_database(database.existing):
            yield Problem(
                f"mlflow:database.{key}", f"{name} is the server's own; choose another, such as mlflow"
            )


@rule
def database_storage(database: ManagedDatabase) -> Iterator[Problem]:
    most = database.max_storage_gb
    if most is not None and most < database.storage_gb:
        yield Problem(
            "mlflow:database.maxStorageGb",
            f"is {most}, less than storageGb, which is {database.storage_gb}; raise it, or leave it out",
        )


@rule
def versions_of_an_existing_bucket(artifacts: ManagedArtifacts) -> Iterator[Problem]:
    if artifacts.existing:
        for key in said(artifacts, "keep_versions_days"):
            yield Problem(
                f"mlflow:artifacts.{key}",
                "is a rule of the bucket, and the stack changes nothing about an existing one; set it there",
            )
