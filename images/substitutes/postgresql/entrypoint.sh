#!/bin/sh
# Starts PostgreSQL the way the upstream image does: same variables, same data path, same arguments.
#
# An empty data directory is initialised in a subfolder and moved into place with PG_VERSION last, so
# that a crash on the way never leaves a directory which the next start takes for a database.
set -eu

fail() {
    echo "entrypoint: $*" >&2
    exit 1
}

# value_of NAME: the variable NAME, or the content of the file that NAME_FILE names.
value_of() {
    eval "plain=\${$1:-} file=\${$1_FILE:-}"
    if [ -n "$plain" ] && [ -n "$file" ]; then
        fail "both $1 and $1_FILE are set; set one"
    elif [ -n "$file" ]; then
        cat "$file" || fail "$1_FILE names $file, which cannot be read"
    else
        printf %s "$plain"
    fi
}

# Moves everything but $3 from directory $1 to $2, then $3: its presence says that the move is complete.
move_last() {
    find "$1" -mindepth 1 -maxdepth 1 ! -name "$3" -exec mv -t "$2" {} +
    sync
    mv "$1/$3" "$2/$3"
    sync
}

# Says whether the directory $1 holds nothing (the lost+found of a fresh volume does not count).
is_empty() {
    [ -z "$(find "$1" -mindepth 1 -maxdepth 1 ! -name lost+found -print -quit)" ]
}

initialise() {
    password=$(value_of POSTGRES_PASSWORD)
    user=$(value_of POSTGRES_USER)
    user=${user:-postgres}
    database=$(value_of POSTGRES_DB)
    database=${database:-$user}
    method=${POSTGRES_HOST_AUTH_METHOD:-scram-sha-256}
    if [ -z "$password" ] && [ "$method" != trust ]; then
        fail "the database is not initialised and POSTGRES_PASSWORD is empty; set it or POSTGRES_PASSWORD_FILE"
    fi
    for script in /docker-entrypoint-initdb.d/*; do
        [ ! -e "$script" ] || fail "$script: this substitute runs no initialisation scripts"
    done

    staging=$PGDATA/.initialising
    if [ -d "$staging" ]; then
        echo "entrypoint: an earlier initialisation did not finish; starting over" >&2
        find "$PGDATA" -mindepth 1 -maxdepth 1 ! -name lost+found ! -name .initialising -exec rm -rf {} +
        rm -rf "${staging:?}"/*
    else
        is_empty "$PGDATA" || fail "$PGDATA holds files but no database; empty it or choose another PGDATA"
        mkdir "$staging"
    fi

    cluster=$staging/cluster
    secret=$(mktemp)
    printf %s "$password" >"$secret"
    # shellcheck disable=SC2086 # several arguments in one variable, as upstream has it
    initdb --pgdata="$cluster" --username="$user" ${password:+--pwfile="$secret"} \
        --encoding=UTF8 --locale=C.UTF-8 --auth-local=trust --auth-host="$method" ${POSTGRES_INITDB_ARGS:-}
    rm -f "$secret"
    echo "host all all all $method" >>"$cluster/pg_hba.conf"
    echo "listen_addresses = '*'" >>"$cluster/postgresql.conf"
    if [ "$database" != postgres ]; then
        quoted=$(printf %s "$database" | sed 's/"/""/g')
        printf 'CREATE DATABASE "%s";\n' "$quoted" |
            postgres --single -j -c exit_on_error=on -D "$cluster" postgres >/dev/null
    fi
    move_last "$cluster" "$PGDATA" PG_VERSION
    rm -rf "$staging"
    echo "entrypoint: initialised database \"$database\" for user \"$user\"" >&2
}

case "${1:-}" in
    '' | -*) set -- postgres "$@" ;;
esac
[ "$1" = postgres ] || exec "$@"

[ "$(id -u)" != 0 ] || fail "runs as a non-root user only (UID 999)"
mkdir -p "$PGDATA" || fail "$PGDATA is not writable for UID $(id -u); mount a volume with fsGroup 999"
chmod 0700 "$PGDATA" 2>/dev/null || true # PGDATA may be the volume's root, which another user owns
if [ ! -s "$PGDATA/PG_VERSION" ]; then
    initialise
elif [ -d "$PGDATA/.initialising" ]; then
    rm -rf "$PGDATA/.initialising" # the crash came after the last move
fi
exec "$@"
