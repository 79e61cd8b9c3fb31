"""Rows of the tracking database, out of one server's pod and into another's.

MLflow and the standard library only. Works between engines: columns travel as MLflow's own models have
them, a JSON line per row. What one stack encrypts with its key is opened here and closed again with the
other's, where MLflow's type does that (webhooks).
"""

# pyright: reportMissingImports=false
import base64
import datetime
import json
import os
import sys

OUT = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1 << 20)
sys.stdout = sys.stderr  # whatever else prints must not end up among the rows

import mlflow.store.model_registry.dbmodels.models  # noqa: E402
import mlflow.store.tracking.dbmodels.models  # noqa: E402, F401
import sqlalchemy as sa  # noqa: E402
from mlflow.store.db.base_sql_model import Base  # noqa: E402
from mlflow.store.db.utils import create_sqlalchemy_engine_with_retry  # noqa: E402

PASSING = {"job_locks", "scheduler_leases"}
"""Tables of what is going on now."""
BATCH = 1000
TELL = 100_000
ARTIFACTS = {"experiments": "artifact_location", "runs": "artifact_uri", "logged_models": "artifact_location"}


def tables():
    """MLflow's tables, those that others refer to first."""
    return [table for table in Base.metadata.sorted_tables if table.name not in PASSING]


def stored(table):
    """Columns that hold something of their own."""
    return [column for column in table.columns if column.computed is None]


def counts(connection):
    return {
        table.name: connection.execute(sa.select(sa.func.count()).select_from(table)).scalar()
        for table in tables()
    }


def facts(engine):
    """What must be known before anything is moved."""
    known = {table.name for table in tables()} | PASSING
    known |= {"alembic_version", "alembic_version_auth"}
    with engine.connect() as connection:
        own = {}
        for name, column in ARTIFACTS.items():
            where = Base.metadata.tables[name].c[column]
            query = sa.select(sa.func.count()).where(~where.like("mlflow-artifacts:/%"))
            own[name] = connection.execute(query).scalar()
        return {
            "revision": connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar(),
            "counts": counts(connection),
            "direct": {name: number for name, number in own.items() if number},
            "others": sorted(set(sa.inspect(connection).get_table_names()) - known),
        }


def read(engine):
    """Every row, from one moment of the database where it can give that."""
    if engine.dialect.name != "sqlite":
        engine = engine.execution_options(isolation_level="REPEATABLE READ")
    with engine.connect().execution_options(yield_per=BATCH) as connection:
        for table in tables():
            columns = stored(table)
            tell({"table": table.name, "columns": [column.name for column in columns]})
            for row in connection.execute(sa.select(*columns)):
                tell([packed(value) for value in row])
        tell({"end": True})
    OUT.flush()


def write(engine):
    """All rows in one transaction: after a break none of them is there."""
    for table in tables():
        for column in table.columns:
            if isinstance(column.type, sa.JSON):
                column.type.none_as_null = True
    with engine.begin() as connection:
        refuse_full(connection)
        if engine.dialect.name == "mysql":
            # The default experiment has number 0, which MySQL would take for "the next one".
            connection.exec_driver_sql("SET SESSION sql_mode = CONCAT(@@sql_mode, ',NO_AUTO_VALUE_ON_ZERO')")
        for table in reversed(tables()):
            connection.execute(table.delete())
        number = insert(connection)
        if engine.dialect.name == "postgresql":
            continue_numbers(connection)
    print(f"  {number} rows", file=sys.stderr)


def insert(connection):
    """:returns: how many rows came; fails when they end before the end."""
    table, columns, batch, number = None, [], [], 0

    def flush():
        if table is not None and batch:
            connection.execute(sa.insert(table), batch)
            batch.clear()

    for line in sys.stdin.buffer:
        message = json.loads(line)
        if isinstance(message, list):
            values = zip(columns, message, strict=True)
            assert table is not None
            batch.append({column.name: unpacked(column, value) for column, value in values})
            number += 1
            if len(batch) == BATCH:
                flush()
            if number % TELL == 0:
                print(f"  {number} rows", file=sys.stderr)
            continue
        flush()
        if "end" in message:
            return number
        table = Base.metadata.tables[message["table"]]
        columns = [table.c[name] for name in message["columns"]]
    sys.exit("the rows broke off: nothing was written")


def refuse_full(connection):
    """What is there may only be what an empty database starts with."""
    allowed = {"experiments": 1, "workspaces": 1}
    full = [name for name, number in counts(connection).items() if number > allowed.get(name, 0)]
    if full:
        sys.exit(f"the target is not empty ({', '.join(full)}): nothing was written")


def continue_numbers(connection):
    """The next row of a numbered table gets the next number."""
    for table in tables():
        column = table.autoincrement_column
        sequence = None
        if column is not None:
            query = sa.select(sa.func.pg_get_serial_sequence(table.name, column.name))
            sequence = connection.execute(query).scalar()
        if sequence:
            last = connection.execute(sa.select(sa.func.max(column))).scalar() or 0
            connection.execute(sa.select(sa.func.setval(sequence, max(last, 1), last >= 1)))


def packed(value):
    if isinstance(value, bytes | memoryview):
        return base64.b64encode(bytes(value)).decode()
    return value.isoformat() if isinstance(value, datetime.date) else value


def unpacked(column, value):
    if value is None:
        return None
    if isinstance(column.type, sa.LargeBinary):
        return base64.b64decode(value)
    return datetime.date.fromisoformat(value) if isinstance(column.type, sa.Date) else value


def tell(message):
    OUT.write(json.dumps(message) + "\n")


if __name__ == "__main__":
    database = create_sqlalchemy_engine_with_retry(os.environ["MLFLOW_BACKEND_STORE_URI"])
    if sys.argv[1] == "facts":
        tell(facts(database))
        OUT.flush()
    else:
        {"read": read, "write": write}[sys.argv[1]](database)
