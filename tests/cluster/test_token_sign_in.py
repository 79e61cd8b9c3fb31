"""Signing in with tokens, and the bootstrap that makes it possible, in the real server image.

PostgreSQL and MySQL are real and speak TLS; who may sign in is judged as RDS and Entra judge it
(``token_databases/``): by the token's signature, endpoint, user, region and age.
"""

from __future__ import annotations

import re

import pytest

from components.database_engines import Engine
from components.database_signin import BOOTSTRAP_COMMAND
from components.tracking.migration import SCRIPT
from tests.cluster.token_databases.servers import ENTRA_ADMIN, MASTER, Client, Done
from tests.cluster.token_databases.world import (
    ADMIN,
    BYSTANDER,
    ENTRA_BOOTSTRAP,
    ENTRA_SERVER,
    ENTRA_USER,
    SERVER,
    World,
)

ENGINES = [Engine.POSTGRESQL, Engine.MYSQL]
MIGRATE = ["python", "-c", SCRIPT.read_text()]
SIGN_IN = """
import os, sqlalchemy
engine = sqlalchemy.create_engine(os.environ["URI"], pool_pre_ping=True)
with engine.connect() as connection:
    print("signed in:", connection.exec_driver_sql("SELECT 1").scalar())
"""
RUN_EACH = """
with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
    for statement in {}:
        connection.exec_driver_sql(statement)
"""
NOTHING_TO_DO = "signs in and may make tables; nothing to do"


@pytest.fixture(params=ENGINES, scope="module")
def engine(request: pytest.FixtureRequest) -> Engine:
    return request.param


@pytest.fixture(scope="module")
def made(token_world: World, engine: Engine) -> World:
    """User mlflow, made with the master's password from Secrets Manager."""
    done = token_world.bootstrap(
        token_world.uri(engine), token_world.aws(ADMIN), token_world.by_secret(engine)
    )
    assert done.code == 0, done.out
    assert_no_secret(done.out, token_world, engine)
    return token_world


def statements_of(*statements: str) -> str:
    """Python, after SIGN_IN, that runs them."""
    return RUN_EACH.format(list(statements))


def assert_no_secret(text: str, world: World, engine: Engine) -> None:
    secrets = [world.places[engine].server.password, SERVER.secret_key, ADMIN.secret_key, "X-Amz-", "eyJ"]
    assert [secret for secret in secrets if secret in text] == []


@pytest.mark.core
def test_a_second_run_needs_no_administrator(made: World, engine: Engine) -> None:
    before = len(made.places[engine].verdicts(MASTER))
    done = made.bootstrap(made.uri(engine), made.aws(ADMIN))
    assert done.code == 0, done.out
    assert NOTHING_TO_DO in done.out
    assert len(made.places[engine].verdicts(MASTER)) == before


@pytest.mark.core
def test_the_administrator_keeps_its_password(made: World, engine: Engine) -> None:
    place = made.places[engine]
    uri = made.uri(engine, password="x").replace("mlflow:x@", f"{MASTER}:{place.server.password}@")
    done = made.python(SIGN_IN, {"URI": uri})
    assert done.code == 0, done.out
    assert not place.server.locks_out(MASTER)


def test_mlflow_migrates_with_tokens_of_the_servers_own_identity(made: World, engine: Engine) -> None:
    done = made.client.run(MIGRATE, {"MLFLOW_BACKEND_STORE_URI": made.uri(engine), **made.aws(SERVER)})
    assert done.code == 0, done.out[-3000:]
    assert made.places[engine].court.longest > 1000
    assert made.places[engine].server.query("SELECT count(*) FROM experiments", "mlflow") == "1"
    assert_no_secret(done.out, made, engine)


def test_the_user_may_not_leave_its_database(made: World, engine: Engine) -> None:
    script = SIGN_IN + statements_of("CREATE DATABASE elsewhere")
    done = made.python(script, {"URI": made.uri(engine), **made.aws(SERVER)})
    assert "signed in: 1" in done.out
    assert re.search(r"(?i)permission denied to create database|Access denied for user 'mlflow'", done.out)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"AWS_SECRET_ACCESS_KEY": "guessed"}, "the signature is wrong"),
        ({"AWS_SESSION_TOKEN": "another"}, "the session token is another one"),
        ({"AWS_ACCESS_KEY_ID": "AKIANOBODY"}, "the token is of an unknown access key"),
    ],
)
def test_a_token_of_somebody_else_is_refused(
    made: World, engine: Engine, change: dict[str, str], reason: str
) -> None:
    done = made.python(SIGN_IN, {"URI": made.uri(engine), **made.aws(SERVER), **change})
    assert made.places[engine].verdicts("mlflow")[-1] == reason
    assert "signed in" not in done.out
    assert "check rds-db:connect on dbuser:RESOURCE_ID/mlflow" in done.out
    assert "X-Amz" not in done.out


