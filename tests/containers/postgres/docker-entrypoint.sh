#!/usr/bin/env bash
# The entry contract of the image postgres:18, as far as this project relies on it: POSTGRES_USER, POSTGRES_PASSWORD and
# POSTGRES_DB, each also as NAME_FILE; PGDATA; a database made at the first start; never the server as root.
set -euo pipefail

value_of() { # NAME DEFAULT
    local file="${1}_FILE"
    if [[ -n ${!1:-} && -n ${!file:-} ]]; then
        echo "error: both $1 and $file are set (but are exclusive)" >&2
        exit 1
    fi
    if [[ -n ${!file:-} ]]; then cat "${!file}"; else echo "${!1:-$2}"; fi
}

if [[ ${1:0:1} == - ]]; then set -- postgres "$@"; fi
if [[ $1 == postgres ]]; then
    mkdir -p "$PGDATA"
    chmod 700 "$PGDATA"
    if ((EUID == 0)); then
        chown -R postgres "$PGDATA"
        exec setpriv --reuid postgres --regid postgres --init-groups "$BASH_SOURCE" "$@"
    fi
    if [[ ! -s $PGDATA/PG_VERSION ]]; then
        user=$(value_of POSTGRES_USER postgres)
        password=$(value_of POSTGRES_PASSWORD "")
        database=$(value_of POSTGRES_DB "$user")
        if [[ -z $password ]]; then
            echo "Error: Database is uninitialized and superuser password is not specified." >&2
            exit 1
        fi
        initdb --username="$user" --pwfile=<(echo "$password")
        echo "listen_addresses = '*'" >>"$PGDATA/postgresql.conf"
        echo "host all all all scram-sha-256" >>"$PGDATA/pg_hba.conf"
        if [[ $database != postgres ]]; then
            echo "CREATE DATABASE \"$database\";" | postgres --single -D "$PGDATA" postgres >/dev/null
        fi
        echo "PostgreSQL init process complete; ready for start up."
    fi
    unset POSTGRES_PASSWORD
fi
exec "$@"
