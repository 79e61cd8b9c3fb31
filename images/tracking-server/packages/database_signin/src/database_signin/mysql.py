"""MySQL: MLflow's user, its database and its rights."""

from __future__ import annotations

from sqlalchemy import Connection

from .connect import Administrator
from .sql import one, quoted, rows, run
from .task import RefusedError, Task

RIGHTS = (
    "SELECT", "INSERT", "UPDATE", "DELETE", "CREATE", "ALTER", "DROP", "INDEX", "REFERENCES", "TRIGGER",
)  # fmt: skip
"""What MLflow and its migrations do, on its own database only; one migration makes a trigger."""
AWS_PLUGIN = "AWSAuthenticationPlugin"


def may_create(connection: Connection, task: Task) -> bool:
    """Whether the connection's user has every right that MLflow uses."""
    found = rows(
        connection,
        "SELECT privilege_type FROM information_schema.schema_privileges WHERE table_schema IN (%s, %s) "
        "UNION SELECT privilege_type FROM information_schema.user_privileges",
        task.database,
        _pattern(task.database),
    )
    return {right for (right,) in found} >= set(RIGHTS)


def prepare(task: Task, admin: Administrator) -> None:
    """Make what is missing."""
    with admin.connect("information_schema") as connection:
        _check_triggers(connection, task)
        run(
            connection,
            f"CREATE DATABASE IF NOT EXISTS {quoted(connection, task.database)} CHARACTER SET utf8mb4",
        )
        {"aws": _aws_user, "azure": _azure_user, None: _password_user}[task.cloud](connection, task)
        literal = one(connection, "SELECT @@partial_revokes")
        database = quoted(connection, task.database if literal else _pattern(task.database))
        run(connection, f"GRANT {', '.join(RIGHTS)} ON {database}.* TO %s@'%%'", task.user)


def _pattern(database: str) -> str:
    r"""The database's name in a GRANT, where ``_`` stands for any character unless escaped."""
    return database.replace("_", r"\_")


def _check_triggers(connection: Connection, task: Task) -> None:
    """With the binary log on, MySQL lets only trusted users make triggers (error 1419)."""
    settings = dict(rows(connection, "SHOW GLOBAL VARIABLES WHERE variable_name LIKE 'log_bin%%'"))
    if settings.get("log_bin") == "ON" and settings.get("log_bin_trust_function_creators", "ON") != "ON":
        raise RefusedError(
            f"MLflow's migrations make a trigger, which {task.uri.host} does not allow: set the parameter "
            "log_bin_trust_function_creators to 1"
        )


def _aws_user(connection: Connection, task: Task) -> None:
    """Source: RDS User Guide, "Creating a database account using IAM authentication"."""
    way = f"IDENTIFIED WITH {AWS_PLUGIN} AS 'RDS' REQUIRE SSL"
    run(connection, f"CREATE USER IF NOT EXISTS %s@'%%' {way}", task.user)
    # One that signed in by password until now.
    run(connection, f"ALTER USER %s@'%%' {way}", task.user)


def _azure_user(connection: Connection, task: Task) -> None:
    """A user that is a managed identity. Source: Microsoft Learn, "Set up Microsoft Entra authentication for
    Azure Database for MySQL"."""
    if one(connection, "SELECT COUNT(*) FROM mysql.user WHERE user = %s", task.user):
        return
    # Without this the server looks the identity up in Entra, for which it needs rights of its own.
    run(connection, "SET aad_auth_validate_oids_in_tenant = OFF")
    run(connection, "CREATE AADUSER %s IDENTIFIED BY %s", task.user, task.identity_id)


def _password_user(connection: Connection, task: Task) -> None:
    # The server keeps passwords in these statements out of its logs (MySQL, "Passwords and Logging").
    way = "IDENTIFIED WITH caching_sha2_password BY %s REQUIRE SSL"
    run(connection, f"CREATE USER IF NOT EXISTS %s@'%%' {way}", task.user, str(task.uri.password))
    run(connection, f"ALTER USER %s@'%%' {way}", task.user, str(task.uri.password))
