"""The SQLAlchemy engine plugin: asks a token source for the password of each new connection.

Named in the URI (``…?plugin=database_signin&token_source=aws``), it works wherever MLflow makes an engine:
the server, the user database, migrations and ``mlflow gc``. Source of the mechanism: SQLAlchemy,
``CreateEnginePlugin`` and "Generating dynamic authentication tokens".
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import URL, Engine, event
from sqlalchemy.engine import CreateEnginePlugin, Dialect

from .drivers import check_tls, driver_of
from .errors import NotAllowedError, append_hint
from .sources import token_source

PLUGIN = "database_signin"
KEYS = ("token_source", "token_region", "token_scope")
"""What this plugin reads from the URI's query; the driver never sees it."""
PORTS = {"postgresql": 5432, "mysql": 3306}


class TokenSignIn(CreateEnginePlugin):
    """Signs in with tokens. Refuses a password beside it, and any connection without checked TLS.

    What is wrong with the URI is said when the engine is made: MLflow tries again for 104 s when a
    connection fails, but not then.
    """

    def __init__(self, url: URL, kwargs: dict[str, Any]) -> None:
        super().__init__(url, kwargs)
        given = {key: value for key, value in url.query.items() if key in KEYS and isinstance(value, str)}
        if several := sorted(url.query.keys() & set(KEYS) - given.keys()):
            raise NotAllowedError(f"{', '.join(several)} stands more than once in the database URI")
        source, region, scope = (given.get(key) for key in KEYS)
        if url.password is not None:
            raise NotAllowedError("the database URI holds a password beside token_source; leave one out")
        if not url.username:
            raise NotAllowedError("the database URI names no user to ask a token for")
        driver_of(url.drivername)
        self._url = url
        self._source = token_source(source, region=region, scope=scope)

    def update_url(self, url: URL) -> URL:
        return url.difference_update_query(KEYS)

    def engine_created(self, engine: Engine) -> None:
        _, arguments = engine.dialect.create_connect_args(engine.url)
        check_tls(engine.url.drivername, arguments)
        event.listen(engine, "do_connect", self._connect)
        # With the plugin's keys again: MLflow's migration of the user tables makes an engine of its own from
        # this one's URL (mlflow/server/auth/db/utils.py, 3.17).
        engine.url = self._url

    def _connect(
        self, dialect: Dialect, _record: Any, positional: list[Any], arguments: dict[str, Any]
    ) -> Any:
        drivername = f"{dialect.name}+{dialect.driver}"
        check_tls(drivername, arguments)
        if dialect.name == "postgresql":
            arguments["gssencmode"] = "disable"
        user, port = arguments["user"], int(arguments.get("port") or PORTS[dialect.name])
        arguments["password"] = self._source.token(host=arguments["host"], port=port, user=user)
        try:
            return dialect.connect(*positional, **arguments)
        except dialect.loaded_dbapi.OperationalError as error:
            if driver_of(drivername).refused(error):
                append_hint(error, self._source.check(user))
            raise
        finally:
            # Nothing that prints these arguments later shows a token.
            del arguments["password"]
