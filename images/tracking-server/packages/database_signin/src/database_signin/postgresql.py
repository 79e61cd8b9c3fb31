"""PostgreSQL: MLflow's user, its database and its rights.

Who creates a role is an ADMIN member of it from PostgreSQL 16 on, and cannot undo that. RDS sends every
member of ``rds_iam``, nested ones too, to PAM, which takes tokens and no password: an administrator who makes
a user and grants it ``rds_iam`` locks its own password out. So such a user is made by a role that is then
dropped. Sources: PostgreSQL, "Role Attributes" and pg_hba.conf's ``+role``; RDS User Guide, "IAM database
authentication".
"""

from __future__ import annotations

from typing import Any

from psycopg2.extensions import encrypt_password
from sqlalchemy import Connection

from .connect import Administrator
from .sql import one, quoted, rows, run
from .task import RefusedError, Task

IDENTITY_ROLE = "rds_iam"
MEMBERSHIP = 160000
"""Server version from which CREATE ROLE makes its caller a member."""


def may_create(connection: Connection, task: Task) -> bool:
    """Whether the connection's user may make tables where MLflow makes them.

    :raises RefusedError: when MLflow's tables are there and somebody else's: no grant reaches them.
    """
    owner = one(
        connection,
        "SELECT string_agg(DISTINCT tableowner, ', ') FROM pg_tables WHERE schemaname = 'public' "
        "AND tablename IN ('alembic_version', 'alembic_version_auth') "
        "AND NOT pg_has_role(tableowner, 'USAGE')",
    )
    if owner:
        raise RefusedError(
            f"MLflow's tables belong to {owner}, and not to {task.user}: set database.user back, or as a "
            f'member of both run REASSIGN OWNED BY "{owner}" TO "{task.user}" in database {task.database}'
        )
    return all(
        one(connection, f"SELECT has_schema_privilege('public', '{right}')") for right in ("USAGE", "CREATE")
    )


def prepare(task: Task, admin: Administrator) -> None:
    """Make what is missing. The way in by identity comes last, when everything else is there."""
    with admin.connect(task.admin_database) as connection:
        {"aws": _aws_user, "azure": _azure_user, None: _password_user}[task.cloud](connection, task)
        if not one(connection, "SELECT EXISTS (SELECT FROM pg_database WHERE datname = %s)", task.database):
            run(connection, f"CREATE DATABASE {quoted(connection, task.database)}")
    with admin.connect(task.database) as connection:
        user, database = quoted(connection, task.user), quoted(connection, task.database)
        run(connection, f"GRANT CONNECT, TEMPORARY ON DATABASE {database} TO {user}")
        run(connection, f"GRANT USAGE, CREATE ON SCHEMA public TO {user}")
        # Where it may grant nothing, PostgreSQL only warns.
        if not one(connection, "SELECT has_schema_privilege(%s, 'public', 'CREATE')", task.user):
            raise RefusedError(
                f"administrator {admin.user} may not grant on schema public of database {task.database}: as "
                f"its owner run GRANT USAGE, CREATE ON SCHEMA public TO {user}"
            )
        if task.cloud == "aws":
            run(connection, f"GRANT {IDENTITY_ROLE} TO {user}")


def _aws_user(connection: Connection, task: Task) -> None:
    if not _exists(connection, IDENTITY_ROLE):
        raise RefusedError(
            f"there is no role {IDENTITY_ROLE}: switch IAM authentication on for {task.uri.host}"
        )
    user = quoted(connection, task.user)
    if one(connection, "SELECT current_setting('server_version_num')::int") < MEMBERSHIP:
        if not _exists(connection, task.user):
            run(connection, f"CREATE ROLE {user} LOGIN")
        return
    if _exists(connection, task.user):
        if not _would_lock_out(connection, task.user):
            return
        # It signed in by password until now, so its tables stay its own under another name.
        former = quoted(connection, f"{task.user}_by_password")
        steps = [f"ALTER ROLE {user} RENAME TO {former}", f"ALTER ROLE {former} NOLOGIN PASSWORD NULL"]
        steps += [*_made_by_nobody(connection, task), f"GRANT {former} TO {user}"]
    else:
        steps = _made_by_nobody(connection, task)
    run(connection, "; ".join(["BEGIN", *steps, "COMMIT"]))


def _would_lock_out(connection: Connection, user: str) -> bool:
    """Whether granting the identity role to ``user`` would take the administrator's password away."""
    return one(
        connection,
        "SELECT pg_has_role(%s, 'MEMBER') AND NOT pg_has_role(%s, %s, 'MEMBER') AND NOT rolsuper "
        "FROM pg_roles WHERE rolname = current_user",
        user,
        user,
        IDENTITY_ROLE,
    )


def _made_by_nobody(connection: Connection, task: Task) -> list[str]:
    """Statements that make the user without making the administrator a member of it."""
    user, maker = quoted(connection, task.user), quoted(connection, f"{task.user}_maker")
    return [
        f"CREATE ROLE {maker} CREATEROLE",
        f"GRANT {maker} TO CURRENT_USER WITH INHERIT FALSE, SET TRUE",
        f"SET LOCAL ROLE {maker}",
        f"CREATE ROLE {user} LOGIN",
        "RESET ROLE",
        f"DROP ROLE {maker}",
    ]


def _azure_user(connection: Connection, task: Task) -> None:
    """A role that is a managed identity. Source: Microsoft Learn, "Manage Microsoft Entra roles in Azure
    Database for PostgreSQL"; the functions exist in database postgres only."""
    if not _exists(connection, task.user):
        run(
            connection,
            "SELECT pgaadauth_create_principal_with_oid(%s, %s, 'service', false, false)",
            task.user,
            task.identity_id,
        )
        return
    known = [
        row for row in rows(connection, "SELECT * FROM pgaadauth_list_principals(false)") if task.user in row
    ]
    if not any(task.identity_id in map(str, row) for row in known):
        raise RefusedError(
            f"role {task.user} is there and belongs to another identity than {task.identity_id}: as the "
            'Entra administrator run, in database postgres, SECURITY LABEL FOR "pgaadauth" '
            f"ON ROLE \"{task.user}\" IS 'aadauth,oid={task.identity_id},type=service'"
        )


def _password_user(connection: Connection, task: Task) -> None:
    user = quoted(connection, task.user)
    # What is sent is not the password: the server may log a statement that fails.
    raw: Any = connection.connection.dbapi_connection
    verifier = encrypt_password(str(task.uri.password), task.user, scope=raw, algorithm="scram-sha-256")
    if not _exists(connection, task.user):
        run(connection, f"CREATE ROLE {user} LOGIN PASSWORD %s", verifier)
        return
    if _exists(connection, IDENTITY_ROLE) and one(
        connection, "SELECT pg_has_role(%s, %s, 'MEMBER')", task.user, IDENTITY_ROLE
    ):
        raise RefusedError(
            f"user {task.user} signs in by identity: as {task.user}, by token, run ALTER ROLE {user} "
            f"PASSWORD '…', then as the administrator REVOKE {IDENTITY_ROLE} FROM {user}; "
            "or keep database.signIn: identity"
        )
    run(connection, f"ALTER ROLE {user} LOGIN PASSWORD %s", verifier)


def _exists(connection: Connection, role: str) -> bool:
    return one(connection, "SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = %s)", role)
