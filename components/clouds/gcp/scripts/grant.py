"""Give MLflow's database user the rights that its schema needs, and leave no usable administrator behind.

Runs as a Job in the server image (its database drivers; nothing of this project), through the Cloud SQL Auth
Proxy. Safe to run again: where the user can work already, the administrator is only retired. Environment:

- DATABASE_URI: the one MLflow uses. SIGN_IN: identity (Google made the user) or password (it is made here).
- ADMIN_USERNAME, ADMIN_PASSWORD: who makes the grants. RETIRE_ADMIN: true to take that password away after.
- GRANT_SECONDS: how long to wait for a fresh database or identity; 300 by default.
"""

import os
import sys
import time
from urllib.parse import unquote, urlsplit

PAUSE_SECONDS = 5
RIGHTS = ["SELECT", "INSERT", "UPDATE", "DELETE", "CREATE", "ALTER", "DROP", "INDEX", "REFERENCES", "TRIGGER"]
"""MySQL: what MLflow and its migrations do, on its own database only; one migration makes a trigger."""


def step(text):
    """Print a step with the seconds since the start."""
    print(f"[{time.monotonic() - START:6.1f} s] {text}", flush=True)


class Refused(Exception):  # noqa: N818 - somebody is
    """Somebody may not sign in, or may not do something; perhaps not yet."""


class Order:
    """What is to be done, from the environment."""

    def __init__(self, environment):
        uri = urlsplit(environment["DATABASE_URI"])
        self.host, self.port, self.database = uri.hostname, uri.port, uri.path.lstrip("/")
        self.user, self.password = unquote(uri.username or ""), unquote(uri.password or "")
        self.mysql = uri.scheme.startswith("mysql")
        self.makes_user = environment.get("SIGN_IN") == "password"
        self.admin, self.admin_password = environment["ADMIN_USERNAME"], environment["ADMIN_PASSWORD"]
        self.retires_admin = environment.get("RETIRE_ADMIN") == "true"
        self.seconds = float(environment.get("GRANT_SECONDS", "300"))


class PostgreSql:
    """The grants on Cloud SQL for PostgreSQL.

    From PostgreSQL 15 on only a database's owner makes tables in ``public`` unless somebody is let in (its
    release notes); here the owner is cloudsqlsuperuser, of whom the administrator is a member.
    """

    def __init__(self, order):
        import psycopg2
        from psycopg2 import sql

        self.driver, self.sql, self.order = psycopg2, sql, order

    def connect(self, user, password, database):
        order = self.order
        try:
            connection = self.driver.connect(
                host=order.host, port=order.port, user=user, password=password or "none",
                dbname=database, connect_timeout=10,
            )  # fmt: skip
        except self.driver.Error as error:
            raise Refused(f"{user} cannot sign in: {one_line(error)}") from None
        connection.autocommit = True
        return connection

    def query(self, connection, text, *values, **names):
        """One statement; ``{name}`` stands for a quoted identifier, ``%s`` for a value."""
        identifiers = {key: self.sql.Identifier(name) for key, name in names.items()}
        statement = self.sql.SQL(text).format(**identifiers)
        try:
            with connection.cursor() as cursor:
                cursor.execute(statement, values or None)
                return cursor.fetchone()[0] if cursor.description else None
        except self.driver.Error as error:
            raise Refused(one_line(error)) from None

    def check_user(self):
        """Raises unless MLflow's user can make tables, and those that are there are its own."""
        order = self.order
        connection = self.connect(order.user, order.password, order.database)
        try:
            for right in ("USAGE", "CREATE"):
                if not self.query(connection, "SELECT has_schema_privilege('public', %s)", right):
                    raise Refused(f"{order.user} lacks {right} on schema public")
            owner = self.query(
                connection,
                "SELECT string_agg(DISTINCT tableowner, ', ') FROM pg_tables WHERE schemaname = 'public' "
                "AND tablename IN ('alembic_version', 'alembic_version_auth') "
                "AND NOT pg_has_role(tableowner, 'USAGE')",
            )
            if owner:
                raise Refused(
                    f"its tables belong to {owner}, and not to {order.user}: set mlflow:database.signIn, "
                    "mlflow:database.user and mlflow:gcp.proxy back, or give it the tables (docs/gcp.md)"
                )
        finally:
            connection.close()

    def grant(self):
        """As the administrator: the database, the user and its rights."""
        order = self.order
        connection = self.connect(order.admin, order.admin_password, "postgres")
        try:
            if not self.query(
                connection, "SELECT EXISTS (SELECT FROM pg_database WHERE datname = %s)", order.database
            ):
                self.query(connection, "CREATE DATABASE {database}", database=order.database)
            self._user(connection)
        finally:
            connection.close()
        connection = self.connect(order.admin, order.admin_password, order.database)
        try:
            self.query(
                connection, "GRANT CONNECT, TEMPORARY ON DATABASE {database} TO {user}",
                database=order.database, user=order.user,
            )  # fmt: skip
            self.query(connection, "GRANT USAGE, CREATE ON SCHEMA public TO {user}", user=order.user)
        finally:
            connection.close()

    def _user(self, connection):
        order = self.order
        exists = self.query(connection, "SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = %s)", order.user)
        if not order.makes_user:
            if not exists:
                raise Refused(f"there is no user {order.user} yet")
            return
        from psycopg2.extensions import encrypt_password

        # What is sent is not the password: the server may log a statement that fails.
        verifier = encrypt_password(order.password, order.user, connection, "scram-sha-256")
        verb = "ALTER" if exists else "CREATE"
        self.query(connection, verb + " ROLE {user} LOGIN PASSWORD %s", verifier, user=order.user)

    def retire(self):
        """Take the administrator's password away; with none nobody can sign in as it."""
        order = self.order
        connection = self.connect(order.admin, order.admin_password, order.database)
        try:
            self.query(connection, "ALTER ROLE {admin} PASSWORD NULL", admin=order.admin)
        finally:
            connection.close()


