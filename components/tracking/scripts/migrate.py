"""Bring the tracking database to this image's schema; runs as a Job before the server rolls.

Runs inside the server image (MLflow only; nothing of this project). Safe to run again. One pod does it,
because MLflow takes no lock: replicas that find an empty database race, and all but one exit (mlflow.md §4).
"""

import configparser
import os
import sys
import time


def step(text):
    """Print a step with the seconds since the start."""
    print(f"[{time.monotonic() - START:6.1f} s] {text}", flush=True)


def tracking(uri):
    """Migrate the tracking schema and make the default experiment, which replicas would race for too."""
    import mlflow
    from mlflow.db import upgrade

    step(f"tracking schema: MLflow {mlflow.__version__}")
    # The URI holds the password: as an argument of the command line it would stand in the process list.
    upgrade.callback(uri)

    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    SqlAlchemyStore(uri, "mlflow-artifacts:/").engine.dispose()


def with_a_name_of_its_own(_connection, _cursor, statement, parameters, _context, _many):
    """MLflow gives two foreign keys of the user tables one name, which MySQL refuses (mlflow#9642, open)."""
    if statement.lstrip().startswith("CREATE TABLE registered_model_permissions"):
        statement = statement.replace("CONSTRAINT fk_user_id ", "CONSTRAINT fk_registered_model_user_id ")
    return statement, parameters


def users(config_file):
    """Migrate the user tables and make the first users; existing ones keep their passwords."""
    from mlflow.server.auth.db.utils import migrate
    from mlflow.server.auth.sqlalchemy_store import SqlAlchemyStore
    from mlflow.store.db.utils import create_sqlalchemy_engine_with_retry
    from sqlalchemy import Engine, event

    config = configparser.ConfigParser()
    config.read(config_file)
    uri = config["mlflow"]["database_uri"]
    step("user schema")
    # The store would migrate by itself, but over a second connection while its first holds a lock on the very
    # table: on MySQL it waits for itself for ever (mlflow/server/auth/db/utils.py, 3.17: migrate_if_needed).
    engine = create_sqlalchemy_engine_with_retry(uri)
    if engine.dialect.name == "mysql":
        event.listen(Engine, "before_cursor_execute", with_a_name_of_its_own, retval=True)
    migrate(engine, "head")
    engine.dispose()
    store = SqlAlchemyStore()
    store.init_db(uri)
    admin, password = os.environ["MLFLOW_AUTH_ADMIN_USERNAME"], os.environ["MLFLOW_AUTH_ADMIN_PASSWORD"]
    if not store.has_user(admin):
        store.create_user(admin, password, is_admin=True)
        step(f"made user {admin}")
    elif not store.authenticate_user(admin, password):
        # A person's password is theirs to change; the generated one then no longer opens anything.
        step(f"user {admin} has changed the generated password; it is kept")
    jobs, password = os.environ["JOBS_USERNAME"], os.environ["JOBS_PASSWORD"]
    if not store.has_user(jobs):
        store.create_user(jobs, password, is_admin=False)
        step(f"made user {jobs}")
    elif not store.authenticate_user(jobs, password):
        # Jobs know only the generated password; with another one every job would be refused.
        store.update_user(jobs, password=password)
        step(f"gave user {jobs} its generated password again")


def missing_plugins(uri):
    """The SQLAlchemy plugins that the URI names and this image lacks: a user may name any image."""
    from importlib.metadata import entry_points

    from sqlalchemy.engine import make_url

    named = make_url(uri).normalized_query.get("plugin", ())
    return sorted(set(named) - {point.name for point in entry_points(group="sqlalchemy.plugins")})


if __name__ == "__main__":
    START = time.monotonic()
    if missing := missing_plugins(os.environ["MLFLOW_BACKEND_STORE_URI"]):
        step(
            f"failed: this image lacks the SQLAlchemy plugin {', '.join(missing)}, which signs in to the "
            "database: build it from images/tracking-server (leave images.server out), install "
            "packages/database_signin of that folder in your own image, or set database.signIn: password"
        )
        sys.exit(1)
    try:
        tracking(os.environ["MLFLOW_BACKEND_STORE_URI"])
        if config_path := os.environ.get("MLFLOW_AUTH_CONFIG_PATH"):
            users(config_path)
    except Exception as error:
        # SQLAlchemy's messages name host and user, never the password. Without the SQL, which can be long:
        # of the log `up` shows the last lines only.
        step(f"failed: {type(error).__name__}: {getattr(error, 'orig', None) or error}")
        sys.exit(1)
    step("done")
