"""The one table of images that this project does not write itself.

Users get the upstream reference. Where nothing can be pulled (a machine that reaches package registries
only), ``python -m tools.images`` builds the substitute instead, which keeps the listed contract, and says so.
A reference outside this table is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class DebianRoot:
    """A root file system of Debian packages, made by mmdebstrap.

    :param suite: Debian release the packages come from.
    :param packages: installed beside the minimal system, without recommended packages.
    :param remove: shell patterns of paths, relative to ``/``, that the image does without.
    """

    suite: str
    packages: tuple[str, ...]
    remove: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Substitute:
    """What stands in for an upstream image.

    :param root: the base of its build.
    :param context: folder of its Dockerfile, relative to the repository; None when the root is all of it.
    :param differs: what a person who compares it with upstream should know.
    """

    root: DebianRoot
    context: str | None
    differs: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class ThirdPartyImage:
    """One row: an upstream image and what we rely on in it.

    :param name: its key here and in ``.local/images.json``.
    :param reference: upstream reference with a fixed version, the default for users.
    :param uid: user it runs as; files on its volume belong to it.
    :param gid: group, also the ``fsGroup`` of its volume.
    :param port: TCP port it listens on; None when it is no server.
    :param data_path: where its volume is mounted; None when it keeps no data.
    :param contract: the part of the upstream image's behaviour that is used, and that a substitute keeps.
    :param substitute: None when nothing stands in for it.
    """

    name: str
    reference: str
    uid: int
    gid: int
    port: int | None = None
    data_path: str | None = None
    contract: tuple[str, ...] = ()
    substitute: Substitute | None = None

    @property
    def repository(self) -> str:
        """The upstream reference without its tag."""
        return self.reference.rpartition(":")[0]


PYTHON = ThirdPartyImage(
    name="python",
    reference="docker.io/library/python:3.11.15-slim-bookworm",
    uid=0,
    gid=0,
    contract=("python3 on PATH, with venv and pip", "bash, groupadd, useradd", "apt-get"),
    substitute=Substitute(
        root=DebianRoot(suite="bookworm", packages=("python3", "python3-venv", "ca-certificates")),
        context=None,
        differs=(
            "Python 3.11.2 with Debian's patches",
            "apt has no sources: an image's packages come with it",
        ),
    ),
)

POSTGRESQL = ThirdPartyImage(
    name="postgresql",
    reference="docker.io/library/postgres:17.11-bookworm",
    uid=999,
    gid=999,
    port=5432,
    data_path="/var/lib/postgresql/data",
    contract=(
        "UID and GID 999; volume at /var/lib/postgresql/data, database in PGDATA (a folder of the volume)",
        "POSTGRES_USER, POSTGRES_PASSWORD, POSTGRES_DB, each also as *_FILE; POSTGRES_HOST_AUTH_METHOD",
        "POSTGRES_INITDB_ARGS",
        "arguments are handed to postgres; another command is run as it is",
        "an empty password is refused while there is no database; later starts need no variables",
        "read-only root with /tmp and /var/run/postgresql writable; SIGINT stops it cleanly",
    ),
    substitute=Substitute(
        root=DebianRoot(
            suite="trixie",
            packages=("postgresql-17",),
            # Debian's ready-made cluster, and the JIT compiler, without which PostgreSQL plans on as before.
            remove=(
                "var/lib/postgresql",
                "etc/postgresql",
                "usr/lib/x86_64-linux-gnu/libLLVM*",
                "usr/lib/aarch64-linux-gnu/libLLVM*",
                "usr/lib/postgresql/17/lib/llvmjit*",
                "usr/lib/postgresql/17/lib/bitcode",
            ),
        ),
        context="images/substitutes/postgresql",
        differs=(
            "never starts as root",
            "connections from 127.0.0.1 need the password as well",
            "refuses scripts in /docker-entrypoint-initdb.d; no JIT; locale C.UTF-8",
        ),
    ),
)

MYSQL = ThirdPartyImage(
    name="mysql",
    reference="docker.io/library/mysql:9.7.2",
    uid=999,
    gid=999,
    port=3306,
    data_path="/var/lib/mysql",
    contract=(
        "UID and GID 999; volume at /var/lib/mysql, database there or in --datadir (a folder of the volume)",
        "MYSQL_ROOT_PASSWORD, MYSQL_DATABASE, MYSQL_USER, MYSQL_PASSWORD, each also as *_FILE",
        "MYSQL_ROOT_HOST, MYSQL_ALLOW_EMPTY_PASSWORD, MYSQL_RANDOM_ROOT_PASSWORD",
        "arguments are handed to mysqld; another command is run as it is; /etc/my.cnf",
        "an empty root password is refused while there is no database; later starts need no variables",
        "read-only root with /tmp and /var/run/mysqld writable; SIGTERM stops it cleanly",
    ),
    substitute=Substitute(
        # MySQL itself: Debian's stable releases have MariaDB only, its unstable suite has MySQL 9.7.
        root=DebianRoot(suite="sid", packages=("mysql-server-core", "mysql-client-core")),
        context="images/substitutes/mysql",
        differs=(
            "never starts as root",
            "refuses scripts in /docker-entrypoint-initdb.d; loads no time zone tables",
        ),
    ),
)

CLOUD_SQL_PROXY = ThirdPartyImage(
    name="cloud-sql-proxy",
    reference="gcr.io/cloud-sql-connectors/cloud-sql-proxy:2.27.0",
    uid=65532,
    gid=65532,
    contract=(
        "its entry point is the proxy: arguments are flags and the instance's connection name",
        "/startup, /liveness and /readiness on --http-port, with --health-check",
        "runs with a read-only root and writes nothing; SIGTERM ends it after its last connection",
    ),
)

GIT_SYNC = ThirdPartyImage(
    name="git-sync",
    reference="registry.k8s.io/git-sync/git-sync:v4.7.1",
    uid=65533,
    gid=65533,
    contract=(
        "UID and GID 65533, which /etc/passwd names; arguments are handed to git-sync",
        "--repo --ref --depth --submodules --root --link --one-time --group-write --git-gc --sync-timeout",
        "--username --password-file; --ssh-key-file --ssh-known-hosts-file, with hosts checked",
        "checks out to ROOT/.worktrees/COMMIT and publishes it as a relative link; exits 1 at a failure",
        "an unknown flag stops it; no credential in its log; GIT_SSL_CAINFO reaches git",
        "read-only root with HOME and ROOT writable",
    ),
    substitute=Substitute(
        root=DebianRoot(suite="bookworm", packages=("git", "openssh-client", "ca-certificates", "python3")),
        context="images/substitutes/git-sync",
        differs=(
            "a stand-in written here around git, for one sync at start only",
            "takes those of git-sync's flags that this project uses, and refuses the others",
        ),
    ),
)

THIRD_PARTY: Mapping[str, ThirdPartyImage] = {
    row.name: row for row in (PYTHON, POSTGRESQL, MYSQL, GIT_SYNC, CLOUD_SQL_PROXY)
}
"""Every image that this project uses and does not write, by name."""

ON_THE_CLUSTER = tuple(
    row.name for row in THIRD_PARTY.values() if row is not PYTHON and row is not CLOUD_SQL_PROXY
)
"""Those that pods of any stack run; the others are only built upon, or belong to one cloud."""
