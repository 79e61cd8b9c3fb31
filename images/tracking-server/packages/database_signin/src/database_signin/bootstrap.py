"""``python -m database_signin.bootstrap``: makes the database and the user that MLflow signs in as.

May run any number of times. First it signs in as that user; where that works there is nothing to do, and
nobody needs the administrator. README.md lists the environment variables.
"""

from __future__ import annotations

import os
import sys
import time

from sqlalchemy.exc import DBAPIError

from . import mysql, postgresql
from .connect import Administrator, SignInError, connect, one_line
from .task import AdminSignIn, NotYetError, RefusedError, Task, read_task

ENGINES = {"postgresql": postgresql, "mysql": mysql}
PAUSE_SECONDS = 5


def step(text: str) -> None:
    """Print a step with the seconds since the start."""
    print(f"[{time.monotonic() - START:6.1f} s] {text}", flush=True)


def bootstrap(task: Task) -> bool:
    """One try; whether the administrator had something to do.

    :raises NotYetError: to be tried again.
    :raises RefusedError: no other try helps.
    """
    if task.user_can_be_tried:
        reason = why_not_ready(task)
        if reason is None:
            return False
        if task.admin is AdminSignIn.NONE:
            raise RefusedError(
                "nobody may make the user (give the administrator's credentials in the Secret group that "
                f"database.existing.admin names); {reason}"
            )
    admin = Administrator.of(task)
    try:
        ENGINES[task.uri.get_backend_name()].prepare(task, admin)
    except DBAPIError as error:
        if error.connection_invalidated:
            raise NotYetError(f"administrator {admin.user}: {one_line(error)}") from None
        raise RefusedError(f"administrator {admin.user}: {one_line(error)}") from None
    step(f"administrator {admin.user} gave {task.user} what it needs in database {task.database}")
    if task.user_can_be_tried and (reason := why_not_ready(task)):
        raise NotYetError(f"all is made, but {reason}")
    return True


def why_not_ready(task: Task) -> str | None:
    """Why MLflow's user cannot work yet; None when it can."""
    try:
        with connect(task.uri) as connection:
            if ENGINES[task.uri.get_backend_name()].may_create(connection, task):
                return None
            return f"{task.user} may not make tables"
    except SignInError as no:
        return f"{task.user} cannot sign in: {no}"
    except DBAPIError as error:
        raise NotYetError(f"{task.user}: {one_line(error)}") from None


def main() -> int:
    """Exit code: 0 when MLflow's user can work, 1 when not, 2 when the order itself is wrong."""
    try:
        task = read_task(os.environ)
    except RefusedError as error:
        step(f"failed: {error}")
        return 2
    step(f"database {task.database} on {task.uri.host}, user {task.user}")
    told = ""
    while True:
        try:
            made = bootstrap(task)
        except RefusedError as error:
            step(f"failed: {error}")
            return 1
        except NotYetError as error:
            if time.monotonic() - START > task.seconds:
                step(f"failed after {task.seconds:.0f} s: {error}")
                return 1
            if str(error) != told:
                told = str(error)
                step(f"waiting: {told}")
            time.sleep(PAUSE_SECONDS)
        else:
            step("done" if made else f"{task.user} signs in and may make tables; nothing to do")
            return 0


if __name__ == "__main__":
    START = time.monotonic()
    sys.exit(main())