class MySql:
    """The grants on Cloud SQL for MySQL."""

    def __init__(self, order):
        import pymysql

        self.driver, self.order = pymysql, order

    def connect(self, user, password, database=None):
        order = self.order
        try:
            return self.driver.connect(
                host=order.host, port=order.port, user=user, password=password, database=database,
                connect_timeout=10, autocommit=True,
            )  # fmt: skip
        except self.driver.Error as error:
            raise Refused(f"{user} cannot sign in: {one_line(error)}") from None

    def query(self, connection, text, *values):
        try:
            with connection.cursor() as cursor:
                cursor.execute(text, values or None)
                return cursor.fetchall()
        except self.driver.Error as error:
            raise Refused(one_line(error)) from None

    def check_user(self):
        """Raises unless MLflow's user has every right that MLflow uses."""
        order = self.order
        with self.connect(order.user, order.password) as connection:
            found = self.query(
                connection,
                "SELECT privilege_type FROM information_schema.schema_privileges "
                "WHERE table_schema IN (%s, %s) "
                "UNION SELECT privilege_type FROM information_schema.user_privileges",
                order.database,
                order.database.replace("_", r"\_"),
            )
            missing = [right for right in RIGHTS if (right,) not in found]
            if missing:
                raise Refused(f"{order.user} lacks {', '.join(missing)} on {order.database}")

    def grant(self):
        """As the administrator: the database, the user and its rights."""
        order = self.order
        with self.connect(order.admin, order.admin_password) as connection:
            self.query(
                connection,
                f"CREATE DATABASE IF NOT EXISTS {quoted(order.database)} CHARACTER SET utf8mb4",
            )
            if order.makes_user:
                for verb in ("CREATE USER IF NOT EXISTS", "ALTER USER"):
                    self.query(connection, f"{verb} %s IDENTIFIED BY %s", order.user, order.password)
            literal = self.query(connection, "SELECT @@partial_revokes")[0][0]
            # In a GRANT an underscore stands for any character unless escaped.
            database = order.database if literal else order.database.replace("_", r"\_")
            self.query(connection, f"GRANT {', '.join(RIGHTS)} ON {quoted(database)}.* TO %s", order.user)

    def retire(self):
        """Give the administrator a password that nobody is told."""
        with self.connect(self.order.admin, self.order.admin_password) as connection:
            self.query(connection, "ALTER USER USER() IDENTIFIED BY RANDOM PASSWORD")


def quoted(name):
    """An identifier of MySQL."""
    return "`" + name.replace("`", "``") + "`"


def one_line(error):
    """An error without line breaks. The drivers name host and user, never a password."""
    return " ".join(str(error).split())


def attempt(order, server):
    """One try.

    :raises Refused: to be tried again.
    """
    try:
        server.check_user()
    except Refused as no:
        try:
            server.grant()
        except Refused as neither:
            raise Refused(f"{no}; administrator: {neither}") from None
        step(f"administrator {order.admin} gave {order.user} what it needs in database {order.database}")
        server.check_user()
    if order.retires_admin:
        try:
            server.retire()
            step(f"administrator {order.admin} has no password any more")
        except Refused:
            step(f"administrator {order.admin} had none any more")


def main():
    """Exit code: 0 when MLflow's user can work."""
    order = Order(os.environ)
    server = MySql(order) if order.mysql else PostgreSql(order)
    deadline, told = time.monotonic() + order.seconds, ""
    while True:
        try:
            attempt(order, server)
        except Refused as no:
            if time.monotonic() > deadline:
                step(f"failed after {order.seconds:.0f} s: {no}")
                if order.retires_admin:
                    step("for a new administrator's password replace resource mlflow-database-admin-password")
                return 1
            if str(no) != told:
                told = str(no)
                step(f"waiting: {told}")
            time.sleep(PAUSE_SECONDS)
        else:
            step("done")
            return 0


if __name__ == "__main__":
    START = time.monotonic()
    sys.exit(main())
