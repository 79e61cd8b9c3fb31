#!/bin/sh
# Starts MySQL the way the upstream image does: same variables, same data path, same arguments.
#
# An empty data directory is initialised in a subfolder and moved into place with the folder "mysql"
# last, so that a crash on the way never leaves a directory which the next start takes for a database.
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

# Quotes $1 as an SQL string.
text() {
    printf "'%s'" "$(printf %s "$1" | sed "s/\\\\/\\\\\\\\/g; s/'/''/g")"
}

# The statements of a new database, one per line, for mysqld's --init-file. Not by echo: it may read
# backslashes in a password as escapes.
first_statements() {
    root=$(text "$root_password")
    printf '%s\n' "ALTER USER 'root'@'localhost' IDENTIFIED BY $root;"
    host=${MYSQL_ROOT_HOST-%}
    if [ -n "$host" ] && [ "$host" != localhost ]; then
        printf '%s\n' "CREATE USER 'root'@$(text "$host") IDENTIFIED BY $root;"
        printf '%s\n' "GRANT ALL ON *.* TO 'root'@$(text "$host") WITH GRANT OPTION;"
    fi
    name=$(printf %s "$database" | sed 's/`/``/g')
    if [ -n "$database" ]; then
        printf '%s\n' "CREATE DATABASE \`$name\`;"
    fi
    if [ -n "$user" ]; then
        printf '%s\n' "CREATE USER $(text "$user")@'%' IDENTIFIED BY $(text "$password");"
        # In GRANT, _ and % in a database's name are wildcards.
        pattern=$(printf %s "$name" | sed 's/[_%\\]/\\&/g')
        [ -z "$database" ] || printf '%s\n' "GRANT ALL ON \`$pattern\`.* TO $(text "$user")@'%';"
    fi
}

initialise() {
    root_password=$(value_of MYSQL_ROOT_PASSWORD)
    database=$(value_of MYSQL_DATABASE)
    user=$(value_of MYSQL_USER)
    password=$(value_of MYSQL_PASSWORD)
    if [ -z "$root_password" ] && [ -n "${MYSQL_RANDOM_ROOT_PASSWORD:-}" ]; then
        root_password=$(head -c 24 /dev/urandom | base64)
        echo "entrypoint: GENERATED ROOT PASSWORD: $root_password" >&2
    fi
    if [ -z "$root_password" ] && [ -z "${MYSQL_ALLOW_EMPTY_PASSWORD:-}" ]; then
        fail "the database is not initialised and MYSQL_ROOT_PASSWORD is empty; set it or MYSQL_ROOT_PASSWORD_FILE"
    fi
    [ "$user" != root ] || fail "MYSQL_USER is for another user than root"
    if [ -n "$user" ] && [ -z "$password" ]; then
        fail "MYSQL_USER is set and MYSQL_PASSWORD is empty; set it or MYSQL_PASSWORD_FILE"
    fi
    for script in /docker-entrypoint-initdb.d/*; do
        [ ! -e "$script" ] || fail "$script: this substitute runs no initialisation scripts"
    done

    staging=$data/.initialising
    if [ -d "$staging" ]; then
        echo "entrypoint: an earlier initialisation did not finish; starting over" >&2
        find "$data" -mindepth 1 -maxdepth 1 ! -name lost+found ! -name .initialising -exec rm -rf {} +
        rm -rf "${staging:?}"/*
    else
        is_empty "$data" || fail "$data holds files but no database; empty it or choose another --datadir"
        mkdir "$staging"
    fi

    statements=$(mktemp)
    first_statements >"$statements"
    "$@" --initialize-insecure --datadir="$staging/cluster" --init-file="$statements"
    rm -f "$statements"
    move_last "$staging/cluster" "$data" mysql
    rm -rf "$staging"
    echo "entrypoint: initialised${database:+ database \"$database\"}${user:+ for user \"$user\"}" >&2
}

case "${1:-}" in
    '' | -*) set -- mysqld "$@" ;;
esac
[ "$1" = mysqld ] || exec "$@"

[ "$(id -u)" != 0 ] || fail "runs as a non-root user only (UID 999)"
data=$("$@" --verbose --help 2>/dev/null | awk '$1 == "datadir" { print $2; exit }')
data=${data%/}
[ -n "$data" ] || { "$@" --verbose --help >/dev/null; fail "mysqld does not accept: $*"; }
mkdir -p "$data" && [ -w "$data" ] || fail "$data is not writable for UID $(id -u); mount a volume with fsGroup 999"
if [ ! -d "$data/mysql" ]; then
    initialise "$@"
elif [ -d "$data/.initialising" ]; then
    rm -rf "$data/.initialising" # the crash came after the last move
fi
exec "$@"
