# SPDX-License-Identifier: Apache-2.0
# The private PostgreSQL of an instance: data directory, roles, who may log in as which. Part of tools/run/instance.
# No password exists anywhere: the kernel tells PostgreSQL who knocks (peer), pg_ident.conf says which roles that user has.
# shellcheck shell=bash

PG_BIN=/usr/lib/postgresql/15/bin
mapfile -t ROLES < <(sed -n -E "s/.* CREATE ROLE ([a-z_]+) LOGIN.*/\1/p" deploy/database.sql)

as_pg() {
    if is_root; then setpriv --reuid=bourse-pg --regid=bourse-pg --init-groups "$@"; else "$@"; fi
}

create_database() {
    local me group
    me=$(id -un) group=$(id -gn)
    ! is_root || me=bourse-pg group=bourse-pg
    [ -x "$PG_BIN/postgres" ] || die "PostgreSQL 15 is not installed; run deploy/dependencies"
    if [ ! -e "$VAR/pg" ]; then
        say "bourse: creating the database (once)"
        rm -rf "$VAR/pg.new" # of a first start that was interrupted
        make_directory pg.new 0700 "$me" "$group"
        (cd "$VAR/pg.new" && as_pg "$PG_BIN/initdb" -D "$VAR/pg.new" --username=postgres --auth=peer --encoding=UTF8 \
            --locale=C.UTF-8 --data-checksums --no-instructions) >"$VAR/log/initdb.log" 2>&1 ||
            { cat "$VAR/log/initdb.log" >&2 && die "initdb failed"; }
        write_database_settings pg.new
        create_roles pg.new
        mv "$VAR/pg.new" "$VAR/pg"
    fi
    make_directory pg 0700 "$me" "$group"
    write_database_settings pg
    [ "$(cat "$VAR/pg/bourse.roles" 2>/dev/null)" = "${ROLES[*]}" ] || create_roles pg
}

# Owner and mode are right before the file has its name.
write_database_file() {
    local path=$VAR/$1/$2
    cat >"$path.new"
    ! is_root || chown bourse-pg:bourse-pg "$path.new"
    chmod 600 "$path.new"
    mv -f "$path.new" "$path"
}

write_database_settings() {
    local directory=$1
    write_database_file "$directory" postgresql.conf <deploy/postgresql.conf
    write_database_file "$directory" pg_hba.conf <deploy/pg_hba.conf
    [ -e "$VAR/$directory/local.conf" ] || write_database_file "$directory" local.conf </dev/null
    write_identities | write_database_file "$directory" pg_ident.conf
}

# An ordinary user runs all programs, and so has all roles.
write_identities() {
    local role
    if is_root; then
        cat deploy/pg_ident.conf
    else
        for role in postgres "${ROLES[@]}"; do printf 'bourse "%s" %s\n' "$(id -un)" "$role"; done
    fi
}

# The server is not up yet: roles and database are made in its single-user mode, one statement a line.
create_roles() {
    local directory=$1 role
    {
        sed -n -E 's/^(DO .*);$/\1/p' deploy/database.sql
        [ "$directory" != pg.new ] || say "CREATE DATABASE bourse OWNER bourse_owner"
        say "REVOKE CONNECT ON DATABASE bourse FROM PUBLIC"
        for role in "${ROLES[@]}"; do say "GRANT CONNECT ON DATABASE bourse TO $role"; done
    } | (cd "$VAR/$directory" && as_pg "$PG_BIN/postgres" --single -D "$VAR/$directory" \
        -c log_min_messages=warning -c exit_on_error=true postgres) \
        >"$VAR/log/initdb.log" 2>&1 || { cat "$VAR/log/initdb.log" >&2 && die "the database roles could not be created"; }
    say "${ROLES[*]}" | write_database_file "$directory" bourse.roles
}