def test_a_token_for_another_region_is_refused(made: World, engine: Engine) -> None:
    uri = made.uri(engine).replace("token_region=eu-west-1", "token_region=us-east-1")
    assert made.python(SIGN_IN, {"URI": uri, **made.aws(SERVER)}).code != 0
    assert made.places[engine].verdicts("mlflow")[-1] == "the signature is wrong"


@pytest.mark.core
def test_an_identity_without_the_right_to_connect_as_the_user_is_refused(made: World, engine: Engine) -> None:
    assert made.python(SIGN_IN, {"URI": made.uri(engine), **made.aws(BYSTANDER)}).code != 0
    assert made.places[engine].verdicts("mlflow")[-1] == "no rds-db:connect as mlflow"


def test_a_token_for_another_user_is_refused(made: World, engine: Engine) -> None:
    """Which the plugin never shows: asked for by hand."""
    script = """
import os, sqlalchemy
from database_signin.sources import rds_client
uri = sqlalchemy.make_url(os.environ["URI"])
token = rds_client("eu-west-1").generate_db_auth_token(uri.host, uri.port, "later")
uri = uri.difference_update_query(["plugin", "token_source", "token_region"]).set(password=token)
sqlalchemy.create_engine(uri).connect()
"""
    assert made.python(script, {"URI": made.uri(engine), **made.aws(SERVER)}).code != 0
    assert made.places[engine].verdicts("mlflow")[-1] == "the token is for user later"


@pytest.mark.core
def test_an_old_token_is_refused(made: World, engine: Engine) -> None:
    place = made.places[engine]
    place.rds.late = 1000
    try:
        assert made.python(SIGN_IN, {"URI": made.uri(engine), **made.aws(SERVER)}).code != 0
        assert re.match(r"the token is 10\d\d s old", place.verdicts("mlflow")[-1] or "")
    finally:
        place.rds.late = 0
    assert made.python(SIGN_IN, {"URI": made.uri(engine), **made.aws(SERVER)}).code == 0


@pytest.mark.core
def test_a_server_with_a_certificate_of_another_authority_gets_no_token(made: World, engine: Engine) -> None:
    court = made.places[engine].court
    before = len(court.verdicts)
    uri = made.uri(engine).replace("/files/ca.pem", "/files/other.pem")
    done = made.bootstrap(uri, made.aws(ADMIN), made.by_password(engine))
    assert done.code == 1
    assert "is not trusted" in done.out
    assert len(court.verdicts) == before


def test_a_wrong_password_of_the_administrator_is_told_at_once(token_world: World, engine: Engine) -> None:
    admin = token_world.by_password(engine) | {"ADMIN_PASSWORD": "wrong-0123"}
    done = token_world.bootstrap(token_world.uri(engine, "later"), token_world.aws(SERVER), admin)
    assert done.code == 1
    assert f"administrator {MASTER} cannot sign in with its password" in done.out
    assert "wrong-0123" not in done.out


def test_a_user_with_a_password_is_made_and_given_another_one_and_then_an_identity(
    token_world: World, engine: Engine
) -> None:
    world, admin = token_world, token_world.by_password(engine)
    for password in ("first-0123", "second-0123"):
        done = world.bootstrap(world.uri(engine, "later", password=password), {}, admin)
        assert done.code == 0, done.out
        assert password not in done.out
    again = world.bootstrap(world.uri(engine, "later", password="second-0123"), {})
    assert NOTHING_TO_DO in again.out
    uri = world.uri(engine, "later", password="second-0123")
    done = world.python(SIGN_IN + statements_of("CREATE TABLE kept (i INT)"), {"URI": uri})
    assert done.code == 0, done.out
    done = world.bootstrap(world.uri(engine, "later"), world.aws(ADMIN), admin)
    assert done.code == 0, done.out
    assert world.python(SIGN_IN, {"URI": uri}).code != 0, "the password is gone"
    script = SIGN_IN + statements_of("ALTER TABLE kept ADD COLUMN j INT") + "print('altered')"
    done = world.python(script, {"URI": world.uri(engine, "later"), **world.aws(SERVER)})
    assert "altered" in done.out, done.out
    assert not world.places[engine].server.locks_out(MASTER)


@pytest.mark.core
def test_an_administrator_who_has_locked_itself_out_gets_in_with_a_token(token_world: World) -> None:
    """As it comes about on PostgreSQL: by hand, in the order of the documentation."""
    world, place = token_world, token_world.places[Engine.POSTGRESQL]
    script = SIGN_IN + statements_of(
        "CREATE ROLE by_hand LOGIN", "GRANT rds_iam TO by_hand", "CREATE DATABASE by_hand"
    )
    uri = world.uri(Engine.POSTGRESQL, "postgres", password="x")
    uri = uri.replace("postgres:x@", f"{MASTER}:{place.server.password}@")
    done = world.python(script, {"URI": uri})
    assert done.code == 0, done.out
    try:
        assert place.server.locks_out(MASTER)
        assert world.python(SIGN_IN, {"URI": uri}).code != 0
        order = world.uri(Engine.POSTGRESQL, "by_hand")
        done = world.bootstrap(order, world.aws(ADMIN), world.by_secret(Engine.POSTGRESQL))
        assert done.code == 0, done.out
        *_, by_password, by_token = place.verdicts(MASTER)
        assert (by_password is not None, by_token) == (True, None)
        assert NOTHING_TO_DO in world.bootstrap(order, world.aws(ADMIN)).out
    finally:
        place.server.query("DROP DATABASE by_hand")
        place.server.query("DROP ROLE by_hand")


def given_to(world: World, engine: Engine, identity: str) -> Done:
    """Make the user of Entra's identity with this ID."""
    admin = {"ADMIN_SIGN_IN": "token", "ADMIN_USERNAME": ENTRA_ADMIN, "IDENTITY_ID": identity}
    uri = world.uri(engine, ENTRA_USER, cloud="azure")
    return world.bootstrap(uri, world.azure(ENTRA_BOOTSTRAP), admin)


def test_an_entra_identity_is_made_and_may_make_tables(token_world: World, engine: Engine) -> None:
    world, place = token_world, token_world.places[engine]
    uri = world.uri(engine, ENTRA_USER, cloud="azure")
    identity = ENTRA_SERVER.object_id if engine is Engine.POSTGRESQL else ENTRA_SERVER.client_id
    if engine is Engine.MYSQL:
        # CREATE AADUSER is a statement that only Azure's MySQL knows.
        place.server.query(f"CREATE USER {ENTRA_USER} IDENTIFIED WITH aad_auth REQUIRE SSL")
    for _ in range(2):
        done = given_to(world, engine, identity)
        assert done.code == 0, done.out
        assert_no_secret(done.out, world, engine)
    script = SIGN_IN + statements_of("CREATE TABLE made (i INT)")
    done = world.python(script, {"URI": uri, **world.azure(ENTRA_SERVER)})
    assert done.code == 0, done.out
    done = world.python(SIGN_IN, {"URI": uri, **world.azure(ENTRA_BOOTSTRAP)})
    assert done.code != 0
    assert f"check that {ENTRA_USER} was made for this identity" in done.out


def test_a_recreated_entra_identity_is_told_from_the_one_before(token_world: World) -> None:
    done = given_to(token_world, Engine.POSTGRESQL, ENTRA_SERVER.object_id)
    assert done.code == 0, done.out
    done = given_to(token_world, Engine.POSTGRESQL, "recreated")
    assert done.code == 1
    assert f"role {ENTRA_USER} is there and belongs to another identity than recreated" in done.out


def test_an_image_without_the_package_says_so_in_one_line(token_world: World) -> None:
    world = token_world
    image = world.images["job"]["reference"]
    other = Client.start(world.cluster, world.namespace, "other-image", image, {})
    order = {"DATABASE_URI": world.uri(Engine.POSTGRESQL)}
    migrated = {"MLFLOW_BACKEND_STORE_URI": order["DATABASE_URI"]}
    ended = [other.run(BOOTSTRAP_COMMAND, order), other.run(MIGRATE, migrated)]
    other.go()
    for done in ended:
        assert done.code == 1
        assert len(done.out.strip().splitlines()) == 1, done.out
        assert "this image lacks" in done.out
